"""How good the screens are by the run's own review: precision, recall, calibration, thresholds, by slice.

They report. No gate, stratum or score rests on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from audit import evidence, recalibration, scored_draws
from audit.config import AuditConfig
from audit.database import Builder
from audit.dimensions import banded, flagging
from audit.drawing import Drawing
from audit.model import WHOLE
from audit.scored_draws import Detector, ScoredPart
from audit.statistics import detector_quality
from audit.statistics.detector_quality import Ratio, ScoredSample, Threshold
from audit.statistics.stratum_samples import YES
from audit.toxicity.calibration import LEAST_JUDGED, Recalibration

METHOD = (
    "Precision and recall: stratified ratios, limits by Gaffke's test; what the screen did not evaluate "
    "counts as not flagged, unsure answers against each limit. Slope and intercept: logistic regression "
    "weighted by inverse inclusion probabilities, limits by the score test. After adjudication by what "
    "adjudicators say, a second look at a negative answer weighted by 1 / its chance"
)
_RATIOS = ("precision", "recall")


def detectors(config: AuditConfig) -> list[Detector]:
    """Questions with the screens that predict their answers."""
    screens = config.build_screens()
    scored = {screen.name for screen in banded(screens)}
    known = {screen.name for screen in flagging(screens)}
    chosen = config.detectors().items()
    return [Detector(question, name, name in scored) for question, name in chosen if name in known]


def fill(builder: Builder, config: AuditConfig, drawing: Drawing | None, alpha: float) -> dict[str, Any]:
    """Fill the table ``detector_quality``; return the section of the scorecard."""
    found = rows(builder.db, config, drawing, alpha)
    builder.insert("detector_quality", pa.Table.from_pylist(found, builder.schema("detector_quality")))
    return {"missed_at_most": config.sampling.missed_at_most, "rows": found}


def rows(
    db: duckdb.DuckDBPyConnection, config: AuditConfig, drawing: Drawing | None, alpha: float
) -> list[dict[str, Any]]:
    """Rows of the table ``detector_quality``: a question's detector in a slice, the whole corpus first.

    Args:
        db: Filled, but for estimates and gates.
        config: Names questions, detectors, and what a threshold may miss.
        drawing: The review sample; None when there is no document.
        alpha: Intervals are at the two-sided level ``1 - 2·alpha``.
    """
    if drawing is None:
        return []
    found = []
    for detector in detectors(config):
        table = scored_draws.draws(db, detector)
        for name in [WHOLE, *evidence.reported_slices(db)]:
            if parts := scored_draws.parts(name, drawing, table, detector):
                found.append(_row(detector, name, parts, config, alpha))
    return found


def _row(
    detector: Detector, name: str, parts: Sequence[ScoredPart], config: AuditConfig, alpha: float
) -> dict[str, Any]:
    harmful = sum(int(((p.labels == YES) & (p.counts > 0)).sum()) for p in parts)
    flagged = sum(int((p.flagged & (p.counts > 0)).sum()) for p in parts)
    row: dict[str, Any] = {
        "question": detector.question,
        "screen": detector.screen,
        "slice": name,
        "n": sum(int((p.counts > 0).sum()) for p in parts),
        "harmful": harmful,
        "flagged": flagged,
        "confidence": 1 - 2 * alpha,
        "method": METHOD,
    }
    reason = _too_few(parts, harmful, flagged)
    flags = [
        ScoredSample(p.documents, p.flagged.astype(float), p.labels, p.weights, p.heaviest) for p in parts
    ]
    enough = {"precision": flagged >= LEAST_JUDGED, "recall": harmful >= LEAST_JUDGED}
    for kind in _RATIOS:
        measure = detector_quality.precision if kind == "precision" else detector_quality.recall
        row |= _ratio(kind, measure(flags, 0.5, alpha) if reason is None and enough[kind] else None)
    told = detector.scored and reason is None
    row |= _line(recalibration.fit(recalibration.judged(parts), alpha) if told else None)
    row |= _threshold(_suggested(parts, config, alpha) if told and name == WHOLE else None)
    return {**row, "reason": reason}


def _too_few(parts: Sequence[ScoredPart], harmful: int, flagged: int) -> str | None:
    """Why nothing is said, or None."""
    if not any(len(p.labels) for p in parts):
        return "nobody has judged a document of it"
    if max(harmful, flagged) < LEAST_JUDGED:
        return (
            f"of the judged documents {harmful} are harmful and {flagged} flagged; "
            f"{LEAST_JUDGED} of one kind are the least"
        )
    if undecided := sum(p.undecided for p in parts):
        return f"{undecided} judged documents wait for adjudication, or stayed unsure after it"
    if empty := sum(not len(p.labels) for p in parts):
        return f"{empty} of {len(parts)} strata have no judged document of it"
    return None


def _suggested(parts: Sequence[ScoredPart], config: AuditConfig, alpha: float) -> Threshold | None:
    """Candidates are the cuts of the bands, which were fixed before anybody judged."""
    samples = [ScoredSample(p.documents, p.scores, p.labels, p.weights, p.heaviest) for p in parts]
    sampling = config.sampling
    return detector_quality.suggest_threshold(samples, sampling.missed_at_most, alpha, sampling.bands)


def _ratio(kind: str, found: Ratio | None) -> dict[str, float | None]:
    values = (None, None, None) if found is None else (found.value, found.low, found.high)
    return dict(zip((kind, f"{kind}_low", f"{kind}_high"), values, strict=True))


def _line(found: Recalibration | None) -> dict[str, float | None]:
    names = [f"{name}{end}" for name in ("slope", "intercept") for end in ("", "_low", "_high")]
    return {name: None if found is None else float(getattr(found, name)) for name in names}


def _threshold(found: Threshold | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys(("threshold", "threshold_missed_high", "threshold_precision"))
    return {
        "threshold": found.threshold,
        "threshold_missed_high": found.missed.high,
        "threshold_precision": found.precision.value,
    }
