"""What every review format has in common: sampled documents out, checked answers in.

A member of the family turns rows into its format and its format into ``Answer`` rows; which answers are
taken is decided here, the same for all. A file is taken as a whole or refused as a whole. No message
quotes a cell: it may hold text of the corpus.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from audit.errors import ConfigurationError
from audit.model import SEVERITIES
from audit.review.judgements import LABELS, Judgement
from audit.review.texts import text_digests


@dataclass(frozen=True)
class Answer:
    """One answer as a file gives it, unchecked; empty strings where it says nothing.

    Attributes:
        row: Where it stands, as its format counts (CSV: 1 is the header).
        seconds: Already shared out where one figure speaks of several answers.
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


@dataclass(frozen=True)
class Import:
    """What a file holds for a run.

    Attributes:
        judgements: Answers about documents that were drawn, in the order of the file.
        left_out_undrawn: Answers about documents of the corpus that were not drawn; they prove nothing
            about the corpus, since nobody knows with which probability they came here.
        unanswered: Questions without an answer about documents that were drawn.
        comments: Comments in the file; they may quote the text, so they stay in it.
    """

    judgements: tuple[Judgement, ...]
    left_out_undrawn: int
    unanswered: int
    comments: int


@dataclass(frozen=True)
class Expectation:
    """What a file is held against.

    Attributes:
        run_id: Of this run.
        questions: That were asked.
        drawn: doc_id -> text digest of the sampled documents.
        known: Whether a document is one of the corpus.
        synonyms: Further spellings of labels, lower case -> one of ``LABELS``.
    """

    run_id: str
    questions: Sequence[str]
    drawn: Mapping[str, str]
    known: Callable[[str], bool] | Collection[str]
    synonyms: Mapping[str, str] = field(default_factory=dict)

    def knows(self, doc_id: str) -> bool:
        """Whether the corpus holds the document."""
        return doc_id in self.drawn or (self.known(doc_id) if callable(self.known) else doc_id in self.known)


def refusal(path: Path, row: int | None, message: str, remedy: str) -> ConfigurationError:
    """The error that refuses a file, naming the row."""
    key = None if row is None else f"row {row}"
    return ConfigurationError(message, file=str(path), key=key, remedy=f"{remedy}; nothing was imported")


def collect(path: Path, answers: Iterable[Answer], expected: Expectation, comments: int) -> Import:
    """Check every answer and turn it into a judgement.

    Args:
        path: The file, for messages.
        answers: Its answers, unanswered questions included.
        expected: What it is held against.
        comments: How many comments the file holds.

    Raises:
        ConfigurationError: Another run's file, an unknown document or question, another text digest, an
            unknown label or severity, or a second answer of one reviewer to one question.
    """
    judgements: list[Judgement] = []
    seen: dict[tuple[str, str, str, str], int] = {}
    left_out = unanswered = 0
    for answer in answers:
        judgement = _check(path, answer, expected)
        drawn = answer.doc_id in expected.drawn
        if judgement is None:
            unanswered += drawn
            continue
        if seen.setdefault(judgement.asked, answer.row) != answer.row:
            message = f"row {seen[judgement.asked]} holds an answer of this reviewer to this question already"
            raise refusal(path, answer.row, message, "Keep one of the two rows")
        if drawn:
            judgements.append(judgement)
        else:
            left_out += 1
    return Import(tuple(judgements), left_out, unanswered, comments)


def _check(path: Path, answer: Answer, expected: Expectation) -> Judgement | None:
    """Check one answer; None when the question was left open."""
    _check_document(path, answer, expected)
    if answer.question not in expected.questions:
        asked = ", ".join(expected.questions)
        raise refusal(path, answer.row, "this question was not asked", f"The questions are: {asked}")
    if not answer.label:
        if answer.severity:
            raise refusal(path, answer.row, "a severity without a label", "Give the label too")
        return None
    judgement = Judgement(
        doc_id=answer.doc_id,
        question=answer.question,
        label=_label(path, answer, expected.synonyms),
        severity=_severity(path, answer),
        reviewer=answer.reviewer,
        seconds=answer.seconds,
        at=_moment(path, answer),
        shard=answer.shard or None,
        position=answer.position,
        text_digest=answer.text_digest,
    )
    if answer.doc_id in expected.drawn and not answer.text_digest:
        remedy = "Keep the column text_digest (or text) of the exported sample: it says which text was judged"
        raise refusal(path, answer.row, "the answer does not say which text it judges", remedy)
    return judgement


def _check_document(path: Path, answer: Answer, expected: Expectation) -> None:
    if answer.run_id and answer.run_id != expected.run_id:
        remedy = f"This run is {expected.run_id}: import the file that was exported from it"
        raise refusal(path, answer.row, "the row was exported from another run", remedy)
    if not expected.knows(answer.doc_id):
        remedy = "Restore the doc_id as it was exported; spreadsheets alter ids that look like numbers"
        raise refusal(path, answer.row, "no document of this corpus has this doc_id", remedy)
    drawn = expected.drawn.get(answer.doc_id)
    if drawn is not None and answer.text_digest and answer.text_digest != drawn:
        remedy = "Restore the row as it was exported"
        raise refusal(path, answer.row, "the text_digest is not that of this document", remedy)


def _label(path: Path, answer: Answer, synonyms: Mapping[str, str]) -> str:
    given = answer.label.strip().lower()
    label = synonyms.get(given, given)
    if label not in LABELS:
        allowed = ", ".join([*LABELS, *synonyms])
        raise refusal(path, answer.row, f"unknown label for {answer.question}", f"Use one of: {allowed}")
    return label


def _severity(path: Path, answer: Answer) -> str | None:
    given = answer.severity.strip().lower()
    if given and given not in SEVERITIES:
        allowed = ", ".join(SEVERITIES)
        raise refusal(path, answer.row, f"unknown severity for {answer.question}", f"Use one of: {allowed}")
    return given or None


def _moment(path: Path, answer: Answer) -> str | None:
    if not answer.at:
        return None
    try:
        datetime.fromisoformat(answer.at)
    except ValueError as error:
        raise refusal(path, answer.row, "at is not a time", "Write it as 2026-01-31T12:00:00Z") from error
    return answer.at


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


def check_texts(path: Path, texts: Iterable[tuple[int, str, str]]) -> None:
    """Check that texts were not edited.

    Args:
        path: The file, for messages.
        texts: Row, text, and the digest it was exported with.

    Raises:
        ConfigurationError: A text has another digest.
    """
    exported = list(texts)
    digests = text_digests([text for _, text, _ in exported])
    for (row, _, digest), found in zip(exported, digests, strict=True):
        if found != digest:
            remedy = "Restore the text; if a spreadsheet altered it, delete the whole text column instead"
            raise refusal(path, row, "the text is not the one that was exported", remedy)


def check_questions(questions: Sequence[str], reserved: Collection[str]) -> None:
    """Refuse questions whose columns would be confused.

    Raises:
        ConfigurationError: No question, one twice, one that is not a name, or a reserved one.
    """
    taken = set(reserved)
    if not questions:
        raise ConfigurationError("no question is configured", remedy="Configure at least one question")
    for question in questions:
        names = {question, f"{question}_severity"}
        if not re.fullmatch(r"[a-z][a-z0-9_.]*", question) or names & taken:
            remedy = "Use another name: lower case, digits, _ and ., not a column of the exchange file"
            raise ConfigurationError(f"the question {question!r} cannot be a column", remedy=remedy)
        taken |= names
