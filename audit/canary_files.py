"""Canaries as files of a shard's own format, so that they go the way of its documents.

Same here: the reader, the suffix and with it the decompressor, the column mapping, and of Parquet and Arrow
the columns' types (and the codec of the text column) as in the shard. Not the same: in JSON lines and CSV
a field whose column is found automatically stands under the first well-known name, whatever the shard calls
it; CSV is written with commas (TSV with tabs). What is no file (a data set that is streamed) cannot be
imitated: there canaries begin as records, behind the download.
"""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pyarrow.types as pt
import zstandard

from audit import sources
from audit.model import Batch, Shard
from audit.sources import ColumnMapping, FileSource, ReadLimits
from audit.sources.columns import WELL_KNOWN
from audit.sources.records import RecordBatches
from audit.sources.shard_bytes import open_shard_bytes
from audit.sources.tables import TableColumns

#: ``records``: as records, not through a file.
RECORDS = "records"
_DATE = "2026-01-01T00:00:00Z"

#: A document of a canary: ``id``, ``text`` and, where it has one, ``url``.
Document = Mapping[str, str]


@dataclass(frozen=True)
class Imitation:
    """A file of a shard's own format.

    Attributes:
        name: With the shard's suffix; ``records`` where no such file can be made here.
        content: Its bytes; none where there is no such file.
    """

    name: str
    content: bytes


def imitate(shard: Shard, documents: Sequence[Document], columns: ColumnMapping) -> Imitation:
    """Write documents as the shard's own are written.

    Args:
        shard: Whose format, suffix, column types and mapping are taken.
        documents: What to write.
        columns: As the shard is read with.

    Raises:
        InputError: The shard's column types cannot be read.
    """
    writer, source = _WRITERS.get(shard.format), sources.available()[shard.format]
    if writer is None or not isinstance(source, FileSource):
        return Imitation(RECORDS, b"")
    name = f"canaries{_suffix(shard, source)}"
    return Imitation(name, _compressed(writer(documents, shard, columns), name, shard.format))


def batches(
    shard: Shard,
    imitated: Imitation,
    documents: Sequence[Document],
    columns: ColumnMapping,
    limits: ReadLimits,
    folder: Path,
) -> tuple[str, list[Batch]]:
    """Read documents as the shard's source would; the position of each is its place in the sequence.

    Args:
        shard: Whose format and mapping are taken.
        imitated: The documents as such a file.
        documents: What is in it.
        columns, limits: As the shard is read with.
        folder: An empty scratch folder.

    Returns:
        The format that they were read from (or ``records``), and the batches.

    Raises:
        InputError: The source cannot read the file.
    """
    if imitated.name == RECORDS:
        rows = [_record(document, columns) for document in documents]
        return RECORDS, [RecordBatches(shard, columns, limits).build(range(len(rows)), rows)]
    path = folder / imitated.name
    path.write_bytes(imitated.content)
    small = replace(
        shard,
        uri=str(path),
        etag=None,
        name="canaries",
        size=path.stat().st_size,
        file_size=path.stat().st_size,
        start=None,
        stop=None,
    )
    return shard.format, list(sources.read(small, columns, limits))


def _suffix(shard: Shard, source: FileSource) -> str:
    name = Path(shard.uri).name.lower()
    fitting = sorted((s for s in source.suffixes if name.endswith(s)), key=len)
    return fitting[-1] if fitting else source.suffixes[0]


def _compressed(data: bytes, name: str, form: str) -> bytes:
    if name.endswith(".gz") and form != "warc":  # of a WARC file each record is a member of its own
        return gzip.compress(data, compresslevel=1, mtime=0)
    return zstandard.compress(data) if name.endswith(".zst") else data


def _record(document: Document, columns: ColumnMapping) -> dict[str, Any]:
    """Fields under their columns, nested where a column is a path."""
    record: dict[str, Any] = {}
    for name in columns.mapped():
        _put(record, name, None)
    for field, value in document.items():
        _put(record, getattr(columns, field) or WELL_KNOWN[field][0], value)
    return record


