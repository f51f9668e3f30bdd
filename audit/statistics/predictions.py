"""What reviewers are expected to answer, before they do: shares of yes by cell, and the doubt about them.

A detector's calibrated scores give the share of each cell. Judgements that stand already are
kept as they are, and recalibrate the prediction: slope and intercept on the log odds, with the judgements
for likelihood and normal distributions around 1 and 0 for prior (D. R. Cox, "Two further applications of a
model for binary regression", Biometrika 45, 1958). Each replicate takes its own slope and intercept from the
posterior, in its normal approximation, so that what few judgements leave open widens the forecast.

As long as nothing was judged, scores are not taken at their word either: each replicate takes a slope that
the scores had on some labelled data set, and a shift within a factor of about three (``doubted``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit, ndtri

from audit.statistics.estimation import UNSURE, YES

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

#: Prior standard deviations of the slope, and of the intercept: right within a factor of about three.
_SLOPE_PRIOR, _INTERCEPT_PRIOR = 0.5, float(np.log(3.0))
#: Predicted shares are kept off 0 and 1: no score is so sure.
_LEAST = 1e-7
#: Slopes of scores of which nothing is known on other data: equally probable ones of the prior.
_UNKNOWN = tuple(max(0.0, 1 + _SLOPE_PRIOR * float(ndtri((k + 0.5) / 9))) for k in range(9))
#: Scores that tell nothing are always one of the possibilities.
_USELESS = 0.0
#: Bases of a prediction, in words.
ALONE, JUDGED = "scores alone", "judgements so far"


@dataclass(frozen=True, eq=False)
class Labels:
    """Judged documents, in draw order within their strata.

    Attributes:
        cell: Of each document, shape (n,).
        label: ``NO``, ``YES`` or ``UNSURE``, shape (n,).
        tokens: Of each document, shape (n,).
        weights: 1 / pi2 of the second look at negative answers, 0 where nobody is to look again, shape (n,);
            None while answers are not adjudicated.
        again: Share of negatives that is looked at again, where answers are adjudicated.
    """

    cell: Ints
    label: npt.NDArray[np.int8]
    tokens: Ints
    weights: Floats | None = None
    again: float = 1.0

    @property
    def counts(self) -> Floats:
        """What each document stands for, shape (n,)."""
        return np.ones(len(self.cell)) if self.weights is None else self.weights

    @classmethod
    def none(cls) -> Labels:
        """Nothing judged yet."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int64))

    def __add__(self, later: Labels) -> Labels:
        return Labels(
            np.concatenate((self.cell, later.cell)),
            np.concatenate((self.label, later.label)),
            np.concatenate((self.tokens, later.tokens)),
            None if self.weights is None else np.concatenate((self.weights, later.counts)),
            self.again,
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is thought of one question.

    Attributes:
        question: As reviewers are asked.
        shares: Predicted share of yes by cell, shape (cells,).
        judged: Judgements that stand.
        basis: Where the shares come from, in words.
        doubt: Factor of the covariance of slope and intercept, shape (2, 2); 0 where nothing was judged.
        centre: Log odds at which the intercept is taken.
        slopes: Equally probable slopes of the scores, while nothing was judged; none: the scores are right.
    """

    question: str
    shares: Floats
    judged: Labels
    basis: str
    doubt: Floats = field(default_factory=lambda: np.zeros((2, 2)))
    centre: float = 0.0
    slopes: tuple[float, ...] = ()

    @property
    def rests_on(self) -> str:
        """``ALONE`` or ``JUDGED``."""
        return JUDGED if self.doubt.any() else ALONE

    def as_if_right(self) -> Prediction:
        """The same without a doubt."""
        return replace(self, doubt=np.zeros((2, 2)), slopes=())

    def drawn(self, factor: float, rng: np.random.Generator) -> Floats:
        """Shares of one replicate, multiplied cell by cell, up to certainty."""
        if not self.doubt.any() and not self.slopes:
            right: Floats = np.clip(self.shares * factor, 0.0, 1.0)
            return right
        slope, intercept = self.doubt @ rng.standard_normal(2)
        if self.slopes:
            slope, intercept = rng.choice(self.slopes) - 1, _INTERCEPT_PRIOR * rng.standard_normal()
        odds = logit(np.clip(self.shares, _LEAST, 1 - _LEAST))
        moved = expit(odds + slope * (odds - self.centre) + intercept)
        found: Floats = np.clip(moved * factor, 0.0, 1.0)
        return found


def doubted(prediction: Prediction, documents: Ints, slopes: tuple[float, ...] = ()) -> Prediction:
    """A prediction that nothing was judged for, with what its scores may be wrong by.

    Each replicate takes one of the slopes (or 0: the scores tell nothing), around the predicted share of the
    whole corpus, and a shift of the log odds with a standard deviation of ln 3. Intercepts that other data
    sets showed are no guide: they say how much harm their collectors had looked for.

    Args:
        prediction: Without judgements; with some it stays as it is.
        documents: Of each cell, shape (cells,).
        slopes: Of logistic recalibrations on labelled data sets; none: those of the prior.
    """
    if prediction.doubt.any() or not documents.sum():
        return prediction
    share = float(prediction.shares @ documents / documents.sum())
    centre = float(logit(np.clip(share, _LEAST, 1 - _LEAST)))
    return replace(prediction, centre=centre, slopes=(_USELESS, *(slopes or _UNKNOWN)))


def adjusted(prediction: Prediction) -> Prediction:
    """The prediction after the judgements that stand, and the doubt that they leave."""
    decided = (prediction.judged.label != UNSURE) & (prediction.judged.counts > 0)
    if not decided.any():
        return prediction
    cells, yes = prediction.judged.cell[decided], prediction.judged.label[decided] == YES
    odds = logit(np.clip(prediction.shares, _LEAST, 1 - _LEAST))
    centre = float(odds[cells].mean())
    weights = prediction.judged.counts[decided]
    weights = weights * weights.sum() / (weights @ weights)  # as many as they are worth (Kish)
    (slope, shift), factor = _recalibrated(odds[cells] - centre, centre, yes, weights)
    return Prediction(
        prediction.question,
        expit(slope * (odds - centre) + centre + shift),
        prediction.judged,
        f"{prediction.basis}, recalibrated by {len(cells):,} judgements"
        f" (slope {slope:.2f}, shift {shift:+.2f})",
        factor / np.array([[max(slope, _LEAST)], [1.0]]),
        centre + shift,
    )


def _recalibrated(distance: Floats, centre: float, yes: Booleans, weights: Floats) -> tuple[Floats, Floats]:
    """Posterior mode of slope and shift, and the factor of their covariance there."""
    terms = np.column_stack([distance, np.ones_like(distance)])
    precision = 1 / np.array([_SLOPE_PRIOR, _INTERCEPT_PRIOR]) ** 2
    prior, offset = np.array([1.0, 0.0]), np.array([0.0, centre])

    def loss(at: Floats) -> float:
        odds = terms @ (at + offset)
        fit = weights @ log_expit(np.where(yes, odds, -odds))
        return float(0.5 * precision @ (at - prior) ** 2 - fit)

    mode: Floats = minimize(loss, prior, bounds=((0.0, None), (None, None))).x
    fitted = expit(terms @ (mode + offset))
    hessian = (terms * (weights * fitted * (1 - fitted))[:, None]).T @ terms + np.diag(precision)
    return mode, np.linalg.cholesky(np.linalg.inv(hessian))
