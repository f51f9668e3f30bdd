"""Numbers of their own for copies: documents of one id and one text have one permanent random number.

Drawn all or none, copies would be one draw with a large weight that no limit accounts for. So the k-th
copy, in (shard, position) order over the whole corpus, gets a number derived from the common one and k.
The first keeps it: a version of the data set without the copies draws the same documents.

Copies may lie anywhere, so their numbers meet through files. Each stretch of the corpus spills its numbers
in ascending order (``Spill``). A partition, a range of numbers, sees that range of all spills, and tells each
stretch which of its numbers repeat, and how often they stood before it (``tell_repeats``). With that, a
stretch separates its copies alone (``separated``). Every step holds one stretch or one partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.duplicates.array_files import appearing, read_array, write_array
from audit.kernels.hashing import siphash64

Numbers = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]

#: Up to this cut are all numbers.
LARGEST = np.uint64(np.iinfo(np.uint64).max)


@dataclass(frozen=True)
class Spill:
    """A file with the numbers of a stretch, ascending, equal ones in the corpus' order, and with their rows.

    In front lie the bounds of ``2**bits`` partitions by the numbers' high bits. 12 bytes a document.

    Attributes:
        path: Of the file.
        bits: Of the number of a partition.
    """

    path: Path
    bits: int

    def write(self, numbers: Numbers) -> None:
        """Write the numbers of a stretch, which are in the corpus' order."""
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        edges = np.arange(1, 1 << self.bits, dtype=np.uint64) << np.uint64(64 - self.bits if self.bits else 0)
        bounds = np.concatenate(([0], np.searchsorted(ordered, edges), [len(ordered)]))
        with appearing(self.path) as file:
            write_array(file, bounds.astype(np.int64))
            write_array(file, ordered)
            write_array(file, order.astype(np.uint32))

    @property
    def _header(self) -> int:
        return 8 * ((1 << self.bits) + 1)

    def partition(self, number: int) -> Numbers:
        """Read the numbers of a partition, ascending."""
        start, stop = (int(bound) for bound in read_array(self.path, np.int64, 2, 8 * number))
        return read_array(self.path, np.uint64, stop - start, self._header + 8 * start)

    def all(self) -> tuple[Numbers, Rows]:
        """All numbers, ascending, and the row of each in the stretch; mapped, not read."""
        count = int(read_array(self.path, np.int64, 1, self._header - 8)[0])
        if not count:
            return np.empty(0, np.uint64), np.empty(0, np.uint32)
        numbers = np.memmap(self.path, np.uint64, "r", self._header, (count,))
        rows = np.memmap(self.path, np.uint32, "r", self._header + 8 * count, (count,))
        return np.asarray(numbers), np.asarray(rows)


@dataclass(frozen=True)
class Repeats:
    """Numbers of a stretch that it, or one before it, has already.

    Attributes:
        numbers: (n,), ascending.
        before: (n,): how often each stands in the stretches before this one.
    """

    numbers: Numbers
    before: Counts


def tell_repeats(path: Path, spills: Sequence[Spill], partition: int) -> bool:
    """Write the repeats of each stretch among the numbers of one partition.

    Args:
        path: File to write, for ``read_repeats``; none is written where nothing repeats.
        spills: Of all stretches, in the corpus' order.
        partition: From 0.

    Returns:
        Whether any number repeats.
    """
    pieces = [spill.partition(partition) for spill in spills]
    every = np.sort(np.concatenate([np.empty(0, np.uint64), *pieces]))
    repeated = np.unique(every[1:][every[1:] == every[:-1]])
    if not len(repeated):
        return False
    seen = np.zeros(len(repeated), np.int64)
    told = [_met(piece, repeated, seen) for piece in pieces]
    bounds = np.cumsum([0, *(len(each.numbers) for each in told)], dtype=np.int64)
    with appearing(path) as file:
        write_array(file, bounds)
        for each in told:
            write_array(file, each.numbers)
        for each in told:
            write_array(file, each.before)
    return True


def _met(piece: Numbers, repeated: Numbers, seen: Counts) -> Repeats:
    """What a stretch has to know of the numbers that repeat; its own count as ``seen`` afterwards."""
    at = np.minimum(np.searchsorted(repeated, piece), len(repeated) - 1)
    which, count = np.unique(at[repeated[at] == piece], return_counts=True)
    before = seen[which]
    later = (before > 0) | (count > 1)
    seen[which] += count
    return Repeats(repeated[which[later]], before[later])


def read_repeats(paths: Sequence[Path], stretch: int, stretches: int) -> Repeats:
    """Read what all partitions told one stretch.

    Args:
        paths: Files of ``tell_repeats``, by partition.
        stretch: From 0.
        stretches: How many there are.
    """
    header = 8 * (stretches + 1)
    numbers, before = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for path in paths:
        start, stop = (int(bound) for bound in read_array(path, np.int64, 2, 8 * stretch))
        (total,) = read_array(path, np.int64, 1, 8 * stretches)
        numbers.append(read_array(path, np.uint64, stop - start, header + 8 * start))
        before.append(read_array(path, np.int64, stop - start, header + 8 * (int(total) + start)))
    return Repeats(np.concatenate(numbers), np.concatenate(before))


def separated(spill: Spill, repeats: Repeats, seed: bytes, cut: np.uint64 = LARGEST) -> tuple[Rows, Numbers]:
    """The documents of a stretch whose number, copies separated, is at most ``cut``; by row.

    Only pages of the file that hold small numbers or copies are read.

    Args:
        spill: The stretch.
        repeats: Those of the stretch.
        seed: Of the permanent random numbers.
        cut: Largest number that is asked for.

    Returns:
        Rows in the stretch, ascending, and the number of each.
    """
    numbers, rows = spill.all()
    near = int(np.searchsorted(numbers, cut, side="right"))
    at, copy = _occurrences(numbers, repeats)
    later = copy > 0
    own = _renumbered(numbers[at[later]], copy[later], seed)
    kept = np.ones(near, np.bool_)
    kept[at[later & (at < near)]] = False
    small = own <= cut
    found = np.concatenate([rows[:near][kept], rows[at[later][small]]])
    order = np.argsort(found)
    return found[order], np.concatenate([numbers[:near][kept], own[small]])[order]


def _occurrences(numbers: Numbers, repeats: Repeats) -> tuple[npt.NDArray[np.intp], Counts]:
    """Where the numbers that repeat stand among sorted ones, and which copy (from 0) each of these is."""
    starts = np.searchsorted(numbers, repeats.numbers)
    lengths = np.searchsorted(numbers, repeats.numbers, side="right") - starts
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(starts, lengths) + within, np.repeat(repeats.before, lengths) + within


def _renumbered(numbers: Numbers, copy: Counts, seed: bytes) -> Numbers:
    pairs = np.column_stack([numbers, copy.astype(np.uint64)]).astype("<u8")
    packed = pa.Array.from_buffers(pa.binary(16), len(pairs), [None, pa.py_buffer(pairs.tobytes())])
    key = (int.from_bytes(seed[:8], "little"), int.from_bytes(seed[8:], "little"))
    return siphash64(packed.cast(pa.binary()), key)
