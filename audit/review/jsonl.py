"""JSON lines of this engine's own: a record a document, with an entry per question to fill in.

``answers`` maps each question to null or ``{"label", "severity", "spans", "text"}``; a plain label will do.
Spans are ``{"start", "end", "label"}`` (and, if wanted, ``text``, which is checked), in code points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit.questions import Question
from audit.review.exchange import Answer, Worksheet, answer_spans, seconds, shared_out
from audit.review.guidelines import companion
from audit.review.records import Record, dump_lines, load_lines

_KEYS = frozenset({"label", "severity", "spans", "text"})


def write(sheet: Worksheet) -> Mapping[str, bytes]:
    """Write a line a document."""
    records = [
        {
            **sheet.identity(row),
            "text": row.text,
            "answers": {question.name: None for question in sheet.questions},
            "comment": "",
            "reviewer": "",
            "seconds": None,
        }
        for row in sheet.rows
    ]
    return {"": dump_lines(records), **companion(sheet)}


def read(path: Path, questions: Sequence[Question]) -> list[Answer]:
    """Read a line a document.

    Raises:
        ConfigurationError: It is not of the format; names the line.
    """
    types = {question.name: question.type for question in questions}
    return [answer for record in load_lines(path) for answer in _answers(record, types)]


def _answers(record: Record, types: Mapping[str, str]) -> list[Answer]:
    fields = record.fields
    given = [
        _said(record, record.answer(fields, name, fields.get("text")), types.get(name, ""), said)
        for name, said in record.mapping("answers").items()
    ]
    who = record.string(fields.get("reviewer"), "reviewer").strip()
    at = record.string(fields.get("at"), "at").strip()
    spent = seconds(record.path, record.number, record.string(fields.get("seconds"), "seconds"), 1)
    return shared_out((replace(answer, reviewer=who, at=at) for answer in given), spent)


def _said(record: Record, answer: Answer, kind: str, said: Any) -> Answer:
    if isinstance(said, list):
        said = {"spans": said}
    if not isinstance(said, Mapping):
        label = record.string(said, "the answer").strip()
        if kind == "text" and label not in ("", "skipped"):
            return replace(answer, label="answered", free_text=label)
        return replace(answer, label=label)
    if said.keys() - _KEYS:
        raise record.refuse("an answer has a key that is not known", f"Keys are: {', '.join(sorted(_KEYS))}")
    label, text = (record.string(said.get(key), key).strip() for key in ("label", "text"))
    answer = replace(answer, severity=record.string(said.get("severity"), "severity").strip())
    if said.get("spans") is not None:
        spans = list(_spans(record, said["spans"]))
        said_yes = label.casefold() in ("", "yes")
        return answer_spans(answer, spans, "" if spans and said_yes else label or "no")
    return replace(answer, label=label or ("answered" if text else ""), free_text=text)


def _spans(record: Record, given: Any) -> Iterator[Any]:
    if not isinstance(given, list):
        raise record.refuse("spans are not a list", "Write [] where there is none")
    for each in given:
        yield record.span(each)
