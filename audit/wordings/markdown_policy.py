"""What the Markdown page says of waivers, of the frozen plan and of canaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.wordings import policy_wording
from audit.wordings.markdown_cells import table, text
from audit.wordings.policy_wording import Rows


def waivers(card: Mapping[str, Any]) -> Iterable[str]:
    """Below the gates."""
    if (rows := policy_wording.waivers(card)) is not None:
        yield "### Waivers"
        yield policy_wording.WAIVER_NOTE
        yield from _table(rows)


def canaries(card: Mapping[str, Any]) -> Iterable[str]:
    """A section of its own; nothing where none were shown."""
    if (rows := policy_wording.canaries(card)) is None:
        return
    yield "## Canaries"
    yield policy_wording.CANARY_NOTE
    yield from _table(rows)
    if (bare := policy_wording.without_canaries(card)) is not None:
        yield text(bare)


def plan(card: Mapping[str, Any]) -> Iterable[str]:
    """Sentences within the section on sampling."""
    yield from (text(sentence, 900) for sentence in policy_wording.plan(card))


def _table(rows: Rows) -> list[str]:
    return table(" | ".join(rows.header), [[text(cell) for cell in row] for row in rows.rows])
