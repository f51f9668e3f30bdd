"""Arrow IPC files: what ``datasets.save_to_disk`` writes, and Feather."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.ipc

from audit.errors import InputError
from audit.model import Batch, Shard
from audit.objects.object_addresses import is_object_address
from audit.sources.columns import ColumnMapping
from audit.sources.contracts import Cut, ReadLimits
from audit.sources.shard_bytes import open_shard_bytes
from audit.sources.streams import ContentDigest, ShardFile, digest_file
from audit.sources.tables import TableBatches, TableColumns

_FILE_MAGIC = b"ARROW1\0\0"
_BUFFER = 1 << 20
_ENDS = (b"\xff\xff\xff\xff\0\0\0\0", b"ARROW1")  # end-of-stream marker; end of a footer


class Arrow:
    """Record batches of an Arrow IPC stream or file, read as a stream."""

    name: ClassVar[str] = "arrow"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    suffixes: ClassVar[tuple[str, ...]] = (".arrow", ".feather")

    def cut(self, uri: str, size: int, shard_bytes: int) -> Sequence[Cut]:  # noqa: ARG002
        """Always whole: ``save_to_disk`` has cut already."""
        return [Cut(None, None, size)]

    def read(
        self,
        shard: Shard,
        columns: ColumnMapping,
        limits: ReadLimits,
        digest: ContentDigest | None,
        wanted: frozenset[int] | None,
    ) -> Iterator[Batch]:
        """As in ``Source``."""
        if shard.file_size == 0 and (is_object_address(shard.uri) or Path(shard.uri).stat().st_size == 0):
            return
        first, told = 0, 0
        with ShardFile(shard, digest) as file:
            buffered = _Undetached(file, _BUFFER)
            for table in _tables(buffered):
                batches = TableBatches(shard, TableColumns(table.schema, columns), limits)
                for batch, _ in batches.build(table, first, wanted):
                    yield Batch(batch.documents, batch.rejects, file.taken - told)
                    told = file.taken
                first += table.num_rows
                if wanted is not None and first > max(wanted, default=-1):
                    return
        if not _tail(shard).endswith(_ENDS):
            raise InputError("truncated", "the file ends in the middle")

    def digest(self, shard: Shard, digest: ContentDigest) -> None:
        """As in ``Source``."""
        digest_file(shard, digest)


class _Undetached(io.BufferedReader):
    """Leaves the file below open: Arrow closes what it reads, and the digest is not complete by then."""

    def close(self) -> None:
        """Nothing: whoever opened the file closes it."""


def _tables(file: io.BufferedReader) -> Iterator[pa.RecordBatch]:
    """Record batches in order; an IPC file is a stream between a magic number and a footer."""
    if file.peek(len(_FILE_MAGIC))[: len(_FILE_MAGIC)] == _FILE_MAGIC:
        file.read(len(_FILE_MAGIC))
    try:
        yield from pa.ipc.open_stream(file)
    except OSError as error:
        if error.errno is not None:  # the system's, not Arrow's
            raise
        raise InputError("truncated", "the file ends in the middle") from error
    except pa.ArrowException as error:
        raise InputError("corrupt", f"not a sound Arrow stream ({type(error).__name__})") from error


def _tail(shard: Shard) -> bytes:
    with open_shard_bytes(shard.uri, shard.etag, shard.file_size) as file:
        file.seek(max(0, file.seek(0, io.SEEK_END) - 8))
        return file.read() or b""
