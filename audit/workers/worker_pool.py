"""Worker processes on one machine: started, given tasks one at a time, watched, ended at their bounds.

Each worker has a pipe of its own, so that one that dies costs its own task and no other.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import reduce
from multiprocessing import connection, get_context
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar

from audit.workers import meter
from audit.workers.memory import MIB, WORKER_BYTES, resident
from audit.workers.worker_main import OUT_OF_MEMORY, Done, Raised, serve

Task = TypeVar("Task")
Result = TypeVar("Result")

_POLL_SECONDS = 0.2
#: How often a worker is looked at: what it can take between two looks goes beyond its share.
_WATCH_SECONDS, _MEMORY_SECONDS = 1.0, 0.05
_START_SECONDS, _FAREWELL_SECONDS = 120.0, 5.0
#: One thread a process: the processes are the parallelism, and libraries must not fight over the cores.
THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "NUMBA_NUM_THREADS",
)


@dataclass(frozen=True)
class Bounds:
    """When a worker is ended.

    Attributes:
        memory: Resident bytes; None: no limit.
        stall_seconds: Of the wall clock without a sign of progress: a crash guard, never a budget.
    """

    memory: int | None = None
    stall_seconds: float = 600.0


@dataclass(frozen=True)
class Ended(Generic[Task, Result]):
    """A task that is over: with its result, or with what its worker died of."""

    task: Task
    result: Result | None
    death: str | None = None


class WorkerTraceback(Exception):
    """Cause of an error that a worker raised: where it was raised there."""


class WorkerPool:
    """Up to ``most`` spawned processes, which wait from one ``run`` to the next; ``close`` ends them."""

    def __init__(self, most: int, bounds: Bounds) -> None:
        self._most, self._bounds = most, bounds
        self._workers: list[Worker] = []
        self._gone = self._told = (0, 0)
        self._lock = threading.Lock()

    def adopt(self, worker: Worker) -> None:
        """Take a worker in, which ends with the others."""
        with self._lock:
            self._workers.append(worker)

    def close(self) -> None:
        """End all workers: what they do is safe to lose."""
        self._dismiss(list(self._workers))

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], advance: Callable[[int, int], None]
    ) -> Iterator[Ended[Task, Result]]:
        """Yield every task as it ends; one run at a time.

        Raises:
            Exception: What the function raised in a worker.
        """
        waiting, self._told = list(tasks)[::-1], self._done()
        _limit_threads()
        self._dismiss([worker for worker in self._workers if worker.spent(self._bounds.memory)])
        try:
            with self._watched():
                while waiting or self._busy():
                    self._hand_out(function, waiting)
                    ended = self._await()
                    self._hand_out(function, waiting)  # before the caller takes its time
                    self._tell_progress(advance)
                    yield from ended
        finally:
            self._dismiss(self._busy())  # nobody wants their answers any more

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.busy]

    def _hand_out(self, function: Callable[[Task], Result], waiting: list[Task]) -> None:
        idle = [worker for worker in self._workers if not worker.busy]
        while waiting and (idle or len(self._workers) < self._most):
            if not idle:
                self.adopt(Worker())
                idle.append(self._workers[-1])
            idle.pop().give(function, waiting.pop())

    def _await(self) -> list[Ended[Any, Any]]:
        busy = {worker.pipe: worker for worker in self._busy()}
        sentinels = [worker.process.sentinel for worker in busy.values()]
        ready = connection.wait([*busy, *sentinels], timeout=_POLL_SECONDS)
        return [
            self._end(worker)
            for pipe, worker in busy.items()
            if pipe in ready or worker.process.sentinel in ready
        ]

    def _end(self, worker: Worker) -> Ended[Any, Any]:
        answer = worker.answer()
        with self._lock:
            worker.busy, task, worker.task = False, worker.task, None
        if answer is None:
            self._bury(worker)
        elif worker.outgrown(self._bounds.memory):
            self._dismiss([worker])
        if isinstance(answer, Raised):
            raise answer.error from WorkerTraceback(answer.trace)
        return Ended(task, None, worker.obituary()) if answer is None else Ended(task, answer.result)

    def _dismiss(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            worker.process.terminate()  # all at once
        for worker in workers:
            self._bury(worker)

    def _bury(self, worker: Worker) -> None:
        with self._lock:
            self._workers.remove(worker)
        worker.bury()
        self._gone = _add(self._gone, worker.done)

    def _done(self) -> tuple[int, int]:
        return reduce(_add, (worker.done for worker in self._workers), self._gone)

    def _tell_progress(self, advance: Callable[[int, int], None]) -> None:
        documents, size = self._done()
        if (documents, size) != self._told:
            advance(documents - self._told[0], size - self._told[1])
            self._told = (documents, size)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), name="worker-watch", daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()

    def _watch(self, over: threading.Event) -> None:
        """End workers that go beyond their bounds, whatever the driver is doing meanwhile."""
        pause = _WATCH_SECONDS if self._bounds.memory is None else _MEMORY_SECONDS
        pause, before = min(pause, self._bounds.stall_seconds / 4), time.monotonic()
        while not over.wait(pause):
            now = time.monotonic()
            # When nobody watched (a machine that slept), nobody can say that nothing moved.
            passed, before = min(now - before, 2 * pause), now
            with self._lock:
                for worker in self._workers:
                    worker.look(self._bounds, passed)


class Worker:
    """One process, and what it is busy with.

    Args:
        prepare: Called in it before its first task, to load what that needs; what it raises is ignored, since
            the task will meet with the same.
    """

    def __init__(self, prepare: Callable[[], object] | None = None) -> None:
        spawning = get_context("spawn")
        self.pipe, theirs = spawning.Pipe()
        # Without a lock, which a worker could hold when it dies; it alone writes them.
        self.counters: Sequence[int] = spawning.RawArray("q", meter.COUNTERS)
        given = (theirs, self.counters, os.getpid(), bytes(ForkingPickler.dumps(prepare)))
        self.process = spawning.Process(target=serve, args=given, daemon=True)
        self.process.start()
        theirs.close()
        self.task: Any = None
        self.busy = False
        self._seen, self._still, self._ended_for = 0, 0.0, ""
        self._at_first: int | None = None

    @property
    def done(self) -> tuple[int, int]:
        """Documents and bytes."""
        return self.counters[meter.DOCUMENTS], self.counters[meter.BYTES]

    def give(self, function: Callable[[Task], object], task: Task) -> None:
        """Hand it a task."""
        self.task, self._still = task, 0.0
        self.busy = True  # from here on it is watched, lest this waits for one that hangs
        with suppress(BrokenPipeError, ConnectionResetError):  # it died meanwhile: noticed when awaited
            self.pipe.send_bytes(ForkingPickler.dumps((function, task)))

    def answer(self) -> Done | Raised | None:
        """What it sent; None when it died before."""
        try:
            # Its end may be seen before its last words.
            answer: Done | Raised | None = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):
            return None
        return answer

    def look(self, bounds: Bounds, passed: float) -> None:
        """End it when it is beyond its bounds."""
        if not self.busy or self._ended_for:
            return
        beats = self.counters[meter.BEATS]
        self._seen, self._still = beats, 0.0 if beats != self._seen else self._still + passed
        # Until its first beat it imports what it needs, and prepares itself.
        patience = max(bounds.stall_seconds, 0 if beats else _START_SECONDS)
        if self._still > patience:
            self._ended_for = f"no progress in {bounds.stall_seconds:g} s, run.stall_seconds"
        elif bounds.memory is not None and resident(self.process.pid or 0) > bounds.memory:
            self._ended_for = f"more than {bounds.memory // MIB:,} MiB, its share of run.memory"
        if self._ended_for:
            self.process.kill()

    def spent(self, memory: int | None) -> bool:
        """Whether it is gone, or holds much before new work begins: half of what it may, or large models."""
        self._at_first = None
        most = WORKER_BYTES if memory is None else memory / 2
        return not self.process.is_alive() or resident(self.process.pid or 0) > most

    def outgrown(self, memory: int | None) -> bool:
        """Whether it grew, since a run's first task, by half of what it may: a new one starts smaller."""
        if memory is None:
            return False
        held = resident(self.process.pid or 0)
        self._at_first = held if self._at_first is None else self._at_first
        return held - self._at_first > (memory - self._at_first) / 2

    def dismiss(self) -> None:
        """End it: what it does is safe to lose."""
        self.process.terminate()
        self.bury()

    def bury(self) -> None:
        """Wait for its end, but not for long."""
        self.process.join(_FAREWELL_SECONDS)
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def obituary(self) -> str:
        """What it died of."""
        code = self.process.exitcode or 0
        if self._ended_for:
            return self._ended_for
        if code == OUT_OF_MEMORY or code == -signal.SIGKILL:
            return "out of memory, or killed"
        if code >= 0:
            return f"exit status {code}"
        return f"signal {-code}, {signal.strsignal(-code) or 'a crash in native code'}"


def first_worker(prepare: Callable[[], object]) -> Worker:
    """A worker that starts before the driver has loaded its own libraries, whose threads nothing limits."""
    before = dict(os.environ)
    _limit_threads()
    try:
        return Worker(prepare)
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]


def _limit_threads() -> None:
    for name in THREAD_LIMITS:
        os.environ.setdefault(name, "1")


def _add(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]
