"""Columns as a source read them -> a ``Batch``: texts checked, ids filled in and masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import pyarrow as pa
import pyarrow.compute as pc

from audit.identifiers import mask_identifiers
from audit.model import DOCUMENT_SCHEMA, Batch, Reject, Shard
from audit.sources.contracts import ReadLimits
from audit.sources.values import Refusal


@dataclass(frozen=True)
class RawColumns:
    """Columns of some records, all of one length.

    Attributes:
        position: int64, ordinal in the shard.
        text: String, null where a row has none or is refused.
        doc_id, url, language, source, metadata: String; all null where the source has no such column.
        timestamp: Microseconds, UTC.
        refused: Row -> why its text is none, for rows that are not simply null.
    """

    position: pa.Array
    text: pa.Array
    doc_id: pa.Array
    url: pa.Array
    timestamp: pa.Array
    language: pa.Array
    source: pa.Array
    metadata: pa.Array
    refused: Mapping[int, Refusal] = field(default_factory=dict)


def build_batch(
    shard: Shard, raw: RawColumns, limits: ReadLimits, rejects: Sequence[Reject] = (), bytes_read: int = 0
) -> Batch:
    """Check the texts, and make a batch of those that are fit.

    Args:
        shard: Whose name fills in for missing ids.
        raw: The columns.
        limits: For ``too_large``.
        rejects: Records that had no row to begin with.
        bytes_read: As in ``Batch``.
    """
    unfit = _unfit(raw.text, limits)
    columns = {f.name: getattr(raw, f.name) for f in fields(raw) if f.name != "refused"}
    if unfit.true_count > 0:
        rejects = sorted([*rejects, *_rejects(raw, unfit, limits)], key=lambda r: r.position)
        keep = pc.invert(unfit)
        columns = {name: column.filter(keep) for name, column in columns.items()}
    columns["doc_id"] = mask_identifiers(_ids(shard, columns["doc_id"], columns["position"]))
    columns["url"] = mask_identifiers(columns["url"])
    documents = pa.RecordBatch.from_arrays([columns[f.name] for f in DOCUMENT_SCHEMA], schema=DOCUMENT_SCHEMA)
    return Batch(documents, tuple(rejects), bytes_read)


def _unfit(text: pa.Array, limits: ReadLimits) -> pa.Array:
    """Which rows are null, blank or too large. bool, without nulls."""
    length = pc.binary_length(text)
    wrong_size = pc.or_(pc.equal(length, 0), pc.greater(length, limits.max_document_bytes))
    return pc.or_(pc.utf8_is_space(text), wrong_size).fill_null(True)


def _rejects(raw: RawColumns, unfit: pa.Array, limits: ReadLimits) -> list[Reject]:
    found = []
    for row in pc.indices_nonzero(unfit).to_pylist():
        refusal = raw.refused.get(row) or _refusal(raw.text[row], limits)
        found.append(Reject(raw.position[row].as_py(), refusal.reason, refusal.detail))
    return found


def _refusal(text: pa.Scalar, limits: ReadLimits) -> Refusal:
    if not text.is_valid:
        return Refusal("missing_text")
    size = text.as_buffer().size
    return Refusal("too_large", f"{size} bytes") if size > limits.max_document_bytes else Refusal("empty")


def _ids(shard: Shard, ids: pa.Array, positions: pa.Array) -> pa.Array:
    """The ids, and ``{shard.name}#{position}`` where a record has none."""
    blank = pc.or_(pc.utf8_is_space(ids), pc.equal(pc.binary_length(ids), 0)).fill_null(True)
    if blank.true_count == 0:
        return ids
    ordinals = pc.binary_join_element_wise(f"{shard.name}#", positions.cast(pa.string()), "")
    return pc.if_else(blank, ordinals, ids)
