"""The `documents` family: what is true of a document before any screen looks at it."""

from __future__ import annotations

import pyarrow as pa

from audit import domains
from audit.identifiers import mask_identifiers
from audit.kernels.hashing import PUBLIC_KEY, siphash128
from audit.kernels.text import text_statistics

FAMILY = "documents"

SCHEMA = pa.schema(
    [
        pa.field("shard", pa.dictionary(pa.int32(), pa.string())),
        pa.field("position", pa.int64()),
        pa.field("doc_id", pa.string()),
        pa.field("url", pa.string()),
        pa.field("domain", pa.string()),
        pa.field("source", pa.string()),
        pa.field("timestamp", pa.timestamp("us")),
        pa.field("declared_language", pa.string()),
        pa.field("n_chars", pa.int64()),
        pa.field("n_words", pa.int64()),
        pa.field("n_tokens", pa.int64()),
        pa.field("text_digest", pa.binary(16)),
    ]
)


def describe(batch: pa.RecordBatch, shard: str) -> pa.RecordBatch:
    """Facts of a batch (``DOCUMENT_SCHEMA``), row for row, in ``SCHEMA``; identifiers are masked."""
    texts = batch.column("text")
    n_chars, n_words, n_tokens = text_statistics(texts)
    columns = [
        constant(shard, len(batch)),
        batch.column("position"),
        mask_identifiers(batch.column("doc_id")),
        mask_identifiers(batch.column("url")),
        domains.hosts(batch.column("url")),
        mask_identifiers(batch.column("source")),
        batch.column("timestamp"),
        mask_identifiers(batch.column("language")),
        pa.array(n_chars, pa.int64()),
        pa.array(n_words, pa.int64()),
        pa.array(n_tokens, pa.int64()),
        text_digests(texts),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def text_digests(texts: pa.Array) -> pa.Array:
    """128-bit digests of the texts as the source yielded them, as fixed-size binary."""
    pairs = siphash128(texts, PUBLIC_KEY)
    return pa.Array.from_buffers(pa.binary(16), len(texts), [None, pa.py_buffer(pairs.tobytes())])


def constant(value: str, length: int) -> pa.Array:
    """A dictionary column that repeats one value."""
    indices = pa.array([0], pa.int32()).take(pa.nulls(length, pa.int32()).fill_null(0))
    return pa.DictionaryArray.from_arrays(indices, pa.array([value], pa.string()))
