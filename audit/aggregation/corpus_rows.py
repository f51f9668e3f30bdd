"""Rows of some shards in a part of the whole corpus, read without the rows of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit.storage.store import Part, Store

_SHARD = "shard"


class CorpusRows:
    """Rows of a part that holds those of all shards, by shard.

    Statistics tell which row groups may hold a shard. The last row group stays decoded: shards are mostly
    asked for in the order in which they lie there.
    """

    def __init__(self, store: Store, part: Part, columns: Sequence[str]) -> None:
        """Open a part.

        Args:
            store: Holds it.
            part: With a column ``shard``.
            columns: To be read, without ``shard``.
        """
        self._file = pq.ParquetFile(store.files.source(part.relative))
        self._columns = list(columns)
        self._least, self._most = _bounds(self._file.metadata)
        self._last: tuple[int, pa.Table] | None = None

    def of(self, shard: str) -> pa.Table:
        """The columns of a shard's rows, in the part's order; an empty table where it has none."""
        groups = np.flatnonzero((self._least <= shard) & (shard <= self._most))
        found = [self._in_group(int(group), shard) for group in groups]
        return pa.concat_tables(found) if found else self._empty()

    def _in_group(self, group: int, shard: str) -> pa.Table:
        if self._last is None or self._last[0] != group:
            rows = self._file.read_row_group(group, columns=[_SHARD, *self._columns])
            self._last = group, rows.set_column(0, _SHARD, rows[_SHARD].cast(pa.string()))
        rows = self._last[1]
        return rows.filter(pc.equal(rows[_SHARD], shard)).select(self._columns)

    def _empty(self) -> pa.Table:
        schema = self._file.schema_arrow
        return pa.schema([schema.field(name) for name in self._columns]).empty_table()


def _bounds(metadata: pq.FileMetaData) -> tuple[np.ndarray, np.ndarray]:
    """First and last shard of each row group; those of one without statistics admit any."""
    column = metadata.schema.names.index(_SHARD)
    least, most = [], []
    for group in range(metadata.num_row_groups):
        told = metadata.row_group(group).column(column).statistics
        known = told is not None and told.has_min_max
        least.append(told.min if known else "")
        most.append(told.max if known else "\U0010ffff")
    return np.array(least, np.str_), np.array(most, np.str_)
