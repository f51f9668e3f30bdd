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

DIFFERENCE_NOTE = (
    "The representative of each cluster and the member least like it, word by word. Personal values that the "
    "PII screen found are masked; what it missed is not."
)

PARAGRAPH_NOTE = "Paragraphs are told by their hash and never quoted, since they may hold personal data."

PROBE_NOTE = (
    "Models too slow for every document, on a probability sample. Their shares stand among the estimates: "
    "what the probe says of the corpus, not what people would. Speed and memory are those of one worker, as "
    "tried on documents of this corpus when a time budget was turned into a size."
)


def probe_sample(probes: Mapping[str, Any]) -> str:
    """How many documents the probes look at, and why so many."""
    drawn = f"{probes['size']:,} documents drawn"
    if probes["minutes"] is not None:
        drawn += f", as {probes['minutes']:g} minutes with {probes['workers']} workers allow"
    how = (
        "with the numbers of the review sample" if probes["nested"] else "independently of the review sample"
    )
    return f"{drawn}, {how}; {probes['in_both_samples']:,} documents are in both."


def models(probe: Mapping[str, Any]) -> str:
    """Models and libraries of a probe, or why it did not run."""
    if probe["missing"] is not None:
        return f"did not run: {probe['missing']}"
    return ", ".join(f"{name} {value[:16]}" for name, value in sorted(probe["resources"].items()))


def alarm_rule(rule: Mapping[str, Any]) -> str:
    """What raises an alarm, and how many there are."""
    looked_at = " and ".join(
        f"every {name}" if least <= 1 else f"every {name} of {least:,} documents and more"
        for name, least in sorted(rule["minimum_documents"].items(), reverse=True)
    )
    found = f"{rule['total']:,} found" if rule["total"] else "none found"
    return (
        f"An alarm is raised where more than {rule['share']:.0%} of the documents are copies, which would go "
        f"if one document of each cluster stayed. Looked at: {looked_at}; {found}."
    )


def remainder(difference: Mapping[str, Any]) -> str:
    """What of a difference is not shown; nothing where all is."""
    left = f"{difference['left_out']:,} more changes. " if difference["left_out"] else ""
    return left + ("" if difference["complete"] else "The texts were not compared to their ends.")


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
