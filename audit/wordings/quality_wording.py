"""Words and rows of the section on detector quality that the pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.model import WHOLE
from audit.wordings.figures import ABSENT, count, share

Row = Mapping[str, Any]

NOTE = (
    "How good the screens are on this corpus, by what reviewers said of the same documents, weighted to the "
    "corpus. Precision: share of harm in what a screen flags. Recall: share of the harm that it flags. "
    "Slope 1 and intercept 0 would be perfect scores. None of it decides a gate."
)


def evaluated(card: Row) -> list[Row]:
    """Rows of which something is said, those of the whole corpus first."""
    rows: Sequence[Row] = card.get("rows", ())
    return [row for row in rows if row["reason"] is None]


def left_out(card: Row) -> list[str]:
    """A sentence a question: of which slices nothing is said, and why nothing is of the whole corpus."""
    sentences = []
    rows: Sequence[Row] = card.get("rows", ())
    for question in dict.fromkeys(row["question"] for row in rows):
        missing = [row for row in rows if row["question"] == question and row["reason"] is not None]
        whole = next((row["reason"] for row in missing if row["slice"] == WHOLE), None)
        slices = sum(row["slice"] != WHOLE for row in missing)
        parts = [] if whole is None else [f"the whole corpus ({whole})"]
        if slices:
            parts.append(f"{count(slices)} slices (too few judged documents, or a stratum without any)")
        if parts:
            sentences.append(f"Not evaluated for {question}: {' and '.join(parts)}.")
    return sentences


def thresholds(card: Row) -> list[str]:
    """A sentence a question whose screen has scores: the threshold that surely misses little harm."""
    allowed = share(card["missed_at_most"])
    sentences = []
    for row in evaluated(card):
        if row["slice"] != WHOLE or row["slope"] is None:
            continue
        if row["threshold"] is None:
            found = f"no cut surely misses at most {allowed} of the harm"
        else:
            found = (
                f"from a score of {row['threshold']:g} on, {row['screen']} misses at most "
                f"{share(row['threshold_missed_high'])} of the harm (asked: {allowed}), and "
                f"{share(row['threshold_precision'])} of what it flags there is harmful"
            )
        sentences.append(f"Threshold for {row['question']}: {found}.")
    return sentences


def line(row: Row, name: str) -> str:
    """``0.84 (0.71 to 0.97)``, or nothing for a screen without a score."""
    if row[name] is None:
        return ABSENT
    return f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"


def of(row: Row, name: str) -> dict[str, float | None]:
    """Precision or recall as an estimate."""
    return {"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
