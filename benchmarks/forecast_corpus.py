"""A corpus for checking forecasts: one stream of pages dealt out to uneven shards of several formats."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import page_corpus

#: Name of a file -> its share of the text.
SHARES = {
    "plain/large.jsonl": 0.25,
    "plain/middle.jsonl": 0.1,
    "plain/small.jsonl": 0.02,
    "packed/a.jsonl.gz": 0.15,
    "packed/b.jsonl.gz": 0.08,
    "packed/c.jsonl.gz": 0.05,
    "packed/d.jsonl.gz": 0.02,
    "tables/one.parquet": 0.2,
    "tables/two.parquet": 0.1,
    "tables/three.parquet": 0.03,
}
_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "text", "url", "timestamp", "source")])
_GROUP_BYTES = 16_000_000


@dataclass
class _Lines:
    """Lines of a file, plain or packed."""

    file: IO[bytes]
    close: Callable[[], None] = field(init=False)

    def __post_init__(self) -> None:
        self.close = self.file.close

    def add(self, line: bytes) -> None:
        self.file.write(line)


class _Rows:
    """Rows of a Parquet file, in row groups of some megabytes."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, _SCHEMA, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._size = 0

    def add(self, line: bytes) -> None:
        self._rows.append(orjson.loads(line))
        self._size += len(line)
        if self._size >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, _SCHEMA))
        self._rows, self._size = [], 0


def make(data: Path, folder: Path, size: int) -> None:
    """Write about ``size`` bytes of text; what a file gets is spread over the whole stream."""
    for name in SHARES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    files = {name: _open(folder / name) for name in SHARES}
    filled = dict.fromkeys(SHARES, 0.0)
    for lines in page_corpus.rounds(page_corpus.load(data), size):
        for line in lines.splitlines(keepends=True):
            name = min(filled, key=filled.__getitem__)
            files[name].add(line)
            filled[name] += len(line) / SHARES[name]
    for file in files.values():
        file.close()


def _open(path: Path) -> _Lines | _Rows:
    if path.suffix == ".parquet":
        return _Rows(path)
    return _Lines(gzip.open(path, "wb", compresslevel=3) if path.suffix == ".gz" else path.open("wb"))
