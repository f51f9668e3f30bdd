"""What a run's own review says of the scores of its toxicity screen: calibration, reliability, thresholds.

It reports. Scores, parts, strata and gates stay as they are, and no estimate rests on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit, logit
from scipy.stats import norm

from audit.calibration import LEAST_JUDGED, Booleans, Calibration, Doubles, recalibrate
from audit.drawing import PHASE
from audit.estimation import completed_prefix

#: The question whose answers are held against the screen of the same name.
QUESTION = SCREEN = "toxicity"
#: Borders of the rows of the reliability table, in scores.
BANDS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.5, 0.8, 1.0)
CONFIDENCE = 0.95

METHOD = (
    "logistic regression of the reviewers' answers on the log odds of the scores, weighted by inverse "
    "inclusion probabilities, prior of standard deviation 1 around slope 1, sandwich standard errors"
)
_EDGE = 1e-6  # a score of exactly 0 or 1 has no log odds
_QUANTILE = float(norm.ppf(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True, eq=False)
class Judged:
    """Documents of the completed prefix of each stratum's draw order that have a score and a clear answer.

    Attributes:
        scores, positive: Screen's score and reviewers' answer, shape (n,).
        inclusion: Probability of having been judged: the prefix of a stratum over its documents.
        unclear: Documents of the prefixes that reviewers were unsure of, or did not answer.
        unscored: Documents of the prefixes that the screen did not evaluate.
    """

    scores: Doubles
    positive: Booleans
    inclusion: Doubles
    unclear: int
    unscored: int


def judged(db: duckdb.DuckDBPyConnection) -> Judged:
    """Gather what people and the screen said of the same documents.

    The answer is the final one; where people disagree and nobody decided between them it is unclear.

    Args:
        db: With ``samples``, ``strata``, ``final_labels`` and the view ``documents``, toxicity among it.
    """
    table = db.sql(
        f"""WITH answers AS (SELECT doc_id, text_digest, label FROM final_labels
            WHERE question = '{QUESTION}')
        SELECT samples.stratum, samples.draw, strata.documents AS size, answers.label,
            documents.{SCREEN}_score::DOUBLE AS score
        FROM samples JOIN strata USING (phase, stratum) JOIN documents USING (shard, position)
        LEFT JOIN answers ON answers.doc_id = samples.doc_id AND answers.text_digest = documents.text_digest
        WHERE samples.phase = '{PHASE}' ORDER BY samples.stratum, samples.draw"""
    ).to_arrow_table()
    return _judged(table)


def _judged(table: pa.Table) -> Judged:
    strata = np.asarray(table.column("stratum").to_pylist(), object)
    draws = table.column("draw").to_numpy()
    labels = np.asarray(table.column("label").to_pylist(), object)
    answered = np.array([label is not None for label in labels], bool)
    inclusion = np.zeros(len(table))
    for name in dict.fromkeys(strata.tolist()):
        rows = np.flatnonzero(strata == name)
        prefix = rows[completed_prefix(draws[rows], answered[rows])]
        inclusion[prefix] = len(prefix) / table.column("size")[int(rows[0])].as_py()
    counted = inclusion > 0
    clear = counted & np.isin(labels, ("yes", "no"))
    scores = table.column("score").to_numpy(zero_copy_only=False).astype(float)
    used = clear & ~np.isnan(scores)
    return Judged(
        scores[used],
        labels[used] == "yes",
        inclusion[used],
        int((counted & ~clear).sum()),
        int((clear & ~used).sum()),
    )


def section(found: Judged, threshold: float) -> dict[str, Any]:
    """The scorecard's ``calibration``: JSON values.

    Args:
        found: As ``judged`` gives it.
        threshold: Score from which the screen flags.
    """
    positives = int(found.positive.sum())
    negatives = len(found.positive) - positives
    head = {
        "question": QUESTION,
        "screen": SCREEN,
        "n": len(found.positive),
        "positives": positives,
        "unclear": found.unclear,
        "unscored": found.unscored,
        "confidence": CONFIDENCE,
        "method": METHOD,
    }
    if min(positives, negatives) < LEAST_JUDGED:
        reason = (
            f"{positives} toxic and {negatives} other documents were judged that have a score; "
            f"{LEAST_JUDGED} of each are the least"
        )
        nothing = dict.fromkeys(("slope", "intercept", "threshold"))
        return {**head, "not_evaluated": reason, **nothing, "reliability": []}
    fitted = recalibrate(_log_odds(found.scores), found.positive, found.inclusion)
    return {
        **head,
        "not_evaluated": None,
        "slope": _interval(fitted.slope, fitted.slope_error),
        "intercept": _interval(fitted.intercept, fitted.intercept_error),
        "threshold": thresholds(found, fitted, threshold),
        "reliability": reliability(found, fitted),
    }


def thresholds(found: Judged, fitted: Calibration, configured: float) -> dict[str, float | None]:
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


def reliability(found: Judged, fitted: Calibration) -> list[dict[str, Any]]:
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


def _interval(value: float, error: float) -> dict[str, float]:
    return {"value": value, "low": value - _QUANTILE * error, "high": value + _QUANTILE * error}


def _wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's score interval (Journal of the American Statistical Association 1927)."""
    spread = _QUANTILE**2 / n
    middle = (share + spread / 2) / (1 + spread)
    half = _QUANTILE / (1 + spread) * float(np.sqrt(share * (1 - share) / n + spread / (4 * n)))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
