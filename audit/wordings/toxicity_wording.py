"""Words and rows of the toxicity section that the pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.wordings.figures import ABSENT, count, ratio, share

Row = Mapping[str, Any]

#: Terms that a page shows of each model: those with a sentence flagged, so many at most, but at least some.
MAX_TERMS, MIN_TERMS = 15, 5

IDENTITY_NOTE = (
    "Sentences of our own that harm nobody and name a group of people: whatever a model flags of them is a "
    "false alarm, caused by the name. A share of toxic documents that rests on such names is an artefact. "
    "Estimates from people's judgements are not touched by it."
)
CALIBRATION_NOTE = (
    "How the screen's scores compare with what reviewers said of the same documents, weighted to the corpus. "
    "Slope 1 and intercept 0 would be perfect; a slope under 1 means scores that are too extreme. Scores and "
    "gates stay as they are."
)
SHIPPED_NOTE = (
    "AUC within sentences of a term (subgroup), of its neutral sentences against other toxic ones (BPSN: low "
    "when the name alone raises scores) and of its toxic sentences against other neutral ones (BNSP). They "
    "need labelled sentences, so they are told of the packaged model only, as measured when it was made."
)


def identity_summary(model: Row) -> str:
    """How much of the neutral sentences a model flags, beside the same sentences without a group."""
    if model["not_evaluated"] is not None:
        return f"{ABSENT.capitalize()}: {model['not_evaluated']}."
    ordinary = model["ordinary"]
    return (
        f"From a score of {number(model['threshold'])} on, it flags {count(model['flagged'])} of "
        f"{count(model['sentences'])} sentences ({share(ratio(model['flagged'], model['sentences']))}), and "
        f"{count(ordinary['flagged'])} of {count(ordinary['sentences'])} of the same with an ordinary word."
    )


def mention_sentence(mentions: Row | None) -> str:
    """How many flagged documents name a group where they were flagged; nothing where nothing was counted."""
    if mentions is None:
        return ""
    if not mentions["flagged"]:
        return "The toxicity screen flagged no document of this corpus."
    part = share(ratio(mentions["naming_a_group"], mentions["flagged"]))
    return (
        f"Of the {count(mentions['flagged'])} documents of this corpus that the toxicity screen flagged, "
        f"{count(mentions['naming_a_group'])} ({part}) name a group of people in a passage that was flagged. "
        "Some of them attack it; as far as the name alone raised the score, the share is an artefact."
    )


def term_rows(model: Row) -> list[dict[str, Any]]:
    """The most flagged terms of a model, each with the AUCs that shipped for it."""
    known = {row["term"].casefold(): row for row in (model["shipped"] or {"terms": []})["terms"]}
    rows = []
    for row in model["terms"][: _terms_shown(model)]:
        shipped = known.get(row["term"].casefold(), {}) if row["language"] == "en" else {}
        aucs = {name: shipped.get(name) for name in ("subgroup_auc", "bpsn_auc", "bnsp_auc")}
        rows.append({**row, **aucs})
    return rows


def shipped_terms(model: Row) -> list[Row]:
    """Figures of labelled sentences, the most flagged terms first."""
    return sorted(
        model["shipped"]["terms"], key=lambda row: (-(row["false_positive_rate"] or 0.0), row["term"])
    )


def terms_left(model: Row) -> str:
    """What of the terms is not shown."""
    rest: Sequence[Row] = model["terms"][_terms_shown(model) :]
    if not rest:
        return ""
    flagged = sum(1 for row in rest if row["flagged"])
    return (
        f"and {len(rest):,} more terms in scorecard.json, {flagged or 'none'} of them with a sentence flagged"
    )


def _terms_shown(model: Row) -> int:
    flagged = sum(1 for row in model["terms"] if row["flagged"])
    return min(MAX_TERMS, max(MIN_TERMS, flagged))


def calibration_summary(card: Row) -> str:
    """What the fit rests on, or why there is none."""
    left = [
        f"{count(card[name])} {words}"
        for name, words in (("unclear", "without a clear answer"), ("unscored", "without a score"))
        if card[name]
    ]
    rest = f" Left out: {', '.join(left)}." if left else ""
    if card.get("unjudged_strata"):
        rest += (
            f" Of {count(card['strata'])} strata {count(card['unjudged_strata'])} have no judged document: "
            "nothing here speaks of those."
        )
    if card["not_evaluated"] is not None:
        return f"{ABSENT.capitalize()}: {card['not_evaluated']}.{rest}"
    return (
        f"From {count(card['n'])} judged documents, {count(card['positives'])} of them toxic, by "
        f"{card['method']}. Intervals at {share(card['confidence'])}.{rest}"
    )


def threshold_sentence(threshold: Row) -> str:
    """What the fit makes of the threshold, and where others would lie."""
    text = (
        f"At the threshold of {number(threshold['configured'])} the reviewers' answers make harm "
        f"{share(threshold['probability'])} probable."
    )
    if threshold["even"] is None or threshold["matching"] is None:
        return f"{text} The scores do not rise with the answers, so no threshold follows."
    return (
        f"{text} It is as probable as not at a score of {number(threshold['even'])}. From a score of "
        f"{number(threshold['matching'])} on, about as many documents would be flagged as are toxic."
    )


def estimate(value: Row) -> str:
    """``0.84 (0.71 to 0.97)``."""
    return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def number(value: float | None) -> str:
    """A score or an AUC."""
    return ABSENT if value is None else f"{value:.3g}"
