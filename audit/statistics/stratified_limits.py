"""One-sided limits for the mean of judged values in strata: Gaffke's test with one mean a stratum.

The hypothesis "the mean is at least p" is tested on the weighted residuals ``a·(r - mu_h)``, where ``r`` is
what was judged (1 or 0, or a residual of a prediction), ``a`` what a document stands for, and ``mu_h`` are
means of the strata with ``sum(W_h·mu_h) = p``. Each residual gets an independent standard exponential weight
and one more stands for what was not seen; the p-value is the probability that the sum is not negative.
Inverting the test gives a limit.

- With one stratum it is Gaffke's limit: Clopper-Pearson for yes and no (the sum compares two gammas).
- Where yes is rare everywhere it is close to the limit of Fay and Feuer (1997); with none seen it is about
  ``log(1/alpha)`` times the largest weight, whichever strata are empty.
- Where strata differ, what lies between them is not taken for chance: that is the gain of stratifying, which
  Gaffke's test on the pooled draws leaves.

The means of the strata are a nuisance, set on the path through the observed means along the least favourable
direction (proportional to weight and variance; C. Stein, "Efficient nonparametric testing and estimation",
Third Berkeley Symposium, 1956). The test's centre depends on ``p`` alone, and any path makes the variance
larger than the observed means do, so a wrong path errs on the safe side. The variance within a stratum is
corrected for its own mean (n - 1), and strata of fewer than ``FEWEST`` judgements are tested as one, with a
common mean, which takes the spread between them for chance.

What was not seen is as large as the largest residual that could have been, ``e``, while little was seen.
The more was, the closer it comes to the residuals that make the variance: ``(e³ + sum t³)/(e² + sum t²)``
over the positive residuals ``t``, at most ``e``. A sum of skewed terms needs half of that for its skewness
(P. Hall, "On the removal of skewness by transformation", JRSS B 54, 1992) and at most another half for its
steps. With equal weights, or with nothing seen, it is ``e`` itself.

The level is exact for one stratum of yes and no; for other values of one stratum it is conjectured (Gaffke)
and for several strata shown by enumeration and simulation (``docs/statistics.md``), not proved. Draws are
taken for independent; drawing without replacement makes the sum less variable in convex order (Hoeffding
1963, theorem 4), which is the safe side.

Sources: N. Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a
nonnegative variable", Mathematical Methods of Statistics 14(4), 2005. E. Learned-Miller, P. S. Thomas, "A
new confidence interval for the mean of a bounded random variable", arXiv:1905.06208, 2020. M. P. Fay,
E. J. Feuer, "Confidence intervals for directly adjusted rates: a method based on the gamma distribution",
Statistics in Medicine 16, 1997. W. Hoeffding, "Probability inequalities for sums of bounded random
variables", JASA 58, 1963.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.statistics.gamma_sums import log_probability_not_negative

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Judgements under which a stratum has no variance of its own to speak of.
FEWEST = 10
#: Judgements that the common variance counts for in a stratum's own.
_PRIOR = 2.0
_STEPS = 60


@dataclass(frozen=True, eq=False)
class JudgedValues:
    """Judged documents of sampled strata, alike ones in one row.

    Attributes:
        stratum: Code of the stratum, shape (rows,).
        weights: What a document stands for, as a share of the population, shape (rows,).
        values: What was judged, shape (rows,).
        counts: Documents, shape (rows,); real numbers serve in planning.
        shares: Share of each stratum in the population, shape (strata,), sum 1.
        largest: The largest weight that a document of the stratum could have had, shape (strata,).
        low, high: The range that a value of the stratum could have had, shape (strata,).
    """

    stratum: Ints
    weights: Floats
    values: Floats
    counts: Floats
    shares: Floats
    largest: Floats
    low: Floats
    high: Floats

    @classmethod
    def of_counts(cls, shares: Floats, drawn: Ints | Floats, yes: Floats) -> JudgedValues:
        """Yes and no in strata that were drawn with equal probabilities.

        Args:
            shares: Share of each stratum in the population, shape (strata,), sum 1.
            drawn: Judged documents, over 0, shape (strata,).
            yes: Of those, how many yes; real numbers serve in planning.
        """
        size = len(shares)
        each = shares / drawn
        return cls(
            stratum=np.tile(np.arange(size), 2),
            weights=np.tile(each, 2),
            values=np.repeat([1.0, 0.0], size),
            counts=np.concatenate((yes, drawn - yes)).astype(float),
            shares=np.asarray(shares, float),
            largest=np.asarray(each, float),
            low=np.zeros(size),
            high=np.ones(size),
        )

    def negated(self) -> JudgedValues:
        """The same documents with the signs of their values changed."""
        return replace(self, values=-self.values, low=-self.high, high=-self.low)

    def scaled(self, factor: float) -> JudgedValues:
        """What ``factor`` times as many documents would show at the same rates."""
        return replace(
            self,
            weights=self.weights / factor,
            counts=self.counts * factor,
            largest=self.largest / factor,
        )

    def pooled(self) -> JudgedValues:
        """Strata of fewer than ``FEWEST`` judgements as one, with the smallest other if it is still small."""
        drawn = np.bincount(self.stratum, self.counts, len(self.shares))
        small = drawn < FEWEST
        if not small.any() or len(drawn) == 1:
            return self
        if drawn[small].sum() < FEWEST and not small.all():
            small |= drawn == drawn[~small].min()
        if small.sum() == 1:
            return self
        code = np.where(small, 0, np.cumsum(~small))
        strata = int(code.max()) + 1
        low, high = np.full(strata, np.inf), np.full(strata, -np.inf)
        largest = np.zeros(strata)
        np.minimum.at(low, code, self.low)
        np.maximum.at(high, code, self.high)
        np.maximum.at(largest, code, self.largest)
        shares = np.bincount(code, self.shares, strata).astype(float)
        return replace(self, stratum=code[self.stratum], shares=shares, largest=largest, low=low, high=high)


class _Arrays(NamedTuple):
    """``JudgedValues`` as the kernels take them."""

    stratum: Ints
    weights: Floats
    values: Floats
    counts: Floats
    shares: Floats
    largest: Floats
    low: Floats
    high: Floats


class _Path(NamedTuple):
    """Means of the strata as observed, and the direction in which the hypothesis moves them.

    Attributes:
        drawn, mean, direction: By stratum; ``sum(shares·direction)`` is 1.
        typical: What was not seen, as a share of the largest that could have been.
    """

    drawn: Floats
    mean: Floats
    direction: Floats
    typical: float


def upper_limit(judged: JudgedValues, alpha: float) -> float:
    """Upper limit of the mean, one-sided at level ``1 - alpha``."""
    return float(_upper_limit(_arrays(judged), math.log(alpha)))


def lower_limit(judged: JudgedValues, alpha: float) -> float:
    """Lower limit of the mean, one-sided at level ``1 - alpha``."""
    return -upper_limit(judged.negated(), alpha)


def p_value_at_least(judged: JudgedValues, mean: float) -> float:
    """P-value of "the mean is at least ``mean``"; small when values so low would be a surprise."""
    arrays = _arrays(judged)
    if mean <= float(arrays.shares @ arrays.low):
        return 1.0
    if mean > float(arrays.shares @ arrays.high):
        return 0.0
    return math.exp(float(_log_p_value(arrays, _path(arrays), mean)))


def p_value_at_most(judged: JudgedValues, mean: float) -> float:
    """P-value of "the mean is at most ``mean``"; small when values so high would be a surprise."""
    return p_value_at_least(judged.negated(), -mean)


def _arrays(judged: JudgedValues) -> _Arrays:
    j = judged.pooled()
    return _Arrays(j.stratum, j.weights, j.values, j.counts, j.shares, j.largest, j.low, j.high)


@njit(nogil=True, cache=True)
def _path(a: _Arrays) -> _Path:
    size = a.shares.size
    drawn, total, mean, square = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    for j in range(a.stratum.size):
        h, mass = a.stratum[j], a.counts[j] * a.weights[j]
        drawn[h] += a.counts[j]
        total[h] += mass
        mean[h] += mass * a.values[j]
        square[h] += mass * a.values[j] * a.values[j]
    total = np.maximum(total, 1e-300)  # a stratum of empty documents has weight 0
    mean /= total
    within = np.maximum(square / total - mean * mean, 0.0)
    centre = (a.shares * mean).sum()
    common = (a.shares * (within + (mean - centre) ** 2)).sum()
    common += ((a.high - a.low) ** 2 * a.shares).sum() / (drawn.sum() + 1)
    direction = a.shares / drawn * (drawn * within + _PRIOR * common) / (drawn + _PRIOR)
    return _Path(drawn, mean, direction / (a.shares * direction).sum(), _typical(a, mean))


@njit(nogil=True, cache=True)
def _typical(a: _Arrays, mean: Floats) -> float:
    most = _largest_residual(a, mean)
    if most <= 0:
        return 1.0
    second, third = most**2, most**3
    for j in range(a.stratum.size):
        term = max(a.weights[j] * (a.values[j] - mean[a.stratum[j]]), 0.0)
        second += a.counts[j] * term**2
        third += a.counts[j] * term**3
    return min(third / second / most, 1.0)


@njit(nogil=True, cache=True)
def _largest_residual(a: _Arrays, means: Floats) -> float:
    most = 0.0
    for h in range(means.size):
        most = max(most, a.largest[h] * (a.high[h] - means[h]))
    return most


@njit(nogil=True, cache=True)
def _means_at(a: _Arrays, path: _Path, target: float) -> Floats:
    """Means of the strata on the path, within their ranges, that make up ``target``."""
    at = path.mean.copy()
    free = np.ones(at.size, np.bool_)
    for _ in range(at.size + 1):
        rest, slope = target, 0.0
        for h in range(at.size):
            rest -= a.shares[h] * (path.mean[h] if free[h] else at[h])
            slope += a.shares[h] * path.direction[h] * free[h]
        if slope <= 0.0:
            break
        clipped = False
        for h in range(at.size):
            if free[h]:
                at[h] = path.mean[h] + rest / slope * path.direction[h]
                if at[h] > a.high[h] or at[h] < a.low[h]:
                    at[h] = min(max(at[h], a.low[h]), a.high[h])
                    free[h] = False
                    clipped = True
        if not clipped:
            break
    return at


@njit(nogil=True, cache=True)
def _log_p_value(a: _Arrays, path: _Path, target: float) -> float:
    at = _means_at(a, path, target)
    size = a.stratum.size
    terms, shapes = np.empty(size + 1), np.empty(size + 1)
    for j in range(size):
        h = a.stratum[j]
        # With Gamma(k)/k for the exponential weight the mean stays and the variance grows by 1/k.
        k = (path.drawn[h] - 1) / path.drawn[h] if a.shares.size > 1 else 1.0
        terms[j] = a.weights[j] * (a.values[j] - at[h]) / k
        shapes[j] = a.counts[j] * k
    terms[size], shapes[size] = path.typical * _largest_residual(a, at), 1.0
    return log_probability_not_negative(terms, shapes)


@njit(nogil=True, cache=True)
def _upper_limit(a: _Arrays, log_alpha: float) -> float:
    """Where the p-value falls to alpha: out in doubling steps, then regula falsi with halving (Illinois)."""
    path = _path(a)
    low, high = (a.shares * a.low).sum(), (a.shares * a.high).sum()
    over, under, side = -log_alpha, -math.inf, 0
    guess = min(max((a.shares * path.mean).sum(), low), high)
    variance = 0.0
    for j in range(a.stratum.size):
        variance += a.counts[j] * (a.weights[j] * (a.values[j] - path.mean[a.stratum[j]])) ** 2
    step = math.sqrt(-1.5 * log_alpha * variance)  # about where a normal limit would be
    step += -0.7 * log_alpha * path.typical * _largest_residual(a, path.mean)
    bottom, top = low, high
    for _ in range(_STEPS):
        excess = _log_p_value(a, path, guess) - log_alpha
        if excess > 0:
            bottom, over = guess, excess
            under = under / 2 if side == 1 else under
            side = 1
        else:
            top, under = guess, excess
            over = over / 2 if side == -1 else over
            side = -1
        if abs(excess) < 1e-9 or top - bottom <= 1e-12 * (top - low):
            break
        if under < -300:  # nothing beyond yet, or so far beyond that a chord says nothing
            guess = min(bottom + step, (bottom + 3 * top) / 4)
            step *= 2
        elif bottom == low:
            guess = (bottom + top) / 2
        else:
            guess = (bottom * under - top * over) / (under - over)
    found: float = guess if abs(excess) < 1e-9 else top
    return found
