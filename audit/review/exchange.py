"""What every review format has in common: sampled documents out, answers in.

A member of the family turns a ``Worksheet`` into its format and its format into ``Answer`` rows; which
answers are taken is decided in ``audit.review.checking``, the same for all. No message quotes a cell: it
may hold text of the corpus.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from audit.errors import ConfigurationError
from audit.questions import Question
from audit.review.spans import Span
from audit.review.texts import SampleRow

REVIEW, ADJUDICATION, KNOWN_ANSWER = "review", "adjudication", "known_answer"
#: Phases that files go out for; known answers travel among those of the review.
PHASES = (REVIEW, ADJUDICATION)


@dataclass(frozen=True)
class Worksheet:
    """What one reviewer is given, in the order in which it is shown.

    Attributes:
        rows: Documents; no score, no stratum.
        questions: That are asked of each.
        run_id: Of the run.
        phase: One of ``PHASES``.
        assignment: Whose it is, as ``2/3`` (the second of three); empty where nobody shares.
    """

    rows: Sequence[SampleRow]
    questions: Sequence[Question]
    run_id: str
    phase: str = REVIEW
    assignment: str = ""

    def identity(self, row: SampleRow) -> dict[str, str]:
        """What an answer must carry back, so that it is known what was judged."""
        return {
            "run_id": self.run_id,
            "doc_id": row.doc_id,
            "text_digest": row.text_digest,
            "url": row.url or "",
            "phase": self.phase,
            "assignment": self.assignment,
        }


@dataclass(frozen=True)
class Answer:
    """One answer as a file gives it, unchecked; empty strings where it says nothing.

    Attributes:
        row: Where it stands, as its format counts (CSV: 1 is the header; JSON: the record's number).
        seconds: Already shared out where one figure speaks of several answers.
        spans: Marked passages; of a question about spans, whose label then is yes or no.
        free_text: Answer to a question that asks for text.
        document: The text that stands beside the answer; None where the file holds none.
    """

    row: int
    doc_id: str
    question: str
    label: str
    severity: str = ""
    reviewer: str = ""
    seconds: float | None = None
    at: str = ""
    run_id: str = ""
    text_digest: str = ""
    shard: str = ""
    position: int | None = None
    spans: tuple[Span, ...] = ()
    free_text: str = ""
    phase: str = ""
    assignment: str = ""
    document: str | None = None


class Format(Protocol):
    """A member of the family; modules are members."""

    def write(self, sheet: Worksheet) -> Mapping[str, bytes]:
        """Files of the worksheet: suffix to the name asked for -> content; the empty one is the sample."""
        ...

    def read(self, path: Path, questions: Sequence[Question]) -> Sequence[Answer]:
        """The file's answers, unanswered questions included.

        Raises:
            ConfigurationError: It is not of the format; names the row.
        """
        ...


def refusal(path: Path, row: int | None, message: str, remedy: str) -> ConfigurationError:
    """The error that refuses a file, naming the row."""
    key = None if row is None else f"row {row}"
    return ConfigurationError(message, file=str(path), key=key, remedy=f"{remedy}; nothing was imported")


def answer_spans(answer: Answer, spans: Sequence[Span], state: str) -> Answer:
    """The answer to a question about spans: yes with those that are marked, else what was said instead.

    Args:
        answer: Without label.
        spans: As marked.
        state: ``no`` (there is none), ``unsure`` or ``skipped``; empty where nothing was said.
    """
    return replace(answer, label="yes" if spans and not state else state, spans=tuple(spans))


def shared_out(answers: Iterable[Answer], total: float | None) -> list[Answer]:
    """Answers among which a time is shared out, so that sums stay true."""
    kept = list(answers)
    given = sum(bool(answer.label) for answer in kept)
    if total is None or not given:
        return kept
    return [replace(answer, seconds=total / given) if answer.label else answer for answer in kept]


def seconds(path: Path, row: int, given: str, answers: int) -> float | None:
    """Read a figure that speaks of ``answers`` answers, and share it out, so that sums stay true.

    Raises:
        ConfigurationError: It is no time span.
    """
    if not given.strip():
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise refusal(path, row, "seconds is not a time span", "Give seconds as a number, such as 12.5")
    return value / max(answers, 1)


def check_questions(questions: Sequence[Question], reserved: Collection[str]) -> None:
    """Refuse questions whose columns would be confused.

    Raises:
        ConfigurationError: No question, one twice, one that is not a name, or a reserved one.
    """
    taken = set(reserved)
    if not questions:
        raise ConfigurationError("no question is configured", remedy="Configure at least one question")
    for question in questions:
        names = {question.name, f"{question.name}_severity"}
        if not re.fullmatch(r"[a-z][a-z0-9_.]*", question.name) or names & taken:
            remedy = "Use another name: lower case, digits, _ and ., not a column of the exchange file"
            raise ConfigurationError(f"the question {question.name!r} cannot be a column", remedy=remedy)
        taken |= names
