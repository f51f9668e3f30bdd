"""The doctor says what is lacking, what it costs, and what could not run at all."""

import pytest
import yaml

from audit import doctor


@pytest.fixture
def examine(tmp_path):
    def run(**sections):
        path = tmp_path / "audit.yaml"
        path.write_text(yaml.safe_dump({"corpus": {"name": "x"}, **sections}))
        return {check.name: check for check in doctor.examine(path)}

    return run


def test_without_a_configuration_the_machine_alone_is_checked():
    checks = {check.name: check for check in doctor.examine(None)}
    assert {"python", "memory", "disk", "hmac key"} <= set(checks)
    assert checks["python"].state == "ok"
    assert "configuration" not in checks


def test_models_and_inputs_of_the_configuration_are_checked(examine, corpus):
    checks = examine(corpus={"name": "x", "inputs": [str(corpus)]}, screens={"language": {}, "pii": {}})
    assert checks["configuration"].state == checks["inputs"].state == "ok"
    assert checks["inputs"].found.startswith("2 shards")
    assert {"screen language", "screen pii"} <= set(checks)
    assert checks["screen language"].state == "ok"


def test_a_wrong_configuration_and_missing_inputs_fail(examine, tmp_path):
    assert examine(sampling={"sise": 3})["configuration"].state == "fails"
    assert examine(corpus={"name": "x", "inputs": ["nowhere/*"]})["inputs"].state == "fails"
    assert examine()["inputs"].state == "lacks"
    assert doctor.examine(tmp_path / "no.yaml")[-1].state == "fails"


def test_a_lack_says_what_it_costs(examine, monkeypatch):
    monkeypatch.setitem(doctor._EXTRAS, "no-such-package", ("gone", "nothing can be read"))
    checks = examine(run={"workers": 100_000})
    assert checks["no-such-package"].state == "lacks"
    assert 'pip install "corpus-audit[gone]"' in checks["no-such-package"].cost
    assert checks["memory"].state == "lacks"
    assert "run.workers" in checks["memory"].cost


def test_a_full_disk_fails(examine, corpus, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    checks = doctor.examine(None)
    assert next(check for check in checks if check.name == "disk").state == "ok"
    assert examine(corpus={"name": "x", "inputs": [str(corpus)]})["disk"].state == "fails"


def test_every_lack_and_failure_names_a_cost_or_a_cause(examine):
    for check in examine(sampling={"sise": 3}).values():
        assert check.found
