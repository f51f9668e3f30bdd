"""The Ray engine on a real cluster of two nodes, one of which is killed now and then."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit import config as configuration
from audit.cluster import ray_cluster
from audit.engines import CORES, Needs
from audit.engines.local import LocalEngine
from audit.engines.ray import Cluster, RayEngine
from audit.errors import ConfigurationError, FatalError
from audit.objects.object_stores import ObjectFolder
from audit.pipeline import audit
from audit.progress import Quiet
from audit.run import Run
from audit.stages.request import Request
from audit.workers import meter
from tests.conftest import page
from tests.engines.jobs import Job, die_on_three, map_within_a_map, square
from tests.engines.ray_cluster_fixture import Saboteur, TwoNodes, two_nodes
from tests.test_pipeline import parts, tables

SHARDS = 10
SETTINGS = {
    "corpus": {"name": "test"},
    "sampling": {"size": 20},
    "screens": {"exact_duplicates": {}, "language": {}, "pii": {}},
}


def refuse(job: Job) -> int:
    raise ConfigurationError("no model", file="x.yaml", key="screens", remedy="Install it")


def process(job: Job) -> int:
    return os.getpid()


def device(job: Job) -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def stall_or_grow(job: Job) -> int:
    if job.number == 1:
        held = []
        while len(held) < 150:
            held.append(b"x" * (20 << 20))
            meter.beat()
            time.sleep(0.02)
        return len(held)
    if job.number == 2:
        time.sleep(60)
    return job.number


def ignore(documents: int, size: int) -> None:
    pass


@pytest.fixture(scope="module")
def cluster(object_server) -> Iterator[TwoNodes]:
    with two_nodes(object_server.environment()) as started:
        yield started


@pytest.fixture(scope="module")
def notes() -> list[str]:
    return []


@pytest.fixture(scope="module")
def engine(cluster, notes) -> Iterator[RayEngine]:
    with RayEngine(Cluster(cluster.address), notes.append) as connected:
        yield connected


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for shard in range(SHARDS):
        rows = [{"id": f"{shard}-{n}", "text": page(shard * 40 + n)} for n in range(40)]
        (folder / f"{shard:02}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "copy.jsonl").write_bytes((folder / "03.jsonl").read_bytes())
    return folder


def run(folder: Path, out: Path, engine, report=None) -> Run:
    config = configuration.parse(SETTINGS)
    target = Run(out)
    audit(Request(config, folder, (str(folder),)), target, engine, report or Quiet())
    return target


@pytest.fixture(scope="module")
def reference(corpus, tmp_path_factory, request) -> tuple:
    """What the local engine makes of the corpus."""
    with pytest.MonkeyPatch.context() as patch:
        from tests.conftest import key_file

        patch.setenv("AUDIT_HMAC_KEY_FILE", key_file(tmp_path_factory))
        return evidence(run(corpus, tmp_path_factory.mktemp("local") / "run", LocalEngine(1)))


def evidence(target: Run) -> tuple:
    return parts(target), tables(target), (target.folder / "scorecard.json").read_bytes()


def test_every_task_has_an_outcome_and_progress_adds_up(engine):
    seen = []
    outcomes = list(engine.map(square, [Job(n) for n in range(50)], lambda d, s: seen.append((d, s))))
    assert sorted(o.result for o in outcomes) == [n**2 for n in range(50)]
    assert sum(d for d, _ in seen) == 50
    assert sum(s for _, s in seen) == sum(range(50))


def test_workers_are_spread_and_stay_warm(engine):
    assert engine.workers == engine.capacity(CORES) == 2
    first = {o.result for o in engine.map(process, [Job(n) for n in range(20)], ignore)}
    again = {o.result for o in engine.map(process, [Job(n) for n in range(20)], ignore)}
    assert first | again <= first
    assert len(first) == 2


def test_without_gpus_tasks_run_on_cores_and_see_none(engine):
    assert engine.capacity(Needs(gpu_memory=1 << 30)) == 2
    found = {o.result for o in engine.map(device, [Job(n) for n in range(4)], ignore, Needs(1 << 30))}
    assert found == {""}


def test_a_worker_that_dies_costs_its_own_task_only(engine, notes):
    outcomes = {o.task.number: o for o in engine.map(die_on_three, [Job(n) for n in range(6)], ignore)}
    assert sorted(outcomes) == list(range(6))
    assert outcomes[3].result is None
    assert "died twice" in outcomes[3].lost
    assert all(outcomes[n].result == n for n in (0, 1, 2, 4, 5))
    assert any("tried again" in note for note in notes)


def test_a_run_on_the_cluster_gives_the_same_bytes_and_leaves_no_key(
    engine, cluster, corpus, reference, tmp_path
):
    assert evidence(run(corpus, tmp_path / "run", engine)) == reference
    key = hashlib.sha256(b"key of the tests").hexdigest().encode()
    files = [path for path in cluster.session.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if holds(path, key) or holds(path, bytes.fromhex(key.decode()))]


def holds(path: Path, value: bytes) -> bool:
    return value in path.read_bytes()


def test_a_run_that_loses_a_node_gives_the_same_bytes(engine, cluster, corpus, reference, tmp_path, notes):
    saboteur = Saboteur(cluster.kill_node)
    try:
        found = evidence(run(corpus, tmp_path / "run", engine, saboteur))
    finally:
        cluster.complete()
    assert saboteur.struck
    assert found == reference
    assert any("was lost" in note for note in notes)


def command(folder: Path, out: Path, address: str) -> list[str]:
    config = out.with_name("audit.yaml")
    config.write_text(json.dumps({**SETTINGS, "corpus": {"name": "test", "inputs": [str(folder)]}}))
    engine = ["--engine", "ray", "--address", address]
    return [sys.executable, "-m", "audit.cli", "run", str(config), "--out", str(out), *engine]


def committed(out: Path) -> int:
    return len(list(out.glob("parts/documents/*.parquet")))


def workers_alive() -> int:
    import ray

    return sum(actor["State"] == "ALIVE" for actor in ray._private.state.actors().values())


def test_an_interrupted_run_leaves_no_worker_and_resumes(engine, cluster, corpus, reference, tmp_path):
    engine._dismiss()
    out = tmp_path / "run"
    started = subprocess.Popen(command(corpus, out, cluster.address), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while committed(out) < 2 and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    started.send_signal(signal.SIGTERM)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 128 + signal.SIGTERM, told
    assert "the same command goes on" in told
    assert 2 <= committed(out) <= SHARDS, "the signal came too early or too late to prove anything"
    deadline = time.monotonic() + 20
    while workers_alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers_alive() == 0
    assert not list(out.glob("parts/.tmp/meeting*"))
    assert evidence(run(corpus, out, engine)) == reference


def test_a_run_on_an_object_store_that_loses_a_node_is_the_same(
    engine, cluster, corpus, reference, object_server, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = ObjectFolder(f"s3://{object_server.make_bucket()}")
    for path in corpus.iterdir():
        bucket.put(f"corpus/{path.name}", path)
    target = Run.at(bucket.address_of("run"))
    saboteur = Saboteur(cluster.kill_node)
    request = Request(configuration.parse(SETTINGS), tmp_path, (bucket.address_of("corpus"),))
    try:
        audit(request, target, engine, saboteur)
    finally:
        cluster.complete()
    assert saboteur.struck
    stored = {info.key: bucket.get(f"run/{info.key}") for info in ObjectFolder(target.place).list()}
    digests = {
        key.removeprefix("parts/"): hashlib.sha256(content).hexdigest()
        for key, content in stored.items()
        if key.startswith("parts/") and key.endswith(".parquet")
    }
    assert digests == reference[0]
    assert stored["scorecard.json"] == reference[2]
    assert not any("meeting" in key for key in stored)


def test_a_worker_that_stalls_or_grows_is_ended(cluster, engine):
    engine._dismiss()
    with RayEngine(Cluster(cluster.address, 2, 700 << 20, stall_seconds=6.0), ignore_note) as strict:
        list(strict.map(square, [Job(n) for n in range(4)], ignore))
        outcomes = {o.task.number: o for o in strict.map(stall_or_grow, [Job(n) for n in range(4)], ignore)}
    assert "run.memory" in outcomes[1].lost
    assert "run.stall_seconds" in outcomes[2].lost
    assert all(outcomes[n].result == n for n in (0, 3))


def ignore_note(line: str) -> None:
    pass


def test_errors_of_the_library_reach_the_caller_whole(engine):
    with pytest.raises(ConfigurationError) as caught:
        list(engine.map(refuse, [Job(1)], ignore))
    assert caught.value.key == "screens"
    assert caught.value.exit_code == 2
    assert type(caught.value) is ConfigurationError


def test_a_map_within_a_map_is_refused_and_the_next_is_not(engine):
    with pytest.raises(FatalError, match="while another one"):
        map_within_a_map(engine)
    assert [o.result for o in engine.map(square, [Job(3)], ignore)] == [9]


def test_a_node_that_differs_is_refused(cluster, engine, monkeypatch):
    original = ray_cluster.ask

    def older(ray, function, chosen, *given):
        answers = original(ray, function, chosen, *given)
        return {
            node: {**told, "packages": {**told["packages"], "numpy": "1.0"}} for node, told in answers.items()
        }

    monkeypatch.setattr(ray_cluster, "ask", older)
    with pytest.raises(ConfigurationError, match=r"differs from this one: numpy 1\.0, here"):
        RayEngine(Cluster(cluster.address), ignore_note).__enter__()


def test_no_cluster_at_the_address_is_told(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'corpus-audit\[ray\]'"):
        RayEngine(Cluster(), ignore_note).__enter__()
