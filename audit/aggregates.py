"""What follows from the parts alone, counted once by the pass and kept as small parts, a table each.

Whatever looks at all documents, all findings or all members of clusters is here: ids that repeat, copies by
slice, alarms, the largest clusters, previews. An evaluation takes these tables over, so that its cost does
not grow with the documents, and judgements that arrive later cost none of it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from audit import facts, partindex, renaming, workkeys
from audit.database import AGGREGATES, COUNTED, JUDGED, Builder, building
from audit.errors import FatalError
from audit.measuring import EVALUATED
from audit.partindex import Catalogue, Entry
from audit.resolving import RESOLVED
from audit.screens import Screen, is_corpus_wide
from audit.store import Part, Store

FAMILY = AGGREGATES
_PARAGRAPHS = f"repeated_paragraphs{RESOLVED}"
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
    folder: Path, store: Store, screens: Sequence[Screen], named: Sequence[Part], judged: pa.Table
) -> None:
    """Bring the tables up to date.

    Args:
        folder: Of the run.
        store: Its parts; the index lists those of the pass.
        screens: Of the run.
        named: As ``named`` gave them.
        judged: As ``named`` was given it.
    """
    tables = {part.shard: part for part in named}
    if not all(store.has(part) for part in named):
        _compute(folder, store, screens, tables, judged)


def _compute(
    folder: Path, store: Store, screens: Sequence[Screen], tables: Mapping[str, Part], judged: pa.Table
) -> None:
    catalogue = Catalogue.recorded(store)
    counted = not all(store.has(tables[name]) for name in COUNTED)
    sketches = {screen.name for screen in screens if is_corpus_wide(screen)}
    partindex.stage(store, lambda family: family not in sketches)
    with building(folder, screens, files(store)) as builder:
        if counted:
            renamed = renaming.repeated_ids(store, catalogue.family(facts.FAMILY))
            builder.insert("renamed_documents", renamed)
        else:
            builder.insert("renamed_documents", store.read(tables["renamed_documents"]))
        builder.create_views()
        if counted:
            sizes = _Sizes()
            entries = partindex.read(store, lambda family: family != FAMILY)
            for rows in _evaluations(sizes.of(entries)):
                builder.insert("evaluations", rows)
            builder.insert("part_sizes", sizes.table(sketches))
            builder.count()
            builder.insert_paragraphs(_examples(store))
        builder.find_judged(judged)
        for name in COUNTED if counted else ():
            _keep(builder, store, tables[name])
        _keep(builder, store, tables[JUDGED])


def _keep(builder: Builder, store: Store, part: Part) -> None:
    rows = builder.db.sql(f"SELECT * FROM {part.shard} ORDER BY ALL").to_arrow_table()
    store.write(part, rows, {"rows": len(rows)})


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


def _examples(store: Store) -> list[dict[str, Any]]:
    """The most repeated paragraphs, as the screen told them."""
    found = partindex.read(store, lambda family: family == _PARAGRAPHS)
    return [row for entry in found for row in entry.metadata["examples"]]
