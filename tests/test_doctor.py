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


def test_a_memory_limit_is_divided_and_what_it_costs_is_said(examine, monkeypatch):
    monkeypatch.setattr(doctor.memory, "machine_bytes", lambda: 16 << 30)
    monkeypatch.setattr(doctor.memory, "can_watch", lambda: True)

    def check(limit, workers=2):
        return examine(run={"memory": limit, "workers": workers})["memory"]

    assert check("8GiB").state == "ok"
    assert check("8GiB").found == "run.memory 8.0 of 16 GiB, 3.8 for each of 2 workers"
    assert (check("32GiB").state, check("32GiB").cost) == ("lacks", "the machine has less; lower run.memory")
    assert check("4GiB", workers=8).cost == "8 workers want 10.1; the run takes longer"
    assert check("1GiB").found.endswith("0.5 for each of 1 workers")
    assert check("1GiB").cost.startswith("documents may go unevaluated")
    monkeypatch.setattr(doctor.memory, "can_watch", lambda: False)
    assert check("8GiB").cost.endswith("it is not kept")
