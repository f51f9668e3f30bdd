"""What a worker process does: take a task, run it, send the answer, until the driver lets it go."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, MutableSequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from audit.errors import FatalError
from audit.workers import meter, stage_times

#: Exit status of a worker whose memory ran out: no document, and no bug, is known to be at fault.
OUT_OF_MEMORY = 71
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Done:
    """A task's result."""

    result: Any


@dataclass(frozen=True)
class Raised:
    """What a task raised, and where."""

    error: Exception
    trace: str


def serve(pipe: Connection, counters: MutableSequence[int], driver: int, prepare: bytes) -> None:
    """Answer tasks until the driver is gone, or ends this process.

    Args:
        pipe: Brings tasks, takes answers.
        counters: See ``meter``.
        driver: Its process.
        prepare: A pickled function to call before the first task, or None.
    """
    import pyarrow as pa

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver ends the pool; a worker's trace tells nothing
    _die_with(driver)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    stage_times.begin_with_process()
    with suppress(Exception):  # what a task needs and cannot get is told when the task asks for it
        _prepare(prepare)
    meter.attach(counters)
    while work := _receive(pipe):
        meter.beat()
        pipe.send_bytes(_answer(work))


def _prepare(prepare: bytes) -> None:
    function = pickle.loads(prepare)  # noqa: S301 - from the driver
    if function is not None:
        function()


def _receive(pipe: Connection) -> bytes:
    """A function and a task; nothing when there is no more to do."""
    try:
        return pipe.recv_bytes()
    except EOFError:
        return b""


def _answer(work: bytes) -> bytes:
    def call() -> Any:
        function, task = pickle.loads(work)  # noqa: S301 - from the driver, over a pipe of its own
        return function(task)

    return answer(call)


def answer(call: Callable[[], Any]) -> bytes:
    """A pickled ``Done`` or ``Raised``; the process ends when memory does."""
    try:
        return bytes(ForkingPickler.dumps(Done(call())))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # like any other death: the task may be tried again, in a new process
    except Exception as error:  # noqa: BLE001 - raised again by the driver
        return _raised(error)


def _raised(error: Exception) -> bytes:
    raised = Raised(error, "".join(traceback.format_exception(error)))
    try:
        written = bytes(ForkingPickler.dumps(raised))
        pickle.loads(written)  # noqa: S301 - an error that cannot be read back would stop the driver
    except Exception:  # noqa: BLE001 - any class may refuse to be written; what it said is kept
        told = FatalError(f"a worker failed ({type(error).__name__})")
        return bytes(ForkingPickler.dumps(Raised(told, raised.trace)))
    return written


def _die_with(driver: int) -> None:
    """Ask the kernel (Linux) to end this worker when the driver is killed, lest it write into a later run."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != driver:  # killed before the kernel was asked
        os._exit(1)
