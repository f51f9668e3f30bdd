"""How two workers scale over the whole pass, beside a reference without shared state in the same run.

The reference hashes a megabyte of its own memory again and again, in processes of its own: what two of these
lose against one is the machine's (clocks, shared caches, the other tenants), not the engine's. Reference and
pass take turns; the ratio of their medians is what counts.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from audit import canaries, tasks
from audit.config import AuditConfig
from audit.engines.local import LocalEngine
from audit.sources import inspect_inputs
from audit.storage.store import Store
from audit.tasks import Screening, ShardTask
from benchmarks import page_corpus

_SHARDS, _ROUNDS_A_SHARD, _TURNS = 8, 2, 3
_REFERENCE_PASSES = 45_000


def scaling(data: Path, scratch: Path) -> dict[str, Any]:
    """Speed-up from one worker to two of the reference and of the pass, and their ratio."""
    pages = page_corpus.load(data)
    size = _SHARDS * _ROUNDS_A_SHARD * pages.size
    page_corpus.write(pages, size, scratch / "corpus", rounds_per_file=_ROUNDS_A_SHARD)
    _pass(scratch, 1)
    measured: dict[str, list[float]] = {
        name: [] for name in ("reference_1", "reference_2", "pass_1", "pass_2")
    }
    for _ in range(_TURNS):
        for workers in (1, 2):
            measured[f"reference_{workers}"].append(_reference(workers))
            measured[f"pass_{workers}"].append(_pass(scratch, workers))
        print({name: round(values[-1], 2) for name, values in measured.items()})
    middle = {name: median(values) for name, values in measured.items()}
    reference = middle["reference_2"] / middle["reference_1"]
    ours = middle["pass_2"] / middle["pass_1"]
    return {
        "reference_speed_up": reference,
        "pass_speed_up": ours,
        "of_the_reference": ours / reference,
        "rates": measured,
    }


def _pass(scratch: Path, workers: int) -> float:
    """Megabytes of stored bytes a second of wall time, from the first batch to the last shard."""
    config = AuditConfig.model_validate({"corpus": {"name": "pages"}})
    store = Store(scratch / f"parts-{workers}-{time.monotonic_ns()}")
    limits, columns = config.read_limits(), config.corpus.columns
    flock = canaries.Flock(canaries.packaged())
    screening = Screening(store, config.build_screens(), columns, limits, "benchmark", os.urandom(32), flock)
    shards = inspect_inputs([str(scratch / "corpus")], base=scratch).shards
    first: list[tuple[float, int]] = []

    def advance(documents: int, size: int) -> None:
        if documents and not first:
            first.append((time.monotonic(), size))

    work = [ShardTask(screening, shard) for shard in shards]
    for outcome in LocalEngine(workers).map(tasks.screen_shard, work, advance):
        if outcome.result is None or outcome.result.status != "complete":
            raise RuntimeError("a shard was lost")
    began, size = first[0]
    return (sum(shard.size for shard in shards) - size) / (time.monotonic() - began) / 1e6


@njit(nogil=True, cache=True)
def _hash(data: npt.NDArray[np.uint64], passes: int) -> np.uint64:
    state = np.uint64(1)
    for _ in range(passes):
        for value in data:
            state = (state ^ value) * np.uint64(0x9E3779B97F4A7C15)
            state ^= state >> np.uint64(29)
    return state


def _work(ready: Any, go: Any, done: Any) -> None:
    data = np.arange(1 << 17, dtype=np.uint64)
    _hash(data, 1)
    ready.release()
    go.wait()
    _hash(data, _REFERENCE_PASSES)
    done.release()


def _reference(processes: int, work: Callable[[Any, Any, Any], None] = _work) -> float:
    """Work done by so many processes a second of wall time, in units of one process' work."""
    context = multiprocessing.get_context("spawn")
    ready, go, done = context.Semaphore(0), context.Event(), context.Semaphore(0)
    started = [context.Process(target=work, args=(ready, go, done)) for _ in range(processes)]
    for process in started:
        process.start()
    for _ in started:
        ready.acquire()
    began = time.monotonic()
    go.set()
    for _ in started:
        done.acquire()
    seconds = time.monotonic() - began
    for process in started:
        process.join()
    return processes / seconds
