"""Calibration of margins to plain text, reliability tables, and the threshold that follows from them."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from scipy.special import expit

from audit.toxicity.calibration import Booleans, Calibration, Doubles, calibrate
from audit.training.data import FOLDS, NEUTRAL_SET, Labelled
from audit.training.parts import DERIVED_SETS

#: Share of toxic texts to which probabilities are calibrated. Unselected Wikipedia talk has 0.6%.
REFERENCE_PREVALENCE = 0.01
#: Of the negatives' weight in calibration: as many near misses as toxic texts.
NATURAL_SHARE = 0.99
#: Text that nobody selected for its tone.
_NATURAL_SETS = ("wiki_context_gn", NEUTRAL_SET)
#: Borders of the reliability tables' rows.
_PROBABILITIES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


class Bin(TypedDict):
    """A row of a reliability table; shares are in the reference mix, from 0 to 1."""

    low: float
    high: float
    texts: int
    positives: int
    predicted: float
    observed: float


def reference_weights(data: Labelled, rows: Booleans, positive: Booleans, prevalence: float) -> Doubles:
    """Weights (n,) that make the rows a mix of which ``prevalence`` is positive; 0 outside of the rows.

    Positives: every data set that has some counts the same. Negatives: ``NATURAL_SHARE`` of the weight on
    text that nobody selected for its tone (``_NATURAL_SETS``), the rest on the other data sets' own
    negatives, which are near misses and rarer on the web than there.
    """
    rows = rows & data.trainable & ~np.isin(data.datasets, DERIVED_SETS)
    natural = np.isin(data.datasets, _NATURAL_SETS)
    kept = 1 - prevalence
    share = NATURAL_SHARE if (rows & natural & ~positive).any() else 0.0
    weights = np.zeros(len(positive))
    for mask, mass in (
        (rows & positive, prevalence),
        (rows & natural & ~positive, kept * share),
        (rows & ~natural & ~positive, kept * (1 - share)),
    ):
        names = np.unique(data.datasets[mask].astype(str))
        for name in names:
            part = mask & (data.datasets == name)
            weights[part] = mass / len(names) / part.sum()
    return weights


def fit_calibration(
    data: Labelled, margins: Doubles, rows: Booleans, positive: Booleans, prevalence: float
) -> Calibration:
    """Platt scaling of the rows' margins (out of fold) to the reference mix."""
    weights = reference_weights(data, rows, positive, prevalence) * rows.sum()
    used = weights > 0
    return calibrate(margins[used], positive[used], weights[used])


def cross_fit(
    data: Labelled, margins: Doubles, rows: Booleans, positive: Booleans, prevalence: float
) -> Doubles:
    """Calibrated logits of the rows, each fold's by a calibration that saw the other folds only; else NaN."""
    logits = np.full(len(margins), np.nan)
    for fold in range(FOLDS):
        inside = rows & (data.folds == fold)
        found = fit_calibration(data, margins, rows & (data.folds != fold), positive, prevalence)
        logits[inside] = found.apply(margins[inside])
    return logits


def reliability(data: Labelled, logits: Doubles, rows: Booleans) -> list[Bin]:
    """Predicted and observed shares of toxic texts, by predicted probability, in the reference mix."""
    weights = reference_weights(data, rows, data.toxic, REFERENCE_PREVALENCE)
    used = weights > 0
    probabilities, toxic, weights = expit(logits[used]), data.toxic[used], weights[used]
    places = np.clip(
        np.searchsorted(_PROBABILITIES, probabilities, side="right") - 1, 0, len(_PROBABILITIES) - 2
    )
    table = []
    for place in np.unique(places):
        inside = places == place
        mass = weights[inside]
        table.append(
            Bin(
                low=_PROBABILITIES[place],
                high=_PROBABILITIES[place + 1],
                texts=int(inside.sum()),
                positives=int(toxic[inside].sum()),
                predicted=float(np.average(probabilities[inside], weights=mass)),
                observed=float(np.average(toxic[inside], weights=mass)),
            )
        )
    return table


def matching_threshold(data: Labelled, logits: Doubles, rows: Booleans) -> float:
    """Logit from which as large a share of the reference mix is flagged as is toxic in it.

    So the flagged share of a corpus like the mix is near its toxic share, false alarms making up for misses.
    """
    weights = reference_weights(data, rows, data.toxic, REFERENCE_PREVALENCE)
    used = np.flatnonzero(weights > 0)
    order = used[np.argsort(-logits[used], kind="stable")]
    flagged = np.cumsum(weights[order]) / weights.sum()
    last = max(int(np.searchsorted(flagged, REFERENCE_PREVALENCE, side="right")) - 1, 0)
    return float(logits[order[last]])


def cross_fit_thresholds(data: Labelled, logits: Doubles, rows: Booleans) -> Doubles:
    """Threshold (logit) for each row, chosen on the other folds, shape (n,)."""
    thresholds = [matching_threshold(data, logits, rows & (data.folds != fold)) for fold in range(FOLDS)]
    return np.array(thresholds)[data.folds]
