"""An engine as a runner: stages over the whole corpus give their tasks to the run's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from audit.duplicates.exchange import Runner, threads
from audit.engines import Engine
from audit.storage.store import Store
from audit.workers.stage_times import Ledger, Timing

Task = TypeVar("Task")
Result = TypeVar("Result")
Item = TypeVar("Item")

#: Tasks a worker gets at least, so that none waits long for the last one.
_TASKS_A_WORKER = 4
#: Shards of a task at most: what a task holds, and what is lost with its worker.
_LARGEST_GROUP = 64


def grouped(items: Sequence[Item], workers: int) -> list[list[Item]]:
    """Cut shards, or what there is of each, into neighbouring groups, a task each.

    Tiny shards by the thousand do not cost a round trip each, and few shards still occupy all workers.

    Args:
        items: In order.
        workers: Tasks that run at once.
    """
    size = max(1, min(len(items) // (workers * _TASKS_A_WORKER), _LARGEST_GROUP))
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


@dataclass(frozen=True)
class EngineRunner:
    """Runs tasks on the workers of an engine, and yields the results in the tasks' order (``Runner``).

    A task that lost its worker twice runs in the driver. Results wait until those before them are there.

    Attributes:
        engine: Its workers.
        ledger: Takes what the tasks cost …
        stage: … as time of this stage.
    """

    engine: Engine
    ledger: Ledger
    stage: str

    def __call__(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield a result a task."""
        numbered = Timing(self.stage, _Numbered(function))
        waiting: dict[int, Any] = {}
        following = 0
        for outcome in self.engine.map(numbered, list(enumerate(tasks)), _ignore):
            timed = numbered(outcome.task) if outcome.result is None else outcome.result
            if outcome.result is not None:  # the driver's own clock counts what it did itself
                self.ledger.take(timed.seconds, peak_bytes=timed.peak_bytes)
            number, result = timed.result
            waiting[number] = result
            while following in waiting:
                yield waiting.pop(following)
                following += 1


@dataclass(frozen=True)
class _Numbered(Generic[Task, Result]):
    """A function that hands a task's number on; can be pickled."""

    function: Callable[[Task], Result]

    def __call__(self, task: tuple[int, Task]) -> tuple[int, Result]:
        number, work = task
        return number, self.function(work)


def over_files(engine: Engine, store: Store, ledger: Ledger, stage: str) -> Runner:
    """A runner for tasks that exchange files in the run's scratch folder.

    Workers elsewhere see that folder only where the run lies on a disk that all nodes share; for a run on an
    object store threads of the driver do the work.
    """
    if engine.elsewhere and store.remote is not None:
        return threads
    return EngineRunner(engine, ledger, stage)


def _ignore(documents: int, size: int) -> None:
    """No progress in documents."""
