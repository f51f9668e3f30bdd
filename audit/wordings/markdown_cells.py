"""Markdown from hostile input: prose, code spans and tables that stay what they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from audit.wordings.figures import MAX_ROWS, tame

_SPECIAL = re.compile(r"([\\`*\[\]<>|~#@&!])")
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|www)([:.])")


def text(value: object, longest: int = 400) -> str:
    """Prose from anywhere: no markup in it takes effect, and no address becomes a link."""
    return _LINK.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", tame(value, longest)))


def code(value: object) -> str:
    """A name or an id as a code span, whatever it holds."""
    name = tame(value)
    fence = "`" * (max(map(len, re.findall("`+", name)), default=0) + 1)
    padding = " " if "`" in name or not name else ""
    return f"{fence}{padding}{name}{padding}{fence}".replace("|", "\\|")


def table(header: str, rows: Sequence[Sequence[str]], total: int | None = None) -> list[str]:
    """A table of at most ``MAX_ROWS`` rows. A name that ends in ``#`` is a column of numbers."""
    names = header.split(" | ")
    rule = ["---:" if name.endswith("#") else "---" for name in names]
    lines = [[name.removesuffix("#") for name in names], rule, *rows[:MAX_ROWS]]
    grid = "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)
    left = (len(rows) if total is None else total) - min(len(rows), MAX_ROWS)
    return [grid, f"and {left:,} more in `scorecard.json`"] if left else [grid]
