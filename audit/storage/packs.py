"""Packs: files that hold the rows of many small parts of one family, each found by its work key.

A pack is a Parquet file beside the parts, ``<family>/pack-<id>.parquet``, with the rows of its members one
after the other, in the order of their shards. Its list, ``packs/<family>.<id>.arrow``, says of each member
where its rows lie, and keeps what its footer held. Without its list a pack is not looked at. Lists are mapped
into memory: a worker that asks for one part of a million reads a few pages.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

#: Folder of the lists, beside the families.
LISTS = "packs"
SUFFIX = ".arrow"
PREFIX = "pack-"
LIST_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.string()),
        pa.field("key", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("rows", pa.int64()),
        pa.field("bytes", pa.int64()),  # of the part's own file
        pa.field("metadata", pa.string()),
    ]
)


@dataclass(frozen=True)
class Member:
    """A part in a pack: rows ``start`` to ``start + rows``, and what its footer held."""

    pack: Pack
    shard: str
    key: str
    start: int
    rows: int
    bytes: int
    metadata: str

    def read(self, columns: Sequence[str] | None) -> pa.Table:
        """Its rows."""
        wanted = None if columns is None else tuple(columns)
        first, last = self.pack.groups(self.start, self.start + self.rows)
        starts = _starts(str(self.pack.path), _stamp(self.pack.path))
        if last - first <= 1:
            rows = _group(str(self.pack.path), _stamp(self.pack.path), first, wanted)
        else:
            rows = _open(self.pack.path).read_row_groups(list(range(first, last)), columns=wanted)
        rows = rows.slice(self.start - starts[first], self.rows)
        return rows if columns is None else rows.select(list(columns))

    def told(self) -> dict[str, Any]:
        """What was committed beside the rows."""
        parsed: dict[str, Any] = json.loads(self.metadata)
        return parsed


@dataclass(frozen=True)
class Pack:
    """A pack and its list, below a folder of parts."""

    folder: Path
    family: str
    id: str

    @property
    def relative(self) -> str:
        """Path of the rows below ``parts/``."""
        return f"{self.family}/{PREFIX}{self.id}.parquet"

    @property
    def relative_list(self) -> str:
        """Path of the list below ``parts/``."""
        return f"{LISTS}/{self.family}.{self.id}{SUFFIX}"

    @property
    def path(self) -> Path:
        """Where the rows lie."""
        return self.folder / self.relative

    @property
    def list_path(self) -> Path:
        """Where the list lies."""
        return self.folder / self.relative_list

    def table(self) -> pa.Table:
        """The list, mapped into memory (``LIST_SCHEMA``), sorted by shard."""
        with pa.memory_map(str(self.list_path)) as source:
            return pa.ipc.open_file(source).read_all()

    def members(self) -> Iterator[Member]:
        """All members, by shard."""
        table = self.table()
        for batch in table.to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                yield Member(self, **row)

    def sizes(self) -> list[tuple[str, str, int]]:
        """Shard, work key and bytes of all members, by shard."""
        table = self.table()
        columns = [table.column(name).to_pylist() for name in ("shard", "key", "bytes")]
        return list(zip(*columns, strict=True))

    def names(self) -> Iterator[tuple[str, str]]:
        """Shard and work key of all members."""
        table = self.table()
        return zip(table.column("shard").to_pylist(), table.column("key").to_pylist(), strict=True)

    def groups(self, start: int, stop: int) -> tuple[int, int]:
        """First row group that holds a row of the range, and the one behind the last."""
        starts = _starts(str(self.path), _stamp(self.path))
        first = max(bisect.bisect_right(starts, start) - 1, 0)
        return first, max(bisect.bisect_left(starts, stop, lo=first + 1), first + 1)


def is_pack(name: str) -> bool:
    """Whether a path below the parts is that of a pack's rows."""
    return name.rpartition("/")[2].startswith(PREFIX)


def standing(folder: Path, family: str | None = None) -> list[Pack]:
    """Packs with a list below a folder of parts, by family and id."""
    names = sorted(path.name for path in (folder / LISTS).glob(f"{family or '*'}.*{SUFFIX}"))
    found = [name.removesuffix(SUFFIX).rpartition(".") for name in names]
    return [Pack(folder, where, pack) for where, _, pack in found if family in (None, where)]


def find(folder: Path, family: str, shard: str, key: str, replaced: Collection[Pack] = ()) -> Member | None:
    """The member of a pack that is this part, or None.

    Args:
        folder: Of the parts.
        family, shard, key: Of the part.
        replaced: Packs that are about to go, and are not looked at.
    """
    try:
        stamp = (folder / LISTS).stat().st_mtime_ns
    except FileNotFoundError:
        return None
    return next(_family(str(folder), family, stamp, frozenset(replaced)).find(shard, key), None)


def locate(
    folder: Path, family: str, names: Sequence[tuple[str, str]], replaced: Collection[Pack] = ()
) -> Located:
    """Where packs hold parts of a family, all at once; see ``find``.

    Args:
        folder: Of the parts.
        family: Of the parts.
        names: Shard and work key of each part.
        replaced: Packs that are about to go, and are not looked at.
    """
    try:
        stamp = (folder / LISTS).stat().st_mtime_ns
    except FileNotFoundError:
        stamp = 0
    held = _family(str(folder), family, stamp, frozenset(replaced))
    return Located(held, held.numbers(names))


