"""One-sided confidence limits for a weighted share of yes among judged documents, without normal theory.

The question "is the share at least p?" is asked of the weighted residuals ``a·(y - p)``, whose mean is 0 at
the true share, by Gaffke's test for the mean of a bounded variable: the observed values and one more at
their upper end get independent standard exponential weights; the p-value is the probability that the
weighted sum is not negative. Inverting the test over p gives the limit.

- With equal weights it is the Clopper-Pearson limit exactly (the sum compares two gamma variables).
- With no yes seen it is about ``log(1/alpha)`` times the largest weight, whichever strata are empty.
- With rare yes and small weights it is the limit of Fay and Feuer (1997), convolution in place of their
  gamma approximation; unlike theirs it needs no choice of the rarer label.

The level is proved for equal weights and conjectured for others, hence ``benchmarks/coverage.py``. The
test takes the draws for independent and identically distributed from the mixture of the strata. Fixed
stratum sizes and drawing without replacement make the sum less variable in convex order (Hoeffding 1963,
theorem 4), so both err on the safe side.

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

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit

Floats = npt.NDArray[np.float64]

#: Nodes of the contour integral, in units of the saddle's width: dense near it, then geometric.
_T = np.linspace(0.0, 9.0, 151)
_NODES, _STEP = np.sinh(_T), np.cosh(_T) * (_T[1] - _T[0])
_STEP[0] /= 2
_FARTHEST = 36.0  # logit beyond which a share is 0 or 1 in double precision


@dataclass(frozen=True, eq=False)
class WeightedCounts:
    """Judged documents in groups of equal weight.

    Attributes:
        weights: What a document of the group stands for, as a share of the population, shape (groups,).
        yes, no: Documents in the group by label, shape (groups,); real numbers serve in planning.
        largest: The largest weight that any document could have had, drawn or not.
    """

    weights: Floats
    yes: Floats
    no: Floats
    largest: float

    def swapped(self) -> WeightedCounts:
        """The same documents seen from the other label."""
        return replace(self, yes=self.no, no=self.yes)

    def scaled(self, factor: float) -> WeightedCounts:
        """What ``factor`` times as many documents would show at the same rates."""
        return WeightedCounts(
            self.weights / factor, self.yes * factor, self.no * factor, self.largest / factor
        )


def p_value_at_least(counts: WeightedCounts, share: float) -> float:
    """P-value of "the share of yes is at least ``share``"; small when so few yes would be a surprise."""
    if share <= 0:
        return 1.0
    if not counts.no.any():
        return 1.0
    if share >= 1:
        return 0.0
    values = np.concatenate(
        (counts.weights * (1 - share), -counts.weights * share, [counts.largest * (1 - share)])
    )
    return gamma_sum_not_negative(values, np.concatenate((counts.yes, counts.no, [1.0])))


def p_value_at_most(counts: WeightedCounts, share: float) -> float:
    """P-value of "the share of yes is at most ``share``"; small when so many yes would be a surprise."""
    return p_value_at_least(counts.swapped(), 1 - share)


def upper_limit(counts: WeightedCounts, alpha: float) -> float:
    """Upper limit of the share of yes, one-sided at level ``1 - alpha``."""
    if not counts.no.any():
        return 1.0

    def excess(position: float) -> float:
        return math.log(max(p_value_at_least(counts, float(expit(position))), 1e-300) / alpha)

    if excess(_FARTHEST) > 0:
        return 1.0
    start = float(logit(np.clip(counts.largest, 1e-12, 0.5)))
    low = min(start, 0.0)
    while excess(low) < 0:
        low -= 2.0
    return float(expit(brentq(excess, low, _FARTHEST, xtol=1e-9, rtol=1e-12)))


def lower_limit(counts: WeightedCounts, alpha: float) -> float:
    """Lower limit of the share of yes, one-sided at level ``1 - alpha``."""
    return 1 - upper_limit(counts.swapped(), alpha)


def gamma_sum_not_negative(values: Floats, shapes: Floats) -> float:
    """Probability that ``sum(values * G) >= 0`` for independent ``G ~ Gamma(shapes, 1)``.

    The inversion integral of the moment generating function over ``s`` is taken along the parabola of
    steepest descent through its saddle point (half as bent where it opens to the left). There the
    trapezoidal rule converges geometrically and nothing cancels, so that small probabilities keep their
    relative accuracy (H. E. Daniels, "Tail probability approximations", International Statistical Review
    55, 1987, section 2, before its expansions).
    """
    kept = (shapes > 0) & (values != 0)
    values, shapes = values[kept], shapes[kept]
    if not (values < 0).any():
        return 1.0
    if not (values > 0).any():
        return 0.0
    if shapes @ values > 0:
        return 1 - _upper_tail(-values, shapes)
    return _upper_tail(values, shapes)


def _upper_tail(values: Floats, shapes: Floats) -> float:
    values = values / values.max()
    saddle = _saddle(values, shapes)
    ratio = values / (1 - values * saddle)
    second = float(shapes @ ratio**2) + saddle**-2
    third = 2 * float(shapes @ ratio**3) - 2 * saddle**-3
    bend, width = third / ((6 if third > 0 else 12) * second), second**-0.5
    y = _NODES * width
    while True:
        s = saddle + 1j * y + bend * y * y
        exponent = -(shapes @ np.log(1 - np.multiply.outer(values, s))) - np.log(s)
        if bend == 0 or (np.diff(exponent.real) <= 0).all():
            break
        bend = bend / 2 if abs(bend) * width > 1e-3 else 0.0  # straight up it always falls
    integrand = np.exp(exponent) * (1j + 2 * bend * y)
    return float(min(max(integrand.imag @ _STEP * width / math.pi, 0.0), 1.0))


def _saddle(values: Floats, shapes: Floats) -> float:
    """Where ``K(s) - log s`` is least between the poles 0 and 1; it is convex there."""
    total = shapes * values

    def slope(s: float) -> float:
        return float((total / (1 - values * s)).sum()) - 1 / s

    low, high = 1e-3, 1 - 1e-3
    while slope(low) > 0:
        low /= 10
    while slope(high) < 0:
        high = 1 - (1 - high) / 10
    return float(brentq(slope, low, high, xtol=1e-14, rtol=1e-10))
