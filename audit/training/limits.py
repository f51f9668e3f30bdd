"""What limits the figure on ``civil_toxic_spans``: its raters, not the number of comments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import minimize
from scipy.special import betaln

from audit.toxicity.calibration import Doubles
from audit.training.crossfit import Subject, aucs, fit_model, score_rows
from audit.training.data import DEVELOPMENT_FOLD, FOLDS
from audit.training.evaluation import auc
from audit.training.parts import DERIVED_SETS
from audit.training.plan import Plan

COMMENTS = "civil_toxic_spans"
_DRAWS = 200_000

Counts = npt.NDArray[np.int64]


def rater_limits(folder: Path) -> dict[str, float]:
    """How well the majority of a comment's raters can be ranked at all, by a model of how raters differ.

    A comment's share of raters who find it toxic is taken as beta distributed, the raters' answers as
    independent draws from it (Skellam, JRSS B 1948), fitted by maximum likelihood.

    Returns:
        ``perfect``: AUC of the true share; ``another_panel``: of the share among as many other raters.
    """
    table = pl.read_parquet(folder / "toxicity.parquet", columns=["dataset", "toxic_frac", "meta"])
    comments = table.filter((pl.col("dataset") == COMMENTS) & pl.col("toxic_frac").is_not_null())
    raters = np.array([json.loads(meta)["n_annotators"] for meta in comments["meta"]], np.int64)
    toxic = np.rint(comments["toxic_frac"].to_numpy() * raters).astype(np.int64)
    return simulated_limits(raters, toxic)


def simulated_limits(raters: Counts, toxic: Counts) -> dict[str, float]:
    """``rater_limits`` from the numbers of raters and of those who said toxic, shape (n,)."""

    def surprise(logs: Doubles) -> float:
        a, b = np.exp(logs)
        return -float(np.sum(betaln(toxic + a, raters - toxic + b) - betaln(a, b)))

    a, b = np.exp(minimize(surprise, np.zeros(2), method="Nelder-Mead").x)
    random = np.random.default_rng(20261122)
    panels = random.choice(raters, _DRAWS)
    shares = random.beta(a, b, _DRAWS)
    majority = 2 * random.binomial(panels, shares) >= panels
    others = random.binomial(panels, shares) / panels
    return {"perfect": auc(shares, majority).value, "another_panel": auc(others, majority).value}


def learning_curve(subject: Subject, plan: Plan) -> dict[str, float]:
    """AUC of the comments in the development fold, by the share of the other folds' comments trained on.

    All other data sets are trained on in full; a comment and its parts count together.
    """
    data = subject.data
    comments = np.isin(data.datasets, (COMMENTS, *DERIVED_SETS))
    inside = (data.folds == DEVELOPMENT_FOLD) & (data.datasets == COMMENTS)
    curve = {}
    for last in range(FOLDS):
        rows = (data.folds != DEVELOPMENT_FOLD) & data.trainable & (~comments | (data.folds <= last))
        model = fit_model(subject, plan, rows, subject.languages, {})
        margins = np.zeros(len(data.texts))
        margins[inside] = score_rows(subject, model, inside).toxicity
        curve[f"{last / (FOLDS - 1):.0%}"] = aucs(data, margins, inside)[COMMENTS, "en"].value
    return curve
