"""Tables exchanged through files by the hash of a key: sums over keys of which there are too many for memory.

A spill holds some rows, those of each partition of the keys as one record batch; whoever looks at a partition
reads its batch of every spill. Spilling and reading are functions of files: any engine can run them, anywhere
that sees the folder. Memory is that of one spill or one partition, whatever the corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from audit.duplicates.exchange import Keys, partition_bits
from audit.kernels.hashing import PUBLIC_KEY, siphash64
from audit.storage.store import disk_errors
from audit.workers import meter

#: Rows of a spill, at most, and of a partition, on average: some 100 bytes each in memory. Of large corpora
#: both are larger, lest the pieces that each partition reads of every spill become too small.
SPILL_ROWS, PARTITION_ROWS = 1 << 18, 1 << 18
_BITS_OF_PIECES, _MOST_BITS = 9, 11


def bits_for(rows: int) -> int:
    """Bits that number the partitions of so many rows."""
    return min(partition_bits(rows, PARTITION_ROWS), _MOST_BITS)


def hashes(column: pa.ChunkedArray) -> Keys:
    """64 bits a string; of a null those of an empty string."""
    array = column.combine_chunks()
    return siphash64(array.cast(pa.binary()), PUBLIC_KEY) if len(array) else np.empty(0, np.uint64)


def spill(path: Path, table: pa.Table, keys: Keys, bits: int) -> Path:
    """Write the rows of a table by partition.

    Args:
        path: Of the file; one that stands is replaced.
        table: The rows.
        keys: uint64 (rows,): their high ``bits`` number the partition.
        bits: The same in all spills.
    """
    rows, bounds = table.combine_chunks(), np.array([0, len(table)])
    if bits:
        numbers = keys >> np.uint64(64 - bits)
        order = np.argsort(numbers, kind="stable")
        bounds = np.searchsorted(numbers[order], np.arange((1 << bits) + 1, dtype=np.uint64))
        rows = rows.take(pa.array(order)).combine_chunks()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with disk_errors(), pa.ipc.new_file(path, table.schema, options=options) as file:
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            file.write_batch(_batch(rows.slice(start, stop - start)))
    return path


def _batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


def read(spills: Iterable[Path], partition: int) -> pa.Table:
    """The rows of a partition, in the order of the spills (one at least)."""
    batches = []
    for path in spills:
        meter.beat()
        with pa.OSFile(str(path)) as source:
            batches.append(pa.ipc.open_file(source).get_batch(partition))
    return pa.Table.from_batches(batches)


@dataclass(frozen=True)
class Summed:
    """A table that is summed by key.

    Attributes:
        key: Its column of strings.
        values: Further column -> ``sum`` or ``min``.
    """

    key: str
    values: Mapping[str, str]

    def add(self, tables: Sequence[pa.Table]) -> pa.Table:
        """One row a key."""
        return add(tables, [self.key], self.values)


def add(tables: Sequence[pa.Table], keys: Sequence[str], values: Mapping[str, str]) -> pa.Table:
    """Rows of several tables, those of one combination of keys (null is one, too) as one.

    Args:
        tables: One at least, of one schema: ``keys``, then ``values``.
        keys: Columns.
        values: Column -> ``sum`` or ``min``.
    """
    grouped = pa.concat_tables(tables).group_by(list(keys), use_threads=False).aggregate(list(values.items()))
    columns = [*keys, *(f"{name}_{how}" for name, how in values.items())]
    return grouped.select(columns).rename_columns([*keys, *values])


def first(table: pa.Table, keys: Sequence[str], count: int) -> pa.Table:
    """The first distinct rows of each combination of keys, in the order of the columns.

    Args:
        table: Its first columns are the keys.
        keys: Columns of strings.
        count: Rows of a combination, at most.
    """
    rows = table.group_by(table.column_names, use_threads=False).aggregate([])
    rows = rows.sort_by([(name, "ascending") for name in table.column_names])
    same = np.ones(len(rows), np.bool_)
    for name in keys:
        codes = rows[name].combine_chunks().dictionary_encode().indices.to_numpy()
        same[1:] &= codes[1:] == codes[:-1]
    same[:1] = False
    row = np.arange(len(rows))
    rank = row - np.maximum.accumulate(np.where(same, 0, row))
    return rows.take(pa.array(row[rank < count]))


@dataclass
class Spiller:
    """Gathers rows in memory, and spills when they are many.

    Attributes:
        folder: Takes the spills …
        name: … under this name, with a number.
        bits: Of the partitions.
        key: Column by whose strings, or numbers (uint64), rows are partitioned.
        summed: How rows of one key are summed; None: they are kept as they are.
    """

    folder: Path
    name: str
    bits: int
    key: str
    summed: Summed | None = None
    paths: list[Path] = field(default_factory=list)
    _held: list[pa.Table] = field(default_factory=list)

    def take(self, table: pa.Table) -> None:
        """Add rows."""
        self._held.append(table)
        most = SPILL_ROWS << max(0, self.bits - _BITS_OF_PIECES)
        if sum(map(len, self._held)) > most and len(self._gather()) > most // 2:
            self.flush()

    def flush(self) -> list[Path]:
        """Spill what is held; returns all spills."""
        if self._held and len(table := self._gather()):
            column = table[self.key]
            keys = column.to_numpy() if pa.types.is_uint64(column.type) else hashes(column)
            path = self.folder / f"{self.name}.{len(self.paths)}"
            self.paths.append(spill(path, table, keys, self.bits))
        self._held = []
        return self.paths

    def _gather(self) -> pa.Table:
        gathered = pa.concat_tables(self._held) if self.summed is None else self.summed.add(self._held)
        self._held = [gathered]
        return gathered
