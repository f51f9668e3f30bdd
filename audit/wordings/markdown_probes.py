"""The scorecard's section on probes in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.wordings import wording
from audit.wordings.figures import ABSENT, count, size
from audit.wordings.markdown_cells import code, table, text


def section(probes: Mapping[str, Any] | None) -> Iterable[str]:
    """What the probes are, and what they took; nothing where none is configured."""
    if probes is None:
        return
    yield "## Probes"
    yield wording.PROBE_NOTE
    yield wording.probe_sample(probes)
    rows = [
        [
            code(row["probe"]),
            text(wording.models(row)),
            *(count(row[name]) for name in ("documents", "evaluated", "skipped", "failed")),
            *_cost(row),
        ]
        for row in probes["members"]
    ]
    yield from table(
        "Probe | Model | Documents# | Evaluated# | Skipped# | Failed# | Documents/s# | Memory#", rows
    )


def _cost(row: Mapping[str, Any]) -> tuple[str, str]:
    if row["documents_per_second"] is None:
        return ABSENT, ABSENT
    return f"{row['documents_per_second']:,.1f}", size(row["memory_bytes"])
