"""What evaluations want to know of the sampled documents, kept with the sample.

An evaluation that looked its sample up among all documents would cost more, the larger the corpus; so the
rows are read once, when the sample is drawn, from the parts of the shards that it touches, by tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from audit import facts
from audit.duplicates.exchange import Runner, threads
from audit.engine_runner import grouped
from audit.screens import Screen, is_corpus_wide
from audit.slicing import SLICES
from audit.storage.store import Part, Store

_FACTS = {
    "doc_id": pa.string(),
    "url": pa.string(),
    "n_tokens": pa.int64(),
    "text_digest": pa.binary(16),
}
#: Measures that say what a screen makes of a document.
_MEASURES = ("score", "flagged")
_IDENTITY = ("shard", "position")
#: Groups of shards are cut as if for so many workers.
_WORKERS = 16

#: Columns that are asked for, by family; None: all.
Columns = Mapping[str, Sequence[str] | None]


def detecting(screens: Sequence[Screen]) -> dict[str, list[str]]:
    """Screen -> columns of its parts that are kept."""
    found = {
        screen.name: [f"{screen.name}_{measure}" for measure in _MEASURES if measure in screen.measures]
        for screen in screens
        if not is_corpus_wide(screen)
    }
    return {name: columns for name, columns in found.items() if columns}


def gather(
    store: Store,
    parts: Mapping[str, Sequence[Part]],
    draws: pa.Table,
    screens: Sequence[Screen],
    runner: Runner = threads,
) -> pa.Table:
    """A row a drawn document: shard, position, facts, dimensions, and what screens made of it.

    Args:
        store: The run's parts.
        parts: Family -> parts, one a shard: documents, slices and those of the screens.
        draws: ``shard`` and ``position``.
        screens: Of the run.
        runner: Runs tasks that read parts.
    """
    kept = {name: columns for name, columns in detecting(screens).items() if name in parts}
    return look_up(store, parts, draws, {facts.FAMILY: list(_FACTS), SLICES: None, **kept}, runner)


def look_up(
    store: Store, parts: Mapping[str, Sequence[Part]], draws: pa.Table, columns: Columns, runner: Runner
) -> pa.Table:
    """``shard``, ``position`` and the columns asked for of some documents, sorted by place.

    Args:
        store: The run's parts.
        parts: Family -> parts, one a shard.
        draws: ``shard`` and ``position``.
        columns: Of the families that are read.
        runner: Runs tasks that read parts.
    """
    by_shard = {family: {part.shard: part for part in parts[family]} for family in columns}
    found = [
        _Drawn(shard, positions, {family: known[shard] for family, known in by_shard.items()})
        for shard, positions in _positions(draws)
    ]
    tasks = grouped(found, _WORKERS)
    return pa.concat_tables(runner(partial(_read, store, columns), tasks))


@dataclass(frozen=True)
class _Drawn:
    """Documents of a shard that were drawn: their positions, and the parts that tell of them, by family."""

    shard: str
    positions: tuple[int, ...]
    parts: Mapping[str, Part]


def _positions(draws: pa.Table) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Shards with the drawn positions, both ascending."""
    places = draws.select(["shard", "position"]).sort_by([("shard", "ascending"), ("position", "ascending")])
    positions = places.column("position").to_pylist()
    ends = pc.run_end_encode(places.column("shard").combine_chunks(), run_end_type=pa.int64())
    start = 0
    for shard, stop in zip(ends.values.to_pylist(), ends.run_ends.to_pylist(), strict=True):
        yield shard, tuple(positions[start:stop])
        start = stop


def _read(store: Store, columns: Columns, shards: Sequence[_Drawn]) -> pa.Table:
    """Rows of some shards."""
    tables = []
    for drawn in shards:
        positions = pa.array(drawn.positions, pa.int64())
        found = {"shard": pa.array([drawn.shard] * len(positions), pa.string()), "position": positions}
        for family, names in columns.items():
            rows = store.rows(drawn.parts[family], positions, names)
            found |= {name: rows.column(name) for name in rows.column_names if name not in _IDENTITY}
        tables.append(pa.table(found))
    return pa.concat_tables(tables)
