"""How good a detector is, from the judged probability sample: precision, recall, calibration, thresholds.

Precision and recall are ratios of two unknown shares, ``N / D``. The hypothesis "the ratio is at least r" is
"the mean of ``N - r·D`` is at least 0" (E. C. Fieller, JRSS B 16, 1954), whose values lie within [-r, 1 - r]:
it goes to the test of ``stratified_limits``, and the limit is where the test begins to reject. No
normal approximation, and no second guess for the denominator. After adjudication a document that was looked
at again stands for ``1 / pi2`` reviewed ones, as in the limits of gates (``adjudicated_limits``). What
reviewers were unsure of counts against whichever limit is asked.

Calibration is the logistic regression of the label on the logit of the score (D. R. Cox, Biometrika 45,
1958), weighted by inverse inclusion probabilities, with limits by Rao's score test (``calibration``):
approximate intervals, for display.

A threshold is suggested by testing candidates from the lowest up and stopping at the first that fails: with
the order fixed beforehand no correction is needed (P. Bauer, Statistics in Medicine 10, 1991; A. N.
Angelopoulos et al., "Learn then test", arXiv:2110.01052, 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from audit.statistics.stratified_limits import JudgedValues, p_value_at_least, p_value_at_most
from audit.statistics.stratum_samples import NO, UNSURE, YES
from audit.toxicity.calibration import LEAST_JUDGED, Recalibration, recalibrate

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

METHOD = (
    "stratified ratio; limits by inverting Gaffke's test in strata on numerator less share of denominator; "
    "unsure counts against each limit"
)
_RELATIVE = 1e-8


@dataclass(frozen=True, eq=False)
class ScoredSample:
    """Judged documents of one stratum, or of a slice's part of it.

    Attributes:
        documents: All there are.
        scores: Of the judged documents, shape (n,).
        labels: ``NO``, ``YES`` or ``UNSURE`` of the same, shape (n,).
        weights: What each stands for among them where answers were adjudicated: 1 / pi2, or 0 where nobody
            was to look again (``audit.statistics.second_phase``), shape (n,); None: 1 each.
        heaviest: The most that one could stand for.
    """

    documents: int
    scores: Floats
    labels: Codes
    weights: Floats | None = None
    heaviest: float = 1.0

    def __post_init__(self) -> None:
        if not len(self.scores) == len(self.labels) == len(self.counts) <= self.documents:
            raise ValueError("scores, labels and weights differ in number, or are more than the documents")

    @property
    def counts(self) -> Floats:
        """What each judged document stands for, shape (n,)."""
        return np.ones(len(self.labels)) if self.weights is None else self.weights


@dataclass(frozen=True)
class Ratio:
    """Precision or recall.

    Attributes:
        value, low, high: As shares; None where the denominator was never observed or a stratum has no
            judgement.
        n: Judged documents that the denominator counts, unsure ones left out.
        confidence: Two-sided level of ``low`` and ``high``.
        method: In words.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    confidence: float
    method: str = METHOD


@dataclass(frozen=True)
class Threshold:
    """A suggested threshold, with what it misses and how much of what it flags is harm."""

    threshold: float
    missed: Ratio
    precision: Ratio


#: Numerator and denominator of a ratio from flags and labels.
_Terms = Callable[[Booleans, Booleans], tuple[Floats, Floats]]


def _of_flagged(flagged: Booleans, yes: Booleans) -> tuple[Floats, Floats]:
    return (flagged & yes).astype(float), flagged.astype(float)


def _of_harmful(flagged: Booleans, yes: Booleans) -> tuple[Floats, Floats]:
    return (flagged & yes).astype(float), yes.astype(float)


def precision(strata: Sequence[ScoredSample], threshold: float, alpha: float) -> Ratio:
    """Share of harm among what a detector flags (scores at or over the threshold), at ``1 - 2·alpha``."""

    def guess(flagged: Booleans, *, high: bool) -> Booleans:
        return np.full(len(flagged), high)

    return _ratio(strata, threshold, alpha, _of_flagged, guess)


def recall(strata: Sequence[ScoredSample], threshold: float, alpha: float) -> Ratio:
    """Share of harm that a detector flags (scores at or over the threshold), at ``1 - 2·alpha``."""

    def guess(flagged: Booleans, *, high: bool) -> Booleans:
        return flagged if high else ~flagged

    return _ratio(strata, threshold, alpha, _of_harmful, guess)


