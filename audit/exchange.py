"""Records exchanged through files by hash range: how partitions see one range of keys from all over a corpus.

A spill holds the (key, number) records of one stretch of documents, sorted by key, with the bounds of each
partition in front; a partition reads its range from every spill. So there is one file a stretch, whatever
the number of partitions, and a partition's memory depends on its size alone. Spilling and reading are
functions of files: any engine can run them, anywhere that sees the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from audit.array_files import read_array, write_array

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.uint32]
Task = TypeVar("Task")
Result = TypeVar("Result")

#: Records of one stretch, and of one partition on average.
STRETCH = 1 << 18


class Runner(Protocol):
    """Runs a function over tasks that can be pickled, and yields the results in their order."""

    def __call__(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield a result a task."""
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
        return mapped(self.path, self.dtype, (self.count, self.width))


def mapped(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...] | None = None) -> npt.NDArray[Any]:
    """Return a file's values as an array; its pages are the file's, and writing changes a copy only."""
    if path.stat().st_size == 0:
        return np.empty((0,) if shape is None else shape, dtype)
    return np.asarray(np.memmap(path, dtype, "c", shape=shape))


def partition_bits(records: int, per_partition: int) -> int:
    """Return the bits that number the fewest partitions (a power of two) of that size on average."""
    return max(0, (records - 1) // per_partition).bit_length()


def spill(path: Path, keys: Keys, numbers: Numbers, bits: int) -> None:
    """Write records sorted by key (ties in the order given), for ``2**bits`` partitions by the high bits."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits) if bits else np.zeros(1, np.uint64)
    bounds = np.append(np.searchsorted(ordered, starts), len(ordered)).astype(np.int64)
    with path.open("wb") as file:
        write_array(file, bounds)
        write_array(file, ordered)
        write_array(file, numbers[order])


def read_partition(spills: Sequence[Path], partition: int, bits: int) -> tuple[Keys, Numbers]:
    """Return one partition's records, sorted by key, ties in the order of the spills."""
    parts = [_read_range(path, partition, bits) for path in spills]
    keys = np.concatenate([keys for keys, _ in parts])
    order = np.argsort(keys, kind="stable")
    return keys[order], np.concatenate([numbers for _, numbers in parts])[order]


def _read_range(path: Path, partition: int, bits: int) -> tuple[Keys, Numbers]:
    header = 8 * ((1 << bits) + 1)
    with path.open("rb") as file:
        file.seek(8 * partition)
        start, stop = (int(bound) for bound in read_array(file, np.int64, 2))
        file.seek(header - 8)
        records = int(read_array(file, np.int64, 1)[0])
        file.seek(header + 8 * start)
        keys = read_array(file, np.uint64, stop - start)
        file.seek(header + 8 * records + 4 * start)
        return keys, read_array(file, np.uint32, stop - start)
