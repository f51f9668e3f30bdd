"""A corpus in memory as ``Sketches``, to resolve corpus-wide screens without an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from audit.duplicates.exchange import Result, Task, threads
from audit.screens import CorpusScreen, ScreenContext


class MemorySketches:
    """The sketches that a screen makes of shards of texts."""

    def __init__(self, screen: CorpusScreen, shards: Mapping[str, Sequence[str]]) -> None:
        self._texts = {shard: list(shards[shard]) for shard in sorted(shards)}
        self._tables = {shard: _measure(screen, texts) for shard, texts in self._texts.items()}

    @property
    def shards(self) -> Sequence[str]:
        return tuple(self._texts)

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        for shard, table in self._tables.items():
            yield shard, table.select(["position", *columns])

    def split(self) -> Sequence[MemorySketches]:
        return (self,)

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        return threads(function, tasks)

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        for shard, positions in sorted(wanted.items()):
            for position in positions:
                yield shard, position, self._texts[shard][position]


def _measure(screen: CorpusScreen, texts: Sequence[str]) -> pa.Table:
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    result = screen.measure(batch, ScreenContext({}))
    columns = {f"{screen.name}_{measure}": column for measure, column in result.measurements.items()}
    return pa.table({"position": pa.array(range(len(texts)), pa.int64()), **columns})
