"""Record batches with a schema (Parquet, Arrow) -> batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from audit.model import Batch, Shard
from audit.sources.batches import RawColumns, build_batch
from audit.sources.columns import WELL_KNOWN, ColumnMapping, check_columns
from audit.sources.contracts import ReadLimits
from audit.sources.records import dump_json
from audit.sources.values import Refusal, in_range, labels, text_of, texts, timestamps


class TableColumns:
    """Where the fields of a document are in a schema.

    Raises:
        InputError: ``no_such_column``, ``no_text_column``.
    """

    def __init__(self, schema: pa.Schema, columns: ColumnMapping) -> None:
        check_columns(columns, lambda path: _steps(schema, path) is not None, schema.names)
        self.steps = {
            field: next((s for name in columns.candidates(field) if (s := _steps(schema, name))), None)
            for field in WELL_KNOWN
        }
        self.metadata = {name: _steps(schema, name) or (name,) for name in columns.metadata}

    def paths(self) -> list[str]:
        """The columns that must be read, as dotted paths, each once."""
        used = [steps for steps in self.steps.values() if steps] + list(self.metadata.values())
        return sorted({".".join(steps) for steps in used})


def _steps(schema: pa.Schema, path: str) -> tuple[str, ...] | None:
    """A path as field names from the top; None when the schema lacks it."""
    if schema.names.count(path) == 1:
        return (path,)
    steps = tuple(path.split("."))
    if schema.names.count(steps[0]) != 1:
        return None
    kind = schema.field(steps[0]).type
    for step in steps[1:]:
        if not pt.is_struct(kind) or kind.get_field_index(step) < 0:
            return None
        kind = kind.field(kind.get_field_index(step)).type
    return steps


class TableBatches:
    """Makes the batches of one shard from record batches of any size."""

    def __init__(self, shard: Shard, columns: TableColumns, limits: ReadLimits) -> None:
        self._shard, self._columns, self._limits = shard, columns, limits

    def build(
        self, table: pa.RecordBatch, first: int, wanted: frozenset[int] | None = None
    ) -> Iterator[tuple[Batch, int]]:
        """Yield (batch, rows of ``table`` up to its end); ``first`` is the position of row 0.

        A record batch is cut by rows and by bytes of text. Only rows in ``wanted`` are made documents.
        """
        text = _column(table, self._columns.steps["text"])
        for start, stop in _cuts(_text_bytes(text), self._limits):
            part = table.slice(start, stop - start)
            positions = pa.array(np.arange(first + start, first + stop))
            if wanted is not None:
                keep = [row for row in range(stop - start) if first + start + row in wanted]
                if not keep:
                    continue
                part, positions = part.take(keep), positions.take(keep)
            yield build_batch(self._shard, self._raw(part, positions), self._limits), stop

    def _raw(self, table: pa.RecordBatch, positions: pa.Array) -> RawColumns:
        columns = {field: _column(table, steps) for field, steps in self._columns.steps.items()}
        text, refused = _texts(columns["text"])
        return RawColumns(
            position=positions,
            text=text,
            doc_id=_labels(columns["id"]),
            url=_labels(columns["url"]),
            timestamp=_timestamps(columns["timestamp"]),
            language=_labels(columns["language"]),
            source=_labels(columns["source"]),
            metadata=self._metadata(table),
            refused=refused,
        )

    def _metadata(self, table: pa.RecordBatch) -> pa.Array:
        if not self._columns.metadata:
            return pa.nulls(table.num_rows, pa.string())
        values = {name: _column(table, s).to_pylist() for name, s in self._columns.metadata.items()}
        rows = (dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True))
        return pa.array([dump_json(row) for row in rows], pa.string())


def _column(table: pa.RecordBatch, steps: tuple[str, ...] | None) -> pa.Array:
    """A column, through structs; nulls of a null type where there is none."""
    if steps is None:
        return pa.nulls(table.num_rows)
    column = table.column(steps[0])
    for step in steps[1:]:
        column = pc.struct_field(column, step)
    column = column.dictionary_decode() if pt.is_dictionary(column.type) else column
    if pt.is_string_view(column.type):
        return column.cast(pa.string())  # few functions take views
    return column.cast(pa.binary()) if pt.is_binary_view(column.type) else column


def _text_bytes(text: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes of each text; of lists of messages a share of the whole."""
    if _is_string(text.type) or _is_binary(text.type):
        lengths = pc.binary_length(text).fill_null(0).cast(pa.int64())
        return np.asarray(lengths.to_numpy(zero_copy_only=False))
    return np.full(len(text), text.nbytes // max(1, len(text)), np.int64)


def _cuts(sizes: npt.NDArray[np.int64], limits: ReadLimits) -> Iterator[tuple[int, int]]:
    """Row ranges of at most a batch; a text over the limit is a range of its own."""
    ends = np.cumsum(sizes)
    start, rows = 0, len(sizes)
    while start < rows:
        before = int(ends[start - 1]) if start else 0
        fitting = int(np.searchsorted(ends, before + limits.batch_bytes, side="right"))
        stop = min(max(fitting, start + 1), start + limits.batch_rows, rows)
        yield start, stop
        start = stop


def _texts(column: pa.Array) -> tuple[pa.Array, dict[int, Refusal]]:
    if pt.is_null(column.type):
        return column.cast(pa.string()), {}
    if not (_is_string(column.type) or _is_binary(column.type)):
        return texts([_plain(value) for value in column.to_pylist()])
    raw = column.cast(pa.binary())
    try:
        return raw.cast(pa.string()), {}  # validates: files do not promise UTF-8
    except pa.ArrowInvalid:
        found = [text_of(value) for value in raw.to_pylist()]
    refused = {row: t for row, t in enumerate(found) if isinstance(t, Refusal)}
    return pa.array([None if isinstance(t, Refusal) else t for t in found], pa.string()), refused


def _plain(value: Any) -> Any:
    """A map column arrives as a list of pairs: that is an object, not a list of messages."""
    return dict(value) if isinstance(value, list) and value and isinstance(value[0], tuple) else value


def _labels(column: pa.Array) -> pa.Array:
    if pt.is_null(column.type) or pt.is_integer(column.type):
        return column.cast(pa.string())
    if _is_string(column.type) or _is_binary(column.type):
        try:
            return column.cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            return labels(column.cast(pa.binary()).to_pylist())
    return labels(column.to_pylist())


def _timestamps(column: pa.Array) -> pa.Array:
    if pt.is_null(column.type):
        return column.cast(pa.timestamp("us"))
    if pt.is_timestamp(column.type):
        zone = column.type.tz
        return in_range(column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64()))
    if pt.is_date(column.type):
        return in_range(column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()))
    if _is_binary(column.type):
        column = _labels(column)
    return timestamps(column.to_pylist())


def _is_string(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind))
