"""CSV for reviewers, filled in with any spreadsheet; cells as ``audit.review.tables`` has them."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from audit.questions import Question
from audit.review import tables
from audit.review.exchange import Answer, Worksheet, refusal
from audit.review.guidelines import companion


def write(sheet: Worksheet) -> Mapping[str, bytes]:
    """Write UTF-8 with every cell quoted, and the guidelines beside it.

    Raises:
        ConfigurationError: A question cannot be a column.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(tables.header(sheet))
    writer.writerows(tables.records(sheet))
    return {"": text.getvalue().encode(), **companion(sheet)}


def read(path: Path, questions: Sequence[Question]) -> list[Answer]:
    """Read UTF-8, with or without byte order mark, cells parted by comma, semicolon or tab.

    Raises:
        ConfigurationError: It is not CSV; names the row.
    """
    text = _text(path)
    with _long_cells():
        records = list(_records(path, text, _delimiter(text)))
    return tables.answers(tables.Table.of(path, records), questions)


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
