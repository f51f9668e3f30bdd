"""Toxicity of a document's text, by a linear model over hashed n-grams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.errors import ConfigurationError
from audit.model import FINDING_SCHEMA, ScreenResult
from audit.screens import ScreenContext
from audit.toxicity import identity_terms
from audit.toxicity.toxicity_model import SegmentScores, packaged_card, packaged_model

#: Severity of a segment: the last whose lower bound its score reaches.
_SEVERITY_FROM = ((0.0, "low"), (0.5, "medium"), (0.9, "high"))

#: Further labels that a model may know, as measures and kinds of findings.
LABELS = ("insult", "obscene", "identity_attack")

#: Kind of a finding: a segment over the threshold that names a group of people. It has no score of its own.
IDENTITY_MENTION = "identity_mention"


@dataclass(frozen=True)
class Toxicity:
    """How probably a document holds toxic text: abuse, insults, hate.

    Long texts are cut at sentence ends into segments of some hundred code points. Measures ``score``, the
    largest probability of a segment; ``mean``, their mean; ``toxic_segments``, the share of segments at or
    over the threshold; ``flagged``, whether ``score`` is at or over it; ``insult``, ``obscene`` and
    ``identity_attack``, the largest probability of a segment for these, null in languages without evidence
    for them. Each segment at or over the threshold is a finding of the kind ``toxicity`` or of the label's
    kind, without a preview: severity low, from 0.5 medium, from 0.9 high; never critical on a linear
    model's word alone. A segment over the threshold that names a group of people is a finding of the kind
    ``identity_mention`` besides, so that a reader sees how much of what is flagged may rest on that.

    The model is linear over hashed words, word pairs and character 2- to 5-grams, one set of weights a
    language, calibrated to text of which one segment in a hundred is toxic. What it was trained on, its
    figures, its licence and where it fails stand in its model card, ``audit/models/toxicity.md``. It takes
    words for what they usually mean: it misses abuse in plain words, and may flag quoted slurs, clinical
    words and neutral mentions of groups. A document in a language without evidence is not evaluated.

    Args:
        threshold: Probability from which a segment counts as toxic.
    """

    threshold: float = 0.12

    name: ClassVar[str] = "toxicity"
    version: ClassVar[str] = "3"
    measures: ClassVar[Mapping[str, pa.DataType]] = {
        "score": pa.float32(),
        "mean": pa.float32(),
        "toxic_segments": pa.float32(),
        "flagged": pa.bool_(),
        "insult": pa.float32(),
        "obscene": pa.float32(),
        "identity_attack": pa.float32(),
    }
    needs: ClassVar[tuple[str, ...]] = ("language",)
    uses_key: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigurationError("must lie above 0 and at most at 1", key="screens.toxicity.threshold")

    def resources(self) -> Mapping[str, str]:
        """Digests of the model and of the names of groups."""
        model = f"sha256:{packaged_card()['sha256']}"
        return {"toxicity.safetensors": model, identity_terms.FILE: f"sha256:{identity_terms.digest()}"}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Score each document whose language (``language_label``) has a model.

        Raises:
            FatalError: The installed model is not the one that its card names.
        """
        model = packaged_model()
        labels = context.upstream["language_label"]
        scores = model.score(batch.column("text"), model.groups(labels))
        counts = scores.counts()
        evaluated = counts > 0
        probabilities = scores.probabilities()
        toxic = probabilities >= np.float32(self.threshold)
        best = _per_document(np.maximum, probabilities, scores, evaluated)
        mean = _per_document(np.add, probabilities, scores, evaluated) / np.maximum(counts, 1)
        share = _per_document(np.add, toxic.astype(np.float32), scores, evaluated) / np.maximum(counts, 1)
        absent = ~evaluated
        columns = {
            "score": pa.array(best, pa.float32(), mask=absent),
            "mean": pa.array(mean.astype(np.float32), pa.float32(), mask=absent),
            "toxic_segments": pa.array(share.astype(np.float32), pa.float32(), mask=absent),
            "flagged": pa.array(best >= np.float32(self.threshold), pa.bool_(), mask=absent),
        }
        of_labels = dict(zip(model.heads.labels, scores.label_probabilities().T, strict=True))
        columns |= {name: _label_column(of_labels.get(name), scores, evaluated) for name in LABELS}
        found = [_findings(scores, "toxicity", probabilities, toxic)]
        for name, values in of_labels.items():
            # a comparison with NaN, where there is no evidence for the label, is false
            found.append(_findings(scores, name, values, values >= np.float32(self.threshold)))
        named = _naming_groups(scores, toxic, batch.column("text"), labels)
        found.append(_findings(scores, IDENTITY_MENTION, np.full_like(probabilities, np.nan), named))
        return ScreenResult(columns, pa.concat_tables(found), _reasons(labels, np.flatnonzero(absent)))


