"""The section on detector quality in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.wordings import quality_wording, wording
from audit.wordings.figures import ABSENT, count, interval, limit, share
from audit.wordings.markdown_cells import code, table, text


def section(card: Mapping[str, Any]) -> Iterable[str]:
    """The section; nothing where no question has a screen that predicts it."""
    quality = card.get("detector_quality")
    if not quality or not quality["rows"]:
        return
    yield "## Detector quality"
    yield quality_wording.NOTE
    rows = [
        [
            f"{text(row['question'])} by {code(row['screen'])}",
            text(wording.slice_name(row["slice"])),
            _ratio(row, "precision"),
            _ratio(row, "recall"),
            quality_wording.line(row, "slope"),
            quality_wording.line(row, "intercept"),
            count(row["n"]),
            count(row["harmful"]),
            count(row["flagged"]),
        ]
        for row in quality_wording.evaluated(quality)
    ]
    if rows:
        yield from table(
            "Question, screen | Slice | Precision# | Recall# | Slope# | Intercept# | Judged# | "
            "Harmful# | Flagged#",
            rows,
        )
        yield f"Intervals at {limit(quality['rows'][0]['confidence'])}. {quality['rows'][0]['method']}."
    yield from (text(sentence) for sentence in quality_wording.thresholds(quality))
    yield from (text(sentence) for sentence in quality_wording.left_out(quality))


def _ratio(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return ABSENT
    return f"{share(row[name])} ({interval(row[f'{name}_low'], row[f'{name}_high'])})"
