"""Logistic recalibration of scores: Platt scaling, from training data or from a run's own review."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Doubles = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

#: Judged documents of each label under which a review says nothing about calibration.
LEAST_JUDGED = 5
_STEPS = 100
_ARMIJO = 1e-4
_SMALLEST = 1e-10


@dataclass(frozen=True)
class Calibration:
    """Logistic recalibration: P = expit(slope * logit + intercept), with standard errors.

    Slope 1 and intercept 0 mean calibrated (Cox, Biometrika 1958).
    """

    slope: float
    intercept: float
    slope_error: float
    intercept_error: float

    def apply(self, logits: Doubles) -> Doubles:
        """Recalibrated logits."""
        return self.slope * logits + self.intercept


def calibrate(logits: Doubles, positive: Booleans, weights: Doubles) -> Calibration:
    """Weighted maximum likelihood by Newton's method (Platt scaling, with a ridge of 1e-6 on both).

    Args:
        logits: Scores on the real line, shape (n,).
        positive: Labels.
        weights: Weight of each observation; standard errors are honest where all are 1.
    """
    spread = max(float(logits.std()), 1e-9)  # so that Newton starts well whatever the scale
    design = np.column_stack([logits / spread, np.ones_like(logits)])
    ridge = np.full(2, 1e-6)
    beta, hessian = _newton(design, positive, weights, np.zeros(2), ridge)
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    return Calibration(float(beta[0] / spread), float(beta[1]), float(errors[0] / spread), float(errors[1]))


def recalibrate(logits: Doubles, positive: Booleans, inclusion: Doubles) -> Calibration:
    """Recalibrate a model's scores to a corpus, from a probability sample of it that people judged.

    Platt scaling on the logit, each document weighted by the inverse of its probability of inclusion (scaled
    to mean 1), with a Gaussian prior of standard deviation 1 around slope 1: a small review moves the
    intercept first and the slope only on evidence. Standard errors by the sandwich formula (Binder,
    International Statistical Review 1983), as the weights are not counts.

    Args:
        logits: Log odds that the model gave the judged documents, shape (n,).
        positive: What the reviewers said.
        inclusion: Each document's probability of having been drawn, over 0 and at most 1.

    Raises:
        ValueError: An inclusion probability or a logit is out of range, or fewer than ``LEAST_JUDGED``
            documents of a label were judged: the scores stay as they are.
    """
    if not ((inclusion > 0) & (inclusion <= 1)).all() or not np.isfinite(logits).all():
        raise ValueError("recalibration needs finite logits and inclusion probabilities over 0 and up to 1")
    if min(positive.sum(), (~positive).sum()) < LEAST_JUDGED:
        raise ValueError(f"recalibration needs {LEAST_JUDGED} judged documents of each label")
    weights = 1 / inclusion
    weights /= weights.mean()
    design = np.column_stack([logits, np.ones_like(logits)])
    ridge = np.array([1.0, 0.0])
    beta, hessian = _newton(design, positive, weights, np.array([1.0, 0.0]), ridge)
    scores = design * (weights * (positive - expit(design @ beta)))[:, None]
    inverse = np.linalg.inv(hessian)
    slope_error, intercept_error = np.sqrt(np.diag(inverse @ (scores.T @ scores) @ inverse))
    return Calibration(float(beta[0]), float(beta[1]), float(slope_error), float(intercept_error))


def _newton(
    design: Doubles, positive: Booleans, weights: Doubles, start: Doubles, ridge: Doubles
) -> tuple[Doubles, Doubles]:
    """Coefficients of a weighted logistic regression with a ridge around ``start``, and the Hessian there.

    A full step overshoots where most scores are extreme: it is halved until the loss falls (Armijo's rule).
    """
    beta = start.copy()
    for _ in range(_STEPS):
        fitted = expit(design @ beta)
        gradient = design.T @ (weights * (positive - fitted)) - ridge * (beta - start)
        curvature = np.maximum(weights * fitted * (1 - fitted), 1e-12)
        hessian: Doubles = (design * curvature[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        before, slope = _loss(design, positive, weights, beta, start, ridge), float(gradient @ step)
        size = min(1.0, 5.0 / float(np.abs(step).max() + 1e-12))
        while size > _SMALLEST and _loss(
            design, positive, weights, beta + size * step, start, ridge
        ) > before - _ARMIJO * size * slope + 1e-12 * abs(before):
            size /= 2
        beta = beta + size * step
        if np.abs(step).max() < 1e-9:
            break
    return beta, hessian


def _loss(
    design: Doubles, positive: Booleans, weights: Doubles, beta: Doubles, start: Doubles, ridge: Doubles
) -> float:
    """Penalised negative log likelihood."""
    margins = design @ beta
    likelihood = np.logaddexp(0.0, margins) - positive * margins
    return float(weights @ likelihood + 0.5 * ridge @ (beta - start) ** 2)
