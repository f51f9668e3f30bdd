"""Attempts that the model goes without: further word features, and targets smoothed by a first model."""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from audit.kernels.buffers import Offsets
from audit.kernels.ngrams import Buckets
from audit.toxicity.calibration import Booleans, Doubles, calibrate
from audit.training.crossfit import Subject, aucs
from audit.training.data import DEVELOPMENT_FOLD, FOLDS
from audit.training.limits import COMMENTS
from audit.training.linear import Examples, Features, Floats, extract_features, fit
from audit.training.parts import DERIVED_SETS
from audit.training.plan import Plan, toxicity_examples

_MIXES = (0.3, 0.7)
_NEAR = 6  # words, from the first to the last of a pair

Words = Sequence[str]


def _near_pairs(words: Words) -> list[str]:
    return [" ".join(sorted((a, b))) for i, a in enumerate(words) for b in words[i + 2 : i + _NEAR]]


def _capitals(words: Words) -> list[str]:
    return [word for word in words if word[0].isupper()]


def _length(words: Words) -> list[str]:
    """A word that stands for the length, a quarter as often as there are words."""
    return [f"length {int(2 * np.log2(len(words) + 1))}"] * max(1, len(words) // 4)


def _lower(words: Words) -> list[str]:
    return [word.lower() for word in words]


#: Further features made of a text's words.
WORD_FEATURES: dict[str, Callable[[Words], list[str]]] = {
    "word triples": lambda words: [
        " ".join(three) for three in zip(words, words[1:], words[2:], strict=False)
    ],
    "pairs with a word between": lambda words: [f"{a} {b}" for a, b in zip(words, words[2:], strict=False)],
    "pairs within six words": lambda words: _near_pairs(_lower(words)),
    "capitalised words": _capitals,
    "first four letters": lambda words: [word[:4] for word in _lower(words) if len(word) > 4],
    "length of the text": _length,
}


def explored(subject: Subject, plan: Plan) -> dict[str, dict[str, float]]:
    """AUC of English data sets' parts of the development fold, by attempt.

    Every text is one segment and weights are not quantised, so figures are a little above those of
    ``variations``. Word features have a table of 2^20 buckets.
    """
    english = _select(subject, subject.data.languages == "en")
    examples = toxicity_examples(english.data, plan)
    wide = dataclasses.replace(plan, settings=dataclasses.replace(plan.settings, bits=english.features.bits))
    found = {
        "as shipped": _development(english, english.features, examples, plan),
        "2^20 buckets": _development(english, english.features, examples, wide),
    }
    texts = english.data.texts.to_pylist()
    for name, make in WORD_FEATURES.items():
        features = with_words(english.features, texts, make)
        found[name] = _development(english, features, examples, wide)
    smooth = _smooth_targets(english, examples, plan)
    for mix in _MIXES:
        targets = ((1 - mix) * examples.targets + mix * smooth).astype(np.float32)
        changed = dataclasses.replace(examples, targets=targets)
        name = f"targets {mix:.0%} of a first model's"
        found[name] = _development(english, english.features, changed, plan)
    return found


def _select(subject: Subject, rows: Booleans) -> Subject:
    chosen = np.flatnonzero(rows)
    data = dataclasses.replace(
        subject.data,
        texts=subject.data.texts.take(chosen),
        labels={name: values[chosen] for name, values in subject.data.labels.items()},
        **{
            name: getattr(subject.data, name)[chosen]
            for name in ("datasets", "languages", "licences", "toxic", "targets", "folds", "trainable")
        },
    )
    features = extract_features(data.texts, subject.features.bits)
    return dataclasses.replace(subject, data=data, features=features, groups=subject.groups[chosen])


def with_words(features: Features, texts: Sequence[str], make: Callable[[Words], list[str]]) -> Features:
    """The features and, among the words of each text, the buckets of further ones."""
    buckets: list[npt.NDArray[np.uint32]] = []
    for text, (start, end) in zip(texts, pairwise(features.word_offsets.tolist()), strict=True):
        made = [_bucket(word, features.bits) for word in make(re.findall(r"\w+", text))]
        buckets.append(np.concatenate([features.words[start:end], np.array(made, np.uint32)]))
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in buckets])]).astype(np.int64)
    return dataclasses.replace(features, words=np.concatenate(buckets), word_offsets=offsets)


def _bucket(word: str, bits: int) -> int:
    return (zlib.crc32(word.encode()) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> (64 - bits)


def _development(subject: Subject, features: Features, examples: Examples, plan: Plan) -> dict[str, float]:
    data = subject.data
    inside = (data.folds == DEVELOPMENT_FOLD) & ~np.isin(data.datasets, DERIVED_SETS)
    rows = np.flatnonzero((data.folds != DEVELOPMENT_FOLD) & data.trainable)
    found = margins(features, fit(features, examples, rows, plan.settings))
    return {name: figure.value for (name, _), figure in aucs(data, found, inside).items()}


def margins(features: Features, weights: Floats) -> Doubles:
    """Margin of each text as one segment, shape (n,)."""
    shift = np.uint32(features.bits - (len(weights).bit_length() - 1))
    of_characters = _sums(weights, features.characters >> shift, features.character_offsets)
    return of_characters + _sums(weights, features.words >> shift, features.word_offsets)


def _sums(weights: Floats, buckets: Buckets, offsets: Offsets) -> Doubles:
    running = np.concatenate([[0.0], np.cumsum(weights[buckets], dtype=np.float64)])
    sums: Doubles = (running[offsets[1:]] - running[offsets[:-1]]) / np.sqrt(np.maximum(np.diff(offsets), 1))
    return sums


def _smooth_targets(subject: Subject, examples: Examples, plan: Plan) -> Floats:
    """Targets of the comments to train on, from models that saw neither them nor the development fold."""
    data = subject.data
    outside = (data.folds != DEVELOPMENT_FOLD) & data.trainable
    comments = outside & (data.datasets == COMMENTS)
    found = np.zeros(len(data.texts))
    for fold in range(FOLDS):
        rows = np.flatnonzero(outside & (data.folds != fold))
        inside = comments & (data.folds == fold)
        if inside.any():
            found[inside] = margins(subject.features, fit(subject.features, examples, rows, plan.settings))[
                inside
            ]
    line = calibrate(found[comments], data.toxic[comments], np.ones(int(comments.sum())))
    targets = examples.targets.copy()
    targets[comments] = 1 / (1 + np.exp(-line.apply(found[comments])))
    return targets
