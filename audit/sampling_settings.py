"""Settings of a sample's design: what judging costs, which cells are judged whole, who predicts an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

#: Cuts of a score into bands, finer than any sample needs: a design joins neighbours to the few bands that
#: are best for its size (``neighbouring_bands``). Of a harm under 0.3% most lies at scores that one
#: lowest band up to 0.01 would not tell apart.
BANDS = (
    *(0.0003, 0.001, 0.002, 0.004, 0.007, 0.012, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2),
    *(0.27, 0.35, 0.42, 0.5, 0.58, 0.65, 0.73, 0.8, 0.86, 0.9, 0.95, 0.98),
)

#: Screens that predict the answer to a question of another name.
DETECTORS: Mapping[str, str] = {"personal_data": "pii"}

#: Measures of probes that predict the answer to a question.
PREDICTORS: Mapping[str, tuple[str, ...]] = {
    "toxicity": ("detoxify.score", "bilstm.score"),
    "personal_data": ("presidio_ner.flagged",),
}


class JudgingCost(BaseModel):
    """What a judgement costs, in minutes, money or any other unit: the budget's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fixed: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Of each document.")
    per_thousand_words: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Of each thousand words of a document."
    )

    @model_validator(mode="after")
    def _is_over_zero(self) -> JudgingCost:
        # A document without words would cost nothing, and be judged without end.
        if self.fixed == 0:
            raise ValueError("a document's fixed cost must be over 0, since some have no words")
        return self


def _plain(value: Any) -> Any:
    """YAML reads years as numbers and yes as true; dimensions hold strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


#: Dimension -> value: the cells that have all of these values.
Cell = Annotated[dict[str, Annotated[str, BeforeValidator(_plain)]], Field(min_length=1)]
