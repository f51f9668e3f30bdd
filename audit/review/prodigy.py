"""Prodigy: JSON lines, a task a document and question, since a task holds one choice.

Spans are made of the tokens that go out with the task, whose offsets are code points; so a span comes back
as it was counted here. The task hashes are set, or Prodigy would drop documents of equal text as repeated.
Source: "Annotation interfaces" and "Input data" of its documentation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.questions import Question
from audit.review.exchange import Answer, Worksheet, answer_spans
from audit.review.guidelines import companion
from audit.review.records import Record, dump_lines, load_lines
from audit.review.texts import SampleRow

#: Where a task keeps what it is about; Prodigy keeps keys that it does not know.
_ABOUT = "audit"
_TOKEN = re.compile(r"\w+|[^\w\s]")
_FIELD = "answer_text"


def write(sheet: Worksheet) -> Mapping[str, bytes]:
    """Write a line a document and question; ``_view_id`` says with which interface."""
    tasks = [_task(sheet, row, question) for question in sheet.questions for row in sheet.rows]
    return {"": dump_lines(tasks), **companion(sheet)}


def read(path: Path, questions: Sequence[Question]) -> list[Answer]:
    """Read what ``prodigy db-out`` wrote, or tasks without answers.

    Raises:
        ConfigurationError: It is not of the format; names the line.
    """
    asked = {question.name: question for question in questions}
    return [_answer(record, asked) for record in load_lines(path)]


def _task(sheet: Worksheet, row: SampleRow, question: Question) -> dict[str, Any]:
    return {
        "text": row.text,
        _ABOUT: {**sheet.identity(row), "question": question.name},
        "_input_hash": _hash(row.doc_id, row.text_digest),
        "_task_hash": _hash(row.doc_id, row.text_digest, question.name, sheet.phase),
        **_interface(row.text, question),
    }


def _interface(text: str, question: Question) -> dict[str, Any]:
    if question.type == "spans":
        return {
            "_view_id": "spans_manual",
            "tokens": tokens(text),
            "spans": [],
            "config": {"labels": list(question.choices)},
        }
    if question.type == "text":
        return {"_view_id": "text_input", "field_id": _FIELD, "field_label": question.wording}
    return {
        "_view_id": "choice",
        "label": question.wording,
        "options": [{"id": label, "text": label} for label in question.answers],
        "config": {"choice_style": "single"},
    }


def tokens(text: str) -> list[dict[str, Any]]:
    """Words and signs of a text, as Prodigy's manual interfaces want them."""
    return [
        {
            "text": match[0],
            "start": match.start(),
            "end": match.end(),
            "id": number,
            "ws": text[match.end() : match.end() + 1].isspace(),
        }
        for number, match in enumerate(_TOKEN.finditer(text))
    ]


def _hash(*parts: str) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big", signed=True)


def _answer(record: Record, asked: Mapping[str, Question]) -> Answer:
    about, fields = record.mapping(_ABOUT), record.fields
    question = asked.get(record.string(about.get("question"), "question"))
    if question is None:
        raise record.refuse("this question was not asked", f"The questions are: {', '.join(asked)}")
    who = record.string(fields.get("_annotator_id") or fields.get("_session_id"), "_annotator_id")
    answer = record.answer(about, question.name, fields.get("text"))
    answer = replace(answer, reviewer=who, at=_moment(record, fields.get("_timestamp")))
    decision = fields.get("answer")
    if decision not in (None, "accept", "reject", "ignore"):
        raise record.refuse("the answer is none of accept, reject and ignore")
    if decision is None:
        return answer
    if decision != "accept":
        # A rejected task is one whose answers were not meant; Prodigy keeps them all the same.
        return replace(answer, label="skipped")
    return _accepted(record, answer, question)


def _accepted(record: Record, answer: Answer, question: Question) -> Answer:
    fields = record.fields
    if question.type == "text":
        said = record.string(fields.get(_FIELD), _FIELD).strip()
        return replace(answer, label="answered" if said else "", free_text=said)
    given = fields.get("spans" if question.type == "spans" else "accept", [])
    if not isinstance(given, list):
        raise record.refuse("spans, or accept, is not a list")
    if question.type == "spans":
        return answer_spans(answer, [record.span(each) for each in given], "" if given else "no")
    if len(given) > 1:
        raise record.refuse("more than one label is chosen", "Choose one")
    return replace(answer, label=record.string(given[0], "accept") if given else "")


def _moment(record: Record, given: object) -> str:
    if given is None:
        return ""
    if not isinstance(given, int | float) or not 0 <= given < 1e11:
        raise record.refuse("_timestamp is not a time")
    return datetime.fromtimestamp(given, UTC).isoformat()
