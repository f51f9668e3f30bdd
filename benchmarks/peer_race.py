"""Times a side over a folder of shards in some processes: warm first, then all start together.

Wall time runs from the first process that starts to the last that ends; CPU time is what all threads of all
processes used meanwhile. Processes draw shards from one counter, so none waits while there is work.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from queue import Empty
from typing import Any

from benchmarks import peer_sides

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")
_PATIENCE_SECONDS = 3600


@dataclass(frozen=True)
class Race:
    """How a side did.

    Attributes:
        wall, cpu: Seconds.
        start_up: Seconds of wall time before, until every process was warm.
        outcome: What it left on disk.
    """

    wall: float
    cpu: float
    start_up: float
    outcome: peer_sides.Yield


@dataclass(frozen=True)
class _Shared:
    """What the processes of a race share."""

    barrier: Any
    counter: Any
    results: Any


def run(side: str, corpus: Path, warm: Path, processes: int) -> Race:
    """Race one side over the shards of ``corpus`` after those of ``warm``."""
    for name in _THREADS:
        os.environ[name] = "1"
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context.Barrier(processes), context.Value("i", 0), context.Queue())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        begin = time.monotonic()
        workers = _start(context, (side, corpus, warm, out, shared), processes)
        ends = [_result(workers, shared) for _ in workers]
        for worker in workers:
            worker.join()
        first, last = min(end[0] for end in ends), max(end[1] for end in ends)
        found = peer_sides.count(side, out / "run")
    return Race(last - first, sum(end[2] for end in ends), first - begin, found)


def _start(context: SpawnContext, arguments: tuple[Any, ...], processes: int) -> list[SpawnProcess]:
    workers = [context.Process(target=_work, args=(*arguments, number)) for number in range(processes)]
    for worker in workers:
        worker.start()
    return workers


def _result(workers: list[SpawnProcess], shared: _Shared) -> tuple[float, float, float]:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            found: tuple[float, float, float] = shared.results.get(timeout=1)
            return found
        except Empty:
            if any(worker.exitcode for worker in workers):
                break
    for worker in workers:
        worker.terminate()
    raise RuntimeError("a process of the race failed")


def _work(side: str, corpus: Path, warm: Path, out: Path, shared: _Shared, number: int) -> None:
    peer_sides.build(side, warm, out / f"warm-{number}").screen(0)
    runner = peer_sides.build(side, corpus, out / "run")
    shards = len(list(corpus.iterdir()))
    shared.barrier.wait()
    start, cpu = time.monotonic(), time.process_time()
    while (shard := _next(shared.counter)) < shards:
        runner.screen(shard)
    shared.results.put((start, time.monotonic(), time.process_time() - cpu))


def _next(counter: Any) -> int:
    with counter.get_lock():
        number: int = counter.value
        counter.value += 1
    return number
