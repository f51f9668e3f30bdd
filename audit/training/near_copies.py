"""Groups of near-copies among labelled texts, by the near-duplicate screen, so that no split divides one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from audit.duplicates.exchange import Result, Task, threads
from audit.screens import ScreenContext
from audit.screens.near_duplicates import NearDuplicates

#: Stricter than the screen's default, whose five-word shingles see little of a tweet.
SCREEN = NearDuplicates(permutations=104, bands=26, rows=4, shingle_size=3, threshold=0.6, cohesion=0.5)

_SHARD = "texts"


class _Sketches:
    """The sketches of one list of texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        batch = pa.record_batch({"text": pa.array(texts, pa.string())})
        measured = SCREEN.measure(batch, ScreenContext({})).measurements
        columns = {f"{SCREEN.name}_{name}": column for name, column in measured.items()}
        self._table = pa.table({"position": pa.array(range(len(texts)), pa.int64()), **columns})

    @property
    def shards(self) -> Sequence[str]:
        return (_SHARD,)

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        yield _SHARD, self._table.select(["position", *columns])

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        for position in wanted.get(_SHARD, ()):
            yield _SHARD, position, self._texts[position]

    def split(self) -> Sequence[_Sketches]:
        return (self,)

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        return threads(function, tasks)


def near_copy_groups(texts: Sequence[str], together: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number of each text's group, shape (n,).

    Texts share a group when a chain of near-copies (Jaccard similarity of word 3-grams of 0.6 or more)
    joins them, or when they share a key.

    Args:
        texts: To group.
        together: A key for each text; texts with the same key are kept together whatever they say.
    """
    n = len(texts)
    _, keys = np.unique(np.array(together, object).astype(str), return_inverse=True)
    with tempfile.TemporaryDirectory() as workspace:
        groups, clusters = SCREEN.find(_Sketches(texts), Path(workspace))
        positions = np.array(groups.positions, np.int64)
        first = positions[np.asarray(groups.first, np.int64)]
        copies = (positions, first[np.asarray(groups.group, np.int64)])
        pairs = np.array(clusters.pairs, np.uint64)
        low, high = pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)
        near = (first[low.astype(np.int64)], first[high.astype(np.int64)])
    sources = np.concatenate([copies[0], near[0], np.arange(n)])
    targets = np.concatenate([copies[1], near[1], n + keys.ravel()])
    size = n + int(keys.max(initial=-1)) + 1
    graph = coo_matrix((np.ones(len(sources), np.int8), (sources, targets)), shape=(size, size))
    _, found = connected_components(graph, directed=False)
    numbers: npt.NDArray[np.int64] = found[:n].astype(np.int64)
    return numbers
