"""Excel workbooks: a sheet of guidelines, and a sheet with a row a document (``audit.review.tables``).

A cell holds 32,767 UTF-16 units at most (ECMA-376, part 1, 18.18); a longer text goes on in columns
``text_2``, ``text_3`` … Characters that XML cannot hold, and carriage returns, which it would turn into
line feeds, are written as ``_xHHHH_`` (ECMA-376, part 1, 22.4.2.4 ST_Xstring).
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet.datavalidation import DataValidation

from audit.questions import Question
from audit.review import tables
from audit.review.exchange import Answer, Worksheet, refusal
from audit.review.guidelines import paragraphs
from audit.review.tables import DOCUMENT

_SHEET, _README = "review", "README"
#: Code points of a cell: each is two UTF-16 units at most, and an escape takes seven characters.
_CELL = 4_000
_MOST_BYTES = 2 << 30
_MOST_LIST = 255
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_WRONG = "Save it as .xlsx, with the sheets as they were exported; unpack an archive first"


def write(sheet: Worksheet) -> Mapping[str, bytes]:
    """Write a workbook, with lists to choose labels from.

    Raises:
        ConfigurationError: A question cannot be a column.
    """
    book = openpyxl.Workbook()
    readme = book.active
    readme.title = _README
    readme.column_dimensions["A"].width = 110
    for text in paragraphs(sheet):
        _put(readme, readme.max_row + 1, 1, tables.neutral(text), wrapped=True)
    page = book.create_sheet(_SHEET)
    _fill(page, sheet)
    book.active = 1
    out = io.BytesIO()
    book.save(out)
    return {"": out.getvalue()}


def read(path: Path, questions: Sequence[Question]) -> list[Answer]:
    """Read the sheet ``review``, or the only one.

    Raises:
        ConfigurationError: It is no such workbook; names the row.
    """
    records = [[_escaped(cell) for cell in record] for record in _records(path)]
    if records:
        records = [_joined(records[0], record) for record in records]
    return tables.answers(tables.Table.of(path, records), questions)


def _fill(page: Any, sheet: Worksheet) -> None:
    names, at = tables.header(sheet), DOCUMENT.index("text")
    rows = [_split(record, at) for record in tables.records(sheet)]
    parts = max((len(texts) for texts, _ in rows), default=1)
    header = [*names[:at], *["text", *(f"text_{n}" for n in range(2, parts + 1))], *names[at + 1 :]]
    for column, name in enumerate(header, 1):
        _put(page, 1, column, name)
        page.cell(1, column).font = Font(bold=True)
    for number, (texts, cells) in enumerate(rows, 2):
        padded = [*cells[:at], *texts, *[""] * (parts - len(texts)), *cells[at:]]
        for column, cell in enumerate(padded, 1):
            if cell:
                _put(page, number, column, cell, wrapped=header[column - 1] == "text")
    page.freeze_panes = "A2"
    page.column_dimensions[get_column_letter(at + 1)].width = 100
    for question in sheet.questions:
        _offer(page, question, get_column_letter(header.index(question.name) + 1), len(rows) + 1)


def _split(record: Sequence[str], at: int) -> tuple[list[str], list[str]]:
    """The text's cells, each neutral on its own, and the other cells."""
    whole = tables.restored(record[at])
    cuts = [*range(0, max(len(whole), 1), _CELL), len(whole)]
    return [tables.neutral(whole[a:b]) for a, b in pairwise(cuts)] or [""], [*record[:at], *record[at + 1 :]]


def _joined(header: Sequence[str], record: Sequence[str]) -> list[str]:
    """Cells in which ``text_2`` and the following stand at the end of ``text``."""
    name = re.compile(r"text_[0-9]+")
    if record is header:
        return [cell for cell in header if not name.fullmatch(cell)]
    more = "".join(
        tables.restored(cell) for key, cell in zip(header, record, strict=False) if name.fullmatch(key)
    )
    kept = [cell for key, cell in zip(header, record, strict=False) if not name.fullmatch(key)]
    if more and "text" in header:
        at = list(header).index("text")
        kept[at] = tables.neutral(tables.restored(kept[at]) + more)
    return [*kept, *record[len(header) :]]


def _offer(page: Any, question: Question, column: str, last: int) -> None:
    """A list to choose from in the question's cells, as far as Excel takes one of its length."""
    choices = ",".join(question.answers)
    if question.type in ("spans", "text") or len(choices) > _MOST_LIST or last < 2:
        return
    offered = DataValidation(type="list", formula1=f'"{choices}"', allow_blank=True)
    offered.add(f"{column}2:{column}{last}")
    page.add_data_validation(offered)


def _put(page: Any, row: int, column: int, text: str, *, wrapped: bool = False) -> None:
    cell = page.cell(row, column)
    cell.value = _UNSAFE.sub(lambda match: f"_x{ord(match[0]):04X}_", text)
    cell.data_type = "s"  # never a formula
    if wrapped:
        cell.alignment = Alignment(wrap_text=True, vertical="top")


def _records(path: Path) -> Iterator[list[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > _MOST_BYTES:
                raise refusal(path, None, "the workbook is too large", "Import it in several files")
        book = openpyxl.load_workbook(path, read_only=True)
    except OSError as error:
        raise refusal(path, None, f"cannot be read ({error.strerror})", "Name a readable file") from error
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, SyntaxError) as error:
        raise refusal(path, None, "it is not an Excel workbook", _WRONG) from error
    try:
        if _SHEET not in book.sheetnames and len(book.sheetnames) != 1:
            raise refusal(path, None, f"it has no sheet {_SHEET!r}", _WRONG)
        page = book[_SHEET if _SHEET in book.sheetnames else book.sheetnames[0]]
        for number, cells in enumerate(page.iter_rows(), 1):
            yield [_value(path, number, cell) for cell in cells]
    finally:
        book.close()


def _value(path: Path, row: int, cell: Any) -> str:
    if cell.data_type == "f":
        raise refusal(path, row, "a cell is a formula", "Put its value in its place")
    value = cell.value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)


def _escaped(cell: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), cell)
