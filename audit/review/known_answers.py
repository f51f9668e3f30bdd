"""Known-answer items: texts whose right answers the user states, to tell how reliable reviewers are.

They travel among the sampled documents under ids of the same shape, so that nobody can tell them apart,
and never enter an estimate.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.errors import ConfigurationError
from audit.questions import Question
from audit.review.texts import SampleRow, text_digests
from audit.storage.store import write_atomically

#: Within the run's ``sample`` folder, as they were when the run was made.
FILE = "known_answers.jsonl"
_HEX = "0123456789abcdef"


@dataclass(frozen=True)
class KnownItem:
    """One item.

    Attributes:
        text, url: What reviewers see.
        text_digest: As ``documents.text_digest`` would hold it.
        answers: Question -> the right label.
    """

    text: str
    text_digest: str
    answers: Mapping[str, str]
    url: str | None = None

    def row(self, doc_id: str) -> SampleRow:
        """The item as a document of a sample."""
        return SampleRow(doc_id, self.text, self.text_digest, self.url)


def keep(folder: Path, source: Path | None, questions: Sequence[Question]) -> None:
    """Copy the items into a run's ``sample`` folder, or remove what no configuration names any more.

    Raises:
        ConfigurationError: They cannot be read, or a line is wrong; names it.
    """
    target = folder / FILE
    if source is None:
        target.unlink(missing_ok=True)
        return
    items = load(source, questions)
    lines = [
        json.dumps(
            {"text": i.text, "url": i.url, "answers": dict(i.answers)}, ensure_ascii=False, sort_keys=True
        )
        for i in items
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(target, "".join(f"{line}\n" for line in lines).encode())


def kept(folder: Path, questions: Sequence[Question]) -> tuple[KnownItem, ...]:
    """The items of a run; none where none were given."""
    path = folder / FILE
    return load(path, questions) if path.is_file() else ()


def load(path: Path, questions: Sequence[Question]) -> tuple[KnownItem, ...]:
    """Read items: JSON lines with ``text``, ``answers`` (question -> label) and, if wanted, ``url``.

    Raises:
        ConfigurationError: The file or a line is wrong; names it, and quotes nothing.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the known answers cannot be read ({type(error).__name__})",
            file=str(path),
            key="sampling.known_answers",
            remedy="Name a readable UTF-8 file",
        ) from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    plain = [_plain(path, number, line) for number, line in numbered]
    digests = text_digests([item["text"] for item in plain])
    items = []
    for (number, _), item, digest in zip(numbered, plain, digests, strict=True):
        answers = _answers(path, number, item["answers"], questions)
        items.append(KnownItem(item["text"], digest, answers, item.get("url")))
    if len(set(digests)) != len(digests):
        raise _wrong(path, None, "two items have one text")
    return tuple(items)


def disguised(
    items: Sequence[KnownItem], like: Sequence[str], run_id: str, taken: Callable[[str], bool]
) -> dict[str, KnownItem]:
    """Ids for the items that look like those of the documents, the same at every call.

    Args:
        items: To be named.
        like: Ids of documents, the first of which lend their shape: digits stay digits, letters letters.
        run_id: Of the run; another run gives other ids.
        taken: Whether the corpus has an id.
    """
    named: dict[str, KnownItem] = {}
    for number, item in enumerate(items):
        shape = like[number % len(like)] if like else "0" * 16
        for attempt in range(1000):
            candidate = _like(shape, f"{run_id} {item.text_digest} {attempt}")
            if candidate not in named and not taken(candidate):
                named[candidate] = item
                break
        else:
            # Ids so short that all are in use: a longer one is still better than none.
            named[_like(shape + "0" * 8, f"{run_id} {item.text_digest}")] = item
    return named


def _like(shape: str, seed: str) -> str:
    draw = iter(hashlib.shake_256(seed.encode()).digest(2 * len(shape) + 2))
    is_hex = all(character in _HEX for character in shape)
    return "".join(_swap(character, next(draw) * 256 + next(draw), is_hex) for character in shape)


def _swap(character: str, number: int, is_hex: bool) -> str:
    # Of other ids only the digits change: words in them (a prefix, a host) are the same for many.
    if is_hex:
        return _HEX[number % len(_HEX)]
    if character in string.digits:
        return string.digits[number % 10]
    return character


def _plain(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise _wrong(path, number, "not JSON") from error
    if not isinstance(item, dict) or not isinstance(item.get("text"), str) or not item["text"]:
        raise _wrong(path, number, "no text")
    if not isinstance(item.get("answers"), dict) or not item["answers"]:
        raise _wrong(path, number, "no answers: a mapping of questions to labels")
    if unknown := item.keys() - {"text", "url", "answers"}:
        raise _wrong(path, number, f"{len(unknown)} keys that are not known")
    if not isinstance(item.get("url"), str | None):
        raise _wrong(path, number, "the url is not a string")
    return item


def _answers(
    path: Path, number: int, given: Mapping[str, Any], questions: Sequence[Question]
) -> dict[str, str]:
    asked = {question.name: question for question in questions}
    answers = {}
    for name, label in given.items():
        if name not in asked:
            raise _wrong(path, number, f"a question that is not asked (asked are {', '.join(asked)})")
        known = {each.casefold(): each for each in asked[name].answers}
        if str(label).casefold() not in known:
            raise _wrong(path, number, f"an unknown label for {name}; known are {', '.join(known.values())}")
        answers[name] = known[str(label).casefold()]
    return answers


def _wrong(path: Path, number: int | None, message: str) -> ConfigurationError:
    where = "" if number is None else f"line {number}: "
    remedy = 'Write a line as {"text": "…", "answers": {"toxicity": "yes"}}'
    return ConfigurationError(
        f"{where}{message}", file=str(path), key="sampling.known_answers", remedy=remedy
    )
