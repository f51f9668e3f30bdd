"""What a trial audit does: an engine and a reporter that take it down, and what its folder holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from audit.engines import CORES, Advance, Engine, Needs, Outcome, Result, Task
from audit.model import Shard
from audit.progress import Quiet
from audit.storage.store import Store
from audit.tasks import ShardReport
from audit.workers.stage_times import START_UP, Timed, Timing

#: Marks the files of a run that are no parts.
BESIDE = "run/"


@dataclass(frozen=True)
class Wave:
    """Tasks of a stage over the whole corpus that were handed to the workers at once.

    Attributes:
        tasks: How many.
        seconds: Of CPU time, without the start of workers.
    """

    stage: str
    tasks: int
    seconds: float


@dataclass(frozen=True)
class Recording:
    """An engine that keeps what tasks report: of the screening, and of the stages after it."""

    engine: Engine
    reports: list[ShardReport] = field(default_factory=list)
    waves: list[Wave] = field(default_factory=list)

    def __enter__(self) -> Recording:
        """See ``Engine``."""
        self.engine.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See ``Engine``."""
        self.engine.__exit__(kind, error, trace)

    @property
    def workers(self) -> int:
        """See ``Engine``."""
        return self.engine.workers

    @property
    def elsewhere(self) -> bool:
        """See ``Engine``."""
        return self.engine.elsewhere

    def capacity(self, needs: Needs) -> int:
        """See ``Engine``."""
        return self.engine.capacity(needs)

    def admit(self, store: Store, shards: Sequence[Shard]) -> None:
        """See ``Engine``."""
        self.engine.admit(store, shards)

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        advance: Advance,
        needs: Needs = CORES,
    ) -> Iterator[Outcome[Task, Result]]:
        """See ``Engine``."""
        spent: list[float] = []
        for outcome in self.engine.map(function, tasks, advance, needs):
            if isinstance(outcome.result, ShardReport):
                self.reports.append(outcome.result)
            elif isinstance(outcome.result, Timed):
                seconds = outcome.result.seconds
                spent.append(sum(seconds.values()) - seconds.get(START_UP, 0.0))
            yield outcome
        if isinstance(function, Timing):
            self.waves.append(Wave(function.stage, len(spent), sum(spent)))


class StageWalls(Quiet):
    """Takes the wall time of the screening."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def stage(self, name: str, total_bytes: int) -> Any:  # noqa: ARG002 - a Reporter's signature
        """See ``Reporter``."""
        return _Timed(self.seconds, name)


@dataclass
class _Timed:
    seconds: dict[str, float]
    name: str
    begun: float = 0.0

    def __enter__(self) -> _Timed:
        self.begun = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = time.monotonic() - self.begun

    def advance(self, documents: int, size: int) -> None:
        """See ``Stage``."""


def disk_use(folder: Path) -> dict[str, int]:
    """Bytes of a run folder by family of parts, and by file beside them."""
    sizes: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            relative = path.relative_to(folder).parts
            name = relative[1] if relative[0] == "parts" and len(relative) > 2 else BESIDE + relative[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes
