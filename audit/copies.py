"""Numbers of their own for copies: documents of one id and one text have one permanent random number.

Drawn all or none, copies would be one draw with a large weight that no limit accounts for. So the k-th
copy, in (shard, position) order over the whole corpus, gets a number derived from the common one and k.
The first keeps it: a version of the data set without the copies draws the same documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.kernels.hashing import siphash64

Numbers = npt.NDArray[np.uint64]

#: Partition files by the numbers' first bits: one is in memory at a time.
_PARTITIONS = 64


def repeated_numbers(batches: Iterable[Numbers], folder: Path) -> Numbers:
    """Numbers that occur more than once, sorted.

    Args:
        batches: All numbers of the corpus.
        folder: Empty scratch folder; takes 8 bytes a document. Memory: a 64th of that.
    """
    files = [folder / f"{p:02}" for p in range(_PARTITIONS)]
    for numbers in batches:
        ordered = np.sort(numbers)
        edges = np.arange(1, _PARTITIONS, dtype=np.uint64) << np.uint64(64 - 6)
        for file, piece in zip(files, np.split(ordered, np.searchsorted(ordered, edges)), strict=True):
            if len(piece):
                with file.open("ab") as handle:
                    handle.write(piece.tobytes())
    found = [_repeated(np.fromfile(file, np.uint64)) for file in files if file.exists()]
    return np.concatenate([np.empty(0, np.uint64), *found])


def _repeated(numbers: Numbers) -> Numbers:
    values, counts = np.unique(numbers, return_counts=True)
    return np.asarray(values[counts > 1], np.uint64)


def separating(repeated: Numbers, seed: bytes) -> Callable[[Numbers], Numbers]:
    """A function that separates copies batch by batch; batches come in the corpus' order.

    Args:
        repeated: ``repeated_numbers`` of the corpus.
        seed: Of the permanent random numbers.
    """
    seen = np.zeros(len(repeated), np.int64)

    def separate(numbers: Numbers) -> Numbers:
        if not len(repeated):
            return numbers
        at = np.minimum(np.searchsorted(repeated, numbers), len(repeated) - 1)
        rows = np.flatnonzero(repeated[at] == numbers)
        copy = seen[at[rows]] + _occurrence(at[rows])
        np.add.at(seen, at[rows], 1)
        later = rows[copy > 0]
        separated = numbers.copy()
        separated[later] = _renumbered(numbers[later], copy[copy > 0], seed)
        return separated

    return separate


def _occurrence(values: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """How often each value stood before, within the array."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.empty(0, np.intp)
    lengths = np.diff(np.r_[starts, len(ranked)])
    before = np.empty(len(values), np.int64)
    before[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return before


def _renumbered(numbers: Numbers, copy: npt.NDArray[np.int64], seed: bytes) -> Numbers:
    pairs = np.column_stack([numbers, copy.astype(np.uint64)]).astype("<u8")
    packed = pa.Array.from_buffers(pa.binary(16), len(pairs), [None, pa.py_buffer(pairs.tobytes())])
    key = (int.from_bytes(seed[:8], "little"), int.from_bytes(seed[8:], "little"))
    return siphash64(packed.cast(pa.binary()), key)


def numbered(batches: Callable[[], Iterator[Numbers]], seed: bytes, folder: Path) -> Iterator[Numbers]:
    """The numbers of a corpus with its copies separated.

    Args:
        batches: Gives all batches of numbers, in the corpus' order; called twice.
        seed: Of the numbers.
        folder: Empty scratch folder.
    """
    separate = separating(repeated_numbers(batches(), folder), seed)
    return map(separate, batches())
