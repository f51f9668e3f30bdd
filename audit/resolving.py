"""The second stage of corpus-wide screens: from the sketches of all shards to duplicate clusters."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from audit import sources, workkeys
from audit.facts import constant
from audit.model import DUPLICATE_SCHEMA, Shard
from audit.screens import CorpusScreen
from audit.sources import ColumnMapping, ReadLimits
from audit.store import Part, Store

FAMILY = "duplicates"
_SCHEMA = pa.schema([pa.field("screen", pa.dictionary(pa.int32(), pa.string())), *DUPLICATE_SCHEMA])


@dataclass(frozen=True)
class StoredSketches:
    """Sketch columns as the pass left them; implements ``audit.screens.Sketches``."""

    store: Store
    parts: Mapping[str, Part]
    sources: Mapping[str, Shard]
    columns: ColumnMapping
    limits: ReadLimits

    @property
    def shards(self) -> Sequence[str]:
        """Shard ids, sorted."""
        return sorted(self.parts)

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Yield (shard, table) in shard order; ``position`` first."""
        for shard in self.shards:
            yield shard, self.store.read(self.parts[shard], ["position", *columns])

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        """Yield (shard, position, text) of the positions wanted, from the sources."""
        for shard in sorted(wanted):
            if wanted[shard]:
                found = sources.texts(self.sources[shard], self.columns, self.limits, set(wanted[shard]))
                yield from ((shard, position, text) for position, _, text in found)


@dataclass(frozen=True)
class Resolution:
    """The part that holds a screen's clusters, and what it counted on the way."""

    screen: str
    part: Part
    statistics: Mapping[str, float]


def resolve(screen: CorpusScreen, sketches: StoredSketches) -> Resolution:
    """Bring the clusters of a corpus-wide screen up to date.

    The work key digests every sketch, so one shard more resolves the corpus again: a duplicate is a
    relation, and its other end may lie anywhere.
    """
    inputs = [f"{shard}:{part.key}" for shard, part in sorted(sketches.parts.items())]
    parameters = dataclasses.asdict(screen)  # type: ignore[call-overload]
    key = workkeys.derived_key(FAMILY, type(screen).__module__, inputs, [screen.name, parameters])
    part = Part(FAMILY, screen.name, key)
    if not sketches.store.has(part):
        _compute(screen, sketches, part)
    stored: dict[str, Any] = sketches.store.metadata(part)
    return Resolution(screen.name, part, stored["statistics"])


def _compute(screen: CorpusScreen, sketches: StoredSketches, part: Part) -> None:
    sketches.store.scratch.mkdir(parents=True, exist_ok=True)
    workspace = Path(tempfile.mkdtemp(prefix=f"{screen.name}-", dir=sketches.store.scratch))
    try:
        with sketches.store.writer(FAMILY, _SCHEMA) as writer:
            for table in screen.resolve(sketches, workspace):
                named = constant(screen.name, len(table))
                writer.add(pa.table([named, *table.select(DUPLICATE_SCHEMA.names).columns], schema=_SCHEMA))
            writer.commit(part, {"statistics": dict(screen.statistics())})
    finally:
        shutil.rmtree(workspace)
