"""Records exchanged through files by hash range: how partitions see one range of keys from all over a corpus.

A spill holds the (key, record) pairs of one stretch of documents, by the key's high bits, with an index of
these in front; a partition reads its range from every spill. So there is one file a stretch, whatever
the number of partitions, and a partition's memory depends on its size alone. Spilling and reading are
functions of files: any engine can run them, anywhere that sees the folder. A task names its files by a
``FileList``, so that its own size does not grow with their number; it removes none, so that it can be done
again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.duplicates.array_files import appearing, look_up, read_array, write_array

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.uint32]
Records = npt.NDArray[Any]
Task = TypeVar("Task")
Result = TypeVar("Result")

#: Records of one stretch, and of one partition on average; of large corpora the largest, lest the files that
#: all partitions read from all stretches come to too many.
STRETCH, LARGEST_STRETCH = 1 << 18, 1 << 22
#: Stretches from which on they are larger.
_STRETCHES = 256
#: High bits of a key that the index of a spill holds at most; partitions are at most as many.
INDEX_BITS = 13


class Runner(Protocol):
    """Runs a function over tasks that can be pickled, and yields the results in their order."""

    def __call__(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield a result a task."""
        ...


class Corpus(Protocol):
    """Sketches of a corpus, as tasks read them (``audit.screens.Sketches``)."""

    @property
    def shards(self) -> Sequence[str]:
        """Shard ids, sorted."""
        ...

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Yield (shard, table) in shard order, ``position`` first."""
        ...

    def split(self) -> Sequence[Corpus]:
        """The same in stretches of neighbouring shards, for tasks."""
        ...

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield a result a task, in their order (``Runner``)."""
        ...


def threads(function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    """Run tasks in threads of this process, one a core; what they call releases the interpreter lock."""
    if len(tasks) < 2:
        yield from map(function, tasks)
    else:
        yield from _pool().map(function, tasks)


@cache
def _pool() -> ThreadPoolExecutor:
    # One for all stages: glibc keeps freed memory by thread, and new threads would each keep their own.
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="partition")


os.register_at_fork(after_in_child=_pool.cache_clear)


@dataclass(frozen=True)
class Matrix:
    """A file of ``count`` rows of ``width`` values of a NumPy type; mapped, not read."""

    path: Path
    count: int
    width: int
    dtype: str

    def map(self) -> npt.NDArray[Any]:
        """Return the rows, (count, width); writing to them changes the process' copy only."""
        if not self.count:
            return np.empty((0, self.width), self.dtype)
        return mapped(self.path, self.dtype, (self.count, self.width))

    def take(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a copy of some rows, (rows, width), read in the file's order; its pages are let go."""
        return look_up(self.map(), rows)


@dataclass(frozen=True)
class FileList:
    """Numbered files of one step, that a task names by one value.

    Attributes:
        folder, name: Of the files: ``name.number``, or ``name.number.run``.
    """

    folder: Path
    name: str

    def path(self, number: int, run: int | None = None) -> Path:
        """Where one lies."""
        return self.folder / (f"{self.name}.{number}" if run is None else f"{self.name}.{number}.{run}")

    def keep(self, members: Iterable[tuple[Path, int]]) -> None:
        """Write down which files there are, in order, with the number at which the records of each start."""
        lines = "".join(f"{start} {path.name}\n" for path, start in members)
        with appearing(self._list) as file:
            file.write(lines.encode())

    def members(self) -> list[tuple[Path, int]]:
        """Files and starts, as ``keep`` was told."""
        lines = self._list.read_text(encoding="utf-8").splitlines()
        pairs = (line.split(" ", 1) for line in lines)
        return [(self.folder / name, int(start)) for start, name in pairs]

    def remove(self) -> None:
        """Remove the files and their list."""
        for path, _ in self.members():
            path.unlink()
        self._list.unlink()

    @property
    def _list(self) -> Path:
        return self.folder / f"{self.name}.list"


def mapped(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...] | None = None) -> npt.NDArray[Any]:
    """Return a file's values as an array; its pages are the file's, and writing changes a copy only."""
    if path.stat().st_size == 0:
        return np.empty((0,) if shape is None else shape, dtype)
    return np.asarray(np.memmap(path, dtype, "c", shape=shape))


def stretch_of(records: int, least: int = STRETCH) -> int:
    """Return the records of a stretch, a power of two, for a corpus of so many."""
    return min(max(least, 1 << (max(0, records - 1) // _STRETCHES).bit_length()), LARGEST_STRETCH)


def partition_bits(records: int, per_partition: int) -> int:
    """Return the bits that number the fewest partitions (a power of two) of that size on average.

    They are at most ``INDEX_BITS``: of more records than that many partitions hold each becomes larger.
    """
    return min(max(0, (records - 1) // per_partition).bit_length(), INDEX_BITS)


def spill(path: Path, keys: Keys, records: Records) -> None:
    """Write records (any dtype, one a key), ordered by the key's high bits only, behind an index."""
    bits = min(max(len(keys).bit_length(), 1), INDEX_BITS)
    parts = (keys >> np.uint64(64 - bits)).astype(np.uint16)  # NumPy sorts 16 bits in linear time
    order = np.argsort(parts, kind="stable")
    bounds = np.concatenate(([0], np.cumsum(np.bincount(parts, minlength=1 << bits), dtype=np.int64)))
    with appearing(path) as file:
        write_array(file, np.array([bits, len(keys)], np.int64))
        write_array(file, bounds)
        write_array(file, keys[order])
        write_array(file, records[order])


def read_range(path: Path, dtype: npt.DTypeLike, partition: int, bits: int) -> tuple[Keys, Records]:
    """Return the records of one of ``2**bits`` partitions in a spill; those of a key are in their order."""
    with path.open("rb") as file:
        own, count = (int(number) for number in _at(file, 0, np.int64, 2))
        finer = max(bits - own, 0)  # than the index of a small spill
        first, wide = partition >> finer, own + finer - bits
        start, stop = (
            int(_at(file, 16 + 8 * (place << wide), np.int64, 1)[0]) for place in (first, first + 1)
        )
        header = 16 + 8 * ((1 << own) + 1)
        keys = _at(file, header + 8 * start, np.uint64, stop - start)
        records = _at(file, header + 8 * count + np.dtype(dtype).itemsize * start, dtype, stop - start)
    if not finer:
        return keys, records
    inside = keys >> np.uint64(64 - bits) == partition
    return keys[inside], records[inside]


def together(parts: Iterable[tuple[Keys, Records]]) -> tuple[Keys, Records]:
    """Return the records of parts, one at least, one after the other."""
    found = list(parts)
    return np.concatenate([keys for keys, _ in found]), np.concatenate([records for _, records in found])


def merged(parts: Iterable[tuple[Keys, Records]]) -> tuple[Keys, Records]:
    """Return the records of parts sorted by key, ties in the order of the parts."""
    keys, records = together(parts)
    order = np.argsort(keys, kind="stable")
    return keys[order], records[order]


def read_partition(spills: FileList, partition: int, bits: int) -> tuple[Keys, Numbers]:
    """Return one partition's numbers (uint32) from all spills, sorted by key."""
    return merged(read_range(path, np.uint32, partition, bits) for path, _ in spills.members())


def _at(file: BinaryIO, offset: int, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
    file.seek(offset)
    return read_array(file, dtype, count)
