"""Argilla 2: records as ``dataset.records.to_json`` writes them, and the dataset's settings.

Its page counts span offsets in UTF-16 units (issue 5729 of its repository). Its exports say neither when
an answer was given nor whether it is a draft: export what is submitted. Question names have no dot there;
a hyphen stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit.model import SEVERITIES
from audit.questions import YES_NO, Question
from audit.review.exchange import Answer, Worksheet, answer_spans
from audit.review.guidelines import markdown
from audit.review.records import IDENTITY, Record, dump, load_list
from audit.review.spans import from_utf16

_SEVERITY, _STATE = "_severity", "_state"
_FIELD = "text"


def write(sheet: Worksheet) -> Mapping[str, bytes]:
    """Write records (``dataset.records.from_json``) and settings (``rg.Settings.from_json``)."""
    records = [
        {
            "id": row.doc_id,
            "fields": {_FIELD: row.text},
            "metadata": {name: value for name, value in sheet.identity(row).items() if value},
            "suggestions": {},
            "responses": {},
            "vectors": {},
        }
        for row in sheet.rows
    ]
    return {"": dump(records), ".settings.json": dump(settings(sheet))}


def read(path: Path, questions: Sequence[Question]) -> list[Answer]:
    """Read records with responses, a reviewer by the id of the user.

    Raises:
        ConfigurationError: It is not of the format; names the record by its place in the file.
    """
    return [answer for record in load_list(path) for answer in _record(record, questions)]


def settings(sheet: Worksheet) -> dict[str, Any]:
    """Settings of the dataset: guidelines, the text, a question each (two for those about spans)."""
    return {
        "guidelines": markdown(sheet),
        "fields": [{"name": _FIELD, "title": "Text", "required": True, "settings": {"type": "text"}}],
        "questions": [asked for question in sheet.questions for asked in _asked(question)],
        "metadata": [
            {"name": name, "settings": {"type": "terms"}, "visible_for_annotators": False}
            for name in (*IDENTITY, "url")
        ],
        "vectors": [],
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _asked(question: Question) -> Iterator[dict[str, Any]]:
    required = question.type not in ("spans", "text")
    kind: dict[str, Any] = {"type": "text"}
    if question.type == "spans":
        kind = {"type": "span", "field": _FIELD, "options": _options(question.choices)}
    elif question.type != "text":
        kind = {"type": "label_selection", "options": _options(question.answers)}
    yield _question(_name(question), question.wording, question.guideline, kind, required)
    beside: Sequence[str] = ()
    if question.type == "spans":
        beside, end = [label for label in question.answers if label != YES_NO[0]], _STATE
    elif question.asks_severity:
        beside, end = SEVERITIES, _SEVERITY
    if beside:
        kind = {"type": "label_selection", "options": _options(beside)}
        yield _question(f"{_name(question)}{end}", f"{question.wording} ({end[1:]})", "", kind, False)


def _question(
    name: str, title: str, description: str, kind: Mapping[str, Any], required: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "description": description or None,
        "required": required,
        "settings": kind,
    }


def _options(labels: Sequence[str]) -> list[dict[str, str]]:
    return [{"value": label, "text": label} for label in labels]


def _name(question: Question) -> str:
    return question.name.replace(".", "-")


def _record(record: Record, questions: Sequence[Question]) -> Iterator[Answer]:
    responses = record.mapping("responses")
    known = {_name(question) + end for question in questions for end in ("", _SEVERITY, _STATE)}
    if not known.issuperset(responses):
        asked = ", ".join(question.name for question in questions)
        raise record.refuse("this question was not asked", f"The questions are: {asked}")
    given = {name: _by_user(record, said) for name, said in responses.items()}
    users = list(dict.fromkeys(user for said in given.values() for user in said)) or [""]
    document = record.mapping("fields").get(_FIELD)
    for user in users:
        said = {name: values.get(user) for name, values in given.items()}
        for question in questions:
            empty = record.answer(record.mapping("metadata"), question.name, document)
            who = f"user {user}" if user else ""
            yield _said(record, replace(empty, reviewer=who), question, said)


def _by_user(record: Record, responses: Any) -> dict[str, Any]:
    if not isinstance(responses, list):
        raise record.refuse("responses are not a list")
    values: dict[str, Any] = {}
    for response in responses:
        if not isinstance(response, Mapping):
            raise record.refuse("a response is not one")
        user = record.string(response.get("user_id"), "user_id")
        if user in values:
            raise record.refuse("one user answered one question twice", "Keep one of the two answers")
        values[user] = response.get("value")
    return values


def _said(record: Record, answer: Answer, question: Question, said: Mapping[str, Any]) -> Answer:
    name, value = _name(question), said.get(_name(question))
    answer = replace(answer, severity=record.string(said.get(f"{name}{_SEVERITY}"), "severity"))
    if question.type == "spans":
        state = record.string(said.get(f"{name}{_STATE}"), "an answer")
        return answer_spans(answer, list(_spans(record, value, str(answer.document))), state)
    label = record.string(value, "an answer").strip()
    if question.type == "text":
        return replace(answer, label="answered" if label else "", free_text=label)
    return replace(answer, label=label)


def _spans(record: Record, value: Any, document: str) -> Iterator[Any]:
    if value is not None and not isinstance(value, list):
        raise record.refuse("spans are not a list")
    for each in value or ():
        try:
            yield from_utf16(record.span(each), document)
        except ValueError as error:
            raise record.refuse(str(error), "Mark the passage again in the text as exported") from error
