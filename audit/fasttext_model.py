"""A quantised fastText classifier (``.ftz``) as plain arrays, for ``kernels.fasttext``.

The file format is fastText's own (facebookresearch/fastText, ``src/fasttext.cc``, ``dictionary.cc``,
``quantmatrix.cc``): a model of supervised learning with a hierarchical softmax, character n-grams and no word
n-grams, whose input matrix is quantised and pruned (A. Joulin et al., "FastText.zip", 2016).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.errors import FatalError
from audit.kernels.fasttext import Model, Words, text_hash

_MAGIC, _VERSION = 793712314, 12
_SUPERVISED, _HIERARCHICAL_SOFTMAX = 3, 1
_WORD, _LABEL = 0, 1
END_OF_LINE = b"</s>"


class Classifier(NamedTuple):
    """The arrays, and the labels by their number."""

    model: Model
    labels: tuple[str, ...]


class _File:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return values

    def array(self, dtype: str, count: int) -> npt.NDArray[np.generic]:
        found = np.frombuffer(self._data, dtype, count, self._at)
        self._at += found.nbytes
        return found

    def word(self) -> bytes:
        end = self._data.index(b"\0", self._at)
        start, self._at = self._at, end + 1
        return self._data[start:end]


class _Entry(NamedTuple):
    word: bytes
    occurrences: int
    kind: int


class _Dictionary(NamedTuple):
    words: list[_Entry]
    labels: list[_Entry]
    pruned: dict[int, int]


def load(path: Path) -> Classifier:
    """Read a model.

    Raises:
        FatalError: It is no model of this kind.
    """
    file = _File(path.read_bytes())
    if file.take("ii") != (_MAGIC, _VERSION):
        raise FatalError(f"{path.name} is no fastText model of version {_VERSION}")
    dim, _, _, _, _, word_ngrams, loss, kind, bucket, minn, maxn, _ = file.take("12i")
    file.take("d")
    if (kind, loss, word_ngrams) != (_SUPERVISED, _HIERARCHICAL_SOFTMAX, 1):
        raise FatalError(f"{path.name} is not a classifier with a hierarchical softmax and single words")
    dictionary = _dictionary(file)
    rows = _quantised(file, dim)
    (is_quantised,) = file.take("?")
    if is_quantised:
        raise FatalError(f"{path.name} has a quantised output matrix")
    outputs, width = file.take("qq")
    output = file.array("<f4", outputs * width).reshape(outputs, width)
    left, right = _tree([entry.occurrences for entry in dictionary.labels])
    places = np.full(bucket, -1, np.int32)
    for ngram, place in dictionary.pruned.items():
        places[ngram] = len(dictionary.words) + place
    kept = np.packbits(np.pad(places >= 0, (0, -bucket % 64)), bitorder="little").view(np.uint64)
    words = _words([entry.word for entry in dictionary.words])
    model = Model(words, places, kept, rows, output.astype(np.float32), left, right, (minn, maxn))
    return Classifier(model, tuple(entry.word.decode() for entry in dictionary.labels))


def _dictionary(file: _File) -> _Dictionary:
    size, _, _ = file.take("3i")
    _, pruned = file.take("qq")
    entries = []
    for _ in range(size):
        word = file.word()
        count, kind = file.take("qb")
        entries.append(_Entry(word, count, kind))
    if pruned < 0:
        raise FatalError("the model is not pruned")
    pairs = file.array("<i4", 2 * pruned).reshape(pruned, 2).tolist()
    words = [entry for entry in entries if entry.kind == _WORD]
    if not words or words[0].word != END_OF_LINE:
        raise FatalError("the model does not begin with the end of a line")
    return _Dictionary(words, [entry for entry in entries if entry.kind == _LABEL], dict(pairs))


def _quantised(file: _File, dim: int) -> npt.NDArray[np.float32]:
    """Every row of the input matrix: centroids times norms, in single precision as fastText adds them up."""
    is_quantised, has_norms = file.take("??")
    if not is_quantised:
        raise FatalError("the input matrix is not quantised")
    rows, _, size = file.take("qqi")
    codes = file.array("u1", size).reshape(rows, -1)
    parts = _centroids(file, codes, dim)
    if not has_norms:
        return parts
    norm_codes = file.array("u1", rows).reshape(rows, 1)
    norms = _centroids(file, norm_codes, 1)
    return (norms * parts).astype(np.float32)


def _centroids(file: _File, codes: npt.NDArray[np.generic], dim: int) -> npt.NDArray[np.float32]:
    """What codes of a product quantiser stand for, (rows, dim)."""
    _, subquantisers, step, last = file.take("4i")
    centroids = file.array("<f4", dim * 256)
    found = np.empty((len(codes), dim), np.float32)
    for m in range(subquantisers):
        width = last if m == subquantisers - 1 else step
        block = centroids[m * 256 * step : m * 256 * step + 256 * width].reshape(256, width)
        found[:, m * step : m * step + width] = block[codes[:, m]]
    return found


def _tree(counts: list[int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Children of each node of the Huffman tree, -1 for leaves (``HierarchicalSoftmaxLoss::buildTree``)."""
    n = len(counts)
    left, right = np.full(2 * n - 1, -1, np.int32), np.full(2 * n - 1, -1, np.int32)
    weights = [*counts, *[10**15] * (n - 1)]
    leaf, node = n - 1, n
    for parent in range(n, 2 * n - 1):
        chosen = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                chosen.append(leaf)
                leaf -= 1
            else:
                chosen.append(node)
                node += 1
        left[parent], right[parent] = chosen
        weights[parent] = weights[chosen[0]] + weights[chosen[1]]
    return left, right


def _words(words: list[bytes]) -> Words:
    data = np.frombuffer(b"".join(words), np.uint8)
    offsets = np.cumsum([0, *map(len, words)]).astype(np.int64)
    slots = np.full(1 << (2 * len(words)).bit_length(), -1, np.int32)
    for number in range(len(words)):
        slot = int(text_hash(data, offsets[number], offsets[number + 1])) & len(slots) - 1
        while slots[slot] >= 0:
            slot = (slot + 1) & len(slots) - 1
        slots[slot] = number
    return Words(slots, data, offsets)
