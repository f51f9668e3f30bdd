"""What runs on the nodes of a Ray cluster: workers that stay warm, and the board on which they tell.

A worker is handed its work by calls, never by its constructor: Ray keeps what a constructor is given, while
calls go from the driver to the worker's memory. See ``task_packing`` for the form.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any

from audit.cluster.task_packing import Unpacker
from audit.workers import meter, stage_times, worker_main
from audit.workers.memory import MIB, resident
from audit.workers.worker_pool import Bounds

_TELL_SECONDS, _WATCH_SECONDS = 1.0, 0.1
_LAST_WORDS_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """What became of a task in a worker that lives.

    Attributes:
        packed: A pickled ``worker_main.Done`` or ``Raised``.
        documents, size: That were counted meanwhile.
    """

    packed: bytes
    documents: int
    size: int


@dataclass(frozen=True)
class Partial:
    """How far a worker is with the task of that serial number (1 for its first)."""

    serial: int
    documents: int
    size: int


class Board:
    """Where workers leave word for the driver: progress, and why they end themselves."""

    def __init__(self) -> None:
        self._partial: dict[int, Partial] = {}
        self._words: dict[int, str] = {}

    def tell(self, worker: int, partial: Partial) -> None:
        """Take note of progress."""
        self._partial[worker] = partial

    def bury(self, worker: int, words: str) -> None:
        """Take note of a worker's last words."""
        self._words[worker] = words

    def read(self) -> dict[int, Partial]:
        """Progress by worker."""
        return self._partial

    def last_words(self, worker: int) -> str | None:
        """Why a worker ended itself; None when it did not."""
        return self._words.get(worker)


class Worker:
    """One process of a pool: libraries, compiled kernels and models stay loaded between tasks."""

    def __init__(self, number: int, board: Any) -> None:
        import pyarrow as pa

        self._number, self._board = number, board
        self._common = b""
        self._unpacker: Unpacker | None = None
        self._bounds, self._serial, self._busy = Bounds(), 0, False
        self._counters = [0] * meter.COUNTERS
        meter.attach(self._counters)
        stage_times.begin_with_process()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver ends the pool
        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        threading.Thread(target=self._tell, name="tell", daemon=True).start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def where(self) -> str:
        """Id of the node that it runs on."""
        import ray

        node: str = ray.get_runtime_context().get_node_id()
        return node

    def begin(self, bounds: Bounds, *common: bytes) -> None:
        """Get ready for tasks: what they share, in pieces, and when to give up."""
        self._bounds, self._common, self._unpacker = bounds, b"".join(common), None

    def run(self, packed: bytes, bounds: Bounds | None = None) -> Answer:
        """Run one task; what its function raises is an answer too."""
        self._serial += 1
        self._counters[:] = [0] * meter.COUNTERS
        given, self._bounds = self._bounds, bounds or self._bounds
        self._busy = True
        try:
            answer = worker_main.answer(lambda: self._call(packed))
        finally:
            self._busy, self._bounds = False, given
        return Answer(answer, *self._done())

    def _call(self, packed: bytes) -> Any:
        if self._unpacker is None:
            self._unpacker = Unpacker(self._common)
        try:
            return self._unpacker.function(self._unpacker.unpack(packed))
        except MemoryError:
            self._end("out of memory")

    def _done(self) -> tuple[int, int]:
        return self._counters[meter.DOCUMENTS], self._counters[meter.BYTES]

    def _tell(self) -> None:
        told = None
        while True:
            time.sleep(_TELL_SECONDS)
            partial = Partial(self._serial, *self._done())
            if partial != told:
                self._board.tell.remote(self._number, partial)
                told = partial

    def _watch(self) -> None:
        """End this process when it is beyond its bounds; only its own task is lost."""
        seen, still, before = (0, 0), 0.0, time.monotonic()
        while True:
            time.sleep(_WATCH_SECONDS)
            now, state = time.monotonic(), (self._serial, self._counters[meter.BEATS])
            # When the machine slept nobody can say that nothing moved.
            still = still + min(now - before, 1.0) if self._busy and state == seen else 0.0
            seen, before = state, now
            memory = self._bounds.memory
            if self._busy and memory is not None and resident(os.getpid()) > memory:
                self._end(f"more than {memory // MIB:,} MiB, its share of run.memory")
            elif still > self._bounds.stall_seconds:
                self._end(f"no progress in {self._bounds.stall_seconds:g} s, run.stall_seconds")

    def _end(self, why: str) -> None:
        import ray

        try:
            ray.get(self._board.bury.remote(self._number, why), timeout=_LAST_WORDS_SECONDS)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
