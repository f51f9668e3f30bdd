"""A corpus in memory as ``Sketches``."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from audit.duplicates.exchange import threads
from audit.screens import ScreenContext


class MemorySketches:
    """Sketches of shards of texts; remembers which texts were asked for."""

    def __init__(self, screen, shards: Mapping[str, Sequence[str]]) -> None:
        self._texts = {shard: list(shards[shard]) for shard in sorted(shards)}
        self._tables = {shard: sketch(screen, texts) for shard, texts in self._texts.items()}
        self.read_again: list[tuple[str, int]] = []

    @property
    def shards(self) -> Sequence[str]:
        return tuple(self._texts)

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        for shard, table in self._tables.items():
            yield shard, table.select(["position", *columns])

    def split(self) -> Sequence["MemorySketches"]:
        return (self,)

    def run(self, function, tasks):
        return threads(function, tasks)

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        for shard in sorted(wanted):
            for position in wanted[shard]:
                self.read_again.append((shard, position))
                yield shard, position, self._texts[shard][position]


def measure(screen, texts: Sequence[str]):
    return screen.measure(pa.record_batch({"text": pa.array(texts, pa.string())}), ScreenContext({}))


def sketch(screen, texts: Sequence[str]) -> pa.Table:
    columns = measure(screen, texts).measurements
    assert {name: column.type for name, column in columns.items()} == dict(screen.measures)
    positions = pa.array(range(len(texts)), pa.int64())
    return pa.table({"position": positions, **{f"{screen.name}_{n}": c for n, c in columns.items()}})


def resolve(screen, shards: Mapping[str, Sequence[str]], workspace) -> list[dict]:
    return [row for t in screen.resolve(MemorySketches(screen, shards), workspace) for row in t.to_pylist()]
