"""Fitting a model to some rows, and scores of every row by a model that saw none of its near-copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.toxicity.calibration import Booleans, Doubles
from audit.toxicity.toxicity_model import Heads, ToxicityModel, no_heads
from audit.training.data import DEVELOPMENT_FOLD, FOLDS, LABELS, NEUTRAL_SET, Labelled
from audit.training.evaluation import Interval, auc
from audit.training.linear import Examples, Features, fit, quantise
from audit.training.parts import DERIVED_SETS
from audit.training.plan import Plan, label_examples, toxicity_examples

#: A label is trained in a language with as many positives and negatives, else it is not evaluated.
LEAST_LABELLED = 100

Groups = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Subject:
    """Labelled texts, ready to train on.

    Attributes:
        data: The texts.
        features: Their buckets, of as many bits as any plan asks for.
        languages: Codes, sorted; a model's rows.
        groups: Number of each text's language, shape (n,).
    """

    data: Labelled
    features: Features
    languages: tuple[str, ...]
    groups: Groups


@dataclass(frozen=True)
class Scores:
    """Margins of n documents, the largest of their segments; not calibrated.

    Attributes:
        toxicity: Shape (n,).
        labels: Shape (n, labels), in the order of ``names``; NaN where a language has no head.
        names: The labels.
    """

    toxicity: Doubles
    labels: Doubles
    names: tuple[str, ...]


def enough_labels(subject: Subject) -> dict[str, tuple[str, ...]]:
    """Labels of each language that has enough of them, by people, to train on."""
    data = subject.data
    found = {}
    for language in subject.languages:
        rows = (data.languages == language) & ~np.isin(data.datasets, (NEUTRAL_SET, *DERIVED_SETS))
        rows &= data.trainable
        counts = {
            name: [(values[rows] == side).sum() for side in (0, 1)] for name, values in data.labels.items()
        }
        found[language] = tuple(name for name, both in counts.items() if min(both) >= LEAST_LABELLED)
    return found


def _without(features: Features, plan: Plan) -> Features:
    nothing = np.zeros_like(features.character_offsets)
    if not plan.characters:
        features = dataclasses.replace(features, character_offsets=nothing)
    return features if plan.words else dataclasses.replace(features, word_offsets=nothing)


def fit_model(
    subject: Subject, plan: Plan, rows: Booleans, languages: Sequence[str], labels: dict[str, tuple[str, ...]]
) -> ToxicityModel:
    """A model without calibration (slope 1, intercept 0), fitted to the rows.

    Args:
        subject: Labelled texts.
        plan: How to train.
        rows: Which rows to learn from, shape (n,).
        languages: The model's languages.
        labels: Other labels, by language; a language not named has none.
    """
    features = _without(subject.features, plan)
    examples = toxicity_examples(subject.data, plan)
    fitted = [
        quantise(fit(features, examples, _rows(subject, rows, language), plan.settings))
        for language in languages
    ]
    one = np.ones(len(languages), np.float32)
    scale = np.array([step for _, step in fitted], np.float32)
    heads = (
        _fit_heads(subject, plan, rows, languages, labels)
        if any(labels.values())
        else no_heads(len(languages))
    )
    weights = np.stack([found for found, _ in fitted])
    return ToxicityModel(
        tuple(languages), weights, scale, one, 0 * one, plan.window, heads, whole_text=plan.whole_text
    )


def _rows(subject: Subject, rows: Booleans, language: str) -> npt.NDArray[np.int64]:
    return np.flatnonzero(rows & (subject.data.languages == language))


def _fit_heads(
    subject: Subject, plan: Plan, rows: Booleans, languages: Sequence[str], labels: dict[str, tuple[str, ...]]
) -> Heads:
    names = tuple(name for name in LABELS.values() if any(name in labels.get(code, ()) for code in languages))
    with_heads = [code for code in languages if labels.get(code)]
    weights = np.zeros((len(with_heads), 1 << plan.heads.bits, len(names)), np.int8)
    slope = np.full((len(languages), len(names)), np.nan, np.float32)
    examples: dict[str, Examples] = {name: label_examples(subject.data, name) for name in names}
    for table, code in enumerate(with_heads):
        for name in labels[code]:
            head = names.index(name)
            found = fit(subject.features, examples[name], _rows(subject, rows, code), plan.heads)
            weights[table, :, head], slope[languages.index(code), head] = quantise(found)
    tables = np.array([with_heads.index(code) if code in with_heads else -1 for code in languages], np.int8)
    return Heads(names, weights, tables, slope, 0 * slope)


def document_scores(model: ToxicityModel, texts: pa.Array, groups: Groups) -> Scores:
    """Largest segment logit of each document; every text holds at least one code point."""
    scores = model.score(texts, groups)
    first = scores.offsets[:-1]
    labels = np.maximum.reduceat(scores.label_logits, first, axis=0).astype(np.float64)
    toxicity = np.maximum.reduceat(scores.logits, first).astype(np.float64)
    return Scores(toxicity, labels, model.heads.labels)


def cross_validate(subject: Subject, plan: Plan, labels: dict[str, tuple[str, ...]]) -> Scores:
    """Margins of every row, each by a model that saw neither it nor a near-copy of it."""
    n = len(subject.data.texts)
    names = tuple(name for name in LABELS.values() if any(name in found for found in labels.values()))
    margins = Scores(np.zeros(n), np.full((n, len(names)), np.nan), names)
    for fold in range(FOLDS):
        inside = subject.data.folds == fold
        model = fit_model(subject, plan, ~inside & subject.data.trainable, subject.languages, labels)
        found = score_rows(subject, model, inside)
        margins.toxicity[inside], margins.labels[inside] = found.toxicity, found.labels
    return margins


def score_rows(subject: Subject, model: ToxicityModel, rows: Booleans) -> Scores:
    """Scores of some rows by a model of all the subject's languages."""
    chosen = np.flatnonzero(rows)
    return document_scores(model, subject.data.texts.take(pa.array(chosen)), subject.groups[chosen])


def development_aucs(subject: Subject, plan: Plan) -> dict[str, float]:
    """AUC of each data set's part of the development fold, by a model trained on the other folds."""
    data = subject.data
    outside = data.folds != DEVELOPMENT_FOLD
    inside = ~outside & ~np.isin(data.datasets, DERIVED_SETS)
    model = fit_model(subject, plan, outside & data.trainable, subject.languages, {})
    margins = np.zeros(len(data.texts))
    margins[inside] = score_rows(subject, model, inside).toxicity
    figures = aucs(data, margins, inside)
    return {f"{name} ({language})": figure.value for (name, language), figure in figures.items()}


def aucs(data: Labelled, margins: Doubles, rows: Booleans) -> dict[tuple[str, str], Interval]:
    """AUC of each data set and language over those of ``rows`` that have two rows of each label."""
    figures = {}
    for key, mask in set_masks(data, rows).items():
        toxic = data.toxic[mask]
        if min(toxic.sum(), (~toxic).sum()) > 1:
            figures[key] = auc(margins[mask], toxic)
    return figures


def set_masks(data: Labelled, rows: Booleans) -> dict[tuple[str, str], Booleans]:
    """Which of the rows belong to each data set and language."""
    keys = sorted(set(zip(data.datasets[rows].tolist(), data.languages[rows].tolist(), strict=True)))
    return {key: rows & (data.datasets == key[0]) & (data.languages == key[1]) for key in keys}