def calibration(strata: Sequence[ScoredSample], alpha: float) -> Recalibration | None:
    """Calibration of scores that are probabilities; None where too few of a label were judged.

    Raises:
        ValueError: A score is not a probability.
    """
    held = [s for s in strata if len(s.labels)]
    if not held:
        return None
    scores, labels = (np.concatenate([getattr(s, name) for s in held]) for name in ("scores", "labels"))
    counts = np.concatenate([s.counts for s in held])
    inclusion = np.concatenate([np.full(len(s.labels), len(s.labels) / s.documents) for s in held])
    inclusion = inclusion / np.maximum(counts, 1.0)
    if ((scores < 0) | (scores > 1)).any():
        raise ValueError("calibration needs scores that are probabilities")
    sure = (labels != UNSURE) & (counts > 0)
    scores, labels, inclusion = scores[sure], labels[sure], inclusion[sure]
    few = min((labels == YES).sum(), (labels == NO).sum()) < LEAST_JUDGED
    if few or np.ptp(scores) == 0:
        return None
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return recalibrate(np.log(clipped) - np.log1p(-clipped), labels == YES, inclusion, alpha)


def suggest_threshold(
    strata: Sequence[ScoredSample], missed_at_most: float, alpha: float, candidates: Sequence[float]
) -> Threshold | None:
    """The highest candidate that surely misses no more than a share of the harm; None where none does.

    Args:
        strata: The judged sample.
        missed_at_most: Share of harm that may be missed.
        alpha: Chance that the suggested threshold misses more.
        candidates: Fixed before the judgements, not taken from the judged scores.
    """
    best: float | None = None
    for candidate in sorted(candidates):
        low = recall(strata, candidate, alpha).low
        if low is None or low < 1 - missed_at_most:
            break
        best = candidate
    if best is None:
        return None
    found = recall(strata, best, alpha)
    if found.value is None or found.low is None or found.high is None:
        return None
    missed = replace(found, value=1 - found.value, low=1 - found.high, high=1 - found.low)
    return Threshold(best, missed, precision(strata, best, alpha))


def _ratio(
    strata: Sequence[ScoredSample],
    threshold: float,
    alpha: float,
    terms: _Terms,
    guess: Callable[..., Booleans],
) -> Ratio:
    strata = [s for s in strata if s.documents]
    confidence = 1 - 2 * alpha
    flags = [s.scores >= threshold for s in strata]
    if not strata or any(len(s.labels) == 0 for s in strata):
        return Ratio(None, None, None, 0, confidence)
    top, bottom, n = 0.0, 0.0, 0
    for s, flagged in zip(strata, flags, strict=True):
        sure = (s.labels != UNSURE) & (s.counts > 0)
        numerator, denominator = terms(flagged[sure], s.labels[sure] == YES)
        each = s.documents / max(float(s.counts[sure].sum()), 1.0) * s.counts[sure]
        top, bottom, n = (
            top + float(each @ numerator),
            bottom + float(each @ denominator),
            n + int(denominator.sum()),
        )
    if n == 0:
        return Ratio(None, None, None, 0, confidence)
    value = float(top / bottom)

    def p_value(share: float, *, high: bool) -> float:
        judged = _judged(strata, flags, terms, guess, share, high=high)
        return p_value_at_least(judged, 0.0) if high else p_value_at_most(judged, 0.0)

    def limit(*, high: bool) -> float:
        end = 1.0 if high else 0.0
        almost = end - (2 * end - 1) * 1e-9
        if p_value(almost, high=high) >= alpha:
            return end
        start = min(max(value, 1e-9), 1 - 1e-9)
        if p_value(start, high=high) <= alpha:  # unsure answers aside, the value lies inside
            return start
        return float(brentq(lambda r: p_value(r, high=high) - alpha, start, almost, xtol=_RELATIVE))

    return Ratio(value, limit(high=False), limit(high=True), n, confidence)


def _judged(
    strata: Sequence[ScoredSample],
    flags: Sequence[Booleans],
    terms: _Terms,
    guess: Callable[..., Booleans],
    share: float,
    *,
    high: bool,
) -> JudgedValues:
    """``N - share·D`` of each judged document that was looked at for the last time."""
    total = sum(s.documents for s in strata)
    shares = np.array([s.documents / total for s in strata])
    drawn = np.array([len(s.labels) for s in strata])
    values, counts, weights = [], [], []
    for s, flagged in zip(strata, flags, strict=True):
        yes = np.where(s.labels == UNSURE, guess(flagged, high=high), s.labels == YES)
        numerator, denominator = terms(flagged, yes)
        # A few kinds at most: equal ones are counted, which the test is many times faster with.
        rows = np.column_stack((numerator - share * denominator, s.counts))[s.counts > 0]
        found = np.unique(rows, axis=0, return_counts=True)
        values.append(found[0][:, 0])
        weights.append(found[0][:, 1])
        counts.append(found[1].astype(float))
    heaviest = np.array([s.heaviest for s in strata])
    kinds = np.array([len(v) for v in values])
    return JudgedValues(
        stratum=np.repeat(np.arange(len(strata)), kinds),
        weights=np.repeat(shares / drawn, kinds) * np.concatenate(weights),
        values=np.concatenate(values),
        counts=np.concatenate(counts),
        shares=shares,
        largest=shares / drawn * heaviest,
        low=np.full(len(strata), -share),
        high=np.full(len(strata), 1 - share),
    )
