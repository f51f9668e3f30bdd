"""Tables for spreadsheets: a row a document with a column per question, or a row an answer.

Cells that a spreadsheet would run as a formula are written with a leading apostrophe, which is taken
off again on the way in (OWASP, "CSV Injection"). Spans stand in their question's cell as JSON:
``[{"start": 0, "end": 5, "label": "PERSON", "text": "…"}]``, offsets in code points.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from audit.questions import Question
from audit.review.exchange import REVIEW, Answer, Worksheet, answer_spans, check_questions, refusal, seconds
from audit.review.records import span_of
from audit.review.texts import SampleRow

DOCUMENT = ("run_id", "doc_id", "text_digest", "url", "text")
SHARED = ("phase", "assignment")
REVIEWER = ("comment", "reviewer", "seconds")
_LONG_REQUIRED = ("doc_id", "question", "label")
_OTHER = ("severity", "at", "shard", "position", "spans")
COLUMNS = frozenset((*DOCUMENT, *SHARED, *REVIEWER, *_LONG_REQUIRED, *_OTHER))

#: A formula, or one that an apostrophe hides: the rule is its own inverse on import.
_FORMULA = re.compile("'*[=+\\-@\uff1d\uff0b\uff0d\uff20\t\r\n\0]")


@dataclass(frozen=True)
class Row:
    """Cells by column; ``number`` counts as a spreadsheet does: the header is row 1."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A table as it was read: names of its columns and its rows, blank ones dropped."""

    path: Path
    header: Sequence[str]
    rows: Sequence[Row]

    @classmethod
    def of(cls, path: Path, records: Iterable[Sequence[str]]) -> Table:
        """Take records, the header first, apart.

        Raises:
            ConfigurationError: Two columns have one name, or a row has not as many cells as the header.
        """
        found = iter(records)
        header = [name.strip() for name in next(found, [])]
        if len({name for name in header if name}) != sum(map(bool, header)):
            raise refusal(path, 1, "two columns have one name", "Give each column one name")
        rows = [
            Row(number, _cells(path, number, header, record))
            for number, record in enumerate(found, 2)
            if any(record)
        ]
        return cls(path, header, rows)

    def require(self, columns: Iterable[str], allowed: Collection[str]) -> None:
        """Refuse a header with a column missing, or with one that nobody would read."""
        for column in columns:
            if column not in self.header:
                remedy = "Restore the columns as they were exported, separated by commas"
                raise refusal(self.path, 1, f"the column {column} is missing", remedy)
        for number, name in enumerate(self.header, 1):
            if name and name not in allowed:
                remedy = f"Remove it, or name it one of: {', '.join(sorted(allowed))}"
                raise refusal(self.path, 1, f"column {number} has a name that is not known", remedy)


def header(sheet: Worksheet) -> list[str]:
    """Columns of a worksheet: the document, each question and its severity, what reviewers add.

    Phase and assignment stand only where they say something.

    Raises:
        ConfigurationError: A question cannot be a column.
    """
    check_questions(sheet.questions, COLUMNS)
    answers = [name for question in sheet.questions for name in _columns(question)]
    return [*DOCUMENT, *_shared(sheet), *answers, *REVIEWER]


def records(sheet: Worksheet) -> Iterator[list[str]]:
    """Cells of a worksheet's rows, those of the answers empty, none a formula."""
    width = len(header(sheet))
    for row in sheet.rows:
        cells = [*map(neutral, _document(sheet, row))]
        yield [*cells, *[""] * (width - len(cells))]


def answers(table: Table, questions: Sequence[Question]) -> list[Answer]:
    """Answers of a table, in the layout of ``records`` or one row an answer.

    The long layout has ``doc_id, question, label`` and may have ``severity, reviewer, seconds, at, shard,
    position, spans`` and the columns of a document; neither ``text`` nor ``url`` is required in either.
    ``seconds`` of a row with several answers is shared out among them.

    Raises:
        ConfigurationError: The table is refused; names file, row and remedy.
    """
    check_questions(questions, COLUMNS)
    layout = _long if {"question", "label"} <= set(table.header) else _wide
    return list(layout(table, questions))


