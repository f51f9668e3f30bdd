"""Processes on one machine."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray

from audit import meter
from audit.engines import Advance, Outcome, Result, Task

_POLL_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1
#: One thread a process: the processes are the parallelism, and libraries must not fight over the cores.
_THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "NUMBA_NUM_THREADS",
)


@dataclass(frozen=True)
class LocalEngine:
    """A pool of spawned processes; ``workers`` of them."""

    workers: int

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], advance: Advance
    ) -> Iterator[Outcome[Task, Result]]:
        """See ``Engine.map``; at most two tasks per worker are in flight."""
        waiting = list(tasks)[::-1]
        while waiting:
            orphans = yield from self._until_broken(function, waiting, advance)
            for task in orphans:
                yield self._alone(function, task, advance)

    def _until_broken(
        self, function: Callable[[Task], Result], waiting: list[Task], advance: Advance
    ) -> Generator[Outcome[Task, Result], None, list[Task]]:
        """Drain ``waiting`` (from its end); returns the tasks in flight when a worker died."""
        counters = _Counters(advance)
        with _pool(self.workers, counters) as pool:
            flying: dict[Future[Result], Task] = {}
            try:
                while waiting or flying:
                    while waiting and len(flying) < 2 * self.workers:
                        task = waiting.pop()
                        flying[pool.submit(function, task)] = task
                    done, _ = wait(flying, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                    counters.poll()
                    for future in done:
                        result = future.result()
                        yield Outcome(flying.pop(future), result)
            except BrokenProcessPool:
                return list(flying.values())
        return []

    def _alone(
        self, function: Callable[[Task], Result], task: Task, advance: Advance
    ) -> Outcome[Task, Result]:
        counters = _Counters(advance)
        with _pool(1, counters) as pool:
            try:
                result = pool.submit(function, task).result()
            except BrokenProcessPool:
                return Outcome(
                    task, None, lost="its worker died twice (out of memory, or a crash in native code)"
                )
            counters.poll()
            return Outcome(task, result)


class _Counters:
    """Documents and bytes that the workers have done, shared with them."""

    def __init__(self, advance: Advance) -> None:
        self.shared = multiprocessing.get_context("spawn").Array("q", 2)
        self._advance, self._seen = advance, (0, 0)

    def poll(self) -> None:
        documents, size = self.shared[0], self.shared[1]
        if (documents, size) != self._seen:
            self._advance(documents - self._seen[0], size - self._seen[1])
            self._seen = (documents, size)


@contextmanager
def _pool(workers: int, counters: _Counters) -> Iterator[ProcessPoolExecutor]:
    """A pool whose workers are stopped at once when the driver is: what they do is safe to lose."""
    for name in _THREAD_LIMITS:
        os.environ.setdefault(name, "1")
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(counters.shared,),
    )
    try:
        yield pool
    except BaseException:
        for worker in list(pool._processes.values()):
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(counters: SynchronizedArray[int]) -> None:
    import pyarrow as pa

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver stops the pool; a worker's trace tells nothing
    _die_with_driver()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    meter.attach(counters)


def _die_with_driver() -> None:
    """Ask the kernel (Linux) to end this worker when the driver is killed, lest it write into a later run."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
