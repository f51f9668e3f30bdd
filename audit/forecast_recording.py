"""An engine and a reporter that take down what a trial audit does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.engines import CORES, Advance, Engine, Needs, Outcome, Result, Task
from audit.model import Shard
from audit.progress import Quiet
from audit.store import Store
from audit.tasks import ShardReport


@dataclass(frozen=True)
class Recording:
    """An engine that keeps what tasks report."""

    engine: Engine
    reports: list[ShardReport] = field(default_factory=list)

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
        for outcome in self.engine.map(function, tasks, advance, needs):
            if isinstance(outcome.result, ShardReport):
                self.reports.append(outcome.result)
            yield outcome


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
