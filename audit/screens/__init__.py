"""Screens: detectors that look at every document. They measure, they never decide.

Adding a screen is one file in this folder: a frozen dataclass whose fields are its parameters, whose
class variables are its identity and whose docstring is its help.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import pyarrow as pa

from audit.model import ScreenResult

ENTRY_POINT_GROUP = "audit.screens"
Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ScreenContext:
    """What a screen may use besides the batch.

    Attributes:
        upstream: Measurement columns of the screens named in ``needs``, by full name
            (``language_label``), each as long as the batch.
        hmac_key: Secret for hashing personal values, in memory only; None for screens that declare
            no ``uses_key``.
    """

    upstream: Mapping[str, pa.Array]
    hmac_key: bytes | None = None


@runtime_checkable
class Screen(Protocol):
    """A detector over batches.

    Class variables:
        name: Snake case; prefixes its measurement columns.
        version: Raised whenever the same input may give another result.
        measures: Measure -> Arrow type. The column in ``documents`` is ``{name}_{measure}``. A measure
            ``flagged`` (bool) says whether the document is a hit; the engine counts it by slice.
        needs: Screens whose measurements it reads.
        uses_key: Whether it hashes personal values.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    measures: ClassVar[Mapping[str, pa.DataType]]
    needs: ClassVar[tuple[str, ...]]
    uses_key: ClassVar[bool]

    def resources(self) -> Mapping[str, str]:
        """Library versions and model digests that its result depends on; part of the work key."""
        ...

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Measure one batch (``DOCUMENT_SCHEMA``).

        Loads models on first use and keeps them for the process. May raise: the engine then isolates
        the documents at fault and records them as failed.
        """
        ...


@runtime_checkable
class CorpusScreen(Screen, Protocol):
    """A screen whose answer depends on the whole corpus: ``measure`` sketches, ``resolve`` answers.

    Its measures are the sketch; they are stored, and not shown as columns of ``documents``.
    """

    def resolve(self, sketches: Sketches, workspace: Path) -> Iterator[pa.Table]:
        """Yield ``DUPLICATE_SCHEMA`` tables, sorted by (shard, position) over all of them.

        Args:
            sketches: The sketch columns of every shard, in shard order.
            workspace: An empty scratch folder, for exchange files.
        """
        ...

    def statistics(self) -> Mapping[str, float]:
        """Counts of the last ``resolve`` in this process (candidates, rejected …), for the scorecard."""
        ...


@runtime_checkable
class MeasuringCorpusScreen(CorpusScreen, Protocol):
    """A corpus-wide screen that answers with measurements of documents instead of duplicate clusters.

    Its ``resolve`` yields a table a shard, in shard order: ``shard``, ``position`` and the columns of
    ``resolved``, a row for every document of the shard, null where it was not evaluated.

    Class variables:
        resolved: Measure -> Arrow type. The column in ``documents`` is ``{name}_{measure}``.
    """

    resolved: ClassVar[Mapping[str, pa.DataType]]

    def examples(self) -> Sequence[Mapping[str, Any]]:
        """A few telling rows of the last ``resolve``, JSON values without text of documents."""
        ...


@runtime_checkable
class MatchingCorpusScreen(CorpusScreen, Protocol):
    """A corpus-wide screen that also compares the corpus with the sketches of other runs."""

    @property
    def references(self) -> tuple[str, ...]:
        """The run folders, as configured."""
        ...

    def reference_keys(self) -> list[str]:
        """Return what identifies the sketches of the references, for the work key."""
        ...

    def match(self, sketches: Sketches, workspace: Path) -> Iterator[pa.Table]:
        """Yield ``REFERENCE_MATCH_SCHEMA`` tables, sorted by (shard, position) for each reference."""
        ...

    def match_statistics(self) -> Mapping[str, float]:
        """Counts of the last ``match`` in this process."""
        ...


class Sketches(Protocol):
    """Sketch columns of the whole corpus, readable again and again, shard by shard.

    A screen may read all of it in the process that resolves. One that has work for many cores cuts it into
    tasks: ``split`` gives stretches of shards that travel with them, ``run`` has them done.
    """

    @property
    def shards(self) -> Sequence[str]:
        """Shard ids, sorted."""
        ...

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Yield (shard, table) in shard order; columns by full name, ``position`` always first."""
        ...

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        """Yield (shard, position, text) for the positions wanted; reads the sources again."""
        ...

    def split(self) -> Sequence[Sketches]:
        """The same in stretches of neighbouring shards, in order: what tasks over some shards take along."""
        ...

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield a result a task, in their order, from the run's workers where they see the workspace.

        Function, tasks and results are pickled; large ones go through files of the workspace. A task whose
        worker is lost is done again, perhaps while it still runs elsewhere: it must leave the same files, and
        remove none that it reads. All results are to be taken.
        """
        ...


@cache
def available() -> Mapping[str, type[Any]]:
    """All screens by name: those of this package and those of installed plug-ins.

    Raises:
        ImportError: A screen's module cannot be imported.
        ValueError: Two screens claim one name.
    """
    found: dict[str, type[Any]] = {}
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    candidates: list[type[Any]] = [
        member
        for module in modules
        for member in vars(module).values()
        if isinstance(member, type) and member.__module__ == module.__name__ and _is_screen(member)
    ]
    candidates += [point.load() for point in entry_points(group=ENTRY_POINT_GROUP)]
    for screen in candidates:
        if screen.name in found:
            raise ValueError(f"two screens are named {screen.name!r}")
        found[screen.name] = screen
    return found


def _is_screen(member: type[Any]) -> bool:
    return dataclasses.is_dataclass(member) and all(
        hasattr(member, attribute) for attribute in ("name", "version", "measures", "measure")
    )


def is_corpus_wide(screen: object) -> bool:
    """Whether a screen has a second, corpus-wide stage."""
    return hasattr(screen, "resolve")


def finds_duplicates(screen: object) -> bool:
    """Whether a screen's second stage gives duplicate clusters, not measurements."""
    return is_corpus_wide(screen) and not hasattr(screen, "resolved")


def duplicate_screen(screens: Sequence[Screen]) -> str | None:
    """The screen whose clusters are the run's: near duplicates hold the exact ones."""
    names = [screen.name for screen in screens if finds_duplicates(screen)]
    return "near_duplicates" if "near_duplicates" in names else next(iter(names), None)
