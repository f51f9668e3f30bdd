"""Synthetic documents by number: any of them can be made again, so that none is kept.

Of each hundred documents 70 are unlike all others; 20 belong to small families (5 on average) whose members
have more or fewer words changed; 9 are pages of a template with one field of their own (10,000 a template);
1 is a page of one template that all corpora share: a family of a hundredth of the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from audit.duplicates.exchange import Result, Runner, Task, threads
from audit.screens import ScreenContext
from audit.screens.near_duplicates import NearDuplicates

U = np.uint64
WORDS = 60
LETTERS = 5
SHARD = 100_000
_BATCH = 10_000


@njit(nogil=True, cache=True)
def _hash(a: U, b: U) -> U:
    x = (U(a) * U(0x9E3779B97F4A7C15)) ^ (U(b) + U(0xD6E8FEB86659FD93))
    x = (x ^ (x >> U(32))) * U(0xD6E8FEB86659FD93)
    x = (x ^ (x >> U(29))) * U(0x9E3779B97F4A7C15)
    return x ^ (x >> U(32))


@njit(nogil=True, cache=True)
def _kind(document: int, corpus: int) -> tuple[U, float, bool]:
    """Family, share of words changed, whether one field is the document's own."""
    kind, draw = document % 100, _hash(document, 1)
    if kind < 70:
        return U(document), 0.0, False
    if kind < 90:
        return (
            (U(1) << U(40)) + draw % U(max(1, corpus // 25)),
            0.03 * (_hash(document, 2) % U(100)) / 100,
            False,
        )
    if kind < 99:
        return (U(1) << U(41)) + draw % U(max(1, corpus * 9 // 1_000_000)), 0.0, True
    return U(1) << U(42), 0.0, True


@njit(nogil=True, cache=True)
def _write(start: int, corpus: int, out: np.ndarray) -> None:
    """Write documents of ``WORDS`` words of ``LETTERS`` letters, one a row of ``out``."""
    for row in range(out.shape[0]):
        document = start + row
        family, rate, field = _kind(document, corpus)
        for word in range(WORDS):
            own = _hash(document, 1000 + word)
            changed = (own % U(1_000_000)) < U(rate * 1_000_000) or (field and word == WORDS // 2)
            x = own if changed else _hash(family, 2000 + word)
            for letter in range(LETTERS):
                out[row, (LETTERS + 1) * word + letter] = 97 + x % U(26)
                x //= U(26)
            out[row, (LETTERS + 1) * word + LETTERS] = 32


def texts(start: int, stop: int, corpus: int) -> pa.Array:
    """Documents ``start`` to ``stop`` of a corpus of that size."""
    width = (LETTERS + 1) * WORDS
    out = np.empty((stop - start, width), np.uint8)
    _write(start, corpus, out)
    offsets = np.arange(0, width * (stop - start) + 1, width, dtype=np.int32)
    return pa.StringArray.from_buffers(stop - start, pa.py_buffer(offsets), pa.py_buffer(out))


class SyntheticSketches:
    """Sketches of a synthetic corpus, in Parquet files as an engine leaves them (``Sketches``).

    Attributes:
        runner: Runs the tasks of the screen.
    """

    runner: Runner = staticmethod(threads)

    def __init__(self, screen: NearDuplicates, documents: int, folder: Path) -> None:
        self._documents = documents
        self._paths = {f"{n // SHARD:08d}": folder / f"{n // SHARD:08d}" for n in range(0, documents, SHARD)}
        for _ in threads(lambda shard: self._sketch(screen, shard), list(self._paths)):
            pass

    @property
    def shards(self) -> Sequence[str]:
        return list(self._paths)

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        for shard, path in self._paths.items():
            yield shard, pq.read_table(path, columns=["position", *columns], partitioning=None)

    def split(self) -> Sequence[SyntheticSketches]:
        return [self._only(shard) for shard in self._paths]

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        return self.runner(function, tasks)

    def _only(self, shard: str) -> SyntheticSketches:
        one = object.__new__(SyntheticSketches)
        one._documents, one._paths = self._documents, {shard: self._paths[shard]}
        return one

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        for shard in sorted(wanted):
            first = int(shard) * SHARD
            for at, batch in self._batches(shard):
                inside = [p for p in wanted[shard] if at <= first + p < at + len(batch)]
                chosen = batch.take(pa.array([first + p - at for p in inside], pa.int64()))
                yield from ((shard, p, text) for p, text in zip(inside, chosen.to_pylist(), strict=True))

    def _batches(self, shard: str) -> Iterator[tuple[int, pa.Array]]:
        first = int(shard) * SHARD
        last = min(first + SHARD, self._documents)
        for start in range(first, last, _BATCH):
            yield start, texts(start, min(start + _BATCH, last), self._documents)

    def _sketch(self, screen: NearDuplicates, shard: str) -> None:
        schema = pa.schema(
            [("position", pa.int64()), *((f"{screen.name}_{m}", t) for m, t in screen.measures.items())]
        )
        with pq.ParquetWriter(self._paths[shard], schema, compression="none", use_dictionary=False) as file:
            for start, batch in self._batches(shard):
                result = screen.measure(pa.record_batch({"text": batch}), ScreenContext({}))
                positions = pa.array(np.arange(len(batch)) + start % SHARD)
                file.write_table(
                    pa.Table.from_arrays([positions, *result.measurements.values()], schema=schema)
                )
