"""What the JSON formats share: reading records with their numbers, and who and what an answer is about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.errors import ConfigurationError
from audit.review.exchange import Answer, refusal
from audit.review.spans import Span

IDENTITY = ("run_id", "doc_id", "text_digest", "phase", "assignment")
_WHOLE = "Export the annotations again, whole"


@dataclass(frozen=True)
class Record:
    """A record of a file; ``number`` counts from 1."""

    path: Path
    number: int
    fields: Mapping[str, Any]

    def refuse(self, message: str, remedy: str = _WHOLE) -> ConfigurationError:
        """The error that refuses the file for this record."""
        return refusal(self.path, self.number, message, remedy)

    def mapping(self, *names: str) -> Mapping[str, Any]:
        """A mapping within the record, by path of names."""
        found: Any = self.fields
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            raise self.refuse(f"{'.'.join(names)} is missing")
        return found

    def string(self, value: object, name: str) -> str:
        """A text that may be missing."""
        if value is None:
            return ""
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise self.refuse(f"{name} is not a text")
        return str(value)

    def answer(self, identity: Mapping[str, Any], question: str, document: object) -> Answer:
        """An answer without label, about the document that the identity names.

        Raises:
            ConfigurationError: The record does not say which document, or does not hold its text.
        """
        given = {name: self.string(identity.get(name), name) for name in IDENTITY}
        for name in ("run_id", "doc_id", "text_digest"):
            if not given[name]:
                raise self.refuse(f"{name} is missing", "Keep the fields that were exported")
        if not isinstance(document, str):
            raise self.refuse("the text is missing", "Keep the fields that were exported")
        return Answer(
            row=self.number,
            doc_id=given["doc_id"],
            question=question,
            label="",
            run_id=given["run_id"],
            text_digest=given["text_digest"],
            phase=given["phase"],
            assignment=given["assignment"],
            document=document,
        )

    def span(self, value: object) -> Span:
        """A span as {start, end, label} or [start, end, label]."""
        try:
            return span_of(value)
        except (ValueError, TypeError, KeyError) as error:
            raise self.refuse("a span is not one", "Export the annotations again") from error


def span_of(value: object) -> Span:
    """A span as {start, end, label} or [start, end, label].

    Raises:
        ValueError, TypeError, KeyError: It is neither.
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        start, end, label = value
        text = None
    elif isinstance(value, Mapping):
        start, end, label, text = value["start"], value["end"], value["label"], value.get("text")
    else:
        raise TypeError("neither mapping nor list")
    if not (
        type(start) is int and type(end) is int and isinstance(label, str) and isinstance(text, str | None)
    ):
        raise TypeError("offsets are whole numbers, labels are texts")
    return Span(start, end, label, text)


def dump_lines(records: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON lines, UTF-8."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def dump(value: object) -> bytes:
    """JSON, UTF-8."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def load_lines(path: Path) -> list[Record]:
    """Records of a file of JSON lines.

    Raises:
        ConfigurationError: It cannot be read, or a line is not JSON; names it.
    """
    # Not ``splitlines``: it also parts at characters that JSON leaves as they are.
    lines = [(number, line) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    return [_record(path, number, line) for number, line in lines]


def load_list(path: Path) -> list[Record]:
    """Records of a file that is one JSON list.

    Raises:
        ConfigurationError: It cannot be read, is no JSON, or no list of mappings.
    """
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise refusal(path, None, "it is not JSON", _WHOLE) from error
    if not isinstance(found, list):
        raise refusal(path, None, "it is not a list of records", _WHOLE)
    for number, fields in enumerate(found, 1):
        if not isinstance(fields, dict):
            raise refusal(path, number, "it is not a record", _WHOLE)
    return [Record(path, number, fields) for number, fields in enumerate(found, 1)]


def read_text(path: Path) -> str:
    """Text of a file, UTF-8 with or without byte order mark.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise refusal(path, None, f"cannot be read ({error.strerror})", "Name a readable file") from error
    except UnicodeDecodeError as error:
        raise refusal(path, None, "it is not UTF-8", _WHOLE) from error


def _record(path: Path, number: int, line: str) -> Record:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise refusal(path, number, "the line is not JSON", _WHOLE) from error
    if not isinstance(fields, dict):
        raise refusal(path, number, "it is not a record", _WHOLE)
    return Record(path, number, fields)
