"""Logistic models over hashed n-grams, by AdaGrad, on n-grams scaled by their log-count ratio.

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
        bits: Buckets, as a power of two.
        rate: AdaGrad's learning rate.
        damping: First value of AdaGrad's squared gradient sums.
        epochs: Passes over the data, each in another order.
        seed: Of the orders.
        count_ratios: Whether n-grams weigh as their log-count ratio is large.
        squared_error: Whether the loss is the squared error of the probability, which wrong labels mislead
            less than log loss (Ghosh, Kumar and Sastry, "Robust Loss Functions under Label Noise for Deep
            Neural Networks", AAAI 2017); else log loss.
    """

    bits: int = 19
    rate: float = 0.2
    damping: float = 0.01
    epochs: int = 3
    seed: int = 20261122
    count_ratios: bool = True
    squared_error: bool = False


@dataclass(frozen=True)
class Features:
    """Buckets of n texts: of text i, ``characters[character_offsets[i]:character_offsets[i + 1]]``."""

    bits: int
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
    return Features(bits, character_offsets, characters, word_offsets, words)


@dataclass(frozen=True)
class Examples:
    """What to learn, a value for each of n texts.

    Attributes:
        targets: Toxic share between 0 and 1 (soft labels are welcome).
        importance: Weight in the loss; 0 leaves a text out.
        intercepts: Number of the intercept that the text gets at training and that no score has.
    """

    targets: Floats
    importance: Floats
    intercepts: Indices


@njit(nogil=True, cache=True)
def _count_documents(
    rows: Indices,
    offsets: Offsets,
    buckets: Buckets,
    shift: np.uint32,
    targets: Floats,
    importance: Floats,
    counts: Floats,
) -> None:  # pragma: no cover - compiled
    """Add to ``counts`` (2, buckets) the importance of the toxic and other texts that hold each bucket."""
    seen = np.full(counts.shape[1], -1, np.int64)
    for row in rows:
        for bucket in buckets[offsets[row] : offsets[row + 1]] >> shift:
            if seen[bucket] != row:
                seen[bucket] = row
                counts[0, bucket] += importance[row] * targets[row]
                counts[1, bucket] += importance[row] * (1 - targets[row])


def log_count_ratios(features: Features, examples: Examples, rows: Indices, bits: int) -> Floats:
    """Size of each bucket's log-count ratio, shape (2 ** bits,): how one-sidedly its n-grams are toxic.

    Wang and Manning, "Baselines and Bigrams" (ACL 2012), with soft counts; a bucket of characters and one
    of words with the same number share theirs.
    """
    shift = np.uint32(features.bits - bits)
    counts = np.ones((2, 1 << bits), np.float32)
    for offsets, buckets in (
        (features.character_offsets, features.characters),
        (features.word_offsets, features.words),
    ):
        _count_documents(rows, offsets, buckets, shift, examples.targets, examples.importance, counts)
    shares = counts / counts.sum(axis=1, keepdims=True)
    sizes: Floats = np.abs(np.log(shares[0] / shares[1])).astype(np.float32)
    return sizes


@njit(nogil=True, cache=True)
def _fit_epoch(
    order: Indices,
    character_offsets: Offsets,
    characters: Buckets,
    word_offsets: Offsets,
    words: Buckets,
    shift: np.uint32,
    targets: Floats,
    importance: Floats,
    intercepts: Indices,
    rate: np.float32,
    squared_error: bool,
    sizes: Floats,
    weights: Floats,
    squares: Floats,
    biases: Floats,
    bias_squares: Floats,
) -> None:  # pragma: no cover - compiled
    for row in order:
        of_characters = characters[character_offsets[row] : character_offsets[row + 1]] >> shift
        of_words = words[word_offsets[row] : word_offsets[row + 1]] >> shift
        character_norm = np.float32(1 / np.sqrt(max(len(of_characters), 1)))
        word_norm = np.float32(1 / np.sqrt(max(len(of_words), 1)))
        character_sum = word_sum = np.float32(0)
        for bucket in of_characters:
            character_sum += weights[bucket] * sizes[bucket]
        for bucket in of_words:
            word_sum += weights[bucket] * sizes[bucket]
        own = intercepts[row]
        margin = character_sum * character_norm + word_sum * word_norm + biases[own]
        found = 1 / (1 + np.exp(-margin))
        error = np.float32((found - targets[row]) * importance[row])
        if squared_error:
            error *= np.float32(4 * found * (1 - found))  # four: as steep as log loss where it is in doubt
        bias_squares[own] += error * error
        biases[own] -= rate * error / np.sqrt(bias_squares[own])
        for bucket in of_characters:
            gradient = error * character_norm * sizes[bucket]
            squares[bucket] += gradient * gradient
            weights[bucket] -= rate * gradient / np.sqrt(squares[bucket])
        for bucket in of_words:
            gradient = error * word_norm * sizes[bucket]
            squares[bucket] += gradient * gradient
            weights[bucket] -= rate * gradient / np.sqrt(squares[bucket])


def fit(features: Features, examples: Examples, rows: Indices, settings: Settings) -> Floats:
    """Weights fitted on ``rows``, shape (2 ** settings.bits,), the log-count ratios folded in.

    Args:
        features: Of all n texts, of as many bits or more.
        examples: What each text teaches.
        rows: Texts to learn from.
        settings: Hyper-parameters.
    """
    rows = rows[examples.importance[rows] > 0]
    size = 1 << settings.bits
    sizes = np.ones(size, np.float32)
    if settings.count_ratios:
        sizes = log_count_ratios(features, examples, rows, settings.bits)
    weights, squares = np.zeros(size, np.float32), np.full(size, settings.damping, np.float32)
    n_biases = int(examples.intercepts.max(initial=0)) + 1
    biases, bias_squares = np.zeros(n_biases, np.float32), np.full(n_biases, settings.damping, np.float32)
    random = np.random.default_rng(settings.seed)
    for _ in range(settings.epochs):
        _fit_epoch(
            random.permutation(rows), features.character_offsets, features.characters, features.word_offsets,
            features.words, np.uint32(features.bits - settings.bits), examples.targets, examples.importance,
            examples.intercepts, np.float32(settings.rate), settings.squared_error, sizes, weights, squares,
            biases, bias_squares,
        )  # fmt: skip
    return weights * sizes


def quantise(weights: Floats) -> tuple[npt.NDArray[np.int8], np.float32]:
    """Weights as int8 and the value of one step; the 1 in 10,000 largest are clipped."""
    used = np.abs(weights[weights != 0])
    scale = np.float32(np.quantile(used, 0.9999) / 127 if len(used) else 1 / 127)
    return np.clip(np.rint(weights / scale), -127, 127).astype(np.int8), scale
