"""What a run spends where: CPU seconds by stage, in the workers and in the driver.

CPU time, not wall time, so that a busy machine does not change the figures; of all threads of a process. No
result depends on it, and no part and no list of shards holds it.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

#: From the start of a worker's process to its first task, and its first use of models and compiled kernels.
START_UP = "start-up"
_TERABYTE = 1e12
_PLACES = {"worker": "workers", "driver": "driver"}
_HOUR = 3600.0

_from_start = False


def begin_with_process() -> None:
    """Count the CPU time of this process since its start as start-up: in a new worker, and in a command."""
    global _from_start
    _from_start = True


class StageClock:
    """Divides the CPU time of this process among stages: each lap goes to the stage that it ends.

    After ``begin_with_process`` the first clock begins with the process, and its first lap is ``START_UP``.
    """

    def __init__(self) -> None:
        global _from_start
        self.seconds: dict[str, float] = {}
        self._last = 0.0 if _from_start else time.process_time()
        if _from_start:
            _from_start = False
            self.lap(START_UP)

    def lap(self, stage: str) -> None:
        """Count the time since the last lap as that of a stage."""
        now = time.process_time()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


@dataclass(frozen=True)
class Timed(Generic[Result]):
    """A task's result and what it cost its worker.

    Attributes:
        seconds: Stage -> CPU seconds.
        peak_bytes: Most memory that the worker has held so far.
    """

    result: Result
    seconds: Mapping[str, float]
    peak_bytes: int


@dataclass(frozen=True)
class Timing(Generic[Task, Result]):
    """A function for an engine that tells, beside its result, what a task cost; can be pickled."""

    stage: str
    function: Callable[[Task], Result]

    def __call__(self, task: Task) -> Timed[Result]:
        """Run the function."""
        clock = StageClock()
        result = self.function(task)
        clock.lap(self.stage)
        return Timed(result, dict(clock.seconds), peak_memory())


@dataclass
class Ledger:
    """Sums over the tasks of a run, and the driver's own stages.

    Attributes:
        workers: Stage -> CPU seconds.
        clock: Of the driver; it begins with the ledger.
        text_bytes: UTF-8 bytes of the documents that workers screened; what stood already is not in it.
        peak_bytes: Most memory that any worker held.
    """

    workers: dict[str, float] = field(default_factory=dict)
    clock: StageClock = field(default_factory=StageClock)
    text_bytes: int = 0
    peak_bytes: int = 0

    def take(self, seconds: Mapping[str, float], *, text_bytes: int = 0, peak_bytes: int = 0) -> None:
        """Add what a task cost its worker."""
        for stage, value in seconds.items():
            self.workers[stage] = self.workers.get(stage, 0.0) + value
        self.text_bytes += text_bytes
        self.peak_bytes = max(self.peak_bytes, peak_bytes)

    def lap(self, stage: str) -> None:
        """Count the driver's time since its last lap as that of a stage."""
        self.clock.lap(stage)

    def entry(self) -> dict[str, Any]:
        """As the journal keeps it."""
        return {
            "workers": _rounded(self.workers),
            "driver": _rounded(self.clock.seconds),
            "text_bytes": self.text_bytes,
            "worker_peak_bytes": self.peak_bytes,
            "driver_peak_bytes": peak_memory(),
        }


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(value, 4) for stage, value in seconds.items()}


@dataclass(frozen=True)
class StageRow:
    """A line of the table; rates are None where no text was screened.

    Attributes:
        where: ``worker`` or ``driver``.
        seconds: CPU seconds.
        share: Of all of them.
        megabytes_per_second: Of text, per core that does nothing else.
        hours_per_terabyte: Core-hours.
    """

    where: str
    stage: str
    seconds: float
    share: float
    megabytes_per_second: float | None
    hours_per_terabyte: float | None


def table(entry: Mapping[str, Any]) -> list[StageRow]:
    """Rows of what ``Ledger.entry`` tells, start-up first, then by seconds, and their sum (stage ``all``).

    Core-hours per TB of text are those of this run: start-up and the driver's stages, which do not grow with
    the corpus, weigh more in a small one.
    """
    total, size = sum(sum(entry[name].values()) for name in _PLACES.values()), entry["text_bytes"]
    rows = [
        _row(where, stage, seconds, total, size)
        for where, name in _PLACES.items()
        for stage, seconds in sorted(entry[name].items(), key=lambda item: (item[0] != START_UP, -item[1]))
    ]
    return [*rows, _row("all", "all", total, total, size)]


def _row(where: str, stage: str, seconds: float, total: float, size: int) -> StageRow:
    rate = size / seconds / 1e6 if size and seconds else None
    hours = seconds / _HOUR / (size / _TERABYTE) if size else None
    return StageRow(where, stage, seconds, seconds / total if total else 0.0, rate, hours)


def lines(entry: Mapping[str, Any]) -> list[str]:
    """The table for people."""
    head = f"{'stage':<34}{'core-s':>10}{'share':>8}{'MB/s':>10}{'core-h/TB':>11}"
    size, worker, driver = (entry[f"{name}_bytes"] / 1e6 for name in ("text", "worker_peak", "driver_peak"))
    memory = f"{worker:,.0f} MB a worker, {driver:,.0f} MB the driver"
    return [head, *map(_line, table(entry)), f"{size:,.1f} MB of text screened; memory at most {memory}"]


def _line(row: StageRow) -> str:
    name = "all" if row.where == "all" else f"{row.where}: {row.stage.replace('_', ' ')}"
    rate, hours = _shown(row.megabytes_per_second, 1), _shown(row.hours_per_terabyte, 2)
    return f"{name:<34}{row.seconds:>10.2f}{row.share:>8.1%}{rate:>10}{hours:>11}"


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def peak_memory() -> int:
    """Most bytes of memory that this process has held at once."""
    status = Path("/proc/self/status")
    # What getrusage tells of a process just started holds its parent's peak.
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
