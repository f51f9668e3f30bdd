"""What follows from the parts alone, counted once by the pass and kept as small parts, a table each.

Whatever looks at all documents, all findings or all members of clusters is here: ids that repeat, copies by
slice, alarms, the largest clusters, previews. An evaluation takes these tables over, so that its cost does
not grow with the documents, and judgements that arrive later cost none of it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from audit import partindex, workkeys
from audit.aggregation import counting
from audit.aggregation.counting import Corpus, Means
from audit.database import AGGREGATES, COUNTED, JUDGED, RENAMED, Builder, insert, workbench
from audit.errors import FatalError
from audit.measuring import EVALUATED
from audit.partindex import Catalogue, Entry
from audit.screens import Screen, is_corpus_wide
from audit.storage.store import Part, Store

FAMILY = AGGREGATES
_SIZES = pa.schema(
    [("family", pa.string()), ("parts", pa.int64()), ("bytes", pa.int64()), ("sketches", pa.bool_())]
)
_EVALUATIONS = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("shard", "screen")),
        *(pa.field(name, pa.int64()) for name in ("evaluated", "skipped", "failed")),
        pa.field("reason", pa.string()),
    ]
)
#: Rows that are gathered as Python values before they become columns.
_CHUNK = 1 << 16


def named(screens: Sequence[Screen], parts: Sequence[Part], judged: pa.Table) -> list[Part]:
    """The parts that hold the tables, whether they stand or not.

    Args:
        screens: Of the run.
        parts: Of the pass.
        judged: ``doc_id`` and ``text_digest`` of all documents that were judged so far.
    """
    inputs = sorted(f"{part.family}:{part.shard}:{part.key}" for part in parts)
    key = workkeys.derived_key(FAMILY, __name__, inputs, [repr(screen) for screen in screens])
    labels = sorted(set(zip(*(judged.column(n).to_pylist() for n in ("doc_id", "text_digest")), strict=True)))
    found = workkeys.derived_key(FAMILY, __name__, [key], [list(pair) for pair in labels])
    return [*(Part(FAMILY, name, key) for name in COUNTED), Part(FAMILY, JUDGED, found)]


def bring(
    store: Store,
    screens: Sequence[Screen],
    named: Sequence[Part],
    judged: pa.Table,
    parts: Sequence[Part],
    means: Means,
) -> None:
    """Bring the tables up to date.

    Args:
        store: The run's parts; the index lists those of the pass.
        screens: Of the run.
        named: As ``named`` gave them.
        judged: As ``named`` was given it.
        parts: As ``named`` was given them.
        means: Who counts.
    """
    tables = {part.shard: part for part in named}
    if all(store.has(part) for part in named):
        return
    corpus = Corpus.of(store.resolved(), screens, parts, means.workers)
    with workbench(store.scratch, means.memory) as db:
        if all(store.has(tables[name]) for name in COUNTED):
            found = counting.find_judged(corpus, tables[RENAMED], judged, means)
        else:
            counting.rename(corpus, db, means)
            _keep(db, store, tables[RENAMED])  # where the ids are looked up
            found = counting.count(corpus, db, tables[RENAMED], judged, means)
            _measure(db, store, screens)
            for name in COUNTED:
                if name != RENAMED:
                    _keep(db, store, tables[name])
        insert(db, JUDGED, found)
        _keep(db, store, tables[JUDGED])


def _measure(db: duckdb.DuckDBPyConnection, store: Store, screens: Sequence[Screen]) -> None:
    """Fill the tables that the index of parts tells."""
    sizes = _Sizes()
    for rows in _evaluations(sizes.of(partindex.read(store, lambda family: family != FAMILY))):
        insert(db, "evaluations", rows)
    insert(db, "part_sizes", sizes.table({screen.name for screen in screens if is_corpus_wide(screen)}))


def _keep(db: duckdb.DuckDBPyConnection, store: Store, part: Part) -> None:
    """Write a table's part; a large one passes through in pieces."""
    rows = 0
    batches = db.sql(f"SELECT * FROM {part.shard} ORDER BY ALL").to_arrow_reader(_CHUNK)
    with store.writer(part.family, batches.schema) as writer:
        for batch in batches:
            writer.add(batch)
            rows += len(batch)
        writer.commit(part, {"rows": rows})


def files(store: Store) -> dict[str, list[str]]:
    """Family -> its files, by path relative to the run, as the index lists them."""
    found: dict[str, list[str]] = {}
    for file in partindex.files(store):
        found.setdefault(file.family, []).append(file.path)
    return found


def take_over(builder: Builder, store: Store) -> None:
    """Fill a database under construction with what the pass counted.

    Raises:
        FatalError: The pass did not end, or was one of an earlier version.
    """
    standing = {part.shard: part for part in Catalogue.recorded(store).family(FAMILY)}
    if missing := {*COUNTED, JUDGED} - set(standing):
        raise FatalError(
            f"the run holds no {min(missing)}; give the command that made it again: it completes it, and "
            "computes only what is missing"
        )
    for name, part in standing.items():
        builder.take_over(name, f"parts/{part.relative}")


class _Sizes:
    """Parts and bytes by family, counted while entries pass."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[int, int]] = {}

    def of(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            parts, size = self._families.get(entry.part.family, (0, 0))
            self._families[entry.part.family] = (parts + 1, size + entry.size)
            yield entry

    def table(self, sketches: set[str]) -> pa.Table:
        rows = [(name, *counts, name in sketches) for name, counts in sorted(self._families.items())]
        named = [dict(zip(_SIZES.names, row, strict=True)) for row in rows]
        return pa.Table.from_pylist(named, _SIZES)


def _evaluations(entries: Iterable[Entry]) -> Iterator[pa.Table]:
    """What became of each shard's documents, screen by screen; rows of the table ``evaluations``."""
    rows: list[tuple[Any, ...]] = []
    for entry in entries:
        for state, count in sorted(entry.metadata.get("evaluations", {}).items()):
            counts = (count if state.startswith(outcome) else 0 for outcome in _EVALUATIONS.names[2:5])
            reason = None if state == EVALUATED else state
            rows.append((entry.part.shard, entry.part.family, *counts, reason))
        if len(rows) >= _CHUNK:
            yield _table(rows)
            rows = []
    if rows:
        yield _table(rows)


def _table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, _EVALUATIONS.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_EVALUATIONS)
