"""Which answers of a file are taken: a file is taken as a whole or refused as a whole, its row named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from audit.model import SEVERITIES
from audit.questions import Question
from audit.review.exchange import ADJUDICATION, KNOWN_ANSWER, PHASES, REVIEW, Answer, refusal
from audit.review.judgements import Judgement
from audit.review.known_answers import KnownItem
from audit.review.spans import mismatch
from audit.review.texts import text_digests

_RESTORE = "Restore the row as it was exported"


@dataclass(frozen=True)
class Import:
    """What a file holds for a run.

    Attributes:
        judgements: Answers about documents that were drawn and known-answer items, in the file's order.
        rows: Where each of them stands.
        left_out_undrawn: Answers about documents of the corpus that were not drawn; they prove nothing
            about the corpus, since nobody knows with which probability they came here.
        unanswered: Questions without an answer about documents that were drawn.
    """

    judgements: tuple[Judgement, ...]
    left_out_undrawn: int
    unanswered: int
    rows: tuple[int, ...] = field(default=(), compare=False)


def _everybody(doc_id: str, assignment: str) -> bool:
    del doc_id, assignment
    return True


@dataclass(frozen=True)
class Expectation:
    """What a file is held against.

    Attributes:
        run_id: Of this run.
        questions: That were asked.
        drawn: doc_id -> text digest of the sampled documents.
        known: Whether a document is one of the corpus.
        synonyms: Further spellings of labels, lower case -> a label.
        controls: doc_id -> known-answer item.
        assigned: Whether a document was given to an assignment (``2/3``).
        masked: What of a free text may be stored.
    """

    run_id: str
    questions: Sequence[Question]
    drawn: Mapping[str, str]
    known: Callable[[str], bool] | Collection[str]
    synonyms: Mapping[str, str] = field(default_factory=dict)
    controls: Mapping[str, KnownItem] = field(default_factory=dict)
    assigned: Callable[[str, str], bool] = _everybody
    masked: Callable[[str], str] = str

    def knows(self, doc_id: str) -> bool:
        """Whether the corpus, or the known-answer items, hold the document."""
        if doc_id in self.drawn or doc_id in self.controls:
            return True
        return self.known(doc_id) if callable(self.known) else doc_id in self.known

    def digest(self, doc_id: str) -> str | None:
        """Digest of the text that was given out under an id; None where none was."""
        control = self.controls.get(doc_id)
        return control.text_digest if control else self.drawn.get(doc_id)


def collect(path: Path, answers: Iterable[Answer], expected: Expectation) -> Import:
    """Check every answer and turn it into a judgement.

    Args:
        path: The file, for messages.
        answers: Its answers, unanswered questions included.
        expected: What it is held against.

    Raises:
        ConfigurationError: Another run's file, an unknown document or question, another text or digest,
            spans that do not fit their text, an unknown label or severity, a document of another
            reviewer's share, or a second answer of one reviewer to one question.
    """
    judgements: list[Judgement] = []
    rows: list[int] = []
    seen: dict[tuple[str, ...], int] = {}
    left_out = unanswered = 0
    questions = {question.name: question for question in expected.questions}
    given = list(answers)
    _check_identity(path, given, expected)
    for answer in given:
        judgement = _check(path, answer, expected, questions)
        drawn = expected.digest(answer.doc_id) is not None
        if judgement is None:
            unanswered += drawn
            continue
        if seen.setdefault(judgement.asked, answer.row) != answer.row:
            message = f"row {seen[judgement.asked]} holds an answer of this reviewer to this question already"
            raise refusal(path, answer.row, message, "Keep one of the two rows")
        if drawn:
            judgements.append(judgement)
            rows.append(answer.row)
        else:
            left_out += 1
    _check_texts(path, given, expected)
    return Import(tuple(judgements), left_out, unanswered, tuple(rows))


def _check(
    path: Path, answer: Answer, expected: Expectation, questions: Mapping[str, Question]
) -> Judgement | None:
    """Check one answer; None when the question was left open."""
    question = questions.get(answer.question)
    if question is None:
        asked = ", ".join(questions)
        raise refusal(path, answer.row, "this question was not asked", f"The questions are: {asked}")
    if not answer.label:
        if answer.severity:
            raise refusal(path, answer.row, "a severity without a label", "Give the label too")
        return None
    label = _label(path, answer, question, expected.synonyms)
    control = expected.controls.get(answer.doc_id)
    judgement = Judgement(
        doc_id=answer.doc_id,
        question=answer.question,
        label=label,
        severity=_severity(path, answer),
        reviewer=answer.reviewer or (f"reviewer {answer.assignment}" if answer.assignment else ""),
        seconds=answer.seconds,
        at=_moment(path, answer),
        shard=answer.shard or None,
        position=answer.position,
        text_digest=answer.text_digest
        or (answer.document is not None and expected.digest(answer.doc_id))
        or "",
        phase=KNOWN_ANSWER if control else answer.phase or REVIEW,
        spans=_spans(path, answer, question),
        free_text=expected.masked(answer.free_text) if answer.free_text else None,
        expected=control.answers.get(answer.question) if control else None,
    )
    if expected.digest(answer.doc_id) and not judgement.text_digest:
        remedy = "Keep the column text_digest (or text) of the exported sample: it says which text was judged"
        raise refusal(path, answer.row, "the answer does not say which text it judges", remedy)
    return judgement


def _check_identity(path: Path, answers: Iterable[Answer], expected: Expectation) -> None:
    for answer in answers:
        if answer.run_id and answer.run_id != expected.run_id:
            remedy = f"This run is {expected.run_id}: import the file that was exported from it"
            raise refusal(path, answer.row, "the row was exported from another run", remedy)
        if not expected.knows(answer.doc_id):
            remedy = "Restore the doc_id as it was exported; spreadsheets alter ids that look like numbers"
            raise refusal(path, answer.row, "no document of this corpus has this doc_id", remedy)
        digest = expected.digest(answer.doc_id)
        if digest is not None and answer.text_digest and answer.text_digest != digest:
            raise refusal(path, answer.row, "the text_digest is not that of this document", _RESTORE)
        if answer.phase not in ("", *PHASES):
            raise refusal(path, answer.row, "the phase is not known", f"The phases are: {', '.join(PHASES)}")
        if answer.doc_id in expected.controls and answer.phase == ADJUDICATION:
            raise refusal(path, answer.row, "the document was not given out for adjudication", _RESTORE)
        if answer.doc_id in expected.drawn and not expected.assigned(answer.doc_id, answer.assignment):
            message = "the document was not given to this assignment of reviewers"
            raise refusal(path, answer.row, message, _RESTORE)


def _check_texts(path: Path, answers: Sequence[Answer], expected: Expectation) -> None:
    """Check that texts were not edited."""
    texts = {(a.row, a.doc_id): a for a in answers if a.document is not None}
    digests = text_digests([a.document or "" for a in texts.values()])
    for answer, found in zip(texts.values(), digests, strict=True):
        digest = answer.text_digest or expected.digest(answer.doc_id)
        if digest and found != digest:
            remedy = "Restore the text; if a spreadsheet altered it, delete the whole text column instead"
            raise refusal(path, answer.row, "the text is not the one that was exported", remedy)


def _spans(path: Path, answer: Answer, question: Question) -> tuple[tuple[int, int, str], ...]:
    spans = []
    if answer.spans and question.type != "spans":
        raise refusal(path, answer.row, f"{question.name} does not ask for spans", "Remove them")
    if answer.spans and answer.label != "yes":
        raise refusal(path, answer.row, "spans beside an answer that says there are none", "Keep one of both")
    for span in answer.spans:
        if answer.document is None:
            remedy = "Keep the text beside the spans: offsets cannot be checked without it"
            raise refusal(path, answer.row, "spans without the text that they mark", remedy)
        known = {label.casefold(): label for label in question.choices}
        if span.label.casefold() not in known:
            allowed = ", ".join(question.choices)
            raise refusal(path, answer.row, f"unknown label of a span for {question.name}", f"Use: {allowed}")
        if wrong := mismatch(span, answer.document):
            raise refusal(path, answer.row, wrong, "Mark the passage again in the text as it was exported")
        spans.append((span.start, span.end, known[span.label.casefold()]))
    if question.type == "spans" and answer.label.casefold() == "yes" and not spans:
        raise refusal(path, answer.row, f"{question.name} is answered yes and no span is marked", "Mark them")
    return tuple(sorted(set(spans)))


def _label(path: Path, answer: Answer, question: Question, synonyms: Mapping[str, str]) -> str:
    given = answer.label.strip().casefold()
    known = {label.casefold(): label for label in question.answers}
    label = known.get(synonyms.get(given, given).casefold())
    if label is None:
        allowed = ", ".join([*question.answers, *synonyms])
        raise refusal(path, answer.row, f"unknown label for {question.name}", f"Use one of: {allowed}")
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
