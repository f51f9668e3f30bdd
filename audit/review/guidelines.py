"""The guidelines that go out with a sample, from the configured questions."""

from __future__ import annotations

from collections.abc import Sequence

from audit.questions import Question
from audit.review.exchange import ADJUDICATION, Worksheet

_TYPES = {
    "yes_no": "Answer yes or no.",
    "choice": "Choose one label.",
    "severity": "Choose one level; they ascend.",
    "rating": "Choose one grade; they ascend.",
    "spans": "Mark every passage that applies, a label each; say no where there is none.",
    "text": "Answer in your own words. Do not repeat names or other personal data of the text.",
}


def markdown(sheet: Worksheet) -> str:
    """The guidelines as Markdown."""
    return "\n\n".join(["# Guidelines for review", *paragraphs(sheet)]) + "\n"


def companion(sheet: Worksheet) -> dict[str, bytes]:
    """The file of guidelines that lies beside a sample."""
    return {".guidelines.md": markdown(sheet).encode()}


def paragraphs(sheet: Worksheet) -> list[str]:
    """The guidelines, a paragraph each: what to do, then question by question."""
    what = [
        "Judge every document by its text alone, in the order given, and alone: do not compare notes. "
        "`unsure` and `skipped` are answers too: an empty one only waits.",
        "Do not change the text, the ids or their order. The file holds text of the corpus as it is: keep "
        "it where the corpus may be kept.",
    ]
    if sheet.phase == ADJUDICATION:
        what.insert(0, "This is the adjudication: your answers are the final ones.")
    return [*what, *(block for question in sheet.questions for block in _question(question))]


def _question(question: Question) -> Sequence[str]:
    kinds = ", ".join(question.choices if question.type == "spans" else question.answers)
    lines = [f"## {question.name}", question.wording if question.text else ""]
    lines += [
        _TYPES[question.type],
        "" if question.type == "text" else f"Labels: {kinds}.",
        question.guideline,
    ]
    return [line for line in lines if line]
