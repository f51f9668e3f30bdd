"""Prevalences with the help of scores: beside the ones by labels only, and never under a gate.

Which of several estimators is read would be chosen after seeing them all, so a gate has one: the labels'.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit import detector_evidence, evidence, scored_draws
from audit.config import AuditConfig
from audit.dimensions import REPORTED, conditions
from audit.drawing import Drawing
from audit.model import WHOLE, Estimate
from audit.probe_phase.probe_evidence import Probed
from audit.probe_phase.probe_tasks import family
from audit.scored_draws import Detector, ScoredPart
from audit.statistics.prediction_powered import ScoredStratum, difference
from audit.statistics.stratum_samples import UNSURE, YES
from audit.statistics.two_phase import PhasedDifference, PhasedStratum, phased_difference

ASSISTED, PHASED = "model_assisted", "three_phase"
#: Ends of metrics that no gate is judged on.
SUFFIXES = (ASSISTED, PHASED)
REFUSED = "an estimate that scores help to is shown for comparison and decides no gate: name the question"

_LIMITS = "limits by Gaffke's test on the corrected values, for one look, unsure as none or all harm"
_DECIDES = "decides no gate"

Floats = npt.NDArray[np.float64]


def gather(
    db: duckdb.DuckDBPyConnection,
    config: AuditConfig,
    drawing: Drawing | None,
    probed: Probed | None,
    alpha: float,
) -> list[Estimate]:
    """Estimates by question and slice, wherever each stratum has a judgement; the whole corpus always.

    Args:
        db: Filled, but for estimates and gates.
        config: Names questions and detectors.
        drawing: The review sample; None when there is no document.
        probed: The probe phase.
        alpha: Intervals are at the two-sided level ``1 - 2·alpha``.
    """
    if drawing is None:
        return []
    found = []
    predictors = config.predictors()
    for detector in detector_evidence.detectors(config):
        table = scored_draws.draws(db, detector)
        sources = predictors.get(detector.question, ()) if probed is not None and probed.record.nested else ()
        probes = {
            f"{probe}.{measure}": _probe_draws(db, detector, probe, measure) for probe, measure in sources
        }
        for name in [WHOLE, *evidence.reported_slices(db)]:
            parts = scored_draws.parts(name, drawing, table, detector)
            found += assisted(detector, name, parts, alpha)
            for source, values in probes.items():
                found += _phased(detector, name, parts, table, values, source, alpha)
    return found


def assisted(detector: Detector, name: str, parts: Sequence[ScoredPart], alpha: float) -> list[Estimate]:
    """With the screen's scores; where a stratum has no judgement absent, and only for the whole corpus."""
    metric = f"{detector.question}.{ASSISTED}"
    method = (
        f"difference estimator with the scores of {detector.screen} on all documents, power-tuned by "
        f"cross-fitting; {_LIMITS}; {_DECIDES}"
    )
    n = sum(int(((p.labels != UNSURE) & (p.counts > 0)).sum()) for p in parts)
    if not parts or any(not _decided(p).any() for p in parts):
        absent = Estimate(metric, name, None, None, None, n, 1 - 2 * alpha, method)
        return [absent] if name == WHOLE else []
    value = difference([_stratum(p, _decided(p), p.labels == YES) for p in parts]).value
    every = [np.ones(len(p.labels), bool) for p in parts]
    low = difference([_stratum(p, e, p.labels == YES) for p, e in zip(parts, every, strict=True)])
    high = difference([_stratum(p, e, p.labels != 0) for p, e in zip(parts, every, strict=True)])
    limits = low.lower_limit(alpha), high.upper_limit(alpha)
    shown = None if any(p.undecided for p in parts) else _inside(value, *limits)
    return [Estimate(metric, name, shown, *limits, n, 1 - 2 * alpha, method)]


def _decided(part: ScoredPart) -> npt.NDArray[np.bool_]:
    """What the point rests on; of the negatives that nobody was to look at again, nothing."""
    return np.asarray((part.labels != UNSURE) & (part.counts > 0))


