"""The files to submit to clusters, as far as they can be checked without one."""

import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from audit.cli import app

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"

#: The parts of KubeRay's RayJob (ray.io/v1) and of Kubernetes' pod template that the file uses.
STRING_MAP = {"type": "object", "additionalProperties": {"type": "string"}}
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$"}
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}
CONTAINER = {
    "type": "object",
    "required": ["name", "image", "resources"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "image": {"type": "string"},
        "env": {
            "type": "array",
            "items": {
                "required": ["name", "value"],
                "additionalProperties": False,
                "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
            },
        },
        "envFrom": {
            "type": "array",
            "items": {
                "required": ["secretRef"],
                "additionalProperties": False,
                "properties": {"secretRef": STRING_MAP},
            },
        },
        "resources": {
            "additionalProperties": False,
            "required": ["requests", "limits"],
            "properties": {"requests": QUANTITIES, "limits": QUANTITIES},
        },
        "volumeMounts": {
            "type": "array",
            "items": {
                "required": ["name", "mountPath"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "mountPath": {"type": "string"},
                    "readOnly": {"type": "boolean"},
                },
            },
        },
    },
}
TEMPLATE = {
    "type": "object",
    "required": ["spec"],
    "additionalProperties": False,
    "properties": {
        "spec": {
            "type": "object",
            "required": ["containers"],
            "additionalProperties": False,
            "properties": {
                "containers": {"type": "array", "minItems": 1, "items": CONTAINER},
                "volumes": {"type": "array", "items": {"required": ["name"]}},
                "securityContext": {"type": "object", "additionalProperties": {"type": "integer"}},
                "tolerations": {"type": "array", "items": STRING_MAP},
                "terminationGracePeriodSeconds": {"type": "integer"},
            },
        }
    },
}
GROUP = {
    "type": "object",
    "required": ["groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"],
    "additionalProperties": False,
    "properties": {
        "groupName": {"type": "string"},
        "replicas": {"type": "integer"},
        "minReplicas": {"type": "integer"},
        "maxReplicas": {"type": "integer"},
        "rayStartParams": STRING_MAP,
        "template": TEMPLATE,
    },
}
RAY_JOB = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": STRING_MAP,
        "spec": {
            "type": "object",
            "required": ["entrypoint", "rayClusterSpec"],
            "additionalProperties": False,
            "properties": {
                "entrypoint": {"type": "string"},
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": {"type": "integer"},
                "backoffLimit": {"type": "integer"},
                "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"]},
                "rayClusterSpec": {
                    "type": "object",
                    "required": ["rayVersion", "headGroupSpec"],
                    "additionalProperties": False,
                    "properties": {
                        "rayVersion": {"type": "string"},
                        "enableInTreeAutoscaling": {"type": "boolean"},
                        "autoscalerOptions": {
                            "additionalProperties": False,
                            "properties": {"idleTimeoutSeconds": {"type": "integer"}},
                        },
                        "headGroupSpec": {
                            "required": ["rayStartParams", "template"],
                            "additionalProperties": False,
                            "properties": {"rayStartParams": STRING_MAP, "template": TEMPLATE},
                        },
                        "workerGroupSpecs": {"type": "array", "items": GROUP},
                    },
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def job() -> dict:
    return yaml.safe_load((DEPLOY / "kubernetes" / "ray-job.yaml").read_text(encoding="utf-8"))


def containers(job: dict) -> list[dict]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


def test_the_kubernetes_job_has_the_form_of_its_schema(job):
    assert list(Draft202012Validator(RAY_JOB).iter_errors(job)) == []
    for container in containers(job):
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_every_mounted_volume_is_declared_and_only_the_head_has_the_key(job):
    head, *workers = containers(job)
    declared = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    assert {mount["name"] for mount in head["volumeMounts"]} == {volume["name"] for volume in declared}
    key = next(volume for volume in declared if volume["name"] == "key")
    assert key["secret"]["defaultMode"] & 0o077 == 0
    assert all("key" not in str(worker.get("volumeMounts", "")) for worker in workers)
    assert all("HMAC" not in str(worker) for worker in workers)


def test_files_name_the_version_of_ray_that_is_tested(job):
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned
    assert f"'ray[default]=={pinned}'" in (DEPLOY / "kubernetes" / "Dockerfile").read_text()
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["ray"]
    assert extra == ["ray[client]>=2.60,<3"]


def test_usage_reports_are_off_everywhere(job):
    for container in containers(job):
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
    assert "RAY_USAGE_STATS_ENABLED=0" in (DEPLOY / "slurm" / "audit.sbatch").read_text()


def options(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+", text))


def test_commands_use_options_that_exist(job):
    known = options(CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output)
    assert options(job["spec"]["entrypoint"]) <= known
    script = (DEPLOY / "slurm" / "audit.sbatch").read_text()
    line = next(line for line in script.splitlines() if line.startswith("audit run"))
    assert {"--engine", "--address", "--out"} == options(line) <= known


def test_ray_start_is_given_options_that_exist():
    scripts = pytest.importorskip("ray.scripts.scripts")
    known = {option for parameter in scripts.start.params for option in parameter.opts}
    script = (DEPLOY / "slurm" / "audit.sbatch").read_text().replace("\\\n", " ")
    lines = [line for line in script.splitlines() if "ray start --" in line]
    assert len(lines) == 2
    for line in lines:
        assert options(line.split("ray start")[1]) <= known


def test_the_slurm_script_is_sound():
    script = DEPLOY / "slurm" / "audit.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert not re.search(r"^\s*ray stop", script.read_text(), re.MULTILINE)
    shellcheck = Path(sysconfig.get_path("scripts")) / "shellcheck"
    subprocess.run([str(shellcheck), str(script)], check=True)
