"""What a model is trained with besides data, and the variations that were measured against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from audit.training.data import NEUTRAL_SET, Labelled
from audit.training.linear import Examples, Floats, Settings
from audit.training.parts import DERIVED_SETS, MAJOR_SET, MINOR_SET, REMAINDER_SET, SPAN_SET

#: Weight of a row in the loss, 1 where not named. The Civil Comments were all thought toxic once; the
#: paragraphs are many; Jigsaw's rows are few and close to what the web says.
IMPORTANCE = {
    "davidson_tweets": 1.0,
    "jigsaw_lilac": 10.0,
    "wiki_context_gn": 2.0,
    "civil_toxic_spans": 1.0,
    REMAINDER_SET: 4.0,
    MAJOR_SET: 1.0,
    MINOR_SET: 1.0,
    SPAN_SET: 0.0,
    NEUTRAL_SET: 0.03,
}
#: Data sets that share an intercept at training; those not named share one, too. How many texts of a data set
#: are toxic was its collectors' choice: without this, n-grams are made to explain it. A comment's parts share
#: its intercept, since only the words that are missing may explain what the raters said.
INTERCEPTS = (
    ("civil_toxic_spans", *DERIVED_SETS),
    ("davidson_tweets",),
    ("jigsaw_lilac",),
    ("wiki_context_gn",),
)
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
        intercepts: Groups of data sets, each with an intercept of its own at training.
        characters, words: Whether these n-grams are used.
        window: Segment lengths in code points: a sentence end closes from the first, the second is the
            longest.
        whole_text: A text of as many code points or fewer is one segment, whatever ``window`` says.
    """

    settings: Settings = field(default_factory=lambda: Settings(epochs=2, squared_error=True))
    heads: Settings = field(default_factory=lambda: Settings(bits=17))
    importance: Mapping[str, float] = field(default_factory=lambda: dict(IMPORTANCE))
    soft: bool = True
    intercepts: Sequence[Sequence[str]] = INTERCEPTS
    characters: bool = True
    words: bool = True
    window: tuple[int, int] = (200, 500)
    whole_text: int = 1000


def toxicity_examples(data: Labelled, plan: Plan) -> Examples:
    """What each text teaches about toxicity."""
    importance = np.array([plan.importance.get(name, 1.0) for name in data.datasets], np.float32)
    targets = data.targets if plan.soft else data.toxic.astype(np.float32)
    own = np.zeros(len(targets), np.int64)
    for number, group in enumerate(plan.intercepts, start=1):
        own[np.isin(data.datasets, group)] = number
    return Examples(targets, importance, own)


def label_examples(data: Labelled, label: str) -> Examples:
    """What each text teaches about another label: what was labelled, and what is not toxic at all."""
    values = data.labels[label]
    known = ~np.isnan(values)
    importance = np.where(known, 1.0, np.where(data.toxic, 0.0, _INFERRED_NEGATIVE))
    importance[data.datasets == NEUTRAL_SET] = IMPORTANCE[NEUTRAL_SET]
    importance[np.isin(data.datasets, (SPAN_SET, MAJOR_SET, MINOR_SET))] = 0
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
        "log loss": tuned(squared_error=False),
        "one intercept for all data sets": replace(plan, intercepts=()),
        "an intercept for the civil comments only": replace(plan, intercepts=plan.intercepts[:1]),
        "no comments without some of their spans": weighing(**dict.fromkeys((MAJOR_SET, MINOR_SET), 0.0)),
        "no remainders of comments": weighing(**{REMAINDER_SET: 0.0}),
        "no parts of comments": weighing(**dict.fromkeys(DERIVED_SETS, 0.0)),
        "remainders weigh 2": weighing(**{REMAINDER_SET: 2.0}),
        "marked spans as further positives": weighing(**{SPAN_SET: 0.3}),
        "comments and their parts weigh half": weighing(**_scaled(plan, plan.intercepts[0], 0.5)),
        "comments and their parts weigh twice": weighing(**_scaled(plan, plan.intercepts[0], 2.0)),
        "every text cut into segments": replace(plan, whole_text=0),
        "segments of 400 to 800": replace(plan, whole_text=0, window=(400, 800)),
        "without log-count ratios": tuned(count_ratios=False),
        "words and word pairs only": replace(plan, characters=False),
        "characters only": replace(plan, words=False),
        "2^18 buckets": tuned(bits=18),
        "2^20 buckets": tuned(bits=20),
        "damping 0.1": tuned(damping=0.1),
        "1 epoch": tuned(epochs=1),
        "4 epochs": tuned(epochs=4),
        "rate 0.1": tuned(rate=0.1),
        "rate 0.3": tuned(rate=0.3),
        "another seed": tuned(seed=7),
        "hard labels": replace(plan, soft=False),
        "tweets weigh 1.5": weighing(davidson_tweets=1.5),
        "tweets weigh 0.3": weighing(davidson_tweets=0.3),
        "Jigsaw weighs 20": weighing(jigsaw_lilac=20.0),
        "all rows weigh 1, no parts": replace(plan, importance=dict.fromkeys(DERIVED_SETS, 0.0)),
    }


def _scaled(plan: Plan, names: Sequence[str], factor: float) -> dict[str, float]:
    return {name: factor * plan.importance[name] for name in names}
