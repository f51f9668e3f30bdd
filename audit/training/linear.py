"""Logistic regression over hashed n-grams, by AdaGrad, one row of weights a language.

Duchi, Hazan and Singer, "Adaptive Subgradient Methods" (JMLR 2011), diagonal form, a single thread in a
fixed order: the same data give the same weights, bit by bit, on one machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.buffers import Offsets, string_buffers
from audit.kernels.ngrams import Buckets, ngram_buckets

#: A training text is one segment, whatever its length.
_WHOLE_TEXT = (100_000, 100_000)

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """What the training is given besides data.

    Attributes:
        bits: Buckets per language, as a power of two.
        rate: AdaGrad's learning rate.
        damping: First value of AdaGrad's squared gradient sums.
        epochs: Passes over the data, each in another order.
        seed: Of the orders.
    """

    bits: int = 19
    rate: float = 0.2
    damping: float = 0.01
    epochs: int = 3
    seed: int = 20261122


@dataclass(frozen=True)
class Features:
    """Buckets of n texts: of text i, ``characters[character_offsets[i]:character_offsets[i + 1]]``."""

    character_offsets: Offsets
    characters: Buckets
    word_offsets: Offsets
    words: Buckets


def extract_features(texts: pa.Array, bits: int) -> Features:
    """Buckets of whole texts, none of them empty.

    Raises:
        ValueError: A text is empty or over the length of one segment.
    """
    data, offsets = string_buffers(texts)
    rows, character_offsets, characters, word_offsets, words = ngram_buckets(
        data, offsets, bits=bits, window=_WHOLE_TEXT
    )
    if not np.array_equal(rows, np.arange(len(texts))):
        raise ValueError("training texts must hold 1 to 100,000 code points")
    return Features(character_offsets, characters, word_offsets, words)


@njit(nogil=True, cache=True)
def _fit_epoch(
    order: Indices,
    character_offsets: Offsets,
    characters: Buckets,
    word_offsets: Offsets,
    words: Buckets,
    groups: npt.NDArray[np.int8],
    targets: Floats,
    importance: Floats,
    rate: np.float32,
    weights: Floats,
    squares: Floats,
    biases: Floats,
    bias_squares: Floats,
) -> None:  # pragma: no cover - compiled
    for row in order:
        group = groups[row]
        of_characters = characters[character_offsets[row] : character_offsets[row + 1]]
        of_words = words[word_offsets[row] : word_offsets[row + 1]]
        character_norm = np.float32(1 / np.sqrt(max(len(of_characters), 1)))
        word_norm = np.float32(1 / np.sqrt(max(len(of_words), 1)))
        character_sum = word_sum = np.float32(0)
        for bucket in of_characters:
            character_sum += weights[group, bucket]
        for bucket in of_words:
            word_sum += weights[group, bucket]
        margin = character_sum * character_norm + word_sum * word_norm + biases[group]
        error = np.float32((1 / (1 + np.exp(-margin)) - targets[row]) * importance[row])
        bias_squares[group] += error * error
        biases[group] -= rate * error / np.sqrt(bias_squares[group])
        for bucket in of_characters:
            gradient = error * character_norm
            squares[group, bucket] += gradient * gradient
            weights[group, bucket] -= rate * gradient / np.sqrt(squares[group, bucket])
        for bucket in of_words:
            gradient = error * word_norm
            squares[group, bucket] += gradient * gradient
            weights[group, bucket] -= rate * gradient / np.sqrt(squares[group, bucket])


def fit(
    features: Features,
    groups: npt.NDArray[np.int8],
    targets: Floats,
    importance: Floats,
    rows: Indices,
    settings: Settings,
) -> Floats:
    """Weights fitted on ``rows``, shape (groups, 2 ** bits).

    Args:
        features: Of all n texts.
        groups: Row of weights for each text, shape (n,).
        targets: Toxic share between 0 and 1 (soft labels are welcome), shape (n,).
        importance: Weight of each text in the loss, shape (n,).
        rows: Texts to learn from.
        settings: Hyper-parameters.
    """
    n_groups = int(groups.max()) + 1
    shape = (n_groups, 1 << settings.bits)
    weights, squares = np.zeros(shape, np.float32), np.full(shape, settings.damping, np.float32)
    biases, bias_squares = np.zeros(n_groups, np.float32), np.full(n_groups, settings.damping, np.float32)
    random = np.random.default_rng(settings.seed)
    for _ in range(settings.epochs):
        _fit_epoch(
            random.permutation(rows), features.character_offsets, features.characters, features.word_offsets,
            features.words, groups, targets, importance, np.float32(settings.rate),
            weights, squares, biases, bias_squares,
        )  # fmt: skip
    return weights


def quantise(weights: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Weights as int8 and the value of one step, per row; the 1 in 10,000 largest are clipped."""
    largest = np.array([np.quantile(np.abs(row[row != 0]), 0.9999) if row.any() else 1.0 for row in weights])
    scale = (largest / 127).astype(np.float32)
    steps = np.clip(np.rint(weights / scale[:, None]), -127, 127)
    return steps.astype(np.int8), scale
