"""Label Studio: tasks as JSON, the labelling interface as XML, annotations back as JSON.

Offsets of its ``Text`` tag are code points (its ``charsToCodePoints``); the marked text stands beside
them. It writes line feeds in that text as a backslash and ``n``. Source: "Label Studio JSON format of
annotated tasks" of its documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from audit.model import SEVERITIES
from audit.questions import YES_NO, Question
from audit.review.exchange import Answer, Worksheet, answer_spans, shared_out
from audit.review.guidelines import paragraphs
from audit.review.records import Record, dump, load_list
from audit.review.spans import Span

_SEVERITY, _STATE = "_severity", "_state"
_AGAIN = "Export the annotations as JSON (not JSON-MIN) again"


def write(sheet: Worksheet) -> Mapping[str, bytes]:
    """Write tasks, and the labelling configuration to paste into the project's settings."""
    tasks = [
        {"data": {**sheet.identity(row), "text": row.text}, "annotations": [], "predictions": []}
        for row in sheet.rows
    ]
    return {"": dump(tasks), ".config.xml": interface(sheet).encode()}


def read(path: Path, questions: Sequence[Question]) -> list[Answer]:
    """Read exported tasks; each annotation is one reviewer's, a cancelled one a skipped task.

    Raises:
        ConfigurationError: It is not of the format; names the task by its place in the file.
    """
    return [answer for record in load_list(path) for answer in _task(record, questions)]


def interface(sheet: Worksheet) -> str:
    """The labelling interface: guidelines, the text, and a control per question."""
    view = ElementTree.Element("View")
    guide = ElementTree.SubElement(view, "Collapse")
    panel = ElementTree.SubElement(guide, "Panel", value="Guidelines")
    for text in paragraphs(sheet):
        ElementTree.SubElement(panel, "Header", value=text, size="5")
    for question in sheet.questions:
        if question.type == "spans":
            _control(view, "Labels", question.name, question.choices)
    ElementTree.SubElement(view, "Text", name="text", value="$text")
    for question in sheet.questions:
        ElementTree.SubElement(view, "Header", value=question.wording, size="4")
        _ask(view, question)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _ask(view: ElementTree.Element, question: Question) -> None:
    if question.type == "text":
        attributes = {"name": question.name, "toName": "text", "rows": "3", "maxSubmissions": "1"}
        ElementTree.SubElement(view, "TextArea", attributes)
    elif question.type == "spans":
        states = [label for label in question.answers if label != YES_NO[0]]
        _control(view, "Choices", f"{question.name}{_STATE}", states)
    else:
        _control(view, "Choices", question.name, question.answers)
    if question.asks_severity:
        _control(view, "Choices", f"{question.name}{_SEVERITY}", SEVERITIES)


def _control(view: ElementTree.Element, tag: str, name: str, labels: Sequence[str]) -> None:
    single = {"choice": "single", "showInline": "true"} if tag == "Choices" else {}
    control = ElementTree.SubElement(view, tag, {"name": name, "toName": "text", **single})
    for label in labels:
        ElementTree.SubElement(control, tag.removesuffix("s"), value=label)


def _task(record: Record, questions: Sequence[Question]) -> Iterator[Answer]:
    data = record.mapping("data")
    empty = [record.answer(data, question.name, data.get("text")) for question in questions]
    annotations = record.fields.get("annotations")
    if not isinstance(annotations, list):
        raise record.refuse("annotations is not a list", _AGAIN)
    if not annotations:
        yield from empty
    for annotation in annotations:
        if not isinstance(annotation, Mapping) or not isinstance(annotation.get("result"), list):
            raise record.refuse("an annotation has no result", _AGAIN)
        yield from _annotation(record, annotation, empty, questions)


def _annotation(
    record: Record, annotation: Mapping[str, Any], empty: Sequence[Answer], questions: Sequence[Question]
) -> list[Answer]:
    said, spans = _result(record, annotation["result"], str(empty[0].document))
    _refuse_unknown(record, [*said, *spans], questions)
    cancelled = annotation.get("was_cancelled") is True
    at = _moment(record, annotation.get("created_at"))
    answers = []
    for question, answer in zip(questions, empty, strict=True):
        answer = replace(answer, reviewer=_reviewer(record, annotation), at=at)
        if cancelled:
            answers.append(replace(answer, label="skipped"))
            continue
        label = said.get(question.name, "")
        answer = replace(answer, severity=said.get(f"{question.name}{_SEVERITY}", ""))
        if question.type == "spans":
            state = said.get(f"{question.name}{_STATE}", "")
            answers.append(answer_spans(answer, spans.get(question.name, []), state))
        elif question.type == "text":
            answers.append(replace(answer, label="answered" if label else "", free_text=label))
        else:
            answers.append(replace(answer, label=label))
    return shared_out(answers, _lead_time(record, annotation.get("lead_time")))


def _result(
    record: Record, result: Sequence[Any], document: str
) -> tuple[dict[str, str], dict[str, list[Span]]]:
    said: dict[str, str] = {}
    spans: dict[str, list[Span]] = {}
    for region in result:
        if not isinstance(region, Mapping) or not isinstance(region.get("value"), Mapping):
            raise record.refuse("a region has no value", _AGAIN)
        name, value = record.string(region.get("from_name"), "from_name"), region["value"]
        if "labels" in value:
            spans.setdefault(name, []).append(_span(record, value, document))
            continue
        given = value.get("choices", value.get("text"))
        chosen = [given] if isinstance(given, str) else given
        if not isinstance(chosen, list) or len(chosen) != 1 or name in said:
            raise record.refuse("a control without exactly one choice", "Choose one label per question")
        said[name] = record.string(chosen[0], "a choice").strip()
    return said, spans


def _span(record: Record, value: Mapping[str, Any], document: str) -> Span:
    labels = value["labels"]
    if not isinstance(labels, list) or len(labels) != 1:
        raise record.refuse("a span without exactly one label", "Give each span one label")
    span = record.span({**value, "label": labels[0]})
    return replace(span, text=_marked(span, document))


def _marked(span: Span, document: str) -> str | None:
    """The marked text as it stands in the document, where only the line feeds are spelt differently."""
    stands = document[max(span.start, 0) : max(span.end, 0)]
    if span.text is not None and span.text.replace("\\n", "\n") == stands.replace("\\n", "\n"):
        return stands
    return span.text


def _refuse_unknown(record: Record, names: Sequence[str], questions: Sequence[Question]) -> None:
    known = {question.name + end for question in questions for end in ("", _SEVERITY, _STATE)}
    if not known.issuperset(names):
        asked = ", ".join(question.name for question in questions)
        raise record.refuse("this question was not asked", f"The questions are: {asked}")


def _reviewer(record: Record, annotation: Mapping[str, Any]) -> str:
    """Number of the user: its address would be personal data."""
    user = annotation.get("completed_by")
    number = record.string(user.get("id") if isinstance(user, Mapping) else user, "completed_by")
    return f"user {number}" if number else ""


def _moment(record: Record, given: object) -> str:
    moment = record.string(given, "created_at")
    try:
        return datetime.fromisoformat(moment).isoformat() if moment else ""
    except ValueError as error:
        raise record.refuse("created_at is not a time", _AGAIN) from error


def _lead_time(record: Record, given: object) -> float | None:
    if given is None:
        return None
    if not isinstance(given, int | float) or not 0 <= given < float("inf"):
        raise record.refuse("lead_time is not a time span", _AGAIN)
    return float(given)
