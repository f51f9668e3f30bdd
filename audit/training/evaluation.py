"""How well a scorer ranks: AUC with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtri
from scipy.stats import rankdata

from audit.toxicity.calibration import Doubles


@dataclass(frozen=True)
class Interval:
    """A figure with its two-sided 95% interval."""

    value: float
    low: float
    high: float


def auc(scores: Doubles, positive: npt.NDArray[np.bool_]) -> Interval:
    """Area under the ROC curve, DeLong's interval on the logit scale.

    DeLong et al. (Biometrics 1988), by mid-ranks as in Sun and Xu (IEEE SPL 2014); the logit keeps the
    interval inside 0 to 1 (Pepe 2003, section 5.2).

    Raises:
        ValueError: Fewer than two positives or negatives.
    """
    above, below = scores[positive], scores[~positive]
    m, n = len(above), len(below)
    if m < 2 or n < 2:
        raise ValueError("AUC needs two positives and two negatives")
    ranks = rankdata(np.concatenate([above, below]))
    above_share = (ranks[:m] - rankdata(above)) / n
    below_share = 1 - (ranks[m:] - rankdata(below)) / m
    value = float(above_share.mean())
    error = float(np.sqrt(above_share.var(ddof=1) / m + below_share.var(ddof=1) / n))
    inside = min(max(value, 1e-6), 1 - 1e-6)
    logit, half = np.log(inside / (1 - inside)), ndtri(0.975) * error / (inside * (1 - inside))
    return Interval(value, float(expit(logit - half)), float(expit(logit + half)))


def share(hits: npt.NDArray[np.bool_]) -> float | None:
    """Share of true values; None when there is nothing to count."""
    return float(hits.mean()) if len(hits) else None
