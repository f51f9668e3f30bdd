"""How good a scorer is: AUC with its interval, calibration, identity bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtri
from scipy.stats import rankdata

Doubles = npt.NDArray[np.float64]


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


@dataclass(frozen=True)
class Calibration:
    """Logistic recalibration: P = expit(slope * logit + intercept), with standard errors.

    Slope 1 and intercept 0 mean calibrated (Cox, Biometrika 1958).
    """

    slope: float
    intercept: float
    slope_error: float
    intercept_error: float


def calibrate(logits: Doubles, positive: npt.NDArray[np.bool_], weights: Doubles) -> Calibration:
    """Weighted maximum likelihood by Newton's method (Platt scaling, with a ridge of 1e-6 on both).

    Args:
        logits: Scores on the real line, shape (n,).
        positive: Labels.
        weights: Weight of each observation; standard errors are honest where all are 1.
    """
    design = np.column_stack([logits, np.ones_like(logits)])
    spread = max(float(logits.std()), 1e-9)
    design[:, 0] /= spread  # so that Newton starts well whatever the scale
    beta = np.zeros(2)
    hessian = np.eye(2)
    for _ in range(100):
        fitted = expit(design @ beta)
        gradient = design.T @ (weights * (positive - fitted)) - 1e-6 * beta
        hessian = (design * (weights * fitted * (1 - fitted))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta += step * min(1.0, 5.0 / float(np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    return Calibration(beta[0] / spread, beta[1], errors[0] / spread, errors[1])


def share(hits: npt.NDArray[np.bool_]) -> float | None:
    """Share of true values; None when there is nothing to count."""
    return float(hits.mean()) if len(hits) else None
