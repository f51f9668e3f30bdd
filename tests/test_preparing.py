"""The worker that loads the screens while the driver loads itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from audit import config as configuration
from audit import tasks
from audit.engines.local import LocalEngine
from audit.preparing import prepared_worker
from audit.screens import Screen


def warm(screens: tuple[Screen, ...]) -> tuple[int, bool]:
    return os.getpid(), repr(screens) in tasks._warm


def results(engine: LocalEngine, screens: tuple[Screen, ...]) -> list[tuple[int, bool] | None]:
    return [outcome.result for outcome in engine.map(warm, [screens], lambda documents, size: None)]


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "audit.yaml"
    data = {"corpus": {"name": "small"}, "screens": {"exact_duplicates": {}, "language": {}}}
    path.write_text(json.dumps(data))
    return path


def test_screens_are_warm_in_it_before_the_first_task(config_file):
    screens = configuration.load(config_file).build_screens()
    with prepared_worker(config_file) as first, LocalEngine(1, first=first) as engine:
        assert results(engine, screens) == [(first.process.pid, True)]
    assert not first.process.is_alive()


def test_without_a_configuration_it_serves_all_the_same_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with prepared_worker(tmp_path / "none.yaml") as first, LocalEngine(1, first=first) as engine:
        assert results(engine, ()) == [(first.process.pid, False)]
    assert list(tmp_path.iterdir()) == []


def test_the_driver_sends_it_off_before_it_loads_anything():
    heavy = ("pyarrow", "numpy", "numba", "pydantic", "audit.config", "audit.tasks")
    code = f"import sys, audit.commands, audit.engine_choice; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
