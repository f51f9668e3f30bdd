"""Words that the pages share, so that Markdown and HTML say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from audit.model import WHOLE

MEANING = {
    "GO": "Every blocking limit holds, each at its stated risk of error. That speaks of the documents that "
    "were screened, as they stood in this run; it is no promise about data added later.",
    "NO-GO": "At least one blocking limit is exceeded by more than chance explains, at the stated risk of "
    "error. Training on this corpus as it stands goes against the policy.",
    "INSUFFICIENT EVIDENCE": "No blocking limit is shown to be exceeded, but not all are shown to hold. "
    "It counts as a stop: what has not been evaluated is not clean.",
}

#: A mark that reads without colour.
MARK = {"pass": "✓", "fail": "✗", "insufficient evidence": "?"}

SEVERITY = {"block": "blocking", "warn": "warning only"}

FLAGGED_NOTE = (
    "How often detectors fired, on every document. It is not how much harm there is: detectors err both "
    "ways. That is what the estimates are for."
)


def slice_name(name: str) -> str:
    """A slice for people: ``all`` is the whole corpus."""
    return "whole corpus" if name == WHOLE else name.replace("=", ": ").replace("&", ", ")


def tally(gates: Sequence[Mapping[str, Any]]) -> str:
    """``5 gates: 2 pass, 1 fail, 2 insufficient evidence``."""
    counts = {outcome: sum(gate["outcome"] == outcome for gate in gates) for outcome in MARK}
    parts = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number)
    return f"{len(gates)} gates: {parts}" if gates else "no gates"


def by_metric(estimates: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Estimates grouped by metric, the whole corpus first."""
    ordered = sorted(estimates, key=lambda row: (row["metric"], row["slice"] != WHOLE, row["slice"]))
    return [(metric, list(rows)) for metric, rows in groupby(ordered, key=lambda row: str(row["metric"]))]


def limits(gates: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """(metric, slice) -> the strictest limit that a gate sets."""
    strictest: dict[tuple[str, str], float] = {}
    for gate in gates:
        key = (gate["metric"], gate["slice"])
        strictest[key] = min(gate["limit"], strictest.get(key, gate["limit"]))
    return strictest
