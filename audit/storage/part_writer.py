"""Writes parts: Parquet files whose bytes depend on their rows alone, whatever the batches were."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audit.storage.durable_files import digest_file, disk_errors, sync_files

ROW_GROUP_ROWS = 65_536
#: Parts of at most so many rows are not compressed: to set a compressor up takes longer than the rest.
PLAIN_ROWS = 32
METADATA_KEY = b"audit"


@dataclass(frozen=True, slots=True)
class Part:
    """Names a part; ``key`` is its work key (64 hex digits)."""

    family: str
    shard: str
    key: str

    @property
    def relative(self) -> str:
        """Path below ``parts/``."""
        return f"{self.family}/{self.shard}.{self.key[:16]}.parquet"


@dataclass(frozen=True)
class Receipt:
    """A part as it was committed; spares whoever makes the index of parts a reading.

    Attributes:
        size: Bytes.
        sha256: Of its bytes, hex.
        metadata: What was committed beside the rows.
    """

    part: Part
    size: int
    sha256: str
    metadata: Mapping[str, Any]


class PartWriter:
    """Streams batches into a temporary file; ``commit`` names it and puts it in place in one step.

    Args:
        scratch: Folder of that file.
        family: Of the part.
        schema: Of its rows.
        place: Puts a file in the place of that name; see ``PartFiles.place``.
        group_rows: Rows of a row group; so many are held in memory.

    Attributes:
        path: Of the temporary file.
    """

    def __init__(
        self,
        scratch: Path,
        family: str,
        schema: pa.Schema,
        place: Callable[[Path, str], bool],
        group_rows: int = ROW_GROUP_ROWS,
    ) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._place, self._group_rows = place, group_rows
        self.path = scratch / f"{family}-{uuid.uuid4().hex}"
        self._pending: list[pa.Table] = []
        self._rows = 0
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None and self.path.exists():
            self._writer.close()
            self.path.unlink()

    def add(self, table: pa.Table | pa.RecordBatch) -> None:
        """Append rows; row groups are cut by row count, so that the bytes depend on the rows alone."""
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        self._pending.append(table.cast(self._schema))
        self._rows += table.num_rows
        while self._rows >= self._group_rows:
            whole = pa.concat_tables(self._pending)
            self._flush(whole.slice(0, self._group_rows))
            self._pending = [whole.slice(self._group_rows)]
            self._rows -= self._group_rows

    def close(self, part: Part, metadata: Mapping[str, Any]) -> Receipt:
        """Finish the file as that part, under its temporary name still."""
        writer = self._open(plain=self._rows <= PLAIN_ROWS)
        if self._rows:
            self._flush(pa.concat_tables(self._pending))
        told = {**metadata, "work_key": part.key}
        text = json.dumps(told, sort_keys=True, ensure_ascii=False)
        writer.add_key_value_metadata({METADATA_KEY: text.encode()})
        with disk_errors():
            writer.close()
            return Receipt(part, self.path.stat().st_size, digest_file(self.path), told)

    def commit(self, part: Part, metadata: Mapping[str, Any]) -> Receipt | None:
        """Close, sync and move into place; None when another worker's part stands there already."""
        return commit_all([(self, part, metadata)])[0]

    def name(self, receipt: Receipt) -> Receipt | None:
        """Move a file that was closed and synced into place; None as for ``commit``."""
        with disk_errors():
            return receipt if self._place(self.path, receipt.part.relative) else None

    def _open(self, *, plain: bool) -> pq.ParquetWriter:
        """The file, opened when the first rows go there: by then it is known whether there are few."""
        if self._writer is None:
            how = {"compression": "none"} if plain else {"compression": "zstd", "compression_level": 3}
            with disk_errors():
                self._writer = pq.ParquetWriter(self.path, self._schema, write_statistics=True, **how)
        return self._writer

    def _flush(self, table: pa.Table) -> None:
        writer = self._open(plain=False)
        with disk_errors():
            # Chunk boundaries follow the batches; one chunk a column keeps the pages independent of them.
            writer.write_table(table.combine_chunks(), row_group_size=self._group_rows)


def commit_all(
    finished: Sequence[tuple[PartWriter, Part, Mapping[str, Any]]],
) -> list[Receipt | None]:
    """Commit parts; all outlive a power failure before the first gets its name.

    Args:
        finished: Writers that have their rows, what each is to be named, and what is kept beside the rows.

    Returns:
        A receipt a part; None where another worker's part stands there already.
    """
    closed = [(writer, writer.close(part, metadata)) for writer, part, metadata in finished]
    with disk_errors():
        sync_files([writer.path for writer, _ in closed])
    return [writer.name(receipt) for writer, receipt in closed]
