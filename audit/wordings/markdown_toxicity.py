"""The toxicity section of the scorecard in Markdown: identity bias, and calibration from the review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.wordings import toxicity_wording as wording
from audit.wordings.figures import count, interval, ratio, share
from audit.wordings.markdown_cells import code, table, text

Row = Mapping[str, Any]


def section(card: Row) -> Iterable[str]:
    """The section; nothing where no toxicity model is in use."""
    bias, calibration = card.get("identity_bias"), card.get("calibration")
    if bias is None and calibration is None:
        return
    yield "## Toxicity models"
    if bias is not None:
        yield from _identity(bias)
    if calibration is not None:
        yield from _calibration(calibration)


def _identity(bias: Row) -> Iterable[str]:
    yield "### Identity bias"
    yield wording.IDENTITY_NOTE
    if bias["mentions"] is not None:
        yield wording.mention_sentence(bias["mentions"])
    for model in bias["models"]:
        yield f"{code(model['model'])}: {text(wording.identity_summary(model))}"
        rows = [
            [
                text(row["term"]),
                code(row["language"]),
                f"{count(row['flagged'])} of {count(row['sentences'])}",
                share(ratio(row["flagged"], row["sentences"])),
                *(wording.number(row[name]) for name in ("subgroup_auc", "bpsn_auc", "bnsp_auc")),
            ]
            for row in wording.term_rows(model)
        ]
        if rows:
            yield from table(
                "Term | Language | Sentences flagged# | Share# | Subgroup AUC# | BPSN AUC# | BNSP AUC#",
                rows,
            )
            yield from filter(None, [wording.terms_left(model)])
    if any(model["shipped"] for model in bias["models"]):
        yield wording.SHIPPED_NOTE


def _calibration(card: Row) -> Iterable[str]:
    yield "### Calibration from the review"
    yield wording.CALIBRATION_NOTE
    yield wording.calibration_summary(card)
    if card["not_evaluated"] is not None:
        return
    yield (
        f"Slope {wording.estimate(card['slope'])}, intercept {wording.estimate(card['intercept'])}. "
        f"{wording.threshold_sentence(card['threshold'])}"
    )
    rows = [
        [
            f"{row['low']:g} to {row['high']:g}",
            count(row["n"]),
            count(row["positives"]),
            share(row["predicted"]),
            share(row["observed"]),
            interval(row["observed_low"], row["observed_high"]),
            share(row["recalibrated"]),
        ]
        for row in card["reliability"]
    ]
    yield from table(
        "Score | Judged# | Toxic# | Mean score# | Toxic, weighted# | Interval | Recalibrated#", rows
    )