def _naming_groups(
    scores: SegmentScores, toxic: npt.NDArray[np.bool_], texts: pa.Array, labels: pa.Array
) -> npt.NDArray[np.bool_]:
    """Which of the toxic segments name a group of people; only their documents are read."""
    documents = np.repeat(np.arange(len(texts), dtype=np.int64), scores.counts())
    wanted = np.unique(documents[toxic])
    known = identity_terms.identity_lexicon()
    groups = np.full(len(texts), -1, np.int8)
    groups[wanted] = known.groups(labels)[wanted]
    hits = known.search(texts, groups)
    borders = documents << 32 | scores.starts.astype(np.int64)
    named = np.zeros(len(toxic), np.bool_)
    if len(hits.rows):
        named[np.searchsorted(borders, hits.rows << 32 | hits.starts, side="right") - 1] = True
    return named & toxic


def _per_document(
    reduce: np.ufunc,
    values: npt.NDArray[np.float32],
    scores: SegmentScores,
    evaluated: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32]:
    """Reduce the segments' values to one a document; 0 for documents without a segment."""
    reduced = np.zeros(len(evaluated), np.float32)
    if evaluated.any():  # documents without segments share their border with the next one
        reduced[evaluated] = reduce.reduceat(values, scores.offsets[:-1][evaluated])
    return reduced


def _label_column(
    values: npt.NDArray[np.float32] | None, scores: SegmentScores, evaluated: npt.NDArray[np.bool_]
) -> pa.Array:
    """Largest probability of each document; null where the label was not evaluated."""
    if values is None:
        return pa.nulls(len(evaluated), pa.float32())
    best = _per_document(np.maximum, values, scores, evaluated)
    return pa.array(best, pa.float32(), mask=~evaluated | np.isnan(best))


def _findings(
    scores: SegmentScores, kind: str, probabilities: npt.NDArray[np.float32], toxic: npt.NDArray[np.bool_]
) -> pa.Table:
    """Long table of the segments marked; a NaN is no score, and low."""
    rows = np.repeat(np.arange(len(scores.offsets) - 1, dtype=np.int32), scores.counts())
    hits = probabilities[toxic]
    bounds = np.array([bound for bound, _ in _SEVERITY_FROM], np.float32)
    names = pa.array([name for _, name in _SEVERITY_FROM], pa.string())
    severity = names.take(pa.array(np.searchsorted(bounds, np.nan_to_num(hits), side="right") - 1))
    n = len(hits)
    return pa.table(
        {
            "row": rows[toxic],
            "kind": pa.array([kind] * n, pa.string()),
            "start": scores.starts[toxic],
            "end": scores.ends[toxic],
            "score": pa.array(hits, pa.float32(), mask=np.isnan(hits)),
            "severity": severity,
            "preview": pa.nulls(n, pa.string()),
            "value_hash": pa.nulls(n, pa.string()),
        },
        schema=FINDING_SCHEMA,
    )


def _reasons(labels: pa.Array, rows: npt.NDArray[np.int64]) -> dict[int, str]:
    """Why the documents without a segment were not evaluated; only they are looped over."""
    supported = packaged_model().languages
    reasons = {}
    for row, label in zip(rows.tolist(), labels.take(pa.array(rows)).to_pylist(), strict=True):
        if label is None:
            reasons[row] = "skipped: language not evaluated"
        elif label in supported:
            reasons[row] = "skipped: empty text"
        else:
            reasons[row] = f"skipped: no toxicity model for language {label}"
    return reasons
