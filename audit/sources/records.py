"""Records without a schema (JSON objects, CSV rows, web pages) -> batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from audit.errors import InputError
from audit.model import Batch, Reject, Shard
from audit.sources.batches import RawColumns, build_batch
from audit.sources.columns import MISSING, WELL_KNOWN, ColumnMapping, check_columns, getter
from audit.sources.contracts import ReadLimits
from audit.sources.values import Refusal, labels, texts, timestamps

_COLUMNS_KEPT = 1000  # for the message only: a file may use a new key in every record

Record = Mapping[str, Any]


class _Keys(NamedTuple):
    """Keys that some records of a batch have, and those that every one has."""

    some: frozenset[str]
    every: frozenset[str]


class Item(NamedTuple):
    """A record of a shard, or why it is none; ``size`` is its bytes as stored."""

    position: int
    value: Record | Refusal
    size: int


def grouped(items: Iterable[Item], limits: ReadLimits) -> Iterator[list[Item]]:
    """Items in groups of at most a batch; a failure of the iterable comes after the last group."""
    group: list[Item] = []
    size = 0
    failure: InputError | None = None
    try:
        for item in items:
            if group and (len(group) >= limits.batch_rows or size + item.size > limits.batch_bytes):
                yield group
                group, size = [], 0
            group.append(item)
            size += item.size
    except InputError as error:
        failure = error
    if group:
        yield group
    if failure is not None:
        raise failure


class RecordBatches:
    """Makes the batches of one shard, and remembers which columns its records had."""

    def __init__(self, shard: Shard, columns: ColumnMapping, limits: ReadLimits) -> None:
        self._shard, self._columns, self._limits = shard, columns, limits
        self._seen: set[str] = set()  # candidate columns that some record has
        self._names: set[str] = set()  # all columns, for the message
        self._getters = {name: getter(name) for name in columns.mapped()}
        self._getters |= {n: getter(n) for field in WELL_KNOWN for n in columns.candidates(field)}

    def build(
        self,
        positions: Sequence[int],
        records: Sequence[Record],
        rejects: Sequence[Reject] = (),
        bytes_read: int = 0,
    ) -> Batch:
        """One batch of records; ``positions`` is as long as ``records``."""
        shapes = {frozenset(shape) for shape in set(map(tuple, records))}
        keys = _Keys(frozenset().union(*shapes), frozenset.intersection(*shapes) if shapes else frozenset())
        if len(self._names) < _COLUMNS_KEPT:
            self._names |= keys.some
        text, refused = texts(self._values("text", records, keys))
        raw = RawColumns(
            position=pa.array(positions, pa.int64()),
            text=text,
            doc_id=labels(self._values("id", records, keys)),
            url=labels(self._values("url", records, keys)),
            timestamp=timestamps(self._values("timestamp", records, keys)),
            language=labels(self._values("language", records, keys)),
            source=labels(self._values("source", records, keys)),
            metadata=self._metadata(records),
            refused=refused,
        )
        return build_batch(self._shard, raw, self._limits, rejects, bytes_read)

    def build_items(self, items: Sequence[Item], bytes_read: int = 0) -> Batch:
        """One batch of items."""
        positions, records, rejects = [], [], []
        for position, value, _ in items:
            if isinstance(value, Refusal):
                rejects.append(Reject(position, value.reason, value.detail))
            else:
                positions.append(position)
                records.append(value)
        return self.build(positions, records, rejects, bytes_read)

    def check(self) -> None:
        """At the end of the shard: refuse it when no record had a mapped column, or any text column.

        A record may leave a column out, so this is known at the end; what was read stays read.

        Raises:
            InputError: ``no_such_column``, ``no_text_column``.
        """
        if self._names:
            check_columns(self._columns, self._seen.__contains__, self._names)

    def _values(self, field: str, records: Sequence[Record], keys: _Keys) -> list[Any]:
        names = [n for n in self._columns.candidates(field) if keys.some & {n, n.partition(".")[0]}]
        if names and names[0] in keys.every:
            self._seen.add(names[0])
            return [record[names[0]] for record in records]
        return [self._first(names, record) for record in records] if names else [None] * len(records)

    def _first(self, names: Sequence[str], record: Record) -> Any:
        for name in names:
            if (value := self._getters[name](record)) is not MISSING:
                self._seen.add(name)
                return value
        return None

    def _metadata(self, records: Sequence[Record]) -> pa.Array:
        names = self._columns.metadata
        if not names:
            return pa.nulls(len(records), pa.string())
        rows = []
        for record in records:
            found = {name: self._getters[name](record) for name in names}
            kept = {name: value for name, value in found.items() if value is not MISSING}
            self._seen.update(kept)
            rows.append(dump_json(kept))
        return pa.array(rows, pa.string())


def dump_json(value: Any) -> str:
    """JSON of a value that a source held; what JSON has no notation for becomes a string."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # lone surrogates, integers beyond 64 bits
        return json.dumps(value, default=_plain)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
