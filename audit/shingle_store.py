"""Exact Jaccard similarity of doubtful pairs, from shingle sets that are kept in a scratch file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.duplicate_groups import DigestGroups
from audit.errors import FatalError
from audit.kernels.shingles import jaccard_sorted, shingle_sets
from audit.lsh import Pairs, split_pairs

Indices = npt.NDArray[np.int64]

#: Characters of text that are held at a time.
_BATCH = 4_000_000


class Texts(Protocol):
    """Where texts can be read again (``Sketches``)."""

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        """Yield (shard, position, text) for the positions wanted."""
        ...


@njit(nogil=True, cache=True)
def _jaccards(
    sets: npt.NDArray[np.uint64],
    starts: Indices,
    stops: Indices,
    low: Indices,
    high: Indices,
    out: npt.NDArray[np.float32],
) -> None:
    for i in range(len(low)):
        left = sets[starts[low[i]] : stops[low[i]]]
        out[i] = jaccard_sorted(left, sets[starts[high[i]] : stops[high[i]]])


class ShingleStore:
    """Shingle sets of groups, read from the texts once, kept in one file.

    Memory: 16 bytes a group that was asked for, and a batch of texts.
    """

    def __init__(self, groups: DigestGroups, source: Texts, shingle_size: int, path: Path) -> None:
        self._groups, self._source, self._size, self._path = groups, source, shingle_size, path
        self._nodes = np.empty(0, np.int64)  # sorted
        self._starts = np.empty(0, np.int64)
        self._stops = np.empty(0, np.int64)
        self._end = 0
        path.touch()

    def jaccard(self, pairs: Pairs) -> npt.NDArray[np.float32]:
        """Return the exact Jaccard similarity of each pair of groups (``low << 32 | high``).

        Raises:
            FatalError: A source no longer yields a text that was sketched.
        """
        low, high = split_pairs(pairs)
        self._load(np.setdiff1d(np.concatenate((low, high)), self._nodes))
        out = np.empty(len(pairs), np.float32)
        if self._end:
            sets = np.memmap(self._path, np.uint64, "r+", shape=(self._end,))
            left, right = np.searchsorted(self._nodes, low), np.searchsorted(self._nodes, high)
            _jaccards(np.asarray(sets), self._starts, self._stops, left, right, out)
        return out

    def _load(self, nodes: Indices) -> None:
        """Append the sets of these groups (sorted, none known)."""
        documents = self._groups.first[nodes]
        starts, stops = np.full(len(nodes), -1, np.int64), np.zeros(len(nodes), np.int64)
        with self._path.open("ab") as file:
            for found, texts in self._batches(documents):
                sets, bounds = shingle_sets(pa.array(texts, pa.large_string()), self._size)
                sets.tofile(file)
                places = np.searchsorted(documents, found)
                starts[places], stops[places] = self._end + bounds[:-1], self._end + bounds[1:]
                self._end += len(sets)
        if (starts < 0).any():
            raise FatalError(f"{int((starts < 0).sum())} sketched texts are no longer in their source")
        order = np.argsort(np.concatenate((self._nodes, nodes)), kind="stable")
        self._nodes = np.concatenate((self._nodes, nodes))[order]
        self._starts = np.concatenate((self._starts, starts))[order]
        self._stops = np.concatenate((self._stops, stops))[order]

    def _batches(self, documents: Indices) -> Iterator[tuple[list[int], list[str]]]:
        found: list[int] = []
        texts: list[str] = []
        held = 0
        for shard, position, text in self._source.texts(self._wanted(documents)):
            number = self._groups.shards.index(shard)
            start, stop = self._groups.shard_bounds[number : number + 2]
            found.append(int(start + np.searchsorted(self._groups.positions[start:stop], position)))
            texts.append(text)
            held += len(text)
            if held >= _BATCH:
                yield found, texts
                found, texts, held = [], [], 0
        if texts:
            yield found, texts

    def _wanted(self, documents: Indices) -> dict[str, list[int]]:
        shards = self._groups.shard_of(documents)
        return {
            self._groups.shards[number]: self._groups.positions[documents[shards == number]].tolist()
            for number in np.unique(shards).tolist()
        }
