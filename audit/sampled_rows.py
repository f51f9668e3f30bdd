"""What evaluations want to know of the sampled documents, kept with the sample.

An evaluation that looked its sample up among all documents would cost more, the larger the corpus; so the
rows are read once, when the sample is drawn, from the parts of the shards that it touches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from audit import facts
from audit.screens import Screen, is_corpus_wide
from audit.slicing import SLICES
from audit.store import Part, Store

_FACTS = {
    "doc_id": pa.string(),
    "url": pa.string(),
    "n_tokens": pa.int64(),
    "text_digest": pa.binary(16),
}
#: Measures that say what a screen makes of a document.
_MEASURES = ("score", "flagged")
_IDENTITY = {"shard": pa.string(), "position": pa.int64()}


def detecting(screens: Sequence[Screen]) -> dict[str, list[str]]:
    """Screen -> columns of its parts that are kept."""
    found = {
        screen.name: [f"{screen.name}_{measure}" for measure in _MEASURES if measure in screen.measures]
        for screen in screens
        if not is_corpus_wide(screen)
    }
    return {name: columns for name, columns in found.items() if columns}


def gather(
    store: Store, parts: Mapping[str, Sequence[Part]], draws: pa.Table, screens: Sequence[Screen]
) -> pa.Table:
    """A row a drawn document: shard, position, facts, dimensions, and what screens made of it.

    Args:
        store: The run's parts.
        parts: Family -> parts, one a shard: documents, slices and those of the screens.
        draws: ``shard`` and ``position``.
        screens: Of the run.
    """
    columns = {facts.FAMILY: list(_FACTS), **detecting(screens)}
    by_shard = {family: {part.shard: part for part in some} for family, some in parts.items()}
    tables = []
    for shard, positions in _positions(draws):
        found = {**dict.fromkeys(_IDENTITY)}
        found["shard"] = pa.array([shard] * len(positions), pa.string())
        found["position"] = positions
        wanted = {facts.FAMILY: columns[facts.FAMILY], SLICES: None}
        wanted |= {name: kept for name, kept in columns.items() if name in by_shard}
        for family, names in wanted.items():
            rows = _rows(store, by_shard[family][shard], names, positions)
            found |= {name: rows.column(name) for name in rows.column_names if name not in _IDENTITY}
        tables.append(pa.table(found))
    return pa.concat_tables(tables)


def _positions(draws: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    """Shards with the drawn positions, both ascending."""
    places = draws.select(["shard", "position"]).sort_by([("shard", "ascending"), ("position", "ascending")])
    grouped = places.group_by("shard", use_threads=False).aggregate([("position", "list")])
    for shard, positions in zip(grouped.column("shard"), grouped.column("position_list"), strict=True):
        yield shard.as_py(), pa.array(positions.as_py(), pa.int64())


def _rows(store: Store, part: Part, names: Sequence[str] | None, positions: pa.Array) -> pa.Table:
    """Rows of a part at these positions, in their order."""
    table = store.read(part, None if names is None else ["position", *names])
    at = pc.index_in(positions, value_set=table.column("position").combine_chunks())
    return table.take(at).combine_chunks()
