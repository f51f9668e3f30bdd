"""Short toxic texts in the middle of plain pages: what a segment's length costs, and what it buys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from audit.training.crossfit import Subject, document_scores, fit_model
from audit.training.data import DEVELOPMENT_FOLD, read_web
from audit.training.evaluation import auc
from audit.training.figures import CHECK_SOURCES
from audit.training.plan import Plan

_SETS = ("civil_toxic_spans", "davidson_tweets", "jigsaw_lilac")
_WINDOWS = ((200, 500), (300, 700), (400, 800), (600, 1200))
_LONGEST = 200  # code points of a planted text
_SHORTEST_PAGE = 1001
_AGREED = 0.9  # share of raters from which a text is planted


def planted(page: str, text: str) -> str:
    """The page with the text's beginning put at the first space past its middle."""
    at = max(page.find(" ", len(page) // 2), 0)
    return f"{page[:at]} {text[:_LONGEST]} {page[at + 1 :]}"


def planted_figures(subject: Subject, folder: Path, plan: Plan) -> dict[str, dict[str, float]]:
    """AUC of English pages with a toxic text against the same pages without, by plan and data set.

    Texts are of the development fold, by models trained on the other folds, in turn; pages are longer than
    1,000 code points.
    """
    data = subject.data
    pages = [
        page
        for source in CHECK_SOURCES
        for page in read_web(folder / "web_docs.parquet", source, "en").to_pylist()
        if len(page) >= _SHORTEST_PAGE
    ]
    inside = data.folds == DEVELOPMENT_FOLD
    with_text = {"plain": pages}
    for name in _SETS:
        rows = np.flatnonzero(inside & (data.datasets == name) & data.toxic & (data.targets >= _AGREED))
        texts = data.texts.take(pa.array(rows)).to_pylist()
        with_text[name] = [planted(page, texts[i % len(texts)]) for i, page in enumerate(pages)]
    plans = {f"segments of {low} to {high}": replace(plan, window=(low, high)) for low, high in _WINDOWS}
    plans["as shipped, but one intercept, log loss, no comments without some spans"] = _before(plan)
    return {name: _aucs(subject, changed, with_text) for name, changed in plans.items()}


def _before(plan: Plan) -> Plan:
    changed = replace(plan, intercepts=(), settings=replace(plan.settings, squared_error=False))
    dropped = {name: 0.0 for name in plan.importance if name.startswith("civil_without")}
    return replace(changed, importance={**plan.importance, **dropped})


def _aucs(subject: Subject, plan: Plan, pages: Mapping[str, list[str]]) -> dict[str, float]:
    rows = (subject.data.folds != DEVELOPMENT_FOLD) & subject.data.trainable
    model = fit_model(subject, plan, rows, ("en",), {})
    scores = {
        name: document_scores(
            model, pa.array(texts, pa.large_string()), np.zeros(len(texts), np.int8)
        ).toxicity
        for name, texts in pages.items()
    }
    plain = scores.pop("plain")
    positive = np.arange(2 * len(plain)) < len(plain)
    return {name: auc(np.concatenate([found, plain]), positive).value for name, found in scores.items()}
