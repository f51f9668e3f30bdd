"""What reviewers are asked: names, types, labels, wording and guidelines, as configured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from audit.model import SEVERITIES

#: What every question that has labels can be answered with beside them.
ALWAYS = ("unsure", "skipped")
YES_NO = ("yes", "no")
_DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "yes_no": YES_NO,
    "severity": ("none", *SEVERITIES),
    "rating": ("1", "2", "3", "4", "5"),
}
_LABEL = re.compile(r"\w(?:[\w ./-]{0,58}\w)?")

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]*$")]
QuestionType = Literal["yes_no", "choice", "severity", "rating", "spans", "text"]


class Question(BaseModel):
    """A question to reviewers; a plain name is a yes-or-no question."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    name: Name = Field(description="The answers' column, and the metric's name.")
    type: QuestionType = Field(
        default="yes_no",
        description="yes_no; choice: one of the labels; severity and rating: labels in ascending order; "
        "spans: marked passages, a label each; text: free text, for people only.",
    )
    text: str = Field(default="", description="The wording that reviewers see; default: the name.")
    guideline: str = Field(default="", description="How to decide, with examples; goes out with the sample.")
    labels: tuple[str, ...] = Field(
        default=(), description="What can be answered, or the kinds of spans; unsure and skipped always can."
    )
    positive: tuple[str, ...] = Field(
        default=(),
        description="Labels that count as harm, which makes the question a metric; yes for yes_no.",
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _labels_fit(self) -> Question:
        if self.labels and self.type in ("yes_no", "text"):
            raise ValueError(f"a {self.type} question has no labels of its own")
        if self.type in ("choice", "spans") and len(self.labels) < (2 if self.type == "choice" else 1):
            raise ValueError(f"a {self.type} question needs labels")
        folded = [label.casefold() for label in self.labels]
        if len(set(folded)) < len(folded) or set(folded) & set(ALWAYS):
            raise ValueError(f"labels must differ from each other and from {' and '.join(ALWAYS)}")
        if wrong := next((label for label in self.labels if not _LABEL.fullmatch(label)), None):
            raise ValueError(f"the label {wrong!r} has characters that some formats lose")
        known = YES_NO if self.type == "yes_no" else self.choices
        if unknown := next((label for label in self.positive if label not in known), None):
            raise ValueError(f"{unknown!r} is positive and not a label")
        return self

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> Any:
        """Only the name where nothing else is said, as it was configured."""
        return self.name if self == Question(name=self.name) else handler(self)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "pattern": whole["properties"]["name"]["pattern"]}, whole]}

    @property
    def wording(self) -> str:
        """What reviewers are asked."""
        return self.text or self.name

    @property
    def choices(self) -> tuple[str, ...]:
        """Labels without those that every question has; kinds of spans; none of free text."""
        return self.labels or _DEFAULTS.get(self.type, ())

    @property
    def answers(self) -> tuple[str, ...]:
        """Labels that a judgement can have."""
        if self.type == "text":
            return ("answered", "skipped")
        return (*(YES_NO if self.type == "spans" else self.choices), *ALWAYS)

    @property
    def ordinal(self) -> bool:
        """Whether the labels ascend."""
        return self.type in ("severity", "rating")

    @property
    def asks_severity(self) -> bool:
        """Whether a severity can be given beside the label."""
        return self.type in ("yes_no", "choice")

    @property
    def harmful(self) -> frozenset[str]:
        """Labels (or kinds of spans) that count as harm; none: the question is no metric."""
        return frozenset(self.positive or (("yes",) if self.type == "yes_no" else ()))

    def verdict(self, label: str, kinds: Sequence[str] = ()) -> str | None:
        """What an answer says of harm: yes, no, unsure or skipped; None where the question is no metric.

        Args:
            label: One of ``answers``.
            kinds: Labels of the marked spans.
        """
        if not self.harmful:
            return None
        if label in ALWAYS:
            return label
        found = kinds if self.type == "spans" else (label,)
        return "yes" if self.harmful.intersection(found) else "no"


def metrics(questions: Sequence[Question]) -> tuple[str, ...]:
    """Names of the questions that are metrics, in their order."""
    return tuple(question.name for question in questions if question.harmful)
