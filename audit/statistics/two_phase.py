"""Prevalence through three phases: a screen of all documents, a probe of a sample, a review of a smaller one.

With screen scores ``f1`` on all documents, probe scores ``f2`` on the sample s1 and judgements ``y`` on s2,

    mean of t1·f1 over all  +  mean of (t2·f2 - t1·f1) over s1  +  mean of (y - t2·f2) over s2,

each mean weighted by inverse inclusion probabilities, is unbiased by design for any tuning weights t1, t2.

- Nested: s2 is drawn from s1. A reviewed document is included with ``pi* = pi1·pi2|s1`` (C.-E. Särndal,
  B. Swensson, J. Wretman, "Model Assisted Survey Sampling", 1992, chapter 9: the difference estimator of
  section 9.7, its variance by the two phases of result 9.3.1). Under permanent random numbers the smallest of
  a stratum's numbers are s2 and the smallest but more are s1, so both are simple random samples of it.
- Independent: s1 and s2 are drawn with different salts; the probe has looked at the reviewed documents too.

The tuning weights have the least variance of their phase and are cross-fitted over the reviewed documents
(A. N. Angelopoulos, J. C. Duchi, T. Zrnic, "PPI++", arXiv:2311.01453, 2023).

Limits that may decide a gate add up one limit a phase, each by the test of ``stratified_limits``, with
alpha split among them (Bonferroni): they hold for nested and for independent samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.statistics import stratified_limits as limits
from audit.statistics.prediction_powered import FOLDS, NormalInterval, spread
from audit.statistics.stratified_limits import JudgedValues

Floats = npt.NDArray[np.float64]

#: Share of alpha for the probe's phase: it is much the larger sample, so its limit is cheap.
PROBE_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class PhasedStratum:
    """A stratum in three phases. Scores are probabilities.

    Attributes:
        documents: All there are.
        mean_screen: Mean screen score of all of them.
        screen, probe: Scores of the probe's sample, shape (n1,).
        reviewed_screen, reviewed_probe, labels: Scores and judgements (1 yes, 0 no) of the review's sample in
            draw order, shape (n2,); where samples are nested its documents are in the probe's sample too.
        weights, heaviest: What each reviewed document stands for where answers were adjudicated, and the most
            that one could (``audit.statistics.second_phase``), shape (n2,); None: 1 each.
    """

    documents: int
    mean_screen: float
    screen: Floats
    probe: Floats
    reviewed_screen: Floats
    reviewed_probe: Floats
    labels: Floats
    weights: Floats | None = None
    heaviest: float = 1.0

    @property
    def counts(self) -> Floats:
        """What each reviewed document stands for, shape (n2,)."""
        return np.ones(len(self.labels)) if self.weights is None else self.weights

    def __post_init__(self) -> None:
        if len(self.screen) != len(self.probe) or not (
            len(self.reviewed_screen) == len(self.reviewed_probe) == len(self.labels) == len(self.counts)
        ):
            raise ValueError("scores and labels of a phase differ in number")
        if not 0 < len(self.labels) <= self.documents or not 0 < len(self.probe) <= self.documents:
            raise ValueError("each phase needs documents of each stratum, and no more than there are")


@dataclass(frozen=True, eq=False)
class PhasedDifference:
    """The estimate through three phases.

    Attributes:
        value: Point estimate; it may lie a little outside [0, 1].
        standard_error: Design-based.
        tuning: Weights of screen and probe, means over the folds.
        probed, reviewed: The corrected values of either phase, with their ranges.
    """

    value: float
    standard_error: float
    tuning: tuple[float, float]
    probed: JudgedValues
    reviewed: JudgedValues

    def upper_limit(self, alpha: float) -> float:
        """Upper limit, one-sided at level ``1 - alpha``; may decide a gate."""
        probed = limits.upper_limit(self.probed, PROBE_SHARE * alpha)
        return float(np.clip(probed + limits.upper_limit(self.reviewed, (1 - PROBE_SHARE) * alpha), 0, 1))

    def lower_limit(self, alpha: float) -> float:
        """Lower limit, one-sided at level ``1 - alpha``; may decide a gate."""
        probed = limits.lower_limit(self.probed, PROBE_SHARE * alpha)
        return float(np.clip(probed + limits.lower_limit(self.reviewed, (1 - PROBE_SHARE) * alpha), 0, 1))

    def normal_interval(self, alpha: float) -> NormalInterval:
        """Normal approximation at two-sided level ``1 - 2·alpha``; never decides a gate."""
        return NormalInterval.around(self.value, self.standard_error, alpha)


def joint_inclusion(first: Floats, second_given_first: Floats) -> Floats:
    """Inclusion probabilities of a nested sample, ``pi* = pi1·pi2|s1`` (Särndal et al. 1992, section 9.2)."""
    if not ((first > 0) & (first <= 1) & (second_given_first > 0) & (second_given_first <= 1)).all():
        raise ValueError("inclusion probabilities are over 0 and at most 1")
    return first * second_given_first


def phased_difference(
    strata: Sequence[PhasedStratum],
    *,
    nested: bool,
    tuning: tuple[float, float] | None = None,
    folds: int = FOLDS,
) -> PhasedDifference:
    """The estimate through three phases, tuned by cross-fitting.

    Args:
        strata: They make up the population.
        nested: Whether the review's sample lies in the probe's.
        tuning: Fixed weights of screen and probe, declared beforehand; None: tuned.
        folds: Of the cross-fitting, taken in turn over the draw order.
    """
    total = sum(s.documents for s in strata)
    shares = np.array([s.documents / total for s in strata])
    fold = [np.arange(len(s.labels)) % folds for s in strata]
    pairs = [
        _tuning(strata, shares, [f != k for f in fold], nested) if tuning is None else tuning
        for k in range(folds)
    ]
    weights = np.array(pairs)  # (folds, 2)
    probed, reviewed = [], []
    for s, f in zip(strata, fold, strict=True):
        own = weights[f].mean(axis=0)  # linear in the weights, so the mean serves the whole phase
        probed.append(own[1] * s.probe - own[0] * (s.screen - s.mean_screen))
        reviewed.append(s.labels - weights[f, 1] * s.reviewed_probe)
    counts = [s.counts for s in strata]
    last = [np.average(r, weights=c) for r, c in zip(reviewed, counts, strict=True)]
    means = np.array([p.mean() for p in probed]) + last
    variance = [_variance(s, weights[f], nested) for s, f in zip(strata, fold, strict=True)]
    most_screen, most_probe = weights.max(axis=0)
    means_screen = np.array([s.mean_screen for s in strata])
    return PhasedDifference(
        value=float(shares @ means),
        standard_error=float(np.sqrt(shares**2 @ np.array(variance))),
        tuning=(float(weights[:, 0].mean()), float(weights[:, 1].mean())),
        probed=_judged(
            shares, probed, -most_screen * (1 - means_screen), most_probe + most_screen * means_screen
        ),
        reviewed=_judged(
            shares,
            reviewed,
            np.full(len(strata), -most_probe),
            np.ones(len(strata)),
            counts,
            np.array([s.heaviest for s in strata]),
        ),
    )


def _judged(
    shares: Floats,
    values: Sequence[Floats],
    low: Floats,
    high: Floats,
    counts: Sequence[Floats] | None = None,
    heaviest: Floats | float = 1.0,
) -> JudgedValues:
    """Values of a phase; of what stands for none there is no row."""
    drawn = np.array([len(v) for v in values])
    each = np.ones(int(drawn.sum())) if counts is None else np.concatenate(counts)
    seen = each > 0
    return JudgedValues(
        stratum=np.repeat(np.arange(len(values)), drawn)[seen],
        weights=(np.repeat(shares / drawn, drawn) * each)[seen],
        values=np.concatenate(values)[seen],
        counts=np.ones(int(seen.sum())),
        shares=shares,
        largest=shares / drawn * heaviest,
        low=low,
        high=high,
    )


def _tuning(
    strata: Sequence[PhasedStratum], shares: Floats, kept: Sequence[npt.NDArray[np.bool_]], nested: bool
) -> tuple[float, float]:
    """Weights of screen and probe with the least variance, each within [0, 1]."""
    matrix, right = np.zeros((2, 2)), np.zeros(2)
    for s, share, mask in zip(strata, shares, kept, strict=True):
        n1, n2 = len(s.probe), int(mask.sum())
        counts = s.counts[mask]
        if n2 < 2 or (counts > 0).sum() < 2:
            continue
        columns = np.vstack([s.reviewed_screen[mask], s.reviewed_probe[mask], s.labels[mask]])
        # What was looked at again stands for 1 / pi2: in the mean, and in each residual.
        apart = (columns - np.average(columns, axis=1, weights=counts)[:, None]) * counts * n2 / counts.sum()
        c = apart @ apart.T / (n2 - 1) * share**2
        if nested:  # var(y - t1·f1)/n1 + (1/n2 - 1/n1)·var(y - t2·f2)
            rest = max(1 / n2 - 1 / n1, 0.0)
            matrix += np.diag([c[0, 0] / n1, rest * c[1, 1]])
            right += np.array([c[0, 2] / n1, rest * c[1, 2]])
        else:  # var(t2·f2 - t1·f1)/n1 + var(y - t2·f2)/n2
            matrix += np.array([[c[0, 0], -c[0, 1]], [-c[0, 1], c[1, 1] * (1 + n1 / n2)]]) / n1
            right += np.array([0.0, c[1, 2] / n2])
    weights = np.linalg.lstsq(matrix, right, rcond=1e-10)[0]
    screen, probe = np.clip(weights, 0.0, 1.0)
    return float(screen), float(probe)


def _variance(s: PhasedStratum, weights: Floats, nested: bool) -> float:
    """Variance of a stratum's estimate; without a second document of a phase, the most there can be."""
    n1, n2 = len(s.probe), len(s.labels)
    if n2 < 2 or n1 < 2:
        return 1.0
    last = spread(s.labels - weights[:, 1] * s.reviewed_probe, s.counts)
    if nested:
        first = spread(s.labels - weights[:, 0] * s.reviewed_screen, s.counts)
        return first / n1 + last * max(1 / n2 - 1 / n1, 0.0)
    own = weights.mean(axis=0)
    return float(np.var(own[1] * s.probe - own[0] * s.screen, ddof=1)) / n1 + last / n2
