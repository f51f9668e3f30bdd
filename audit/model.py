"""The shared vocabulary: what travels between sources, screens and the store.

Everything here is data. Offsets are half-open code points in the text as the source yielded it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

#: What a source yields: one row a document. ``position`` is the record's ordinal in its shard, from 0.
DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("timestamp", pa.timestamp("us")),  # UTC
        pa.field("language", pa.string()),  # as the source declares it, not as a screen measures it
        pa.field("source", pa.string()),
        pa.field("metadata", pa.string()),  # JSON object of the columns that the configuration keeps
    ]
)

#: Ordered from least to most harmful.
SEVERITIES = ("low", "medium", "high", "critical")

#: A screen's long table of located hits. ``row`` is the row in the batch that was measured.
FINDING_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),  # code points, half-open
        pa.field("end", pa.int32(), nullable=False),
        pa.field("score", pa.float32()),
        pa.field("severity", pa.string(), nullable=False),  # one of SEVERITIES
        pa.field("preview", pa.string()),  # masked: never the value itself
        pa.field("value_hash", pa.string()),  # keyed hash of the normalised value, hex
    ]
)

#: The same as a struct, as it is stored: a list column aligned with the documents.
FINDING_STRUCT = pa.struct([f for f in FINDING_SCHEMA if f.name != "row"])

#: Members of duplicate clusters, one row each, representatives included.
DUPLICATE_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("representative_shard", pa.string(), nullable=False),
        pa.field("representative_position", pa.int64(), nullable=False),
        pa.field("jaccard", pa.float32()),  # with the representative; 1 for itself
        pa.field("exact", pa.bool_(), nullable=False),  # normalised text equals the representative's
        pa.field("diameter", pa.float32()),  # of the cluster: largest distance (1 - Jaccard) of two members
    ]
)

#: The best match of a document in another corpus, one row a document and reference.
REFERENCE_MATCH_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("reference", pa.string(), nullable=False),  # as the configuration names it
        pa.field("reference_shard", pa.string(), nullable=False),
        pa.field("reference_position", pa.int64(), nullable=False),
        pa.field("jaccard", pa.float32(), nullable=False),  # estimated from both sketches; 1 where exact
        pa.field("exact", pa.bool_(), nullable=False),  # the normalised texts are the same
    ]
)


@dataclass(frozen=True)
class Shard:
    """A file, or a part of one: the unit of work.

    Attributes:
        shard: Stable id: 16 hex digits of the name and the cut, whatever the folder or worker count.
        uri: Where it is read from.
        name: Path below its input root, with the cut where there is one; for people and derived ids.
        format: Name of the source that reads it.
        size: Bytes of this shard (of the cut, where there is one).
        start, stop: The cut: byte range (JSONL) or row groups (Parquet); None for a whole file.
        file_size, mtime_ns, ctime_ns: Of the file, to spare a resume the reading.
        etag: Of an object on a store: the version that was listed, and alone may be read. None for a file.
    """

    shard: str
    uri: str
    name: str
    format: str
    size: int
    start: int | None = None
    stop: int | None = None
    file_size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    etag: str | None = None


@dataclass(frozen=True)
class Reject:
    """A record that is not screened, and why. ``detail`` holds no text of the document."""

    position: int
    reason: str
    detail: str = ""


#: Reasons for which a record was never a document to train on; the others lose one.
NO_DOCUMENT = ("not_text", "http_status", "empty")


@dataclass(frozen=True)
class Batch:
    """What a source yields: documents (``DOCUMENT_SCHEMA``) and the records rejected on the way."""

    documents: pa.RecordBatch
    rejects: tuple[Reject, ...] = ()
    bytes_read: int = 0  # of the shard, since the last batch; for progress


@dataclass(frozen=True)
class ScreenResult:
    """What a screen found in one batch.

    Attributes:
        measurements: A column per measure, each as long as the batch; null exactly where the document
            was not evaluated or the measure does not apply.
        findings: Long table (``FINDING_SCHEMA``), in any order; None when the screen locates nothing.
        not_evaluated: Row in the batch -> reason, ``skipped: …`` (by rule, such as an unsupported
            language) or ``failed: …`` (error, budget). A document absent here was evaluated.
    """

    measurements: Mapping[str, pa.Array]
    findings: pa.Table | None = None
    not_evaluated: Mapping[int, str] = field(default_factory=dict)


#: The slice that is the whole corpus. Others read ``dimension=value``, joined by ``&``.
WHOLE = "all"


@dataclass(frozen=True)
class Estimate:
    """A prevalence, a share or a count, with its interval.

    Attributes:
        metric: What is estimated, as gates name it (``toxicity``, ``duplicates.tokens``).
        slice: The part of the corpus that it speaks of.
        value, low, high: Point and limits, as shares; None where nothing was observed, never 0.
        n: Observations behind it (judged documents, or documents that a screen evaluated).
        confidence: Two-sided level of ``low`` and ``high``.
        method: Estimator and interval, in words.
    """

    metric: str
    slice: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    confidence: float
    method: str


@dataclass(frozen=True)
class GateResult:
    """What a rule of the policy came out at, and why.

    ``outcome`` is ``pass``, ``fail`` or ``insufficient evidence``; ``severity`` ``block`` or ``warn``.
    ``waived`` says whether a waiver keeps it from blocking; the other ``waive…`` fields tell of a waiver that
    there is, expired or not (``waiver_expires`` is an ISO date).
    """

    gate: str
    metric: str
    slice: str
    limit: float
    alpha: float
    severity: str
    outcome: str
    reason: str
    estimate: Estimate | None = None
    waived: bool = False
    waived_by: str | None = None
    waiver_reason: str | None = None
    waiver_expires: str | None = None


@dataclass(frozen=True)
class Verdict:
    """``GO``, ``NO-GO`` or ``INSUFFICIENT EVIDENCE``, and the one sentence that says why."""

    verdict: str
    reason: str