def _stratum(part: ScoredPart, kept: npt.NDArray[np.bool_], yes: npt.NDArray[np.bool_]) -> ScoredStratum:
    mean = min(max(part.total / part.documents, part.least), part.most)
    return ScoredStratum(
        part.documents,
        mean,
        part.least,
        part.most,
        part.scores[kept],
        yes[kept].astype(float),
        weights=part.counts[kept],
        heaviest=part.heaviest,
    )


def _inside(value: float, low: float, high: float) -> float:
    """An unbiased estimate may lie outside the shares there are; it is shown at their end."""
    return float(np.clip(value, max(0.0, min(low, high)), min(1.0, max(low, high))))


def _probe_draws(db: duckdb.DuckDBPyConnection, detector: Detector, probe: str, measure: str) -> pa.Table:
    """The probe's sample: stratum, the screen's score, the probe's (0 where either did not evaluate)."""
    dimensions = ", ".join(f"documents.{name}" for name in REPORTED)
    column = f"{detector.screen}_{'score' if detector.scored else 'flagged'}"
    return db.sql(
        f"""SELECT probed.stratum, probed.shard, probed.position,
            round(coalesce(CAST(documents.{column} AS DOUBLE), 0), 6) AS score,
            least(greatest(coalesce(CAST(probed.{probe}_{measure} AS DOUBLE), 0), 0), 1) AS value,
            {dimensions}
        FROM {family(probe)} AS probed JOIN sampled_documents AS documents USING (shard, position)
        ORDER BY probed.stratum, probed.draw"""
    ).to_arrow_table()


def _phased(
    detector: Detector,
    name: str,
    parts: Sequence[ScoredPart],
    table: pa.Table,
    probe: pa.Table,
    source: str,
    alpha: float,
) -> list[Estimate]:
    """Through three phases; nothing where the review's documents do not all lie in the probe's sample."""
    member = np.ones(len(probe), bool)
    for dimension, wanted in conditions(name).items():
        member &= pc.equal(probe.column(dimension), wanted).to_numpy(zero_copy_only=False).astype(bool)
    strata = np.asarray(probe.column("stratum").to_pylist(), object)
    screen, values = (probe.column(each).to_numpy() for each in ("score", "value"))
    places = zip(probe.column("shard").to_pylist(), probe.column("position").to_pylist(), strict=True)
    at = {place: row for row, place in enumerate(places)}
    keys = list(zip(table.column("shard").to_pylist(), table.column("position").to_pylist(), strict=True))
    chosen = []
    for part in parts:
        rows = np.flatnonzero(member & (strata == part.stratum))
        reviewed = [at.get(keys[i]) for i in part.positions.tolist()]
        if not len(rows) or None in reviewed or not _decided(part).any():
            return []
        chosen.append((part, rows, np.array(reviewed, np.int64)))
    if not chosen:
        return []

    def through(*, sure: bool, yes: Sequence[int]) -> PhasedDifference:
        strata = []
        for part, rows, reviewed in chosen:
            kept = _decided(part) | (not sure)
            labels, second = np.isin(part.labels[kept], yes).astype(float), reviewed[kept]
            mean = part.total / part.documents
            scores = (screen[rows], values[rows], screen[second], values[second])
            counts = part.counts[kept]
            strata.append(PhasedStratum(part.documents, mean, *scores, labels, counts, part.heaviest))
        return phased_difference(strata, nested=True)

    low, high = through(sure=False, yes=[YES]), through(sure=False, yes=[YES, UNSURE])
    method = (
        f"difference estimator through three phases: {detector.screen} on all documents, {source} on a "
        f"sample, people on a smaller one within it; {_LIMITS}, a tenth of alpha for the probe's; {_DECIDES}"
    )
    limits = low.lower_limit(alpha), high.upper_limit(alpha)
    n = sum(int(_decided(part).sum()) for part, _, _ in chosen)
    value = None
    if not any(part.undecided for part, _, _ in chosen):
        value = _inside(through(sure=True, yes=[YES]).value, *limits)
    return [Estimate(f"{detector.question}.{PHASED}", name, value, *limits, n, 1 - 2 * alpha, method)]
