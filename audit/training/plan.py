"""What a model is trained with besides data, and the variations that were measured against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from audit.training.data import DERIVED_SETS, NEUTRAL_SET, REMAINDER_SET, SPAN_SET, Labelled
from audit.training.linear import Examples, Floats, Settings

#: Weight of a row in the loss, 1 where not named. The Civil Comments were all thought toxic once; the
#: paragraphs are many; Jigsaw's rows are few and close to what the web says.
IMPORTANCE = {
    "davidson_tweets": 1.0,
    "jigsaw_lilac": 10.0,
    "wiki_context_gn": 2.0,
    "civil_toxic_spans": 1.0,
    REMAINDER_SET: 4.0,
    SPAN_SET: 0.0,
    NEUTRAL_SET: 0.03,
}
#: Of another label's head: rows of other data sets that are not toxic, so not that either.
_INFERRED_NEGATIVE = 0.1


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        settings: Hyper-parameters of toxicity.
        heads: Hyper-parameters of the other labels.
        importance: Weight of a row in the loss, by data set; 1 where not named.
        soft: Whether raters' shares are targets, not the majority's word.
        intercepts: Whether each data set has an intercept of its own at training.
        characters, words: Whether these n-grams are used.
    """

    settings: Settings = field(default_factory=Settings)
    heads: Settings = field(default_factory=lambda: Settings(bits=17))
    importance: Mapping[str, float] = field(default_factory=lambda: dict(IMPORTANCE))
    soft: bool = True
    intercepts: bool = False
    characters: bool = True
    words: bool = True


def toxicity_examples(data: Labelled, plan: Plan) -> Examples:
    """What each text teaches about toxicity."""
    importance = np.array([plan.importance.get(name, 1.0) for name in data.datasets], np.float32)
    targets = data.targets if plan.soft else data.toxic.astype(np.float32)
    _, numbers = np.unique(data.datasets.astype(str), return_inverse=True)
    own = numbers.ravel().astype(np.int64)
    return Examples(targets, importance, own if plan.intercepts else np.zeros_like(own))


def label_examples(data: Labelled, label: str) -> Examples:
    """What each text teaches about another label: what was labelled, and what is not toxic at all."""
    values = data.labels[label]
    known = ~np.isnan(values)
    importance = np.where(known, 1.0, np.where(data.toxic, 0.0, _INFERRED_NEGATIVE))
    importance[data.datasets == NEUTRAL_SET] = IMPORTANCE[NEUTRAL_SET]
    importance[data.datasets == SPAN_SET] = 0
    targets: Floats = np.nan_to_num(values, nan=0.0).astype(np.float32)
    return Examples(targets, importance.astype(np.float32), np.zeros(len(values), np.int64))


def variations(plan: Plan) -> dict[str, Plan]:
    """The plan, and one change at a time."""

    def tuned(**changes: float) -> Plan:
        return replace(plan, settings=replace(plan.settings, **changes))  # type: ignore[arg-type]

    def weighing(**importance: float) -> Plan:
        return replace(plan, importance={**plan.importance, **importance})

    return {
        "as shipped": plan,
        "without log-count ratios": replace(plan, settings=replace(plan.settings, count_ratios=False)),
        "words and word pairs only": replace(plan, characters=False),
        "characters only": replace(plan, words=False),
        "2^18 buckets": tuned(bits=18),
        "2^20 buckets": tuned(bits=20),
        "damping 0.1": tuned(damping=0.1),
        "damping 1, 8 epochs": replace(plan, settings=replace(plan.settings, damping=1.0, epochs=8)),
        "2 epochs": tuned(epochs=2),
        "6 epochs": tuned(epochs=6),
        "rate 0.1": tuned(rate=0.1),
        "another seed": tuned(seed=7),
        "hard labels": replace(plan, soft=False),
        "an intercept for each data set": replace(plan, intercepts=True),
        "no remainders of comments": weighing(**{REMAINDER_SET: 0.0}),
        "remainders weigh 2": weighing(**{REMAINDER_SET: 2.0}),
        "marked spans as further positives": weighing(**{SPAN_SET: 0.3}),
        "tweets weigh 1.5": weighing(davidson_tweets=1.5),
        "tweets weigh 0.3": weighing(davidson_tweets=0.3),
        "Jigsaw weighs 20": weighing(jigsaw_lilac=20.0),
        "all rows weigh 1, no parts": replace(plan, importance=dict.fromkeys(DERIVED_SETS, 0.0)),
    }
