"""doccano: JSON lines for a project of the type "intent detection and slot filling".

That type has categories for the document and spans in it. A category is ``question:label``, a span's label
``question:kind``. Its page counts offsets in UTF-16 units (issue 2290 of its repository) unless it is told
to count graphemes: leave that off. It asks for no text and no severity, and does not say who answered:
import each reviewer's file apart (``assignment`` tells whose it is).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit.questions import YES_NO, Question
from audit.review.exchange import Answer, Worksheet, answer_spans
from audit.review.guidelines import companion
from audit.review.records import Record, dump, dump_lines, load_lines
from audit.review.spans import Span, from_utf16

_SEPARATOR = ":"
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d", "#e45756", "#72b7b2", "#eeca3b")


def write(sheet: Worksheet) -> Mapping[str, bytes]:
    """Write a line a document, and the label sets that the project imports."""
    records = [{"text": row.text, "cats": [], "entities": [], **sheet.identity(row)} for row in sheet.rows]
    categories = [f"{q.name}{_SEPARATOR}{label}" for q in sheet.questions for label in _categories(q)]
    kinds = [
        f"{q.name}{_SEPARATOR}{kind}" for q in sheet.questions if q.type == "spans" for kind in q.choices
    ]
    return {
        "": dump_lines(records),
        ".categories.json": dump(_label_set(categories)),
        **({".spans.json": dump(_label_set(kinds))} if kinds else {}),
        **companion(sheet),
    }


def read(path: Path, questions: Sequence[Question]) -> list[Answer]:
    """Read an export: ``cats`` and ``entities``, or ``label`` of a project of one of the two types.

    Raises:
        ConfigurationError: It is not of the format; names the line.
    """
    return [answer for record in load_lines(path) for answer in _record(record, questions)]


def _categories(question: Question) -> Sequence[str]:
    if question.type == "text":
        return ()
    if question.type == "spans":
        return [label for label in question.answers if label != YES_NO[0]]
    return question.answers


def _label_set(labels: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"text": label, "background_color": _COLOURS[n % len(_COLOURS)], "text_color": "#ffffff"}
        for n, label in enumerate(labels)
    ]


def _record(record: Record, questions: Sequence[Question]) -> Iterator[Answer]:
    fields = record.fields
    document = fields.get("text")
    empty = {q.name: record.answer(fields, q.name, document) for q in questions if q.type != "text"}
    labels: dict[str, str] = {}
    spans: dict[str, list[Span]] = {}
    for found in _annotations(record, "label", "cats", "entities"):
        name, kind = _known(record, found if isinstance(found, str) else _label(found), empty)
        if not isinstance(found, str):
            spans.setdefault(name, []).append(_span(record, found, kind, str(document)))
        elif name in labels:
            raise record.refuse(f"two labels for {name}", "Keep one of the two")
        else:
            labels[name] = kind
    for question in questions:
        if question.type == "spans":
            marked = spans.get(question.name, [])
            yield answer_spans(empty[question.name], marked, labels.get(question.name, ""))
        elif question.type != "text":
            yield replace(empty[question.name], label=labels.get(question.name, ""))


def _annotations(record: Record, *names: str) -> Iterator[Any]:
    given = [record.fields[name] for name in names if record.fields.get(name) is not None]
    if not given or not all(isinstance(each, list) for each in given):
        raise record.refuse("no list of labels")
    for each in given:
        yield from each


def _label(found: Any) -> Any:
    """Label of a span, as [start, end, label] or as {start_offset, end_offset, label}."""
    if isinstance(found, Mapping):
        return found.get("label")
    return found[2] if isinstance(found, list) and len(found) == 3 else None


def _known(record: Record, label: Any, asked: Mapping[str, Answer]) -> tuple[str, str]:
    name, separator, kind = str(label).partition(_SEPARATOR)
    if not separator or name not in asked:
        raise record.refuse(
            "this question was not asked", f"Labels are question:label of: {', '.join(asked)}"
        )
    return name, kind


def _span(record: Record, found: Any, kind: str, document: str) -> Span:
    places = [found.get("start_offset"), found.get("end_offset")] if isinstance(found, Mapping) else found[:2]
    try:
        return from_utf16(record.span([*places, kind]), document)
    except ValueError as error:
        raise record.refuse(str(error), "Mark the passage again in the text as exported") from error
