"""Exact Jaccard similarity of doubtful pairs, from shingle sets that are kept in a scratch file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.duplicates.array_files import look_up, move_into, new_sparse, release, stretches, write_array
from audit.duplicates.duplicate_groups import DigestGroups
from audit.duplicates.exchange import STRETCH, Corpus, Matrix, mapped
from audit.duplicates.pair_files import Pairs, split_pairs
from audit.errors import FatalError
from audit.kernels.shingles import jaccard_sorted, shingle_sets

Places = npt.NDArray[np.int64]

#: Characters of text that are held at a time.
_BATCH = 4_000_000
#: Pairs whose sets are looked up between two releases of their file's pages.
_PAIRS = 1 << 9
#: Shingles of a page: stretches of shards write to pages of their own, whatever machines they are on.
_PAGE = 4096 // 8


class TextCorpus(Corpus, Protocol):
    """Sketches of a corpus whose texts can be read again."""

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        """Yield (shard, position, text) for the positions wanted."""
        ...

    def split(self) -> Sequence[TextCorpus]:
        """The same in stretches of neighbouring shards, for tasks."""
        ...


@njit(nogil=True, cache=True)
def _jaccards(
    sets: npt.NDArray[np.uint64], left: Places, right: Places, out: npt.NDArray[np.float32]
) -> None:
    """Write the similarity of each pair of sets; int64 (pairs, 2) tell where they start and end."""
    for i in range(len(out)):
        one, other = sets[left[i, 0] : left[i, 1]], sets[right[i, 0] : right[i, 1]]
        out[i] = jaccard_sorted(one, other)


@dataclass(frozen=True)
class ShingleSets:
    """Shingle sets of groups, in files; can be pickled.

    Attributes:
        sets: One set after another, uint64, with gaps.
        places: int64 (groups, 2): where each group's set starts and ends; zeros for none.
    """

    sets: Path
    places: Matrix

    def jaccard(self, pairs: Pairs) -> npt.NDArray[np.float32]:
        """Return the exact Jaccard similarity of each pair of groups (``low << 32 | high``).

        Raises:
            FatalError: A group has no set here.
        """
        out = np.empty(len(pairs), np.float32)
        sets, places = mapped(self.sets, np.uint64), self.places.map()
        for some in stretches(len(pairs), STRETCH):
            left, right = (look_up(places, node) for node in split_pairs(pairs[some]))
            if not (left[:, 1].all() and right[:, 1].all()):
                raise FatalError("a doubtful pair has no shingle sets; this is a fault of the program")
            values = out[some]
            for few in stretches(len(values), _PAIRS, sets):
                _jaccards(sets, left[few], right[few], values[few])
        return out


class ShingleStore:
    """Reads texts of groups again, and keeps their shingle sets in files. Memory: a batch of texts.

    Args:
        groups: The documents.
        corpus: Gives the texts.
        shingle_size: Words of a shingle.
        counts: File of the shingles of each group's first document, repeats included; uint32 (groups, 1).
        folder: For the files; they hold 16 bytes a group, and at most 8 a shingle of the groups asked for.
    """

    def __init__(
        self, groups: DigestGroups, corpus: TextCorpus, shingle_size: int, counts: Matrix, folder: Path
    ) -> None:
        self._groups, self._corpus, self._size = groups, corpus, shingle_size
        self._counts, self._folder = counts, folder

    def prepare(self, nodes: npt.NDArray[np.bool_]) -> ShingleSets:
        """Read the texts of these groups (bool, (groups,)): workers do, a stretch of shards each.

        Raises:
            FatalError: A source no longer yields a text that was sketched.
        """
        sets, places = self._folder / "shingles.u64", self._folder / "places.i64"
        wanted = self._folder / "wanted.u1"
        write_array(wanted, nodes)
        tasks, end = self._tasks(nodes, Matrix(wanted, len(nodes), 1, "?"), sets)
        new_sparse(sets, 8 * end)
        new_sparse(places, 16 * len(nodes))
        gone = 0
        with places.open("r+b") as file:
            for task, missing in zip(tasks, self._corpus.run(_read, tasks), strict=True):
                gone += missing
                file.seek(16 * task.low)
                move_into(file, task.places)
        wanted.unlink()
        if gone:
            raise FatalError(f"{gone} sketched texts are no longer in their source")
        return ShingleSets(sets, Matrix(places, len(nodes), 2, "i8"))

    def _tasks(self, nodes: npt.NDArray[np.bool_], wanted: Matrix, sets: Path) -> tuple[list[_Texts], int]:
        """Return a task a stretch of shards with a group asked for, and where the last set ends."""
        tasks: list[_Texts] = []
        shard = end = 0
        for number, piece in enumerate(self._corpus.split()):
            bounds = self._groups.shard_bounds[shard : shard + len(piece.shards) + 1]
            shard += len(piece.shards)
            low, high = (int(at) for at in np.searchsorted(self._groups.first, bounds[[0, -1]]))
            room = _shingles(self._counts, nodes, low, high)
            if room:
                told = tuple(int(bound) for bound in bounds)
                out = self._folder / f"places.{number}"
                files = (wanted, self._groups.first_file, self._groups.position_file)
                tasks.append(_Texts(piece, self._size, low, high, told, *files, sets, end, out))
                end += -(-room // _PAGE) * _PAGE
        return tasks, end


def _shingles(counts: Matrix, nodes: npt.NDArray[np.bool_], low: int, high: int) -> int:
    """Sum the shingles of the groups that are asked for."""
    known = counts.map()[:, 0]
    total = 0
    for start in range(low, high, STRETCH):
        stop = min(start + STRETCH, high)
        total += int(known[start:stop][nodes[start:stop]].sum(dtype=np.int64))
    release(known)
    return total


@dataclass(frozen=True)
class _Texts:
    """Texts of groups first seen in some shards, whose shingle sets are to be written.

    Attributes:
        low, high: The groups.
        bounds: First documents of the shards, and the end.
        wanted, first, positions: Files: whether a group is asked for; its first document; positions of these.
        sets, start: File of all sets, and where those of this task begin.
        places: File to write: int64 (high - low, 2).
    """

    corpus: TextCorpus
    size: int
    low: int
    high: int
    bounds: tuple[int, ...]
    wanted: Matrix
    first: Matrix
    positions: Matrix
    sets: Path
    start: int
    places: Path


def _read(task: _Texts) -> int:
    """Write the sets of a task's texts; return how many texts are gone."""
    asked = np.flatnonzero(task.wanted.map()[task.low : task.high, 0])
    documents = task.first.map()[task.low : task.high, 0][asked].astype(np.int64)
    places = np.zeros((task.high - task.low, 2), np.int64)
    end = task.start
    with task.sets.open("r+b") as file:
        file.seek(8 * end)
        for shard, (start, stop) in zip(task.corpus.shards, pairwise(task.bounds), strict=True):
            inside = slice(*np.searchsorted(documents, (start, stop)))
            positions = task.positions.map()[documents[inside], 0]
            for found, texts in _batches(task.corpus, shard, positions):
                sets, ends = shingle_sets(pa.array(texts, pa.large_string()), task.size)
                write_array(file, sets)
                places[asked[inside][np.searchsorted(positions, found)]] = (
                    np.column_stack((ends[:-1], ends[1:])) + end
                )
                end += len(sets)
    write_array(task.places, places)
    return int((places[asked, 1] == 0).sum())


def _batches(
    corpus: TextCorpus, shard: str, positions: npt.NDArray[np.int64]
) -> Iterator[tuple[list[int], list[str]]]:
    """Yield positions and their texts, a bounded number of characters at a time."""
    found: list[int] = []
    batch: list[str] = []
    held = 0
    if not len(positions):
        return
    for _, position, text in corpus.texts({shard: positions.tolist()}):
        found.append(position)
        batch.append(text)
        held += len(text)
        if held >= _BATCH:
            yield found, batch
            found, batch, held = [], [], 0
    if batch:
        yield found, batch
