"""Logistic recalibration of scores: Platt scaling, from training data or from a run's own review."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, ndtri

Doubles = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

#: Judged documents of each label under which a review says nothing about calibration.
LEAST_JUDGED = 5
#: Where the search for a limit ends: beyond, nothing is told apart.
_FARTHEST = 100.0
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


@dataclass(frozen=True)
class Recalibration:
    """A line fitted to a weighted sample: P = expit(slope * logit + intercept); 1 and 0 are calibrated.

    Attributes:
        slope, slope_low, slope_high: With a two-sided interval.
        intercept, intercept_low, intercept_high: The same.
        n: Judged documents with a score and a clear answer.
        confidence: Two-sided level.
    """

    slope: float
    slope_low: float
    slope_high: float
    intercept: float
    intercept_low: float
    intercept_high: float
    n: int
    confidence: float

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


def recalibrate(
    logits: Doubles, positive: Booleans, inclusion: Doubles, alpha: float = 0.05
) -> Recalibration:
    """Recalibrate a model's scores to a corpus, from a probability sample of it that people judged.

    Platt scaling on the logit, each document weighted by the inverse of its probability of inclusion (scaled
    to mean 1), with a Gaussian prior of standard deviation 1 around slope 1: a small review moves the
    intercept first and the slope only on evidence. The limits know no prior. They are those values that Rao's
    score test does not reject (C. R. Rao, Proceedings of the Cambridge Philosophical Society 44, 1948), the
    other coefficient fitted anew at each; its variance is the larger of what the line itself predicts and of
    what the residuals show (D. A. Binder, International Statistical Review 51, 1983). With few positives and
    unequal weights Wald's intervals with Binder's variance cover far too little (66% to 86% for 90%, at 10 to
    100 positives); these cover 90% to 99%. Where the prior keeps a value outside, the interval reaches to it.

    Args:
        logits: Log odds that the model gave the judged documents, shape (n,).
        positive: What the reviewers said.
        inclusion: Each document's probability of having been drawn, over 0 and at most 1.
        alpha: The limits are at the two-sided level ``1 - 2·alpha``.

    Raises:
        ValueError: An inclusion probability or a logit is out of range, the logits are all the same, or
            fewer than ``LEAST_JUDGED`` documents of a label were judged: the scores stay as they are.
    """
    if not ((inclusion > 0) & (inclusion <= 1)).all() or not np.isfinite(logits).all():
        raise ValueError("recalibration needs finite logits and inclusion probabilities over 0 and up to 1")
    if min(positive.sum(), (~positive).sum()) < LEAST_JUDGED:
        raise ValueError(f"recalibration needs {LEAST_JUDGED} judged documents of each label")
    if np.ptp(logits) == 0:
        raise ValueError("recalibration needs scores that differ")
    weights = 1 / inclusion
    weights /= weights.mean()
    design = np.column_stack([logits, np.ones_like(logits)])
    beta, _ = _newton(design, positive, weights, np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    slope, intercept = (float(each) for each in beta)
    ones, reach = np.ones_like(logits), float(-ndtri(alpha))
    slopes = _limits(logits, ones, positive, weights, slope, reach)
    intercepts = _limits(ones, logits, positive, weights, intercept, reach)
    return Recalibration(slope, *slopes, intercept, *intercepts, n=len(logits), confidence=1 - 2 * alpha)


def _limits(
    column: Doubles,
    other: Doubles,
    positive: Booleans,
    weights: Doubles,
    value: float,
    reach: float,
) -> tuple[float, float]:
    """Ends of what the score test does not reject of one column's coefficient, and of its value."""

    def excess(coefficient: float) -> float:
        fixed = coefficient * column
        fitted = expit(fixed + _one_coefficient(other, fixed, positive, weights) * other)
        spread = weights * fitted * (1 - fitted)
        total = float(spread @ other**2)
        rest = column - (float(spread @ (column * other)) / total if total else 0.0) * other
        variance = max((weights * spread) @ rest**2, (weights * (positive - fitted)) ** 2 @ rest**2)
        return float(((weights * (positive - fitted)) @ rest) ** 2 - reach**2 * variance)

    def score(coefficient: float) -> float:
        """Signed, so that its zero is the value that the data alone prefer."""
        fixed = coefficient * column
        fitted = expit(fixed + _one_coefficient(other, fixed, positive, weights) * other)
        return float((weights * (positive - fitted)) @ column)

    best = _root(score, value)
    ends = []
    for sign in (-1.0, 1.0):
        step = 0.05 * max(1.0, abs(best))
        while excess(best + sign * step) < 0 and step < _FARTHEST:
            step *= 2
        far = best + sign * step
        ends.append(far if excess(far) < 0 else float(brentq(excess, best, far, xtol=1e-6)))
    return min(ends[0], value), max(ends[1], value)


def _root(falling: Callable[[float], float], start: float) -> float:
    """Where a falling function crosses zero, or the end of the search on that side."""
    step = 1.0
    while falling(start - step) < 0 or falling(start + step) > 0:
        step *= 2
        if step > _FARTHEST:
            return start - step if falling(start - step) < 0 else start + step
    return float(brentq(falling, start - step, start + step, xtol=1e-9))


def _one_coefficient(column: Doubles, offset: Doubles, positive: Booleans, weights: Doubles) -> float:
    """Root of the weighted score in one coefficient, the rest of the margin being fixed."""

    def score(beta: float) -> float:
        return float((weights * (positive - expit(offset + beta * column))) @ column)

    return _root(score, 0.0)


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
