"""A reviewer for every format: fills in an exported file as the tool would export it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl

from audit.questions import Question
from audit.review.exchange import Worksheet
from audit.review.formats import FORMATS
from audit.review.spans import Span, to_utf16
from audit.review.texts import SampleRow, text_digests

RUN = "0123456789abcdef"


@dataclass(frozen=True)
class Said:
    """What the reviewer says to one question; spans in code points."""

    label: str = ""
    severity: str = ""
    spans: tuple[Span, ...] | None = None
    text: str = ""


#: doc_id -> question -> answer.
Answers = Mapping[str, Mapping[str, Said]]


def worksheet(texts: Mapping[str, str], questions: Sequence[Question], **more: str) -> Worksheet:
    digests = text_digests(list(texts.values()))
    rows = [SampleRow(doc, text, digest) for (doc, text), digest in zip(texts.items(), digests, strict=True)]
    return Worksheet(rows, questions, RUN, **more)


def drawn(sheet: Worksheet) -> dict[str, str]:
    return {row.doc_id: row.text_digest for row in sheet.rows}


def write(name: str, sheet: Worksheet, folder: Path) -> Path:
    path = folder / f"sample.{SUFFIX[name]}"
    for suffix, content in FORMATS[name].write(sheet).items():
        (path.with_name(path.stem + suffix) if suffix else path).write_bytes(content)
    return path


SUFFIX = {
    "csv": "csv",
    "xlsx": "xlsx",
    "jsonl": "jsonl",
    "label-studio": "json",
    "argilla": "json",
    "prodigy": "jsonl",
    "doccano": "jsonl",
}


def fill(name: str, path: Path, answers: Answers, reviewer: str = "7") -> None:
    """Fill a file in place."""
    FILLERS[name](path, answers, reviewer)


def change(name: str, path: Path, doc_id: str, edit: Callable[[dict[str, Any]], None]) -> int:
    """Let ``edit`` change the identity of a document's records, with their ``text``; returns the row."""
    records = read_records(name, path)
    row = 0
    for number, record in enumerate(records, 2 if name in ("csv", "xlsx") else 1):
        if identity(name, record).get("doc_id") == doc_id:
            row = row or number
            about, holder = identity(name, record), text_holder(name, record)
            both = {**about, "text": holder["text"]}
            edit(both)
            holder["text"] = both.pop("text")
            about.update(both)
            record.update({"id": both["doc_id"]} if name == "argilla" else {})
    write_records(name, path, records)
    return row


def repeat(name: str, path: Path, doc_id: str) -> None:
    """Add the records of a document once more."""
    records = read_records(name, path)
    write_records(name, path, [*records, *(r for r in records if identity(name, r).get("doc_id") == doc_id)])


