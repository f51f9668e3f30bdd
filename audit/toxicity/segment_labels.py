"""Scores of labels by segment of a document, and what they say of the document.

Stronger models than the linear screen read the windows that the screen reads of long documents: bounded by
sentences, of a few hundred code points, near the length of the comments that they were trained on. So the
largest score of a segment means the same for all of them, and a probe can correct the screen. Only a text of
up to a thousand code points, which the screen takes whole, is cut here too: a model that reads a hundred
tokens would not see its beginning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.errors import ConfigurationError
from audit.kernels.buffers import Offsets, string_buffers
from audit.kernels.segment_scores import Tables, score_segments
from audit.model import FINDING_SCHEMA, ScreenResult

Booleans: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float32]

TOXICITY = "toxicity"
#: What the label ``toxicity`` gives; the other labels give their largest score.
MEASURES: Mapping[str, pa.DataType] = {
    "score": pa.float32(),
    "mean": pa.float32(),
    "toxic_segments": pa.float32(),
    "flagged": pa.bool_(),
    "segments": pa.int32(),
    "truncated": pa.int32(),
}
#: Severity of a segment: the last whose lower bound its score reaches.
_SEVERITY_FROM = ((0.0, "low"), (0.5, "medium"), (0.9, "high"))


@dataclass(frozen=True)
class Segments:
    """Documents cut at sentence ends.

    Attributes:
        offsets: Borders of each of n documents' segments, shape (n + 1,).
        starts, ends: Half-open code points of each segment in its document.
        texts: Of each segment.
    """

    offsets: Offsets
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    texts: tuple[str, ...]

    def counts(self) -> npt.NDArray[np.int64]:
        """Segments of each document."""
        return np.diff(self.offsets)

    def rows(self) -> npt.NDArray[np.int32]:
        """Document of each segment."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), self.counts())


@dataclass(frozen=True)
class SegmentLabels:
    """What a model said of m segments.

    Attributes:
        labels: ``toxicity`` and others.
        scores: Probabilities, shape (m, labels); NaN for segments that failed.
        truncated: Segments of which the model did not read all, shape (m,).
        failures: Segment -> reason, ``failed: …``.
        unread: Segments of which the model knew no word, shape (m,).
    """

    labels: tuple[str, ...]
    scores: Floats
    truncated: Booleans
    failures: Mapping[int, str] = field(default_factory=dict)
    unread: Booleans | None = None


def cut(documents: Sequence[str], window: tuple[int, int]) -> Segments:
    """Cut documents as the toxicity screen does.

    Args:
        documents: Texts; one of nothing but white space has no segments.
        window: Code points from which a sentence end closes a segment, and the longest segment.
    """
    documents = [text if text.strip() else "" for text in documents]
    column = pa.array(documents, pa.large_string())
    data, offsets = string_buffers(column)
    nothing = Tables(np.zeros((1, 2), np.int8), np.zeros((0, 2, 0), np.int8), np.array([-1], np.int8))
    found = score_segments(data, offsets, np.zeros(len(documents), np.int8), nothing, window=window)
    rows = np.repeat(np.arange(len(documents)), np.diff(found.offsets)).tolist()
    places = zip(rows, found.starts.tolist(), found.ends.tolist(), strict=True)
    texts = tuple(documents[row][start:end] for row, start, end in places)
    return Segments(found.offsets, found.starts, found.ends, texts)


def check_settings(
    key: str, window: tuple[int, int], max_segments: int, batch_size: int, threshold: float
) -> None:
    """Check the ranges of a probe's parameters.

    Args:
        key: Of the probe in the configuration.
        window: Its parameters ``shortest_segment`` and ``longest_segment``.
        max_segments, batch_size, threshold: Its parameters of these names.

    Raises:
        ConfigurationError: One is out of range.
    """
    least = {"shortest_segment": window[0], "max_segments": max_segments, "batch_size": batch_size}
    for name, value in least.items():
        if value < 1:
            raise ConfigurationError("must be at least 1", key=f"{key}.{name}")
    if window[1] < window[0]:
        raise ConfigurationError("must be at least shortest_segment", key=f"{key}.longest_segment")
    if not 0 < threshold <= 1:
        raise ConfigurationError("must lie above 0 and at most at 1", key=f"{key}.threshold")


def prepare(
    documents: Sequence[str],
    language_labels: pa.Array,
    languages: Collection[str],
    window: tuple[int, int],
    max_segments: int,
) -> tuple[Segments, dict[int, str]]:
    """Cut the documents that a model is to read.

    Args:
        documents: n texts.
        language_labels: Of each, as the screen ``language`` gives them.
        languages: Codes of those that the model knows.
        window: As in ``cut``.
        max_segments: Of a document that is read.

    Returns:
        Segments of n documents, and row -> reason for those that are not read and so have none.
    """
    segments = cut(documents, window)
    long = np.flatnonzero(segments.counts() > max_segments).tolist()
    reasons = dict.fromkeys(long, f"failed: budget of {max_segments} segments")
    reasons |= _unsupported(language_labels, languages)
    return _without(segments, reasons), reasons


def _unsupported(labels: pa.Array, languages: Collection[str]) -> dict[int, str]:
    reasons = {}
    for row, label in enumerate(labels.to_pylist()):
        if label is None:
            reasons[row] = "skipped: language not evaluated"
        elif label not in languages:
            reasons[row] = f"skipped: the model does not know language {label}"
    return reasons