def _columns(question: Question) -> list[str]:
    return [question.name, f"{question.name}_severity"] if question.asks_severity else [question.name]


def _shared(sheet: Worksheet) -> list[str]:
    return list(SHARED) if sheet.assignment or sheet.phase != REVIEW else []


def _document(sheet: Worksheet, row: SampleRow) -> list[str]:
    identity = sheet.identity(row)
    return [
        *(identity[name] for name in DOCUMENT[:-1]),
        row.text,
        *(identity[name] for name in _shared(sheet)),
    ]


def _wide(table: Table, questions: Sequence[Question]) -> Iterator[Answer]:
    names = [question.name for question in questions]
    columns = [column for question in questions for column in _columns(question)]
    allowed = {*DOCUMENT, *SHARED, *REVIEWER, "at", "shard", "position", *columns}
    table.require(["run_id", "doc_id", "text_digest", *names], allowed)
    for row in table.rows:
        for column in ("run_id", "text_digest"):
            if not row.cells[column]:
                remedy = "Restore the row as it was exported"
                raise refusal(table.path, row.number, f"{column} is empty", remedy)
        answered = sum(bool(row.cells[name].strip()) for name in names)
        for question in questions:
            severity = row.cells.get(f"{question.name}_severity", "")
            given = _answer(table.path, row, question.name, severity, answered)
            yield _said(table.path, given, question, row.cells[question.name])


def _long(table: Table, questions: Sequence[Question]) -> Iterator[Answer]:
    table.require(_LONG_REQUIRED, COLUMNS)
    asked = {question.name: question for question in questions}
    for row in table.rows:
        cells = row.cells
        given = _answer(table.path, row, cells["question"].strip(), cells.get("severity", ""), 1)
        question = asked.get(given.question, Question(name="unknown"))
        yield _said(table.path, given, question, cells.get("spans", "").strip() or cells["label"])


def _answer(path: Path, row: Row, question: str, severity: str, answered: int) -> Answer:
    cells = row.cells

    def cell(name: str) -> str:
        return cells.get(name, "").strip()

    return Answer(
        row=row.number,
        doc_id=cells["doc_id"],
        question=question,
        label="",
        severity=severity.strip(),
        reviewer=cell("reviewer"),
        seconds=seconds(path, row.number, cells.get("seconds", ""), answered),
        at=cell("at"),
        run_id=cell("run_id"),
        text_digest=cell("text_digest"),
        shard=cell("shard"),
        position=_position(path, row),
        phase=cell("phase"),
        assignment=cell("assignment"),
        document=cells.get("text"),
    )


def _said(path: Path, answer: Answer, question: Question, cell: str) -> Answer:
    """What a question's cell says."""
    said = cell.strip()
    if question.type == "text":
        if not said or said.casefold() == "skipped":
            return replace(answer, label=said)
        return replace(answer, label="answered", free_text=said)
    if question.type == "spans" and said.startswith("["):
        try:
            found = json.loads(said)
            spans = [span_of(each) for each in found]
        except (ValueError, TypeError, KeyError) as error:
            remedy = 'Write [{"start": 0, "end": 5, "label": "…"}], [] where there is none'
            raise refusal(path, answer.row, "the spans are not JSON of spans", remedy) from error
        return answer_spans(answer, spans, "" if spans else "no")
    return replace(answer, label=said)


def _position(path: Path, row: Row) -> int | None:
    given = row.cells.get("position", "").strip()
    if given and not re.fullmatch(r"[0-9]{1,18}", given):
        raise refusal(path, row.number, "position is not a whole number", "Restore it as it was exported")
    return int(given) if given else None


def neutral(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restored(cell: str) -> str:
    """What ``neutral`` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _cells(path: Path, number: int, header: Sequence[str], record: Sequence[str]) -> dict[str, str]:
    if len(record) < len(header) or any(record[len(header) :]):
        message = f"the row has {len(record)} cells, the header {len(header)}"
        raise refusal(path, number, message, "Save the file again as CSV, and check that it is whole")
    pairs = zip(header, record, strict=False)
    return {name: restored(cell) for name, cell in pairs if name}
