"""What a run's own review says of the scores of its toxicity screen: calibration, reliability, thresholds.

It reports. Scores, parts, strata and gates stay as they are, and no estimate rests on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtri

from audit.scored_draws import ScoredPart
from audit.statistics.stratum_samples import UNSURE, YES
from audit.toxicity.calibration import LEAST_JUDGED, Booleans, Doubles, Recalibration, recalibrate

#: The question whose answers are held against the screen of the same name, by default.
QUESTION = SCREEN = "toxicity"
#: Borders of the rows of the reliability table, in scores.
BANDS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.5, 0.8, 1.0)
#: Each side of the intervals: they are at 90%, as estimates are.
ALPHA = 0.05
CONFIDENCE = 1 - 2 * ALPHA

METHOD = (
    "logistic regression of the reviewers' answers on the log odds of the scores, weighted by inverse "
    "inclusion probabilities, prior of standard deviation 1 around slope 1; limits by the score test"
)
_EDGE = 1e-6  # a score of exactly 0 or 1 has no log odds
_QUANTILE = float(-ndtri(ALPHA))


@dataclass(frozen=True, eq=False)
class Judged:
    """Documents of the completed prefix of each stratum's draw order that have a score and a clear answer.

    Where answers were adjudicated: of those, what was looked at again.

    Attributes:
        scores, positive: Screen's score and reviewers' answer, shape (n,).
        inclusion: Probability of having been judged: the prefix of a stratum over its documents, times that
            of a second look.
        unclear: Documents of the prefixes that reviewers were unsure of, or did not answer.
        unscored: Documents of the prefixes that the screen did not evaluate.
        undecided: Documents that wait for adjudication, or stayed unsure after it: as long as there are any,
            the clear answers are a choice of easy ones.
        strata, unjudged: How many there are, and how many of them nobody has judged a document of: nothing
            here speaks of those.
    """

    scores: Doubles
    positive: Booleans
    inclusion: Doubles
    unclear: int
    unscored: int
    strata: int = 0
    unjudged: int = 0
    undecided: int = 0


def judged(parts: Sequence[ScoredPart]) -> Judged:
    """Gather what people and the screen said of the same documents.

    Args:
        parts: The completed prefix of each stratum, of the corpus or of a slice.
    """
    looked = [part.counts > 0 for part in parts]
    clear = [(part.labels != UNSURE) & seen for part, seen in zip(parts, looked, strict=True)]
    used = [part.evaluated & kept for part, kept in zip(parts, clear, strict=True)]
    pairs = list(zip(parts, used, strict=True))
    nothing: list[Doubles] = [np.empty(0)]
    return Judged(
        np.concatenate(nothing + [part.scores[kept] for part, kept in pairs]),
        np.concatenate(nothing + [part.labels[kept] == YES for part, kept in pairs]).astype(bool),
        np.concatenate(
            nothing + [len(part.labels) / part.documents / part.counts[kept] for part, kept in pairs]
        ),
        unclear=sum(int((seen & ~kept).sum()) for seen, kept in zip(looked, clear, strict=True)),
        unscored=sum(int((kept & ~part.evaluated).sum()) for part, kept in zip(parts, clear, strict=True)),
        strata=len(parts),
        unjudged=sum(not len(part.labels) for part in parts),
        undecided=sum(part.undecided for part in parts),
    )


def fit(found: Judged, alpha: float) -> Recalibration | None:
    """The line from the log odds of the scores to those of harm; None where too few were judged."""
    positives = int(found.positive.sum())
    few = found.undecided or min(positives, len(found.positive) - positives) < LEAST_JUDGED
    if few or np.ptp(found.scores) == 0:
        return None
    return recalibrate(_log_odds(found.scores), found.positive, found.inclusion, alpha)


def section(found: Judged, threshold: float, question: str = QUESTION) -> dict[str, Any]:
    """The scorecard's ``calibration``: JSON values.

    Args:
        found: As ``judged`` gives it.
        threshold: Score from which the screen flags.
        question: Whose answers they are.
    """
    positives = int(found.positive.sum())
    negatives = len(found.positive) - positives
    head = {
        "question": question,
        "screen": SCREEN,
        "n": len(found.positive),
        "positives": positives,
        "unclear": found.unclear,
        "unscored": found.unscored,
        "strata": found.strata,
        "unjudged_strata": found.unjudged,
        "confidence": CONFIDENCE,
        "method": METHOD,
    }
    fitted = fit(found, ALPHA)
    if fitted is None:
        reason = (
            f"{positives} toxic and {negatives} other documents were judged that have a score; "
            f"{LEAST_JUDGED} of each are the least, with scores that differ"
        )
        if found.undecided:
            reason = f"{found.undecided} documents wait for adjudication, or stayed unsure after it"
        nothing = dict.fromkeys(("slope", "intercept", "threshold"))
        return {**head, "not_evaluated": reason, **nothing, "reliability": []}
    return {
        **head,
        "not_evaluated": None,
        "slope": _interval(fitted.slope, fitted.slope_low, fitted.slope_high),
        "intercept": _interval(fitted.intercept, fitted.intercept_low, fitted.intercept_high),
        "threshold": thresholds(found, fitted, threshold),
        "reliability": reliability(found, fitted),
    }


def thresholds(found: Judged, fitted: Recalibration, configured: float) -> dict[str, float | None]:
    """What the fit makes of the threshold, and where others would lie; None where there is none.

    ``probability``: of harm at the configured threshold. ``even``: the score at which harm is as probable as
    not. ``matching``: the score from which as large a share of the corpus is flagged as the fit holds toxic.
    """
    at_threshold = expit(fitted.apply(_log_odds(np.array([configured]))))[0]
    even = float(expit(-fitted.intercept / fitted.slope)) if fitted.slope > 0 else None
    weights = 1 / found.inclusion
    order = np.argsort(-found.scores, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    toxic = np.average(expit(fitted.apply(_log_odds(found.scores))), weights=weights)
    place = int(np.searchsorted(share, toxic))
    matching = float(found.scores[order[min(place, len(order) - 1)]]) if fitted.slope > 0 else None
    return {"configured": configured, "probability": float(at_threshold), "even": even, "matching": matching}


def reliability(found: Judged, fitted: Recalibration) -> list[dict[str, Any]]:
    """Predicted and observed shares of toxic documents by score, weighted to the corpus.

    The interval of what was observed is Wilson's on Kish's effective number of documents: for orientation.
    """
    weights = 1 / found.inclusion
    recalibrated = expit(fitted.apply(_log_odds(found.scores)))
    places = np.clip(np.searchsorted(BANDS, found.scores, side="right") - 1, 0, len(BANDS) - 2)
    rows = []
    for place in np.unique(places).tolist():
        inside = places == place
        mass = weights[inside]
        observed = float(np.average(found.positive[inside], weights=mass))
        low, high = _wilson(observed, float(mass.sum() ** 2 / (mass**2).sum()))
        rows.append(
            {
                "low": BANDS[place],
                "high": BANDS[place + 1],
                "n": int(inside.sum()),
                "positives": int(found.positive[inside].sum()),
                "predicted": float(np.average(found.scores[inside], weights=mass)),
                "recalibrated": float(np.average(recalibrated[inside], weights=mass)),
                "observed": observed,
                "observed_low": low,
                "observed_high": high,
            }
        )
    return rows


def tables(card: Mapping[str, Any]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Rows of the database's tables ``calibration`` and ``reliability``, from a ``section``."""
    identity = {"screen": card["screen"], "question": card["question"]}
    row = {**identity, **{name: card[name] for name in ("n", "positives", "confidence", "method")}}
    for name in ("slope", "intercept"):
        found = card[name] or {"value": None, "low": None, "high": None}
        row |= {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
    row["reason"] = card["not_evaluated"]
    return {"calibration": [row], "reliability": [{**identity, **band} for band in card["reliability"]]}


def _log_odds(scores: Doubles) -> npt.NDArray[np.float64]:
    odds: npt.NDArray[np.float64] = logit(np.clip(scores, _EDGE, 1 - _EDGE))
    return odds


def _interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def _wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's score interval (Journal of the American Statistical Association 1927)."""
    spread = _QUANTILE**2 / n
    middle = (share + spread / 2) / (1 + spread)
    half = _QUANTILE / (1 + spread) * float(np.sqrt(share * (1 - share) / n + spread / (4 * n)))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