def _put(record: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for step in above:
        record = record.setdefault(step, {})
    record[last] = value


def _jsonl(documents: Sequence[Document], shard: Shard, columns: ColumnMapping) -> bytes:
    del shard
    lines = (json.dumps(_record(document, columns), ensure_ascii=False) for document in documents)
    return "".join(f"{line}\n" for line in lines).encode()


def _delimited(documents: Sequence[Document], shard: Shard, columns: ColumnMapping) -> bytes:
    fields = {field: getattr(columns, field) or WELL_KNOWN[field][0] for field in ("id", "text", "url")}
    names = list(dict.fromkeys([*fields.values(), *columns.mapped()]))
    out = io.StringIO()
    name = Path(shard.uri).name.lower().removesuffix(".gz").removesuffix(".zst")
    writer = csv.DictWriter(out, names, delimiter="\t" if name.endswith(".tsv") else ",", lineterminator="\n")
    writer.writeheader()
    for document in documents:
        writer.writerow({fields[field]: value for field, value in document.items()})
    return out.getvalue().encode()


def _warc(documents: Sequence[Document], shard: Shard, columns: ColumnMapping) -> bytes:
    del columns
    name = Path(shard.uri).name.lower()
    records = (_page(document) if ".wet" not in name else _text(document) for document in documents)
    if name.endswith(".gz"):
        records = (gzip.compress(record, compresslevel=1, mtime=0) for record in records)
    return b"".join(records)


def _page(document: Document) -> bytes:
    """A response with an HTML page, a paragraph a line."""
    lines = "".join(f"<p>{html.escape(line)}</p>\n" for line in document["text"].split("\n"))
    body = f"<html><head><title>-</title></head><body><article>\n{lines}</article></body></html>".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return _warc_record("response", document, "application/http; msgtype=response", head.encode() + body)


def _text(document: Document) -> bytes:
    return _warc_record("conversion", document, "text/plain", document["text"].encode())


def _warc_record(kind: str, document: Document, media: str, content: bytes) -> bytes:
    url = document.get("url") or f"https://canary.example.com/{document['id']}"
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:canary:{document['id']}>\r\n"
        f"WARC-Date: {_DATE}\r\nWARC-Target-URI: {url}\r\nContent-Type: {media}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n\r\n"


def _parquet(documents: Sequence[Document], shard: Shard, columns: ColumnMapping) -> bytes:
    with open_shard_bytes(shard.uri, shard.etag, shard.file_size) as file:
        metadata = pq.read_metadata(file)
    found = TableColumns(metadata.schema.to_arrow_schema(), columns)
    table = _table(documents, metadata.schema.to_arrow_schema(), found)
    out = io.BytesIO()
    pq.write_table(table, out, compression=_codec(metadata, found))
    return out.getvalue()


def _codec(metadata: Any, found: TableColumns) -> str:
    """Compression of the text column in the shard's first row group."""
    if not metadata.num_row_groups:
        return "snappy"
    group, path = metadata.row_group(0), ".".join(found.steps["text"] or ())
    for column in map(group.column, range(group.num_columns)):
        if column.path_in_schema.startswith(path) and column.compression in ("SNAPPY", "GZIP", "ZSTD", "LZ4"):
            return str(column.compression)
    return "none"


def _arrow(documents: Sequence[Document], shard: Shard, columns: ColumnMapping) -> bytes:
    schema = _arrow_schema(shard)
    table = _table(documents, schema, TableColumns(schema, columns))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _arrow_schema(shard: Shard) -> pa.Schema:
    with open_shard_bytes(shard.uri, shard.etag, shard.file_size) as file:
        if file.read(6) == b"ARROW1":
            return pa.ipc.open_file(file).schema
        file.seek(0)
        return pa.ipc.open_stream(file).schema


def _table(documents: Sequence[Document], schema: pa.Schema, found: TableColumns) -> pa.Table:
    """Rows in the shard's own columns, as far as they are read; what a canary does not say is null."""
    used = [steps for steps in (*found.steps.values(), *found.metadata.values()) if steps]
    names = [name for name in schema.names if any(steps[0] == name for steps in used)]
    rows: list[dict[str, Any]] = [dict.fromkeys(names) for _ in documents]
    for row, document in zip(rows, documents, strict=True):
        for field, value in document.items():
            if (steps := found.steps[field]) is not None:
                _place(row, steps, schema.field(steps[0]).type, value)
    arrays = [pa.array([row[name] for row in rows], schema.field(name).type) for name in names]
    return pa.table(arrays, names=names)


def _place(row: dict[str, Any], steps: Sequence[str], kind: pa.DataType, value: str) -> None:
    for step, below in pairwise(steps):
        row[step] = dict(row[step] or {})
        row, kind = row[step], kind.field(kind.get_field_index(below)).type
    row[steps[-1]] = _value(kind, value)


def _value(kind: pa.DataType, value: str) -> Any:
    """A text as a value of a column: a string, UTF-8, a list of one chat message; else nothing."""
    if pt.is_dictionary(kind):
        return _value(kind.value_type, value)
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return value
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind):
        return value.encode()
    if (pt.is_list(kind) or pt.is_large_list(kind)) and pt.is_struct(kind.value_type):
        return [dict(_message(kind.value_type, value))]
    if pt.is_list(kind) or pt.is_large_list(kind):
        return [_value(kind.value_type, value)]
    return None


def _message(kind: pa.StructType, value: str) -> Iterator[tuple[str, str]]:
    roles = {"role": "user", "from": "user"}
    for name in (field.name for field in kind):
        if name in roles:
            yield name, roles[name]
        elif name in ("content", "value", "text"):
            yield name, value


_WRITERS: Mapping[str, Callable[[Sequence[Document], Shard, ColumnMapping], bytes]] = {
    "jsonl": _jsonl,
    "csv": _delimited,
    "warc": _warc,
    "parquet": _parquet,
    "arrow": _arrow,
}
