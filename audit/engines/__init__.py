"""Engines run tasks: the same tasks, over the same files, with the same bytes as result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from audit.errors import FatalError

if TYPE_CHECKING:  # a worker starts before what they import is loaded
    from audit.model import Shard
    from audit.storage.store import Store

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


class MapState(Protocol):
    """Knows whether a ``map`` is under way."""

    mapping: bool


@contextmanager
def one_map(state: MapState) -> Iterator[None]:
    """Refuse a ``map`` while another one is iterated: its tasks would wait for workers that wait for it.

    Raises:
        FatalError: One is.
    """
    if state.mapping:
        raise FatalError("a map was started while another one of the same engine is iterated: end that first")
    state.mapping = True
    try:
        yield
    finally:
        state.mapping = False


class Engine(Protocol):
    """Runs a function over tasks, in any order; the function and the tasks can be pickled.

    Who makes one uses it as a context around a run: workers stay from one ``map`` to the next, and are gone
    when the context ends.
    """

    def __enter__(self) -> Self:
        """Begin to keep workers."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all workers."""
        ...

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
        """Yield an outcome per task as it ends; one map at a time.

        Errors that the function raises are raised here; a worker that dies (killed, out of memory, a
        crash in native code) becomes an outcome with ``lost`` after a second try on its own. Workers that
        are busy when the iteration is given up are ended.

        Raises:
            FatalError: Another map of this engine is still iterated.
        """
        ...