def _without(segments: Segments, rows: Collection[int]) -> Segments:
    """The same documents, those of ``rows`` without a segment."""
    kept = ~np.isin(segments.rows(), list(rows))
    counts = segments.counts()
    counts[list(rows)] = 0
    texts = tuple(text for text, keep in zip(segments.texts, kept.tolist(), strict=True) if keep)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Segments(offsets, segments.starts[kept], segments.ends[kept], texts)


def document_result(
    segments: Segments,
    found: SegmentLabels,
    labels: Sequence[str],
    threshold: float,
    reasons: Mapping[int, str],
) -> ScreenResult:
    """Measurements and findings of documents from the scores of their segments.

    A document of which one segment failed is not evaluated, nor is one without a segment, nor one of which
    the model knew no word. Measures are those of ``MEASURES`` and the largest score of each of ``labels``,
    null where the model does not know the label. Each segment at or over the threshold is a finding of the
    label's kind, without a preview: severity low, from 0.5 medium, from 0.9 high.

    Args:
        segments: Of n documents.
        found: Of these segments.
        labels: To measure, ``toxicity`` apart.
        threshold: Score from which a segment counts as toxic.
        reasons: Row -> why it was not given to the model.
    """
    all_reasons = {**_missing(segments, found), **reasons}
    evaluated = np.ones(len(segments.offsets) - 1, bool)
    evaluated[list(all_reasons)] = False
    toxicity = found.scores[:, found.labels.index(TOXICITY)]
    toxic = toxicity >= np.float32(threshold)
    counts = np.maximum(segments.counts(), 1)
    best = _reduce(np.maximum, toxicity, segments)
    mean = _reduce(np.add, toxicity, segments) / counts
    share = _reduce(np.add, toxic.astype(np.float32), segments) / counts
    truncated = _reduce(np.add, found.truncated.astype(np.float32), segments)
    absent = ~evaluated
    columns = {
        "score": pa.array(best, pa.float32(), mask=absent),
        "mean": pa.array(mean.astype(np.float32), pa.float32(), mask=absent),
        "toxic_segments": pa.array(share.astype(np.float32), pa.float32(), mask=absent),
        "flagged": pa.array(best >= np.float32(threshold), pa.bool_(), mask=absent),
        "segments": pa.array(segments.counts().astype(np.int32), pa.int32(), mask=absent),
        "truncated": pa.array(np.nan_to_num(truncated).astype(np.int32), pa.int32(), mask=absent),
    }
    for label in labels:
        columns[label] = _largest(label, found, segments, absent)
    hits = [_findings(segments, found, label, threshold, evaluated) for label in found.labels]
    return ScreenResult(columns, pa.concat_tables(hits), all_reasons)


def document_scores(segments: Segments, found: SegmentLabels) -> Floats:
    """Largest score of each label in each of n documents, shape (n, labels); NaN without evidence."""
    best = np.stack([_reduce(np.maximum, column, segments) for column in found.scores.T], axis=1)
    best[list(_missing(segments, found))] = np.nan
    return best


def _missing(segments: Segments, found: SegmentLabels) -> dict[int, str]:
    """Documents that the scores say nothing of -> reason."""
    reasons = {int(row): "skipped: empty text" for row in np.flatnonzero(segments.counts() == 0)}
    if found.unread is not None:
        read = _reduce(np.add, (~found.unread).astype(np.float32), segments)
        nothing = (read == 0) & (segments.counts() > 0)
        reasons |= {int(row): "skipped: no word that the model knows" for row in np.flatnonzero(nothing)}
    rows = segments.rows()
    return reasons | {int(rows[segment]): reason for segment, reason in found.failures.items()}


def _reduce(reduce: np.ufunc, values: Floats, segments: Segments) -> Floats:
    """Reduce the segments' values to one a document; 0 for documents without a segment."""
    filled = segments.counts() > 0
    reduced = np.zeros(len(filled), np.float32)
    if filled.any():  # documents without segments share their border with the next one
        reduced[filled] = reduce.reduceat(values, segments.offsets[:-1][filled])
    return reduced


def _largest(label: str, found: SegmentLabels, segments: Segments, absent: Booleans) -> pa.Array:
    if label not in found.labels:
        return pa.nulls(len(absent), pa.float32())
    values = _reduce(np.maximum, found.scores[:, found.labels.index(label)], segments)
    return pa.array(values, pa.float32(), mask=absent)


def _findings(
    segments: Segments, found: SegmentLabels, label: str, threshold: float, evaluated: Booleans
) -> pa.Table:
    scores = found.scores[:, found.labels.index(label)]
    rows = segments.rows()
    hit = (scores >= np.float32(threshold)) & evaluated[rows]
    bounds = np.array([bound for bound, _ in _SEVERITY_FROM], np.float32)
    names = pa.array([name for _, name in _SEVERITY_FROM], pa.string())
    n = int(hit.sum())
    return pa.table(
        {
            "row": rows[hit],
            "kind": pa.array([label] * n, pa.string()),
            "start": segments.starts[hit],
            "end": segments.ends[hit],
            "score": scores[hit],
            "severity": names.take(pa.array(np.searchsorted(bounds, scores[hit], side="right") - 1)),
            "preview": pa.nulls(n, pa.string()),
            "value_hash": pa.nulls(n, pa.string()),
        },
        schema=FINDING_SCHEMA,
    )
