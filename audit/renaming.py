"""Ids that repeat: the first record keeps its id, later ones get one that names their place."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from audit.copies import Numbers, repeated_numbers
from audit.kernels.hashing import PUBLIC_KEY, siphash64
from audit.store import Part, Store

SCHEMA = pa.schema([("shard", pa.string()), ("position", pa.int64()), ("doc_id", pa.string())])


def repeated_ids(store: Store, parts: Sequence[Part]) -> pa.Table:
    """Records whose id an earlier record has already, under their new id, in corpus order.

    Memory holds the records with an id that occurs twice, and an eighth of a byte for each other; scratch
    space takes 8 bytes a record.

    Args:
        store: The run's parts.
        parts: With the facts of each shard's documents.
    """
    ordered = sorted(parts, key=lambda part: part.shard)
    store.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ids-", dir=store.scratch) as folder:
        repeated = repeated_numbers((numbers for _, numbers in _numbered(store, ordered)), Path(folder))
    if not len(repeated):
        return SCHEMA.empty_table()
    seen: set[str] = set()
    rows: list[tuple[str, int, str]] = []
    for part, numbers in _numbered(store, ordered):
        at = np.minimum(np.searchsorted(repeated, numbers), len(repeated) - 1)
        if len(near := np.flatnonzero(repeated[at] == numbers)):
            table = store.read(part, ["position", "doc_id"]).take(pa.array(near)).sort_by("position")
            for position, doc_id in zip(*(column.to_pylist() for column in table.columns), strict=True):
                if doc_id is None:
                    continue
                if doc_id in seen:
                    rows.append((part.shard, position, f"{doc_id}#{part.shard}:{position}"))
                seen.add(doc_id)
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    return pa.table([pa.array(c, kind) for c, kind in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA)


def _numbered(store: Store, parts: Sequence[Part]) -> Iterator[tuple[Part, Numbers]]:
    """Hashes of the ids of each part's records."""
    for part in parts:
        ids = store.read(part, ["doc_id"]).column("doc_id").combine_chunks()
        yield part, siphash64(ids.cast(pa.binary()), PUBLIC_KEY) if len(ids) else np.empty(0, np.uint64)
