"""Judgements: what reviewers said, kept answer by answer, append-only.

One file per import, named by its number and the digest of its content, put in place in one step: an
import is there as a whole or not at all, and none is ever written twice.

Changed minds: an answer that differs from the one that the same reviewer gave before to the same
question of the same document is kept beside it. The last one imported counts, the earlier one is marked
``superseded`` and stays visible. An answer that says the same again is not stored again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pyarrow as pa

from audit.errors import ConfigurationError, FatalError
from audit.storage.store import digest_file, disk_errors, locked_folder, sync_folder, write_atomically

JUDGEMENT_SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),  # one of the question's answers
        pa.field("severity", pa.string()),  # one of model.SEVERITIES
        pa.field("reviewer", pa.string(), nullable=False),
        pa.field("seconds", pa.float64()),
        pa.field("at", pa.string()),  # ISO 8601, as given
        pa.field("shard", pa.string()),
        pa.field("position", pa.int64()),
        pa.field("text_digest", pa.string(), nullable=False),
        pa.field("phase", pa.string(), nullable=False),  # review, adjudication or known_answer
        pa.field("expected", pa.string()),  # of a known-answer item
        pa.field("spans", pa.string()),  # JSON: [[start, end, label], …]
        pa.field("free_text", pa.string()),
        pa.field("imported", pa.int32(), nullable=False),  # number of the import, from 1
        pa.field("superseded", pa.bool_(), nullable=False),
    ]
)

_NAME = re.compile(r"(\d{6})-([0-9a-f]{16})\.jsonl")


@dataclass(frozen=True)
class Judgement:
    """One answer of one reviewer to one question about one document.

    Attributes:
        doc_id, question: What was asked.
        label: One of the question's answers.
        severity: One of ``model.SEVERITIES``, where the reviewer gave one.
        reviewer: Who answered.
        seconds: How long it took.
        at: When, ISO 8601.
        shard, position: Where the document lies, when the file says so.
        text_digest: Of the text that was judged: an answer says nothing of another text under that id.
        phase: ``review``, ``adjudication`` or ``known_answer``.
        spans: Start and end (half-open code points) and label of marked passages, ascending.
        free_text: Answer to a question that asks for text, personal values masked.
        expected: The label that a known-answer item should have; nothing of it enters an estimate.
    """

    doc_id: str
    question: str
    label: str
    severity: str | None = None
    reviewer: str = ""
    seconds: float | None = None
    at: str | None = None
    shard: str | None = None
    position: int | None = None
    text_digest: str = ""
    phase: str = "review"
    spans: tuple[tuple[int, int, str], ...] = ()
    free_text: str | None = None
    expected: str | None = None

    @property
    def asked(self) -> tuple[str, ...]:
        """Who was asked what: a second answer with the same value supersedes the first."""
        return (self.doc_id, self.text_digest, self.question, self.reviewer, self.phase)


@dataclass(frozen=True)
class Receipt:
    """What an import did.

    Attributes:
        files: Name -> SHA-256 of the files that hold these answers: the new one, and those with answers
            that were there already. To be journaled, so that an import whose journal entry a crash
            prevented is accounted for when it is repeated.
        added: Answers stored, changed ones included.
        changed: Answers stored that differ from an earlier one of the same reviewer.
        repeated: Answers that were there already, and were not stored again.
    """

    files: Mapping[str, str]
    added: int
    changed: int
    repeated: int


class JudgementStore:
    """The ``judgements`` folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, judgements: Sequence[Judgement]) -> Receipt:
        """Import answers, all or none, synced to disk.

        Raises:
            ConfigurationError: A reviewer answers one question about one document twice in them.
            FatalError: A file in the folder was changed, or the disk is full.
        """
        _refuse_duplicates(judgements)
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked_folder(self.folder):
            last = {answer.asked: (answer, path) for _, path, answer in self._answers()}
            new = [a for a in judgements if a.asked not in last or last[a.asked][0] != a]
            stored = set(judgements).difference(new)
            files = {last[answer.asked][1].name for answer in stored}
            if new:
                files.add(self._write(new))
            digests = {name: digest_file(self.folder / name) for name in sorted(files)}
        return Receipt(digests, len(new), sum(answer.asked in last for answer in new), len(stored))

    def load(self) -> pa.Table:
        """Return every answer that was ever given (``JUDGEMENT_SCHEMA``), in the order of imports.

        Raises:
            FatalError: A file in the folder was changed.
        """
        answers = list(self._answers())
        last = {answer.asked: number for number, (_, _, answer) in enumerate(answers)}
        rows = [
            {
                **asdict(answer),
                "spans": json.dumps(answer.spans) if answer.spans else None,
                "imported": imported,
                "superseded": last[answer.asked] != number,
            }
            for number, (imported, _, answer) in enumerate(answers)
        ]
        return pa.Table.from_pylist(rows, schema=JUDGEMENT_SCHEMA)

    def _write(self, answers: Sequence[Judgement]) -> str:
        content = b"".join(_line(answer) for answer in answers)
        digest = hashlib.sha256(content).hexdigest()
        number = max((number for number, _, _ in self._files()), default=0) + 1
        name = f"{number:06d}-{digest[:16]}.jsonl"
        with disk_errors():
            write_atomically(self.folder / name, content)
            sync_folder(self.folder)
        return name

    def _answers(self) -> Iterator[tuple[int, Path, Judgement]]:
        for number, path, content in self._files():
            for line in content.splitlines():
                try:
                    yield number, path, _parsed(line)
                except (ValueError, TypeError) as error:
                    raise _damaged(path) from error

    def _files(self) -> Iterator[tuple[int, Path, bytes]]:
        for path in sorted(self.folder.glob("*.jsonl")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue  # not of this store: verification reports it
            content = path.read_bytes()
            if not hashlib.sha256(content).hexdigest().startswith(match[2]):
                raise _damaged(path)
            yield int(match[1]), path, content


def _parsed(line: bytes) -> Judgement:
    given = json.loads(line)
    spans = tuple((start, end, label) for start, end, label in given.pop("spans", ()))
    return Judgement(**given, spans=spans)


def _line(answer: Judgement) -> bytes:
    given = {field.name: getattr(answer, field.name) for field in fields(answer)}
    known = {name: value for name, value in given.items() if value is not None and value != ()}
    return json.dumps(known, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _refuse_duplicates(judgements: Sequence[Judgement]) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for number, answer in enumerate(judgements, 1):
        if seen.setdefault(answer.asked, number) != number:
            raise ConfigurationError(
                f"judgement {number} answers the same question for the same reviewer and document as "
                f"judgement {seen[answer.asked]}",
                remedy="Keep one of the two",
            )


def _damaged(path: Path) -> FatalError:
    return FatalError(f"{path}: changed since it was imported. Restore it from a copy")
