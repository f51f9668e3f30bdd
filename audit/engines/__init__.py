"""Engines run tasks: the same tasks, over the same files, with the same bytes as result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


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

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], advance: Advance
    ) -> Iterator[Outcome[Task, Result]]:
        """Yield an outcome per task as it ends.

        Errors that the function raises are raised here; a worker that dies (killed, out of memory, a
        crash in native code) becomes an outcome with ``lost`` after a second try on its own.
        """
        ...
