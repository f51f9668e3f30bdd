"""What nodes are asked before they may work."""

import dataclasses
import sys
from pathlib import Path

import pytest

from audit.cluster import node_checks, node_identity
from audit.errors import ConfigurationError
from audit.model import Shard
from audit.storage.store import Store
from audit.workers import accelerators
from audit.workers.accelerators import workers_per_gpu

GIB = 1 << 30


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    made = []
    for number in range(12):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("{}\n" * number)
        size = path.stat().st_size
        made.append(Shard(f"{number:016x}", str(path), path.name, "jsonl", size, file_size=size))
    return [*made, Shard("f" * 16, "hf://data", "hf", "hub", 0)]


class _Node:
    """Stands for Ray on a node."""

    @staticmethod
    def get_runtime_context() -> type["_Node"]:
        return _Node

    @staticmethod
    def get_node_id() -> str:
        return "node1"


@pytest.fixture(autouse=True)
def on_a_node(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", _Node)


def test_a_node_that_sees_all_answers_and_nothing_is_left(tmp_path, shards):
    store = Store(tmp_path / "run" / "parts")
    with node_checks.meeting(store, shards) as met:
        assert 2 <= len(met.inputs) <= 8
        assert node_checks.attend(met) is None
        node_checks.await_answer(met, "node1")
    assert not list(store.scratch.iterdir())


def test_a_node_without_the_run_folder_is_told_of(tmp_path, shards):
    with node_checks.meeting(Store(tmp_path / "run"), shards) as met:
        elsewhere = dataclasses.replace(met, store=Store(tmp_path / "elsewhere"))
        assert node_checks.attend(elsewhere) == "it does not see the run folder"


def test_a_node_that_writes_elsewhere_is_refused(tmp_path, shards, monkeypatch):
    monkeypatch.setattr(node_checks, "_WAIT_SECONDS", 0.2)
    with (
        node_checks.meeting(Store(tmp_path / "run"), shards) as met,
        pytest.raises(ConfigurationError, match="does not appear here") as caught,
    ):
        node_checks.await_answer(met, "node1")
    assert "object store" in caught.value.remedy


def test_a_node_without_an_input_or_with_another_is_told_of(tmp_path, shards):
    with node_checks.meeting(Store(tmp_path / "run"), shards) as met:
        uri, _ = met.inputs[-1]
        Path(uri).write_text("{}")
        assert "another size" in node_checks.attend(met)
        Path(uri).unlink()
        assert "does not see the input" in node_checks.attend(met)


def test_this_process_is_like_itself():
    mine = node_identity.describe()
    assert len(mine["code"]) == 64
    assert {"numpy", "pyarrow"} <= set(mine["packages"])
    assert not {"pytest", "mypy"} & set(mine["packages"])
    assert node_identity.differences(mine, mine) == []


def test_differences_are_named_and_packages_of_one_alone_are_none():
    mine = node_identity.describe()
    theirs = {**mine, "python": "3.99", "code": "0" * 64}
    theirs["packages"] = {**mine["packages"], "numpy": "1.0", "other": "2"}
    told = node_identity.differences(mine, theirs)
    assert len(told) == 3
    assert any("python 3.99" in line for line in told)
    assert any("numpy 1.0" in line for line in told)
    assert node_identity.differences(mine, {**mine, "code": None}) == ["corpus-audit is not installed there"]


@pytest.mark.parametrize(
    ("memory", "wanted", "workers"),
    [
        ((), 6 * GIB, 1),
        ((80 * GIB,), 6 * GIB, 4),
        ((80 * GIB, 16 * GIB), 6 * GIB, 2),
        ((4 * GIB,), 6 * GIB, 1),
    ],
)
def test_workers_of_a_gpu_follow_its_memory(memory, wanted, workers):
    assert workers_per_gpu(memory, wanted) == workers


def test_a_hidden_gpu_is_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert accelerators.gpu_memory() == ()


def test_gpus_tell_their_memory(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 81559\necho 16376\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert accelerators.gpu_memory() == (81559 << 20, 16376 << 20)
