"""Corpora of which the whole truth is known: harm, slices, and a detector's calibrated scores.

The detector is binormal: its score is N(d, 1) on harmful documents and N(0, 1) on others, with
d = sqrt(2) · Φ⁻¹(AUC); what it reports is the posterior probability of harm at the corpus' prevalence (at
1e-3 where there is no harm). It knows nothing of the slices, so that it is calibrated over the corpus and
not within a slice. Slices are of unequal size and unequal prevalence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, ndtri

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

#: Log odds of harm, between the safest and the most harmful slice.
_SPREAD = 3.0
_ASSUMED = 1e-3


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents in the order of their strata.

    Attributes:
        harmful: What a perfect reviewer says, shape (documents,).
        scores: The detector's probabilities of harm, shape (documents,).
        starts: First document of each stratum, and the end of the last, shape (strata + 1,).
    """

    harmful: Booleans
    scores: Floats
    starts: Ints

    @cached_property
    def truth(self) -> float:
        """Share of harmful documents."""
        return float(self.harmful.mean())

    @cached_property
    def sizes(self) -> Ints:
        """Documents by stratum."""
        return np.diff(self.starts)

    @property
    def expected(self) -> Floats:
        """Harmful documents by stratum, as the detector predicts."""
        return np.add.reduceat(self.scores, self.starts[:-1])


def sliced(documents: int, prevalence: float, slices: int, auc: float, rng: np.random.Generator) -> Corpus:
    """A corpus whose strata are slices: sizes as 1 / (1 + rank), log odds of harm over a range of three.

    Args:
        documents: How many.
        prevalence: Share of harm; rounded to whole documents by slice.
        slices: Strata.
        auc: Of the detector.
        rng: Of harm and scores.
    """
    sizes = apportioned(1.0 / (1.0 + np.arange(slices)), documents)
    odds = np.linspace(-_SPREAD / 2, _SPREAD / 2, slices) if slices > 1 else np.zeros(1)
    positives = _positives(sizes, odds, prevalence)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    harmful = np.zeros(documents, bool)
    for start, count in zip(starts, positives, strict=False):
        harmful[start : start + count] = True
    return Corpus(harmful, scores_of(harmful, auc, rng), starts)


def banded(documents: int, prevalence: float, bands: int, auc: float, rng: np.random.Generator) -> Corpus:
    """A corpus whose strata are bands of the detector's score, of equal predicted standard deviation.

    Equal shares of the sum of sqrt(s(1 - s)) over documents get equal numbers of draws under Neyman's
    allocation (T. Dalenius, J. L. Hodges, JASA 54, 1959, in the limit of narrow bands).
    """
    harmful = rng.permutation(documents) < round(documents * prevalence)  # equal scores tell nothing
    scores = scores_of(harmful, auc, rng)
    order = np.argsort(scores, kind="stable")
    harmful, scores = harmful[order], scores[order]
    spread = np.cumsum(np.sqrt(scores * (1 - scores)))
    inner = np.searchsorted(spread, spread[-1] * np.arange(1, bands) / bands)
    starts = np.unique(np.concatenate(([0], inner, [documents])))
    return Corpus(harmful, scores, starts)


def scores_of(harmful: Booleans, auc: float, rng: np.random.Generator) -> Floats:
    """Posterior probabilities of harm from a binormal detector."""
    distance = float(np.sqrt(2) * ndtri(auc))
    prevalence = float(harmful.mean()) or _ASSUMED
    raw = rng.standard_normal(len(harmful)) + distance * harmful
    posterior: Floats = expit(distance * raw - distance**2 / 2 + np.log(prevalence) - np.log1p(-prevalence))
    return posterior


def apportioned(shares: Floats, total: int) -> Ints:
    """Whole numbers in proportion to shares, that sum to ``total``; largest remainders first."""
    exact = shares / shares.sum() * total
    whole = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: total - whole.sum()]] += 1
    return whole


def _positives(sizes: Ints, odds: Floats, prevalence: float) -> Ints:
    total = round(prevalence * int(sizes.sum()))
    if total == 0:
        return np.zeros(len(sizes), np.int64)

    def excess(shift: float) -> float:
        return float(sizes @ expit(odds + shift)) - total

    rates = expit(odds + brentq(excess, -40, 40))
    return np.minimum(apportioned(sizes * rates, total), sizes)