def identity(name: str, record: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = record
    if name in ("label-studio", "argilla", "prodigy"):
        inner = record[{"label-studio": "data", "argilla": "metadata", "prodigy": "audit"}[name]]
    return inner


def text_holder(name: str, record: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = record
    if name in ("label-studio", "argilla"):
        inner = record[{"label-studio": "data", "argilla": "fields"}[name]]
    return inner


def read_records(name: str, path: Path) -> list[dict[str, Any]]:
    if name == "xlsx":
        rows = list(openpyxl.load_workbook(path)["review"].iter_rows(values_only=True))
        return [{k: v or "" for k, v in zip(rows[0], row, strict=True)} for row in rows[1:]]
    text = path.read_bytes().decode()
    if name == "csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    if SUFFIX[name] == "json":
        found: list[dict[str, Any]] = json.loads(text)
        return found
    return [json.loads(line) for line in text.split("\n") if line]


def write_records(name: str, path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    if name == "xlsx":
        book = openpyxl.load_workbook(path)
        page = book["review"]
        for number, record in enumerate(records, 2):
            for column, value in enumerate(record.values(), 1):
                page.cell(number, column).value = value
                page.cell(number, column).data_type = "s"
        book.save(path)
    elif name == "csv":
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
        path.write_bytes(out.getvalue().encode())
    elif SUFFIX[name] == "json":
        path.write_text(json.dumps(records), encoding="utf-8")
    else:
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        path.write_bytes("".join(lines).encode())


def _spans(spans: Sequence[Span]) -> list[dict[str, Any]]:
    return [{"start": s.start, "end": s.end, "label": s.label} for s in spans]


def _table(name: str) -> Callable[[Path, Answers, str], None]:
    def filler(path: Path, answers: Answers, reviewer: str) -> None:
        records = read_records(name, path)
        for record in records:
            for question, said in answers.get(record["doc_id"], {}).items():
                record["reviewer"] = reviewer
                record[question] = said.text or said.label
                if said.spans is not None:
                    record[question] = json.dumps(_spans(said.spans))
                if said.severity:
                    record[f"{question}_severity"] = said.severity
        write_records(name, path, records)

    return filler


def _jsonl(path: Path, answers: Answers, reviewer: str) -> None:
    records = read_records("jsonl", path)
    for record in records:
        for question, said in answers.get(record["doc_id"], {}).items():
            record["reviewer"] = reviewer
            record["answers"][question] = {
                "label": said.label,
                "severity": said.severity,
                "text": said.text,
                "spans": None if said.spans is None else _spans(said.spans),
            }
    write_records("jsonl", path, records)


def _label_studio(path: Path, answers: Answers, reviewer: str) -> None:
    records = read_records("label-studio", path)
    for record in records:
        text, result = record["data"]["text"], []
        for question, said in answers.get(record["data"]["doc_id"], {}).items():
            result += list(_regions(question, said, text))
        if result:
            record["annotations"] = [
                {
                    "id": 1,
                    "completed_by": {"id": int(reviewer), "email": "someone@example.com"},
                    "created_at": "2026-01-31T12:00:00.000000Z",
                    "lead_time": 12.0,
                    "was_cancelled": False,
                    "result": result,
                }
            ]
    write_records("label-studio", path, records)


def _regions(question: str, said: Said, text: str) -> Sequence[dict[str, Any]]:
    def region(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
        return {"from_name": name, "to_name": "text", "type": kind, "value": value}

    if said.spans is not None:
        marked = [
            region(
                question,
                "labels",
                {
                    "start": s.start,
                    "end": s.end,
                    "text": text[s.start : s.end].replace("\n", "\\n"),
                    "labels": [s.label],
                },
            )
            for s in said.spans
        ]
        return marked or [region(f"{question}_state", "choices", {"choices": ["no"]})]
    if said.text:
        return [region(question, "textarea", {"text": [said.text]})]
    severity = [region(f"{question}_severity", "choices", {"choices": [said.severity]})]
    return [region(question, "choices", {"choices": [said.label]}), *(severity if said.severity else ())]


def _argilla(path: Path, answers: Answers, reviewer: str) -> None:
    records = read_records("argilla", path)
    for record in records:
        text = record["fields"]["text"]
        for question, said in answers.get(record["metadata"]["doc_id"], {}).items():
            name, value = question.replace(".", "-"), said.text or said.label
            if said.spans is not None:
                value = _spans([to_utf16(span, text) for span in said.spans])
            given = {name: value}
            if said.severity:
                given[f"{name}_severity"] = said.severity
            if said.spans == ():
                given = {f"{name}_state": "no"}
            for key, each in given.items():
                record["responses"][key] = [{"value": each, "user_id": reviewer}]
    write_records("argilla", path, records)


def _prodigy(path: Path, answers: Answers, reviewer: str) -> None:
    records = read_records("prodigy", path)
    for record in records:
        about = record["audit"]
        said = answers.get(about["doc_id"], {}).get(about["question"])
        if said is None:
            continue
        record |= {"answer": "accept", "_annotator_id": reviewer, "_timestamp": 1769860800}
        if said.spans is not None:
            record["spans"] = [
                {**each, "text": record["text"][each["start"] : each["end"]]} for each in _spans(said.spans)
            ]
        elif said.text:
            record["answer_text"] = said.text
        else:
            record["accept"] = [said.label]
    write_records("prodigy", path, records)


def _doccano(path: Path, answers: Answers, reviewer: str) -> None:
    del reviewer
    records = read_records("doccano", path)
    for number, record in enumerate(records):
        record |= {"id": number, "Comments": []}
        for question, said in answers.get(record["doc_id"], {}).items():
            if said.spans:
                marked = [to_utf16(span, record["text"]) for span in said.spans]
                record["entities"] += [[s.start, s.end, f"{question}:{s.label}"] for s in marked]
            elif not said.text:
                record["cats"].append(f"{question}:{'no' if said.spans == () else said.label}")
    write_records("doccano", path, records)


FILLERS: Mapping[str, Callable[[Path, Answers, str], None]] = {
    "csv": _table("csv"),
    "xlsx": _table("xlsx"),
    "jsonl": _jsonl,
    "label-studio": _label_studio,
    "argilla": _argilla,
    "prodigy": _prodigy,
    "doccano": _doccano,
}
