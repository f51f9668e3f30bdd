"""CSV and TSV, plain or compressed."""

from __future__ import annotations

import csv
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from audit.errors import InputError
from audit.model import Batch, Shard
from audit.sources.columns import ColumnMapping, check_columns
from audit.sources.contracts import Cut, ReadLimits
from audit.sources.lines import OVERSIZE, Line, split_lines
from audit.sources.records import Item, Record, RecordBatches, grouped
from audit.sources.streams import ContentDigest, ShardFile, blocks, digest_file
from audit.sources.values import Refusal

_BOM = b"\xef\xbb\xbf"


class Delimited:
    """Rows of a CSV file with a header.

    Fields are separated by tabs in ``.tsv`` files, otherwise by commas, or where the header has none by
    semicolons or tabs. Quoted fields may hold line ends. A row whose number of fields is not the header's
    is rejected (``bad_row``); when it runs over several lines, an unclosed quote may have swallowed them,
    so its first line alone is rejected and the others are read again. Invalid UTF-8 spoils its row only.
    """

    name: ClassVar[str] = "csv"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("isal", "zstandard")
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        stem + end for stem in (".csv", ".tsv") for end in ("", ".gz", ".zst")
    )

    def cut(self, uri: str, size: int, shard_bytes: int) -> Sequence[Cut]:  # noqa: ARG002
        """Always whole: a line may lie within a quoted field."""
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
        batches = RecordBatches(shard, columns, limits)
        told = 0
        with ShardFile(shard, digest) as file:
            lines = itertools.chain.from_iterable(split_lines(blocks(file), limits.max_document_bytes))
            items = _items(lines, shard, columns, limits)
            if wanted is not None:
                items = _only(items, wanted)
            for group in grouped(items, limits):
                yield batches.build_items(group, file.taken - told)
                told = file.taken

    def digest(self, shard: Shard, digest: ContentDigest) -> None:
        """As in ``Source``."""
        digest_file(shard, digest)


def _only(items: Iterator[Item], wanted: frozenset[int]) -> Iterator[Item]:
    last = max(wanted, default=-1)
    reached = itertools.takewhile(lambda item: item.position <= last, items)
    return (item for item in reached if item.position in wanted)


def _items(lines: Iterator[Line], shard: Shard, columns: ColumnMapping, limits: ReadLimits) -> Iterator[Item]:
    header = next((line for line in lines if line is OVERSIZE or line.strip()), b"")
    if header is OVERSIZE:
        raise InputError("unreadable", "the header is larger than a document may be")
    if not header:
        return
    csv.field_size_limit(max(csv.field_size_limit(), limits.max_document_bytes))
    rows = _Rows(itertools.chain([header.removeprefix(_BOM)], lines), _delimiter(shard, header), limits)
    names = rows.header()
    check_columns(columns, names.__contains__, names)
    for position, (row, size) in enumerate(rows):
        value: Record | Refusal = row if isinstance(row, Refusal) else dict(zip(names, row, strict=True))
        yield Item(position, value, size)


def _delimiter(shard: Shard, header: bytes) -> str:
    if Path(shard.uri.lower()).name.removesuffix(".gz").removesuffix(".zst").endswith(".tsv"):
        return "\t"
    return next((mark for mark in ",;\t" if mark.encode() in header), ",")


class _OversizeError(Exception):
    """The record under way is over the limit."""


Row = Sequence[str | bytes]


class _Rows:
    """Rows and their sizes; cells that are no UTF-8 stay bytes."""

    def __init__(self, lines: Iterator[Line], delimiter: str, limits: ReadLimits) -> None:
        self._lines, self._again = lines, deque[Line]()
        self._delimiter, self._limits = delimiter, limits
        self._taken: list[Line] = []  # lines of the row under way
        self._size = 0
        self._ended = False
        self._reader = csv.reader(self._feed(), delimiter=delimiter)
        self._width = 0

    def header(self) -> list[str]:
        """The first row."""
        names = next(self._reader)
        self._width = len(names)
        return names

    def __iter__(self) -> Iterator[tuple[Row | Refusal, int]]:
        while not self._ended or self._again:
            self._taken, self._size = [], 0
            row = self._next()
            if row is None or row == []:  # the end, or a blank line
                continue
            if isinstance(row, Refusal):
                self._again.extendleft(reversed(self._taken[1:]))
                first = self._taken[0] if self._taken else OVERSIZE
                yield row, 0 if first is OVERSIZE else len(first)
            else:
                yield row, self._size

    def _next(self) -> Row | Refusal | None:
        try:
            row = next(self._reader, None)
        except csv.Error:
            return Refusal("bad_row", "it is no row")
        except _OversizeError:
            self._restart()
            unclosed = len(self._taken) > 1
            return (
                Refusal("bad_row", "a quote is not closed") if unclosed else Refusal("too_large", "the row")
            )
        if row is None:
            self._restart()
            return None
        if row and len(row) != self._width:
            return Refusal("bad_row", f"{len(row)} fields under {self._width} columns")
        if self._ended and self._is_open():
            return Refusal("bad_row", "a quote is not closed")
        return row if all(map(str.isascii, row)) else [_cell(cell) for cell in row]

    def _restart(self) -> None:
        """A generator that has raised or ended is spent; lines may be fed again."""
        self._reader = csv.reader(self._feed(), delimiter=self._delimiter)

    def _feed(self) -> Iterator[str]:
        while True:
            if self._again:
                line = self._again.popleft()
            else:
                try:
                    line = next(self._lines)
                except StopIteration:
                    self._ended = True
                    return
            self._taken.append(line)
            self._size += 0 if line is OVERSIZE else len(line) + 1
            if line is OVERSIZE or self._size > self._limits.max_document_bytes + 1:
                raise _OversizeError
            yield line.decode("utf-8", "surrogateescape") + "\n"

    def _is_open(self) -> bool:
        """Whether the row under way, the last of the file, ends within quotes."""
        lines = [line.decode("utf-8", "surrogateescape") for line in self._taken if line is not OVERSIZE]
        try:
            list(csv.reader(lines, delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            return "end of data" in str(error)
        return False


def _cell(cell: str) -> str | bytes:
    raw = cell.encode("utf-8", "surrogateescape")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw
    return cell
