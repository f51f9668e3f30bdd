"""What the pages say of reviewers: tables of agreement, of people and of the adjudication, in plain cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.wordings.figures import ABSENT, count, interval, ratio, share

Row = Mapping[str, Any]

NOTE = (
    "Krippendorff's alpha: 1 where reviewers always agree, 0 where they agree no more than by chance. The "
    "interval comes from a bootstrap over documents, at 95%."
)
NO_LONGER_DRAWN = (
    "documents were judged and are no longer drawn: their answers are kept, and enter no estimate"
)


@dataclass(frozen=True)
class Table:
    """A table; a name in ``header`` that ends in ``#`` is a column of numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(agreement: Row) -> list[Table]:
    """Tables of what was measured, those without a row left out."""
    found = [
        Table(
            "Agreement",
            ("Question", "Level", "Alpha#", "Interval", "Documents judged twice#", "Why absent"),
            [_question(row) for row in agreement.get("questions", ())],
        ),
        Table(
            "Reviewers",
            (
                *(
                    "Reviewer#",
                    "Judgements#",
                    "Of the adjudication#",
                    "Unsure or skipped#",
                    "Median seconds#",
                ),
                *("Differs from others#", "Known answers right", "Interval"),
            ),
            [_reviewer(row) for row in agreement.get("reviewers", ())],
        ),
        Table(
            "Adjudication",
            (
                *("Question", "Selected#", "Adjudicated#", "Overturned#"),
                *("Reviewers' no selected#", "Of those overturned#"),
            ),
            [_adjudication(row) for row in agreement.get("adjudication", ())],
        ),
    ]
    return [table for table in found if table.rows]


def _question(row: Row) -> list[str]:
    alpha = _decimal(row["value"])
    low, high = _decimal(row["low"]), _decimal(row["high"])
    between = ABSENT if row["low"] is None else f"{low} to {high}"
    return [row["question"], row["level"], alpha, between, count(row["documents"]), row["reason"]]


def _reviewer(row: Row) -> list[str]:
    accuracy, seconds = row["accuracy"], row["median_seconds"]
    known = f"{count(row['known_answers_right'])} of {count(row['known_answers'])}"
    return [
        count(row["reviewer"]),
        count(row["judgements"]),
        count(row["adjudications"]),
        count(row["undecided"]),
        ABSENT if seconds is None else f"{seconds:.1f}",
        share(ratio(row["differing"], row["compared"])),
        known if row["known_answers"] else ABSENT,
        interval(accuracy["low"], accuracy["high"]),
    ]


def _adjudication(row: Row) -> list[str]:
    names = ("selected", "adjudicated", "overturned", "negatives_selected", "negatives_overturned")
    return [row["question"], *(count(row[name]) for name in names)]


def _decimal(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"
