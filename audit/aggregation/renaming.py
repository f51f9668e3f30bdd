"""Ids that repeat: the first record keeps its id, later ones get one that names their place."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit import facts
from audit.aggregation import keyed_tables
from audit.aggregation.keyed_tables import Spiller
from audit.aggregation.shard_parts import ShardParts
from audit.duplicates.exchange import Runner
from audit.storage.store import Store
from audit.workers import meter

SCHEMA = pa.schema([("shard", pa.string()), ("position", pa.int64()), ("doc_id", pa.string())])
_PLACES = pa.schema([("hash", pa.uint64()), ("group", pa.uint32()), ("row", pa.uint32())])
_FOUND = pa.schema([("group", pa.uint32()), ("row", pa.uint32())])

Numbers = npt.NDArray[np.uint32]


def repeated_ids(
    store: Store, groups: Sequence[Sequence[ShardParts]], documents: int, runner: Runner
) -> Iterator[pa.Table]:
    """Records whose id an earlier record has already, under their new id, in no order (``SCHEMA``).

    Hashes of the ids are exchanged first: only ids with a hash that occurs twice are looked at. Memory of the
    driver: 8 bytes a record with such an id. Scratch space: 16 bytes a record.

    Args:
        store: The run's parts.
        groups: Of all shards, in order.
        documents: Of the corpus.
        runner: For tasks that exchange files in the store's scratch folder.
    """
    store.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ids-", dir=store.scratch) as name:
        folder, bits = Path(name), keyed_tables.bits_for(documents)
        spills = [p for some in runner(_Hashing(store, folder, bits), list(enumerate(groups))) for p in some]
        repeated = [rows for rows in runner(_Repeated(tuple(spills)), range(1 << bits)) if len(rows)]
        for path in spills:
            path.unlink()
        if spills and repeated:
            rows = pa.concat_tables(repeated)
            bits = keyed_tables.bits_for(len(rows))
            reading = _Reading(store, folder, bits)
            tasks = [(number, groups[number], chosen) for number, chosen in _by_group(rows)]
            spills = [p for some in runner(reading, tasks) for p in some]
            yield from runner(_Renaming(tuple(spills)), range(1 << bits))


@dataclass(frozen=True)
class _Hashing:
    """Spills the hashes of a group's ids; a function for a runner."""

    store: Store
    folder: Path
    bits: int

    def __call__(self, task: tuple[int, Sequence[ShardParts]]) -> list[Path]:
        number, group = task
        spiller = Spiller(self.folder, f"hashes-{number}", self.bits, "hash")
        start = 0
        for shard in group:
            meter.beat()
            ids = shard.read(self.store, facts.FAMILY, ["doc_id"])["doc_id"]
            spiller.take(_hashed(ids, number, start))
            start += len(ids)
        return spiller.flush()


def _hashed(ids: pa.ChunkedArray, number: int, start: int) -> pa.Table:
    """Hashes, each with its group and its row there; a record without an id has none that repeats."""
    columns = [
        keyed_tables.hashes(ids),
        np.full(len(ids), number, np.uint32),
        np.arange(start, start + len(ids), dtype=np.uint32),
    ]
    return pa.table(columns, schema=_PLACES).filter(pc.is_valid(ids))


@dataclass(frozen=True)
class _Repeated:
    """Records (group, row) of a partition whose hash another one has, too; a function for a runner."""

    spills: tuple[Path, ...]

    def __call__(self, partition: int) -> pa.Table:
        if not self.spills:
            return _FOUND.empty_table()
        rows = keyed_tables.read(self.spills, partition)
        keys = rows["hash"].to_numpy()
        order = np.argsort(keys, kind="stable")
        same = keys[order[1:]] == keys[order[:-1]]
        repeated = np.zeros(len(keys), np.bool_)
        repeated[order[1:][same]] = repeated[order[:-1][same]] = True
        return rows.filter(pa.array(repeated)).select(_FOUND.names)


def _by_group(rows: pa.Table) -> Iterator[tuple[int, Numbers]]:
    groups, numbers = rows["group"].to_numpy(), rows["row"].to_numpy()
    order = np.lexsort((numbers, groups))
    groups, numbers = groups[order], numbers[order]
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    for start, some in zip(starts.tolist(), np.split(numbers, starts[1:]), strict=True):
        yield int(groups[start]), some


@dataclass(frozen=True)
class _Reading:
    """Spills the ids of some rows of a group, with their places; a function for a runner."""

    store: Store
    folder: Path
    bits: int

    def __call__(self, task: tuple[int, Sequence[ShardParts], Numbers]) -> list[Path]:
        number, group, rows = task
        spiller = Spiller(self.folder, f"places-{number}", self.bits, "doc_id")
        start = 0
        for shard in group:
            meter.beat()
            ids = shard.read(self.store, facts.FAMILY, ["position", "doc_id"])
            here = rows[(rows >= start) & (rows < start + len(ids))] - np.uint32(start)
            start += len(ids)
            chosen = ids.take(pa.array(here))
            columns = [pa.repeat(shard.shard, len(here)), chosen["position"], chosen["doc_id"]]
            spiller.take(pa.table(columns, SCHEMA.names).cast(SCHEMA))
        return spiller.flush()


@dataclass(frozen=True)
class _Renaming:
    """New ids of a partition's records, but for the first with each id; a function for a runner."""

    spills: tuple[Path, ...]

    def __call__(self, partition: int) -> pa.Table:
        rows = keyed_tables.read(self.spills, partition)
        rows = rows.sort_by([(name, "ascending") for name in ("doc_id", "shard", "position")])
        codes = rows["doc_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        later = np.r_[False, codes[1:] == codes[:-1]][: len(codes)]
        rows = rows.filter(pa.array(later))
        place = pc.binary_join_element_wise(rows["shard"], rows["position"].cast(pa.string()), ":")
        renamed = pc.binary_join_element_wise(rows["doc_id"], place, "#")
        return rows.set_column(2, "doc_id", renamed)
