"""Engines run tasks: the same tasks, over the same files, with the same bytes as result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from audit.model import Shard
from audit.store import Store

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Needs:
    """What a worker takes besides a core.

    Attributes:
        gpu_memory: Bytes of a GPU's memory, 0 for none. Where there is no GPU the tasks run on cores.
    """

    gpu_memory: int = 0


#: A core and nothing else.
CORES = Needs()


@dataclass(frozen=True)
class Outcome(Generic[Task, Result]):
    """What became of a task: a result, or a sentence that says why the worker was lost."""

    task: Task
    result: Result | None
    lost: str | None = None


class Advance(Protocol):
    """Called with documents and bytes done since the last call."""

    def __call__(self, documents: int, size: int) -> None:
        """Take note of progress."""
        ...


class Engine(Protocol):
    """Runs a function over tasks, in any order; the function and the tasks can be pickled."""

    @property
    def workers(self) -> int:
        """Tasks that run at once."""
        ...

    @property
    def elsewhere(self) -> bool:
        """Whether tasks run on other machines than the driver, which may have other devices."""
        ...

    def capacity(self, needs: Needs) -> int:
        """Tasks with such needs that run at once."""
        ...

    def admit(self, store: Store, shards: Sequence[Shard]) -> None:
        """See to it, before a run, that every worker reaches its inputs and its parts.

        Raises:
            ConfigurationError: One does not, or would not give the same results.
        """
        ...

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        advance: Advance,
        needs: Needs = CORES,
    ) -> Iterator[Outcome[Task, Result]]:
        """Yield an outcome per task as it ends.

        Errors that the function raises are raised here; a worker that dies (killed, out of memory, a
        crash in native code) becomes an outcome with ``lost`` after a second try on its own.
        """
        ...
