"""How many draws each stratum gets, and where a score is best cut into bands.

A share of the draws always goes in proportion to documents: it bounds the largest weight, however wrong the
scores are. The rest goes

- ``proportional``: the same way;
- ``equal``: alike to all strata;
- ``neyman``: by the standard deviation that the predictions expect, Neyman's optimum for one overall
  prevalence (J. Neyman, "On the two different aspects of the representative method", JRSS 97, 1934);
- ``cost``: Neyman's over the square root of the cost per document, the optimum under a budget (W. G.
  Cochran, "Sampling Techniques", 3rd ed., 1977, section 5.5).
"""

from __future__ import annotations

import heapq
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

Allocation = Literal["proportional", "equal", "neyman", "cost"]


def target(
    documents: Floats,
    allocation: Allocation,
    proportional_share: float,
    *,
    expected: Floats | None = None,
    cost: Floats | None = None,
) -> Floats:
    """Share of the draws by stratum, shape (strata,), sum 1.

    Args:
        documents: Of each stratum, shape (strata,).
        allocation: How the draws go that do not go in proportion.
        proportional_share: Least share of the draws that goes in proportion.
        expected: Predicted harmful documents of each stratum; without any, all draws go in proportion
            where the allocation is by predictions.
        cost: Of judging all documents of each stratum, over 0.

    Raises:
        ValueError: ``cost`` is missing for the allocation by cost, or not over 0.
    """
    weight: Floats = documents / max(documents.sum(), 1.0)
    if allocation == "cost" and (cost is None or (cost[documents > 0] <= 0).any()):
        raise ValueError("allocation by cost needs a cost over 0 of each stratum")
    if allocation == "proportional":
        return weight
    if allocation == "equal":
        wanted = (documents > 0).astype(float)
    elif expected is None:
        return weight
    else:
        rate = np.clip(expected / np.maximum(documents, 1.0), 0.0, 1.0)
        wanted = weight * np.sqrt(rate * (1 - rate))
        if allocation == "cost" and cost is not None:
            wanted = wanted / np.sqrt(np.maximum(cost, 1e-300) / np.maximum(documents, 1.0))
    if wanted.sum() == 0:
        return weight
    mixed: Floats = proportional_share * weight + (1 - proportional_share) * wanted / wanted.sum()
    return mixed


def apportion(
    documents: Ints,
    shares: Floats,
    size: int,
    proportional_share: float,
    minimum: int,
    taken_whole: Booleans | None = None,
) -> Ints:
    """Whole draws by stratum that sum to ``size`` (or to all documents).

    Draws are given one by one to the highest priority, a divisor method (M. L. Balinski, H. P. Young,
    "Fair Representation", 1982): the order does not depend on ``size``, so a larger size keeps all that a
    smaller one gave. Webster's divisors serve the target, Adams's (which round up) the proportional share.
    Strata that are taken whole come before all others.

    Raises:
        ValueError: ``size`` does not suffice for the strata that are taken whole.
    """
    sizes = np.zeros(len(documents), np.int64)
    if taken_whole is not None:
        sizes[taken_whole] = documents[taken_whole]
    left = min(size, int(documents.sum())) - int(sizes.sum())
    if left < 0 and size > 0:
        raise ValueError(f"{int(sizes.sum())} documents are to be taken whole, and only {size} are drawn")
    rest = np.where(sizes > 0, 0, documents)
    weight = rest / max(int(rest.sum()), 1)

    def priority(h: int, seats: int) -> tuple[float, float, int]:
        webster, floor = shares[h] / (seats + 0.5), proportional_share * weight[h] / max(seats, 1)
        return (-float("inf") if seats < minimum else -max(webster, floor), -weight[h], h)

    queue = [priority(h, 0) for h in range(len(rest)) if rest[h] > 0]
    heapq.heapify(queue)
    for _ in range(left):
        h = queue[0][2]
        sizes[h] += 1
        if sizes[h] < rest[h]:
            heapq.heapreplace(queue, priority(h, int(sizes[h])))
        else:
            heapq.heappop(queue)
    return sizes


def affordable(
    documents: Ints,
    shares: Floats,
    cost: Floats,
    budget: float,
    share: float,
    minimum: int,
    taken_whole: Booleans | None = None,
) -> int:
    """The largest number of draws that is expected to cost no more than a budget.

    Args:
        documents, shares, share, minimum, taken_whole: As ``apportion`` takes them.
        cost: Of judging all documents of each stratum, in the budget's unit (words, minutes, money).
        budget: What may be spent.

    Raises:
        ValueError: It does not suffice for the strata that are taken whole.
    """
    each = cost / np.maximum(documents, 1)
    whole = np.zeros(len(documents), bool) if taken_whole is None else taken_whole
    if (spent := float(cost[whole].sum())) > budget:
        raise ValueError(f"what is to be taken whole costs {spent:,.6g}, and the budget is {budget:,.6g}")
    few, many = int(documents[whole].sum()), int(documents.sum())
    while few < many:
        middle = (few + many + 1) // 2
        spent = float(apportion(documents, shares, middle, share, minimum, whole) @ each)
        few, many = (middle, many) if spent <= budget else (few, middle - 1)
    return few


def band_cuts(scores: Floats, documents: Floats, bands: int) -> Floats:
    """Cuts of a calibrated score into bands that expect equally much spread, ascending.

    The rule of equal aggregate sigma: with Neyman's allocation, strata are best where the sums of the
    predicted standard deviations are equal (C.-E. Särndal, B. Swensson, J. Wretman, "Model Assisted Survey
    Sampling", 1992, section 12.4; after R. L. Wright, JASA 78, 1983).

    Args:
        scores: Predicted probability of a class of documents, ascending, shape (classes,).
        documents: Of each class, shape (classes,).
        bands: How many at most; fewer where a class holds more than a band's share.

    Raises:
        ValueError: Scores are not probabilities in ascending order.
    """
    if (np.diff(scores) < 0).any() or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("band_cuts needs ascending probabilities")
    spread = np.cumsum(documents * np.sqrt(scores * (1 - scores)))
    if not len(spread) or spread[-1] == 0:
        return np.empty(0)
    band = np.minimum((spread / spread[-1] * bands - 1e-9).astype(int), bands - 1)
    first = np.flatnonzero(np.diff(band) > 0) + 1
    cuts: Floats = np.unique(scores[first])
    above: Floats = cuts[cuts > scores[0]]
    return above
