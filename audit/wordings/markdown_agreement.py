"""What the Markdown page says of reviewers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.wordings import agreement_wording
from audit.wordings.figures import count
from audit.wordings.markdown_cells import table, text


def section(card: Mapping[str, Any]) -> Iterable[str]:
    """Agreement, people and adjudication, as far as there is something to say."""
    gone = card["sampling"]["judgements"].get("no_longer_drawn", 0)
    if gone:
        yield f"{count(gone)} {agreement_wording.NO_LONGER_DRAWN}."
    if not card["agreement"]:
        return
    yield "### Agreement of reviewers"
    yield agreement_wording.NOTE
    for each in agreement_wording.tables(card["agreement"]):
        yield f"**{each.title}**"
        yield from table(" | ".join(each.header), [[text(cell) for cell in row] for row in each.rows])
