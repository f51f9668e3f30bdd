"""Exact Jaccard similarity of doubtful pairs, from shingle sets that are kept in a scratch file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.array_files import new_zeros, write_array
from audit.duplicate_groups import DigestGroups
from audit.errors import FatalError
from audit.exchange import mapped
from audit.kernels.shingles import jaccard_sorted, shingle_sets
from audit.pair_files import Pairs

Places = npt.NDArray[np.int64]

#: Characters of text that are held at a time.
_BATCH = 4_000_000


class Texts(Protocol):
    """Where texts can be read again (``Sketches``)."""

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        """Yield (shard, position, text) for the positions wanted."""
        ...


@njit(nogil=True, cache=True)
def _jaccards(
    sets: npt.NDArray[np.uint64], places: Places, pairs: Pairs, out: npt.NDArray[np.float32]
) -> None:
    for i in range(len(pairs)):
        low, high = pairs[i] >> np.uint64(32), pairs[i] & np.uint64(0xFFFFFFFF)
        left = sets[places[low, 0] : places[low, 1]]
        out[i] = jaccard_sorted(left, sets[places[high, 0] : places[high, 1]])


class ShingleStore:
    """Shingle sets of groups, read from the texts once, kept in two files.

    ``shingles.u64`` holds one set after another, ``places.i64`` where each group's set starts and ends, for
    all groups; of those not asked for it takes no disk, either. Memory: a batch of texts.
    """

    def __init__(self, groups: DigestGroups, source: Texts, shingle_size: int, folder: Path) -> None:
        self._groups, self._source, self._size = groups, source, shingle_size
        self._sets, self._places = folder / "shingles.u64", folder / "places.i64"
        self._end = 0
        self._sets.touch()
        new_zeros(self._places, 16 * len(groups.first))

    def prepare(self, nodes: npt.NDArray[np.bool_]) -> None:
        """Read the texts of these groups (bool, (groups,)), but for those that are known.

        Raises:
            FatalError: A source no longer yields a text that was sketched.
        """
        if not nodes.any():
            return
        places = np.memmap(self._places, np.int64, "r+", shape=(len(nodes), 2))
        wanted = np.flatnonzero(nodes & (places[:, 1] == 0))
        shards = self._groups.shard_of(self._groups.first[wanted])
        bounds = np.searchsorted(shards, np.arange(len(self._groups.shards) + 1))
        with self._sets.open("ab") as file:
            for number in np.flatnonzero(np.diff(bounds)):
                for found, sets, ends in self._shard(
                    int(number), wanted[bounds[number] : bounds[number + 1]]
                ):
                    write_array(file, sets)
                    places[found, 0], places[found, 1] = self._end + ends[:-1], self._end + ends[1:]
                    self._end += len(sets)
        gone = int((places[wanted, 1] == 0).sum())
        places.flush()
        if gone:
            raise FatalError(f"{gone} sketched texts are no longer in their source")

    def jaccard(self, pairs: Pairs) -> npt.NDArray[np.float32]:
        """Return the exact Jaccard similarity of each pair of groups (``low << 32 | high``), all prepared."""
        out = np.empty(len(pairs), np.float32)
        places = mapped(self._places, np.int64, (len(self._groups.first), 2))
        _jaccards(mapped(self._sets, np.uint64), places, pairs, out)
        return out

    def _shard(
        self, number: int, nodes: npt.NDArray[np.int64]
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], Places]]:
        """Yield (groups, their sets one after another, where they end) of groups first seen in a shard."""
        positions = self._groups.positions[self._groups.first[nodes]]
        for found, texts in _batches(self._source.texts({self._groups.shards[number]: positions.tolist()})):
            sets, ends = shingle_sets(pa.array(texts, pa.large_string()), self._size)
            yield nodes[np.searchsorted(positions, found)], sets, ends


def _batches(texts: Iterator[tuple[str, int, str]]) -> Iterator[tuple[list[int], list[str]]]:
    found: list[int] = []
    batch: list[str] = []
    held = 0
    for _, position, text in texts:
        found.append(position)
        batch.append(text)
        held += len(text)
        if held >= _BATCH:
            yield found, batch
            found, batch, held = [], [], 0
    if batch:
        yield found, batch
