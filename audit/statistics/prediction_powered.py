"""Prevalence from a detector's scores on all documents, corrected by judgements on a sample.

The difference estimator in strata: what the scores say on average, plus what judgements say they are off,

    sum_h W_h · ( lambda·F_h + mean of (y - lambda·f) over the judged documents ),

unbiased by design for any lambda, however bad the scores are (C.-E. Särndal, B. Swensson, J. Wretman, "Model
Assisted Survey Sampling", 1992, section 6.3; as prediction-powered inference: A. N. Angelopoulos et al.,
Science 382, 2023). Power tuning takes the lambda with the least variance, so that useless scores cost nothing
(A. N. Angelopoulos, J. C. Duchi, T. Zrnic, "PPI++: Efficient prediction-powered inference",
arXiv:2311.01453, 2023, section 6). It is cross-fitted: each fold's lambda comes from the other folds.

Two kinds of limits, told apart by their types:

- ``Difference.upper_limit`` and ``lower_limit`` feed the corrected values, whose range is known, to the test
  of ``audit.statistics.stratified_limits``. They may decide a gate.
- ``Difference.normal_interval`` is the usual normal approximation. It covers too little where yes is rare,
  and its type has nothing that a gate could ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from audit.statistics import stratified_limits as limits
from audit.statistics.stratified_limits import JudgedValues

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Folds of the cross-fitting, where the caller gives none.
FOLDS = 5


@dataclass(frozen=True)
class NormalInterval:
    """A two-sided interval by normal approximation: for display, never for a gate on a rare event.

    Attributes:
        value, low, high: As shares.
        standard_error: Of ``value``.
        confidence: Two-sided level, where the approximation holds.
    """

    value: float
    low: float
    high: float
    standard_error: float
    confidence: float

    @classmethod
    def around(cls, value: float, standard_error: float, alpha: float) -> NormalInterval:
        """The interval at ``1 - 2·alpha``."""
        reach = float(-ndtri(alpha)) * standard_error
        return cls(value, value - reach, value + reach, standard_error, 1 - 2 * alpha)


@dataclass(frozen=True, eq=False)
class ScoredStratum:
    """Scores of a whole stratum, and judgements of a simple random sample of it.

    Attributes:
        documents: All there are.
        mean_score: Mean score of all of them.
        least, most: Range of the scores of all of them (of a score band: its cuts).
        scores: Of the judged documents, in draw order, shape (n,).
        labels: 1 for yes, 0 for no, of the same, shape (n,). What is unsure is 1 for an upper limit and 0
            for a lower one: two estimates.
        folds: Fold of each judged document, from 0, shape (n,); None: in turn. Near-duplicates belong in one.
        weights: What each stands for among them where answers were adjudicated: 1 / pi2, or 0 where nobody
            was to look again (``audit.statistics.second_phase``), shape (n,); None: 1 each.
        heaviest: The most that one could stand for.
    """

    documents: int
    mean_score: float
    least: float
    most: float
    scores: Floats
    labels: Floats
    folds: Ints | None = None
    weights: Floats | None = None
    heaviest: float = 1.0

    def __post_init__(self) -> None:
        if not len(self.scores) == len(self.labels) == len(self.counts) <= self.documents:
            raise ValueError(
                "scores and labels of a stratum differ in number, or are more than its documents"
            )
        outside = len(self.scores) and not (
            self.least <= self.scores.min() and self.scores.max() <= self.most
        )
        if outside or not self.least <= self.mean_score <= self.most:
            raise ValueError("a score lies outside the range of its stratum")

    @property
    def counts(self) -> Floats:
        """What each judged document stands for, shape (n,)."""
        return np.ones(len(self.labels)) if self.weights is None else self.weights

    def fold_of(self, folds: int) -> Ints:
        """Fold of each judged document."""
        return np.arange(len(self.scores)) % folds if self.folds is None else self.folds


@dataclass(frozen=True, eq=False)
class Difference:
    """The corrected estimate.

    Attributes:
        value: Point estimate; it may lie a little outside [0, 1], as unbiased estimates do.
        standard_error: Design-based, by the residuals.
        tuning: Weight of the scores in each fold.
        judged: The corrected values with their ranges.
    """

    value: float
    standard_error: float
    tuning: tuple[float, ...]
    judged: JudgedValues

    def upper_limit(self, alpha: float) -> float:
        """Upper limit, one-sided at level ``1 - alpha``; may decide a gate."""
        return min(max(limits.upper_limit(self.judged, alpha), 0.0), 1.0)

    def lower_limit(self, alpha: float) -> float:
        """Lower limit, one-sided at level ``1 - alpha``; may decide a gate."""
        return max(min(limits.lower_limit(self.judged, alpha), 1.0), 0.0)

    def normal_interval(self, alpha: float) -> NormalInterval:
        """Normal approximation at two-sided level ``1 - 2·alpha``; never decides a gate."""
        return NormalInterval.around(self.value, self.standard_error, alpha)


def tuning_weight(strata: Sequence[ScoredStratum], kept: Sequence[npt.NDArray[np.bool_]]) -> float:
    """The weight of the scores that gives the difference estimator the least variance, within [0, 1].

    Args:
        strata: All strata.
        kept: Judged documents of each stratum that may be looked at, boolean, shape (n,).
    """
    total = sum(s.documents for s in strata)
    shared, own = 0.0, 0.0
    for stratum, mask in zip(strata, kept, strict=True):
        n, counts = int(mask.sum()), stratum.counts[mask]
        if n > 1 and counts.sum() > 0:
            scale = (stratum.documents / total) ** 2 / n / (n - 1)
            scores = counts * (stratum.scores[mask] - np.average(stratum.scores[mask], weights=counts))
            labels = counts * (stratum.labels[mask] - np.average(stratum.labels[mask], weights=counts))
            shared += scale * float(scores @ labels)
            own += scale * float(scores @ scores)
    return float(np.clip(shared / own, 0.0, 1.0)) if own > 0 else 0.0


def difference(
    strata: Sequence[ScoredStratum], *, tuning: float | None = None, folds: int = FOLDS
) -> Difference:
    """The difference estimate, power-tuned by cross-fitting.

    Args:
        strata: They make up the population; each with a judged document at least.
        tuning: A fixed weight of the scores, declared beforehand; None: tuned.
        folds: Of the cross-fitting.

    Raises:
        ValueError: A stratum without a judgement, or without one that was looked at again.
    """
    if any(s.counts.sum() == 0 for s in strata):
        raise ValueError("a stratum without a judgement has no difference estimate")
    fold = [s.fold_of(folds) for s in strata]
    weights = [
        tuning_weight(strata, [f != k for f in fold]) if tuning is None else tuning for k in range(folds)
    ]
    total = sum(s.documents for s in strata)
    shares = np.array([s.documents / total for s in strata])
    values = [_corrected(s, np.array(weights)[f]) for s, f in zip(strata, fold, strict=True)]
    counts = [s.counts for s in strata]
    seen = [c > 0 for c in counts]
    drawn = np.array([len(v) for v in values])
    most = max(weights)
    variance = [spread(v, c) / len(v) if len(v) > 1 else 0.25 for v, c in zip(values, counts, strict=True)]
    means = [np.average(v, weights=c) for v, c in zip(values, counts, strict=True)]
    return Difference(
        value=float(shares @ np.array(means)),
        standard_error=float(np.sqrt(shares**2 @ np.array(variance))),
        tuning=tuple(weights),
        judged=JudgedValues(
            stratum=np.repeat(np.arange(len(strata)), drawn)[np.concatenate(seen)],
            weights=(np.repeat(shares / drawn, drawn) * np.concatenate(counts))[np.concatenate(seen)],
            values=np.concatenate(values)[np.concatenate(seen)],
            counts=np.ones(int(np.concatenate(seen).sum())),
            shares=shares,
            largest=shares / drawn * np.array([s.heaviest for s in strata]),
            low=np.array([-most * (s.most - s.mean_score) for s in strata]),
            high=np.array([1 + most * (s.mean_score - s.least) for s in strata]),
        ),
    )


def spread(values: Floats, counts: Floats) -> float:
    """Variance of a value whose weighted mean estimates a stratum's; with equal weights the usual one.

    Args:
        values, counts: What was judged, and what each stands for, shape (n,), n at least 2.
    """
    apart = counts * (values - np.average(values, weights=counts)) * len(counts) / counts.sum()
    return float(apart @ apart) / (len(counts) - 1)


def _corrected(stratum: ScoredStratum, weights: Floats) -> Floats:
    """Values whose mean over the stratum is the prevalence, with what the scores explain taken out."""
    corrected: Floats = stratum.labels - weights * (stratum.scores - stratum.mean_score)
    return corrected
