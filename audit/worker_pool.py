"""Worker processes on one machine: started, given tasks one at a time, watched, ended at their bounds.

Each worker has a pipe of its own, so that one that dies costs its own task and no other.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from multiprocessing import connection, get_context
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Generic, TypeVar

from audit import meter
from audit.memory import MIB, resident
from audit.worker_main import OUT_OF_MEMORY, Done, Raised, serve

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


class WorkerPool(Generic[Task, Result]):
    """Up to ``most`` spawned processes that run one function; all are gone when the context ends."""

    def __init__(
        self,
        function: Callable[[Task], Result],
        most: int,
        bounds: Bounds,
        advance: Callable[[int, int], None],
    ) -> None:
        self._function, self._most, self._bounds, self._advance = function, most, bounds, advance
        self._workers: list[_Worker[Task]] = []
        self._gone, self._seen = (0, 0), (0, 0)
        self._lock, self._over = threading.Lock(), threading.Event()
        self._watch = threading.Thread(target=self._watching, name="worker-watch", daemon=True)

    def __enter__(self) -> WorkerPool[Task, Result]:
        for name in THREAD_LIMITS:
            os.environ.setdefault(name, "1")
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watch.join()
        for worker in self._workers:  # what they do is safe to lose
            worker.dismiss() if kind is None else worker.process.terminate()
        for worker in self._workers:
            worker.bury()

    def run(self, tasks: Iterable[Task]) -> Iterator[Ended[Task, Result]]:
        """Yield every task as it ends.

        Raises:
            Exception: What the function raised in a worker.
        """
        waiting = list(tasks)[::-1]
        while waiting or any(worker.busy for worker in self._workers):
            self._hand_out(waiting)
            ended = self._await()
            self._hand_out(waiting)  # before the caller takes its time
            self._tell_progress()
            yield from ended

    def _hand_out(self, waiting: list[Task]) -> None:
        idle = [worker for worker in self._workers if not worker.busy]
        while waiting and (idle or len(self._workers) < self._most):
            worker = idle.pop() if idle else self._hire()
            with self._lock:
                worker.give(self._function, waiting.pop())

    def _hire(self) -> _Worker[Task]:
        worker: _Worker[Task] = _Worker()
        with self._lock:
            self._workers.append(worker)
        return worker

    def _await(self) -> list[Ended[Task, Result]]:
        busy = {worker.pipe: worker for worker in self._workers if worker.busy}
        sentinels = [worker.process.sentinel for worker in busy.values()]
        ready = connection.wait([*busy, *sentinels], timeout=_POLL_SECONDS)
        return [
            self._end(worker)
            for pipe, worker in busy.items()
            if pipe in ready or worker.process.sentinel in ready
        ]

    def _end(self, worker: _Worker[Task]) -> Ended[Task, Result]:
        answer = worker.answer()
        with self._lock:
            task, worker.task = worker.task, None
            if answer is None or worker.outgrown(self._bounds.memory):
                self._workers.remove(worker)
                self._gone = _add(self._gone, worker.done)
        assert task is not None
        if worker not in self._workers:
            worker.dismiss()
            worker.bury()
        if isinstance(answer, Raised):
            raise answer.error from WorkerTraceback(answer.trace)
        return Ended(task, None, worker.obituary()) if answer is None else Ended(task, answer.result)

    def _tell_progress(self) -> None:
        documents, size = reduce(_add, (worker.done for worker in self._workers), self._gone)
        if (documents, size) != self._seen:
            self._advance(documents - self._seen[0], size - self._seen[1])
            self._seen = (documents, size)

    def _watching(self) -> None:
        """End workers that go beyond their bounds, whatever the driver is doing meanwhile."""
        pause = _WATCH_SECONDS if self._bounds.memory is None else _MEMORY_SECONDS
        pause, before = min(pause, self._bounds.stall_seconds / 4), time.monotonic()
        while not self._over.wait(pause):
            now = time.monotonic()
            # When nobody watched (a machine that slept), nobody can say that nothing moved.
            passed, before = min(now - before, 2 * pause), now
            with self._lock:
                for worker in self._workers:
                    worker.look(self._bounds, passed)


class _Worker(Generic[Task]):
    """One process, and what it is busy with."""

    def __init__(self) -> None:
        spawning = get_context("spawn")
        self.pipe, theirs = spawning.Pipe()
        # Without a lock, which a worker could hold when it dies; it alone writes them.
        self.counters: Sequence[int] = spawning.RawArray("q", meter.COUNTERS)
        self.process = spawning.Process(target=serve, args=(theirs, self.counters, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self._seen, self._still, self._ended_for = 0, 0.0, ""
        self._at_first: int | None = None

    @property
    def busy(self) -> bool:
        return self.task is not None

    @property
    def done(self) -> tuple[int, int]:
        """Documents and bytes."""
        return self.counters[meter.DOCUMENTS], self.counters[meter.BYTES]

    def give(self, function: Callable[[Task], object], task: Task) -> None:
        self.task, self._still = task, 0.0
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
        # Until its first beat it imports what it needs.
        patience = max(bounds.stall_seconds, 0 if beats else _START_SECONDS)
        if self._still > patience:
            self._ended_for = f"no progress in {bounds.stall_seconds:g} s, run.stall_seconds"
        elif bounds.memory is not None and resident(self.process.pid or 0) > bounds.memory:
            self._ended_for = f"more than {bounds.memory // MIB:,} MiB, its share of run.memory"
        if self._ended_for:
            self.process.kill()

    def outgrown(self, memory: int | None) -> bool:
        """Whether it grew, since its first task, by half of what it may: a new one starts smaller."""
        if memory is None:
            return False
        held = resident(self.process.pid or 0)
        self._at_first = held if self._at_first is None else self._at_first
        return held - self._at_first > (memory - self._at_first) / 2

    def dismiss(self) -> None:
        with suppress(OSError):
            self.pipe.send_bytes(b"")

    def bury(self) -> None:
        self.process.join(_FAREWELL_SECONDS)
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def obituary(self) -> str:
        code = self.process.exitcode or 0
        if self._ended_for:
            return self._ended_for
        if code == OUT_OF_MEMORY or code == -signal.SIGKILL:
            return "out of memory, or killed"
        if code >= 0:
            return f"exit status {code}"
        return f"signal {-code}, {signal.strsignal(-code) or 'a crash in native code'}"


def _add(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]
