"""CSV for reviewers: a row a document with a column per question, filled in with any spreadsheet.

Cells that a spreadsheet would run as a formula are written with a leading apostrophe, which is taken
off again on the way in (OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from audit.review.exchange import (
    Answer,
    Expectation,
    Import,
    check_questions,
    check_texts,
    collect,
    refusal,
    seconds,
)
from audit.review.texts import SampleRow, shuffled, write_privately

_DOCUMENT = ("run_id", "doc_id", "text_digest", "url", "text")
_REVIEW = ("comment", "reviewer", "seconds")
_LONG_REQUIRED = ("doc_id", "question", "label")
_OTHER = ("severity", "at", "shard", "position")
_COLUMNS = frozenset((*_DOCUMENT, *_REVIEW, *_LONG_REQUIRED, *_OTHER))

#: A formula, or one that an apostrophe hides: the rule is its own inverse on import.
_FORMULA = re.compile("'*[=+\\-@\uff1d\uff0b\uff0d\uff20\t\r\n\0]")

_NO_SYNONYMS: Mapping[str, str] = MappingProxyType({})


def export(
    rows: Iterable[SampleRow], out: Path, *, questions: Sequence[str], run_id: str, excel: bool = False
) -> int:
    """Write the sample for reviewers, in one step, readable by its owner alone.

    Columns: ``run_id, doc_id, text_digest, url, text``, then for each question ``question`` and
    ``question_severity``, then ``comment, reviewer, seconds``. The order is random, and shows neither
    draw nor score.

    Args:
        rows: The sampled documents.
        out: File to write.
        questions: Names of the questions, a column each.
        run_id: Of this run.
        excel: Begin with a byte order mark, without which Excel misreads UTF-8.

    Returns:
        Rows written.

    Raises:
        ConfigurationError: A question cannot be a column.
        FatalError: A text is not the one that was screened, or the disk is full.
    """
    check_questions(questions, _COLUMNS)
    answers = [name for question in questions for name in (question, f"{question}_severity")]
    ordered = shuffled(rows, run_id)
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow([*_DOCUMENT, *answers, *_REVIEW])
    for row in ordered:
        cells = [run_id, row.doc_id, row.text_digest, row.url or "", row.text]
        writer.writerow([*map(_neutral, cells), *[""] * (len(answers) + len(_REVIEW))])
    write_privately(out, text.getvalue().encode("utf-8-sig" if excel else "utf-8"))
    return len(ordered)


def parse(
    path: Path,
    *,
    run_id: str,
    questions: Sequence[str],
    drawn: Mapping[str, str],
    known: Callable[[str], bool] | Collection[str],
    synonyms: Mapping[str, str] = _NO_SYNONYMS,
) -> Import:
    """Read answers, in the layout of ``export`` or one row an answer.

    The long layout has ``doc_id, question, label`` and may have ``severity, reviewer, seconds, at,
    shard, position`` and the columns of a document; neither ``text`` nor ``url`` is required in either.
    ``seconds`` of a row with several answers is shared out among them.

    Args:
        path: UTF-8, with or without byte order mark; cells parted by comma, semicolon or tab.
        run_id: Of this run; a row that names another is refused.
        questions: That were asked.
        drawn: doc_id -> text digest of the sampled documents.
        known: Whether a document is one of the corpus.
        synonyms: Further spellings of labels, lower case -> label.

    Raises:
        ConfigurationError: The file is refused as a whole; names file, row and remedy.
    """
    check_questions(questions, _COLUMNS)
    sheet = _Sheet.read(path)
    expected = Expectation(run_id, questions, drawn, known, synonyms)
    layout = _long if {"question", "label"} <= set(sheet.header) else _wide
    answers = [_with_digest(answer, sheet, drawn) for answer in layout(sheet, questions)]
    imported = collect(path, answers, expected, sum(bool(row.cells.get("comment")) for row in sheet.rows))
    if "text" in sheet.header:
        check_texts(path, _texts(sheet, drawn))
    return imported


def _texts(sheet: _Sheet, drawn: Mapping[str, str]) -> Iterator[tuple[int, str, str]]:
    for row in sheet.rows:
        digest = row.cells.get("text_digest") or drawn.get(row.cells["doc_id"])
        if digest:
            yield row.number, row.cells["text"], digest


@dataclass(frozen=True)
class _Row:
    number: int  # as a spreadsheet counts: the header is row 1
    cells: Mapping[str, str]


@dataclass(frozen=True)
class _Sheet:
    path: Path
    header: Sequence[str]
    rows: Sequence[_Row]

    @classmethod
    def read(cls, path: Path) -> _Sheet:
        """Read all rows; blank ones are dropped."""
        text = _text(path)
        with _long_cells():
            records = iter(list(_records(path, text, _delimiter(text))))
        header = [name.strip() for name in next(records, [])]
        if len({name for name in header if name}) != sum(map(bool, header)):
            raise refusal(path, 1, "two columns have one name", "Give each column one name")
        rows = [
            _Row(number, _cells(path, number, header, record))
            for number, record in enumerate(records, 2)
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


def _wide(sheet: _Sheet, questions: Sequence[str]) -> Iterator[Answer]:
    severities = [f"{question}_severity" for question in questions]
    allowed = {*_DOCUMENT, *_REVIEW, "at", "shard", "position", *questions, *severities}
    sheet.require(["run_id", "doc_id", "text_digest", *questions], allowed)
    for row in sheet.rows:
        for column in ("run_id", "text_digest"):
            if not row.cells[column]:
                remedy = "Restore the row as it was exported"
                raise refusal(sheet.path, row.number, f"{column} is empty", remedy)
        answered = sum(bool(row.cells[question].strip()) for question in questions)
        for question in questions:
            severity = row.cells.get(f"{question}_severity", "")
            yield _answer(sheet.path, row, question, row.cells[question], severity, answered)


def _long(sheet: _Sheet, _: Sequence[str]) -> Iterator[Answer]:
    sheet.require(_LONG_REQUIRED, _COLUMNS)
    for row in sheet.rows:
        cells = row.cells
        yield _answer(sheet.path, row, cells["question"], cells["label"], cells.get("severity", ""), 1)


def _answer(path: Path, row: _Row, question: str, label: str, severity: str, answered: int) -> Answer:
    cells = row.cells
    return Answer(
        row=row.number,
        doc_id=cells["doc_id"],
        question=question.strip(),
        label=label.strip(),
        severity=severity.strip(),
        reviewer=cells.get("reviewer", "").strip(),
        seconds=seconds(path, row.number, cells.get("seconds", ""), answered),
        at=cells.get("at", "").strip(),
        run_id=cells.get("run_id", "").strip(),
        text_digest=cells.get("text_digest", "").strip(),
        shard=cells.get("shard", "").strip(),
        position=_position(path, row),
    )


def _with_digest(answer: Answer, sheet: _Sheet, drawn: Mapping[str, str]) -> Answer:
    """An answer beside its text needs no digest: the text is checked against the one that was drawn."""
    if answer.text_digest or "text" not in sheet.header:
        return answer
    return replace(answer, text_digest=drawn.get(answer.doc_id, ""))


def _position(path: Path, row: _Row) -> int | None:
    given = row.cells.get("position", "").strip()
    if given and not re.fullmatch(r"[0-9]{1,18}", given):
        raise refusal(path, row.number, "position is not a whole number", "Restore it as it was exported")
    return int(given) if given else None


def _neutral(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _restored(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _cells(path: Path, number: int, header: Sequence[str], record: Sequence[str]) -> dict[str, str]:
    if len(record) < len(header) or any(record[len(header) :]):
        message = f"the row has {len(record)} cells, the header {len(header)}"
        raise refusal(path, number, message, "Save the file again as CSV, and check that it is whole")
    pairs = zip(header, record, strict=False)
    return {name: _restored(cell) for name, cell in pairs if name}


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refusal(path, None, f"cannot be read ({error.strerror})", "Name a readable file") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        remedy = "Save it as CSV UTF-8"
        raise refusal(path, None, f"line {line} is not UTF-8", remedy) from error


def _delimiter(text: str) -> str:
    """Spreadsheets of some countries part cells by semicolon; the header tells."""
    header = re.split("[\r\n]", text, maxsplit=1)[0]
    return max(",;\t", key=header.count)


def _records(path: Path, text: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    try:
        for record in reader:
            number += 1
            yield record
    except csv.Error as error:
        remedy = "Save the file again as CSV, and check that it is whole"
        raise refusal(path, number, "the row is not CSV", remedy) from error


@contextmanager
def _long_cells() -> Iterator[None]:
    """Lift the module's limit of 128 KB a cell, which is global, for as long as a file is read."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
