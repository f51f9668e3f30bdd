"""Parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import InputError
from audit.model import Batch, Shard
from audit.objects.object_addresses import is_object_address
from audit.objects.object_bytes import BLOCK, ObjectBytes
from audit.sources.columns import ColumnMapping
from audit.sources.contracts import Cut, ReadLimits
from audit.sources.shard_bytes import feed, open_shard_bytes, spooled
from audit.sources.streams import ContentDigest
from audit.sources.tables import TableBatches, TableColumns

_BUFFER = 1 << 20
_FOOTER_TAIL = 8  # length of the footer, and the magic number
_SPOOL_BYTES = 4 << 30  # larger shards of objects (one vast row group) are fetched twice instead


class Parquet:
    """Row groups of a Parquet file; only the columns that are mapped are read.

    Texts may be strings, binary UTF-8, dictionaries, or lists of chat messages. A big file is cut
    between row groups. The digest of a cut covers the bytes of its row groups and the footer.
    """

    name: ClassVar[str] = "parquet"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def cut(self, uri: str, size: int, shard_bytes: int) -> Sequence[Cut]:
        """Groups of row groups of at most ``shard_bytes``, compressed; at least one a group."""
        whole = [Cut(None, None, size)]
        if size <= shard_bytes:
            return whole
        try:
            with open_shard_bytes(uri, None, size if is_object_address(uri) else None) as file:
                metadata = pq.read_metadata(file)
        except (pa.ArrowException, OSError, InputError):
            return whole
        cuts = list(
            _cuts([_stored_bytes(metadata.row_group(i)) for i in range(metadata.num_row_groups)], shard_bytes)
        )
        return cuts if len(cuts) > 1 else whole

    def read(
        self,
        shard: Shard,
        columns: ColumnMapping,
        limits: ReadLimits,
        digest: ContentDigest | None,
        wanted: frozenset[int] | None,
    ) -> Iterator[Batch]:
        """As in ``Source``."""
        with ExitStack() as stack:
            file = stack.enter_context(open_shard_bytes(shard.uri, shard.etag, shard.file_size))
            if digest is not None and is_object_address(shard.uri) and shard.size <= _SPOOL_BYTES:
                spans = _spans(file, shard)
                file = stack.enter_context(spooled(file, spans, shard.file_size, digest.update))
            elif digest is not None:
                _digest(file, shard, digest)
            yield from _read(file, shard, columns, limits, wanted)

    def digest(self, shard: Shard, digest: ContentDigest) -> None:
        """As in ``Source``."""
        with open_shard_bytes(shard.uri, shard.etag, shard.file_size) as file:
            _digest(file, shard, digest)


def _digest(file: io.RawIOBase, shard: Shard, digest: ContentDigest) -> None:
    for begin, end in _spans(file, shard):
        feed(file, begin, end, digest.update)


def _spans(file: io.RawIOBase, shard: Shard) -> list[tuple[int, int]]:
    """Ranges of bytes that the shard is: the whole file, or its row groups and the footer."""
    size = file.seek(0, io.SEEK_END)
    if shard.start is None or shard.stop is None:
        return [(0, size)]
    metadata = _open(file).metadata
    _check_cut(shard, metadata)
    groups = [metadata.row_group(i) for i in range(shard.start, shard.stop)]
    footer = size - _FOOTER_TAIL - metadata.serialized_size
    return [(min(map(_begin, groups)), max(map(_end, groups))), (footer, size)]


def _read(
    handle: io.RawIOBase,
    shard: Shard,
    columns: ColumnMapping,
    limits: ReadLimits,
    wanted: frozenset[int] | None,
) -> Iterator[Batch]:
    file = _open(handle, gather=wanted is not None)
    _check_cut(shard, file.metadata)
    found = TableColumns(file.schema_arrow, columns)
    batches = TableBatches(shard, found, limits)
    start, stop = shard.start or 0, shard.stop if shard.stop is not None else file.num_row_groups
    first = 0
    progress = _Progress(shard.size, sum(file.metadata.row_group(i).num_rows for i in range(start, stop)))
    for groups in _selected(file.metadata, start, stop, wanted):
        if isinstance(groups, int):
            first += groups  # rows that nobody wants
            continue
        rows = _rows_at_once(file.metadata, groups, found.paths(), limits)
        for table in _sound(file.iter_batches(rows, groups, found.paths(), use_threads=False)):
            for batch, done in batches.build(table, first, wanted):
                yield Batch(batch.documents, batch.rejects, progress.advance(first + done))
            first += table.num_rows


def _open(handle: io.RawIOBase, *, gather: bool = False) -> pq.ParquetFile:
    """Open; of an object, ``gather`` fetches the columns of a row group together."""
    far = isinstance(handle, ObjectBytes)
    buffer = BLOCK if far else _BUFFER  # a request costs more than its bytes
    try:
        return pq.ParquetFile(handle, buffer_size=buffer, pre_buffer=far and gather)
    except (pa.ArrowException, OSError) as error:
        raise InputError("unreadable", f"not a sound Parquet file ({type(error).__name__})") from error


def _sound(tables: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        yield from tables
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not Arrow's
            raise
        raise InputError("corrupt", f"a page is damaged ({type(error).__name__})") from error


def _check_cut(shard: Shard, metadata: Any) -> None:
    if shard.stop is not None and shard.stop > metadata.num_row_groups:
        raise InputError("unreadable", "it has fewer row groups than when the shards were planned")


def _selected(
    metadata: Any, start: int, stop: int, wanted: frozenset[int] | None
) -> Iterator[list[int] | int]:
    """Row groups to read, in order; a number of rows stands for groups without a wanted row."""
    if wanted is None:
        yield list(range(start, stop))
        return
    first, last = 0, max(wanted, default=-1)
    for group in range(start, stop):
        rows = metadata.row_group(group).num_rows
        if first > last:
            return
        yield [group] if any(first <= position < first + rows for position in wanted) else rows
        first += rows


class _Progress:
    """Bytes of the shard by rows done: pages are not in the order of rows."""

    def __init__(self, size: int, rows: int) -> None:
        self._size, self._rows, self._told = size, max(1, rows), 0

    def advance(self, rows: int) -> int:
        now = self._size * rows // self._rows
        step, self._told = now - self._told, now
        return step


def _rows_at_once(metadata: Any, groups: list[int], paths: list[str], limits: ReadLimits) -> int:
    """Rows that decode to about a batch's bytes in the densest row group."""
    densest = 1.0
    for group in (metadata.row_group(i) for i in groups):
        size = sum(
            c.total_uncompressed_size
            for c in map(group.column, range(group.num_columns))
            if any(c.path_in_schema == p or c.path_in_schema.startswith(f"{p}.") for p in paths)
        )
        densest = max(densest, size / max(1, group.num_rows))
    return max(1, min(limits.batch_rows, int(limits.batch_bytes / densest)))


def _cuts(sizes: Sequence[int], shard_bytes: int) -> Iterator[Cut]:
    start, total = 0, 0
    for group, size in enumerate(sizes):
        if group > start and total + size > shard_bytes:
            yield Cut(start, group, total)
            start, total = group, 0
        total += size
    if sizes:
        yield Cut(start, len(sizes), total)


def _stored_bytes(group: Any) -> int:
    return sum(group.column(i).total_compressed_size for i in range(group.num_columns))


def _begin(group: Any) -> int:
    return min(_chunk_start(group.column(i)) for i in range(group.num_columns))


def _end(group: Any) -> int:
    chunks = [group.column(i) for i in range(group.num_columns)]
    return int(max(_chunk_start(chunk) + chunk.total_compressed_size for chunk in chunks))


def _chunk_start(chunk: Any) -> int:
    dictionary = chunk.dictionary_page_offset
    return int(min(dictionary, chunk.data_page_offset) if dictionary else chunk.data_page_offset)