@dataclass(frozen=True)
class Located:
    """Where packs hold some parts of a family.

    Attributes:
        numbers: The place of each part among the members of all packs; -1 where none holds it.
    """

    family: _Family
    numbers: npt.NDArray[np.int64]

    def packs(self) -> list[Pack | None]:
        """The pack that holds each part; None where none does."""
        return self.family.packs_of(self.numbers)

    def told(self) -> list[dict[str, Any]]:
        """What was committed beside the rows of each part that a pack holds, in order."""
        lines = self.family.metadata(self.numbers[self.numbers >= 0])
        return [json.loads(line) for line in lines]


def forget() -> None:
    """Look at the lists anew: this process has changed them."""
    _family.cache_clear()


class _Family:
    """The members of all packs of a family, by work key."""

    def __init__(self, folder: Path, family: str, replaced: Collection[Pack]) -> None:
        self._packs = [pack for pack in standing(folder, family) if pack not in replaced]
        self._tables = [pack.table() for pack in self._packs]
        keys = [_leading(table.column("key").to_pylist()) for table in self._tables]
        every = np.concatenate([np.empty(0, np.uint64), *keys])
        self._order = np.argsort(every, kind="stable")
        self._keys = every[self._order]
        self._ends = np.cumsum([len(table) for table in self._tables])

    def numbers(self, names: Sequence[tuple[str, str]]) -> npt.NDArray[np.int64]:
        """The place of each part among all members, -1 where there is none."""
        if not self._tables or not names:
            return np.full(len(names), -1, np.int64)
        wanted = _leading([key for _, key in names])
        first = np.searchsorted(self._keys, wanted)
        several = np.searchsorted(self._keys, wanted, side="right") - first
        numbers = np.where(several > 0, self._order[np.minimum(first, len(self._order) - 1)], -1)
        numbers[numbers >= 0] = self._checked(numbers, names)
        for at in np.flatnonzero(
            several > 1
        ).tolist():  # the same leading digits, or a part that two packs hold
            candidates = self._order[first[at] : first[at] + several[at]]
            same = self._checked(candidates, [names[at]] * len(candidates))
            numbers[at] = max(same.tolist())
        return numbers

    def _checked(
        self, numbers: npt.NDArray[np.int64], names: Sequence[tuple[str, str]]
    ) -> npt.NDArray[np.int64]:
        """Of numbers that are not -1, in order, those whose member has the part's whole name; else -1."""
        held = numbers >= 0
        rows = pa.concat_tables(self._tables).select(["shard", "key"]).take(pa.array(numbers[held]))
        chosen = [name for name, there in zip(names, held.tolist(), strict=True) if there]
        same = np.ones(len(chosen), bool)
        for column, values in zip(rows.columns, zip(*chosen, strict=True), strict=False):
            same &= np.asarray(pc.equal(column, pa.array(values, pa.string())))
        return np.where(same, numbers[held], -1)

    def packs_of(self, numbers: npt.NDArray[np.int64]) -> list[Pack | None]:
        which = np.searchsorted(self._ends, numbers, side="right").tolist()
        missing = (numbers < 0).tolist()
        return [None if absent else self._packs[at] for at, absent in zip(which, missing, strict=True)]

    def metadata(self, numbers: npt.NDArray[np.int64]) -> list[str]:
        if not len(numbers):
            return []
        rows = pa.concat_tables(self._tables).select(["metadata"]).take(pa.array(numbers))
        lines: list[str] = rows.column("metadata").to_pylist()
        return lines

    def find(self, shard: str, key: str) -> Iterator[Member]:
        leading = np.uint64(int(key[:16], 16))
        at = int(np.searchsorted(self._keys, leading))
        while at < len(self._keys) and self._keys[at] == leading:
            number = int(self._order[at])
            pack = int(np.searchsorted(self._ends, number, side="right"))
            table = self._tables[pack]
            row = number - int(self._ends[pack]) + len(table)
            if table.column("shard")[row].as_py() == shard and table.column("key")[row].as_py() == key:
                yield Member(self._packs[pack], **table.slice(row, 1).to_pylist()[0])
            at += 1


@lru_cache(maxsize=64)
def _family(folder: str, family: str, stamp: int, replaced: frozenset[Pack]) -> _Family:
    """The members of a family's packs; ``stamp`` changes with the folder of lists."""
    del stamp
    return _Family(Path(folder), family, replaced)


def _leading(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    """The first 64 bits of hexadecimal keys."""
    joined = bytes.fromhex("".join([key[:16] for key in keys]))
    return np.frombuffer(joined, ">u8").astype(np.uint64)


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _starts(path: str, stamp: tuple[int, int, int]) -> list[int]:
    """First row of each row group."""
    del stamp
    metadata = pq.read_metadata(path)
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return [0, *np.cumsum(sizes, dtype=np.int64).tolist()][: max(len(sizes), 1)]


def _open(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path)


@lru_cache(maxsize=16)
def _group(path: str, stamp: tuple[int, int, int], group: int, columns: tuple[str, ...] | None) -> pa.Table:
    """A row group; neighbours share it, and parts are mostly read in their order."""
    del stamp
    file = pq.ParquetFile(path)
    if file.num_row_groups == 0:
        return file.read(columns=None if columns is None else list(columns))
    return file.read_row_group(group, columns=None if columns is None else list(columns))
