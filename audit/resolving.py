"""The second stage of corpus-wide screens: from the sketches of all shards to clusters or measurements.

The rows of its parts are in the order of shards and positions: those of a shard lie in neighbouring row
groups, and the statistics of the column ``shard`` tell in which ones.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from audit import sources, workkeys
from audit.duplicates.exchange import Result, Runner, Task, threads
from audit.facts import constant
from audit.model import DUPLICATE_SCHEMA, REFERENCE_MATCH_SCHEMA, Shard
from audit.screens import CorpusScreen, MatchingCorpusScreen, MeasuringCorpusScreen, finds_duplicates
from audit.sources import ColumnMapping, ReadLimits
from audit.storage.store import Part, Store, disk_errors
from audit.workers import meter

FAMILY = "duplicates"
#: Documents that a reference holds, too.
MATCHES = "reference_matches"
#: Suffix of the families that hold what measuring screens resolved.
RESOLVED = ".resolved"
#: Rows of a row group of a part over the whole corpus: a task that reads a few shards of it reads the whole
#: footer, a thousand bytes a row group.
GROUP_ROWS = 1 << 17
_NAME = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema([pa.field("screen", _NAME), *DUPLICATE_SCHEMA])
_MATCH_SCHEMA = pa.schema([pa.field("screen", _NAME), *REFERENCE_MATCH_SCHEMA])


@dataclass(frozen=True)
class StoredSketches:
    """Sketch columns as the pass left them; implements ``audit.screens.Sketches``.

    Attributes:
        store, parts: The sketches, by shard.
        sources, columns, limits: Where the shards' texts are read again, and how.
        runner: Runs the tasks of screens.
        groups: Neighbouring shards that one task covers, all of them in order; empty: each shard by itself.
    """

    store: Store
    parts: Mapping[str, Part]
    sources: Mapping[str, Shard]
    columns: ColumnMapping
    limits: ReadLimits
    runner: Runner = threads
    groups: Sequence[Sequence[str]] = ()

    @property
    def shards(self) -> Sequence[str]:
        """Shard ids, sorted."""
        return sorted(self.parts)

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Yield (shard, table) in shard order; ``position`` first."""
        for shard in self.shards:
            meter.beat()
            yield shard, self.store.read(self.parts[shard], ["position", *columns])

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        """Yield (shard, position, text) of the positions wanted, from the sources."""
        for shard in sorted(wanted):
            if wanted[shard]:
                found = sources.texts(self.sources[shard], self.columns, self.limits, set(wanted[shard]))
                for position, _, text in found:
                    meter.beat()
                    yield shard, position, text

    def split(self) -> Sequence[StoredSketches]:
        """The same in stretches of neighbouring shards, for tasks."""
        groups = self.groups or [[shard] for shard in self.shards]
        return [self._only(shards) for shards in groups]

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield a result a task, in their order."""
        return self.runner(function, tasks)

    def _only(self, shards: Sequence[str]) -> StoredSketches:
        parts = {shard: self.parts[shard] for shard in shards}
        sources = {shard: self.sources[shard] for shard in shards}
        return StoredSketches(self.store, parts, sources, self.columns, self.limits)


@dataclass(frozen=True)
class Resolution:
    """The part that holds a screen's clusters or measurements, and what it counted on the way."""

    screen: str
    part: Part
    statistics: Mapping[str, float]


def family(screen: CorpusScreen) -> str:
    """The family of parts that a screen's second stage fills."""
    return FAMILY if finds_duplicates(screen) else f"{screen.name}{RESOLVED}"


def resolve(screen: CorpusScreen, sketches: StoredSketches) -> Resolution:
    """Bring the clusters or measurements of a corpus-wide screen up to date.

    The work key digests every sketch, so one shard more resolves the corpus again: what repeats is a
    relation, and its other end may lie anywhere.
    """
    inputs = [f"{shard}:{part.key}" for shard, part in sorted(sketches.parts.items())]
    parameters = workkeys.parameters_without(screen, "match_parameters")
    where = family(screen)
    key = workkeys.derived_key(where, type(screen).__module__, inputs, [screen.name, parameters])
    part = Part(where, screen.name, key)
    if not sketches.store.has(part):
        _compute(screen, sketches, part)
    stored: dict[str, Any] = sketches.store.metadata(part)
    return Resolution(screen.name, part, stored["statistics"])


def match(screen: MatchingCorpusScreen, sketches: StoredSketches) -> Part:
    """Bring the matches of a corpus with its references up to date.

    The work key digests every sketch of the corpus and of the references.

    Raises:
        ConfigurationError: A reference that cannot be compared.
    """
    inputs = [f"{shard}:{part.key}" for shard, part in sorted(sketches.parts.items())]
    parameters = dataclasses.asdict(screen)  # type: ignore[call-overload]
    told = [*inputs, *screen.reference_keys()]
    key = workkeys.derived_key(MATCHES, type(screen).__module__, told, [screen.name, parameters])
    part = Part(MATCHES, screen.name, key)
    if not sketches.store.has(part):
        with _workspace(screen.name, sketches.store) as workspace:
            _find_matches(screen, sketches, part, workspace)
    return part


@contextmanager
def _workspace(name: str, store: Store) -> Iterator[Path]:
    store.scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=store.scratch))
    try:
        with disk_errors():
            yield folder
    finally:
        shutil.rmtree(folder)


def _find_matches(
    screen: MatchingCorpusScreen, sketches: StoredSketches, part: Part, workspace: Path
) -> None:
    with sketches.store.writer(part.family, _MATCH_SCHEMA, GROUP_ROWS) as writer:
        for table in screen.match(sketches, workspace):
            named = constant(screen.name, len(table))
            writer.add(pa.table([named, *table.columns], schema=_MATCH_SCHEMA))
        writer.commit(part, {"statistics": dict(screen.match_statistics())})


def _compute(screen: CorpusScreen, sketches: StoredSketches, part: Part) -> None:
    with _workspace(screen.name, sketches.store) as workspace:
        if isinstance(screen, MeasuringCorpusScreen):
            _measure(screen, sketches, part, workspace)
        else:
            _find_clusters(screen, sketches, part, workspace)


def _find_clusters(screen: CorpusScreen, sketches: StoredSketches, part: Part, workspace: Path) -> None:
    with sketches.store.writer(part.family, _SCHEMA, GROUP_ROWS) as writer:
        for table in screen.resolve(sketches, workspace):
            named = constant(screen.name, len(table))
            writer.add(pa.table([named, *table.select(DUPLICATE_SCHEMA.names).columns], schema=_SCHEMA))
            pa.default_memory_pool().release_unused()
        writer.commit(part, {"statistics": dict(screen.statistics())})


def _measure(screen: MeasuringCorpusScreen, sketches: StoredSketches, part: Part, workspace: Path) -> None:
    columns = [(f"{screen.name}_{measure}", kind) for measure, kind in screen.resolved.items()]
    schema = pa.schema([("shard", _NAME), ("position", pa.int64()), *columns])
    with sketches.store.writer(part.family, schema, GROUP_ROWS) as writer:
        for table in screen.resolve(sketches, workspace):
            chosen = table.select(["shard", "position", *screen.resolved]).rename_columns(schema.names)
            writer.add(chosen.cast(schema))
            pa.default_memory_pool().release_unused()
        told = {"statistics": dict(screen.statistics()), "examples": list(screen.examples())}
        writer.commit(part, told)
