"""Confidence sequences by betting: limits of a mean that hold after every observation at once.

A gambler who starts with one unit bets against the hypothesis that the mean is at least m; while it is true
his capital is a non-negative supermartingale, so the chance that it ever reaches 1/alpha is at most alpha
(J. Ville, 1939). The limit is the smallest m that is refuted. Nothing is approximated.

- One stratum without replacement: before each draw the mean of what is left is known under the hypothesis
  (I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86, 2024,
  sections 3 and 5).
- Strata: each step takes the next draw of a stratum that a fixed random sequence names, with probability
  ``q_h``; the value times ``W_h / q_h`` has the population's mean whatever the strata's own means are. This
  spares the search over the strata's means (J. V. Spertus, M. Sridhar, P. B. Stark, "Sequential stratified
  inference for the mean", arXiv:2409.06680, 2024) but takes what lies between strata for chance. Draws count
  as made with replacement, which is the safe side for samples that are small against their strata.

The capital is shared among a fixed grid of bets (a mixture; H. Robbins, "Statistical methods related to the
law of the iterated logarithm", Annals of Mathematical Statistics 41, 1970), so no tuning sees the data.

For gates, looks at fixed sizes are narrower at the declared size (``sequential``); this is the check
without conjecture or approximation.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.optimize import brentq

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Bets, as shares of the largest that cannot ruin; half of the stake is on the boldest, for harm never seen.
_BETS = np.concatenate(([0.999], 2.0 ** -np.arange(0.5, 9.0, 0.75)))
_STAKES = np.concatenate(([0.5], np.full(len(_BETS) - 1, 0.5 / (len(_BETS) - 1))))


@njit(nogil=True, cache=True)
def _best_log_capital(
    values: Floats, mean: float, top: float, population: int, bets: Floats, stakes: Floats
) -> float:
    """The most that log capital against "the mean is at least ``mean``" ever was."""
    capital = np.zeros(bets.size)
    best, seen = 0.0, 0.0
    for i in range(values.size):
        left = mean
        if population > 0:
            left = (population * mean - seen) / (population - i)
            if left <= 0:
                break  # the hypothesis holds already for what was seen
            if left > top * (1 + 1e-12):
                return math.inf  # not even the largest values could make up the mean
        stake = (left - values[i]) / max(top - left, 1e-300)
        total = 0.0
        for b in range(bets.size):
            capital[b] += math.log1p(max(bets[b] * stake, -1 + 1e-15))
            total += stakes[b] * math.exp(min(capital[b], 600.0))
        seen += values[i]
        best = max(best, math.log(max(total, 1e-300)))
    return best


def upper_limit(values: Floats, alpha: float, *, top: float = 1.0, population: int | None = None) -> float:
    """Upper limit of the mean, valid at every length of ``values`` at once, at level ``1 - alpha``.

    Args:
        values: In the order drawn, within [0, ``top``], shape (n,).
        alpha: Chance that the limit is ever under the mean.
        top: The largest value there can be.
        population: Values in all, of which ``values`` were drawn without replacement; None: with.

    Raises:
        ValueError: A value is out of its range, or more values than the population has.
    """
    values = np.ascontiguousarray(values, np.float64)
    if len(values) and (values.min() < 0 or values.max() > top * (1 + 1e-12)):
        raise ValueError("betting needs values between 0 and the largest there can be")
    if population is not None and len(values) > population:
        raise ValueError("more values were drawn than there are")

    def excess(mean: float) -> float:
        best = _best_log_capital(values, mean, top, population or 0, _BETS, _STAKES)
        return min(best, 700.0) + math.log(alpha)

    high = top * (1 - 1e-12)
    if not len(values) or excess(high) < 0:
        return top
    low = high
    while excess(low) >= 0:
        low /= 2
        if low < 1e-15 * top:
            return low
    return float(brentq(excess, low, min(2 * low, high), xtol=1e-12 * top, rtol=1e-10))


def lower_limit(values: Floats, alpha: float, *, top: float = 1.0, population: int | None = None) -> float:
    """Lower limit of the mean, valid at every length of ``values`` at once, at level ``1 - alpha``."""
    return top - upper_limit(top - np.asarray(values), alpha, top=top, population=population)


def interleaved(strata: int, chances: Floats, available: Ints, rng: np.random.Generator) -> Ints:
    """The fixed random sequence in which draws of strata are taken, until one that is named has none left.

    Args:
        strata: How many.
        chances: Probability of each stratum at each step, shape (strata,), sum 1.
        available: Judged draws of each stratum (its completed prefix), shape (strata,).
        rng: Seeded with what was fixed before the first judgement.
    """
    named = rng.choice(strata, size=int(available.sum()) + 1, p=chances)
    place = np.zeros(len(named), np.int64)
    for h in range(strata):
        mine = named == h
        place[mine] = np.arange(int(mine.sum()))
    spent = np.flatnonzero(place >= available[named])
    return np.asarray(named[: spent[0]] if len(spent) else named, np.int64)
