"""What a quantised fastText classifier says of texts, bit for bit as the library, without its overhead.

After ``Dictionary::getLine``, ``computeSubwords``, ``Model::computeHidden`` and
``HierarchicalSoftmaxLoss::dfs`` of facebookresearch/fastText 0.9.2, for one label a text: single precision
where it has single precision, in the same order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.buffers import Bytes, Offsets, string_buffers

F = np.float32
U = np.uint64
U32 = np.uint32
U8 = np.uint8
Rows = npt.NDArray[np.float32]
Nodes = npt.NDArray[np.int32]

_BASIS, _PRIME = U32(2166136261), U32(16777619)
_PREFIX = np.frombuffer(b"__label__", np.uint8)


class Words(NamedTuple):
    """The words that the model knows; word 0 is the end of a line.

    Attributes:
        slots: int32 (2 ** k,): open addressing by ``text_hash``; -1 is a free slot.
        data, offsets: Their bytes.
    """

    slots: Nodes
    data: Bytes
    offsets: Offsets


class Model(NamedTuple):
    """A classifier.

    Attributes:
        words: Known words; word ``i`` has row ``i``.
        places: int32 (buckets,): row of each hashed character n-gram; -1 where it was pruned.
        kept: uint64 (buckets / 64,): a bit for each bucket with a row.
        rows: float32 (rows, dimensions).
        output: float32 (labels, dimensions): of the inner nodes of the tree.
        left, right: int32 (2 labels - 1,): children of each node; -1 for leaves, which come first.
        lengths: Code points of the shortest and the longest n-gram.
    """

    words: Words
    places: Nodes
    kept: npt.NDArray[np.uint64]
    rows: Rows
    output: Rows
    left: Nodes
    right: Nodes
    lengths: tuple[int, int]


@njit(nogil=True, cache=True, inline="always")
def _step(state: U32, byte: np.uint8) -> U32:
    """One byte of FNV-1a, which fastText reads as a signed one."""
    return U32((state ^ U32(np.int8(byte))) * _PRIME)


@njit(nogil=True, cache=True)
def text_hash(data: Bytes, start: int, stop: int) -> U32:
    """FNV-1a of bytes, as fastText has it."""
    state = _BASIS
    for at in range(start, stop):
        state = _step(state, data[at])
    return state


@njit(nogil=True, cache=True)
def _equal(data: Bytes, start: int, other: Bytes, at: int, size: int) -> bool:
    for k in range(size):  # noqa: SIM110 - no generators in a kernel
        if data[start + k] != other[at + k]:
            return False
    return True


@njit(nogil=True, cache=True)
def _find(data: Bytes, start: int, stop: int, words: Words) -> int:
    """Number of a word, or -1."""
    # Fields are taken out once: each access counts references, which costs more than a look-up.
    slots, known, offsets = words.slots, words.data, words.offsets
    mask = U(len(slots) - 1)
    slot = U(text_hash(data, start, stop)) & mask
    while slots[slot] >= 0:
        word = U(slots[slot])
        at = offsets[word]
        if offsets[word + U(1)] - at == stop - start and _equal(data, start, known, at, stop - start):
            return int(np.int64(word))
        slot = (slot + U(1)) & mask
    return -1


@njit(nogil=True, cache=True)
def _find_ngrams(
    token: Bytes,
    size: int,
    lengths: tuple[int, int],
    buckets: U32,
    kept: npt.NDArray[np.uint64],
    found: Nodes,
    n: int,
) -> int:
    """Append the buckets of a token's character n-grams that have a row; return how many there are then."""
    least, most = lengths
    for first in range(size):
        start = U(first)
        if token[start] & 0xC0 == 0x80:
            continue
        state, at = _BASIS, start
        for length in range(1, most + 1):
            if at == U(size):
                break
            state = _step(state, token[at])
            at += U(1)
            while at < U(size) and token[at] & 0xC0 == 0x80:
                state = _step(state, token[at])
                at += U(1)
            if length < least or (length == 1 and (start == U(0) or at == U(size))):
                continue
            bucket = U(state % buckets)
            found[U(n)] = bucket  # overwritten by the next one where it has no row: no branch
            n += int(np.int64(kept[bucket >> U(6)] >> (bucket & U(63)) & U(1)))
    return n


@njit(nogil=True, cache=True)
def _sum_rows(found: Nodes, n: int, places: Nodes, rows: Rows, hidden: Rows) -> None:
    """Add up rows in order: of buckets, and of words, which are below 0 (-1 is the first)."""
    hidden[:] = F(0)
    for i in range(n):
        code = found[U(i)]
        row = U(places[U(code)]) if code >= 0 else U(-1 - code)
        for k in range(len(hidden)):
            hidden[U(k)] += rows[row, U(k)]


@njit(nogil=True, cache=True)
def _space(data: Bytes, at: int, stop: int) -> int:
    """Bytes of the space at ``at``: of fastText's own, of Unicode's (Z) and of the next line; 0 for none."""
    lead = data[at]
    if lead < 0x80:
        return int(lead == 0x20 or 0x09 <= lead <= 0x0D or lead == 0)
    if lead == 0xC2:
        return 2 * int(at + 1 < stop and (data[at + 1] == 0x85 or data[at + 1] == 0xA0))
    if lead < 0xE1 or lead > 0xE3 or at + 2 >= stop:
        return 0
    point = (int(lead) & 0x0F) << 12 | (int(data[at + 1]) & 0x3F) << 6 | int(data[at + 2]) & 0x3F
    general = 0x2000 <= point <= 0x200A or 0x2028 <= point <= 0x2029 or point == 0x202F or point == 0x205F
    return 3 * int(general or point == 0x1680 or point == 0x3000)


@njit(nogil=True, cache=True)
def _hide(data: Bytes, at: int, stop: int, model: Model, token: Bytes, rows: Nodes, hidden: Rows) -> None:
    """Write the mean of the rows of a line's words and n-grams, and of its end.

    They are found first and added up then, so that the memory of many rows is waited for at once.
    """
    buckets = U32(len(model.places))
    kept, lengths, words = model.kept, model.lengths, model.words
    found, word = 0, -1
    while True:
        size = 1
        while at < stop and size > 0:
            size = _space(data, at, stop)
            at += size
        if at == stop:
            break
        start = at
        while at < stop:
            byte = data[U(at)]
            if byte < 0x80:  # a call a byte costs more than the rest
                if byte == 0x20 or (U8(byte - U8(0x09)) <= U8(4)) or byte == 0:
                    break
            elif _space(data, at, stop) != 0:
                break
            at += 1
        size = at - start
        if size >= len(_PREFIX) and _equal(data, start, _PREFIX, 0, len(_PREFIX)):
            continue  # a label, for training
        word = _find(data, start, at, words)
        if word >= 0:
            rows[found] = -1 - word
            found += 1
        if word == 0:
            break  # the sign for the end of a line, in the text
        token[0], token[size + 1] = 0x3C, 0x3E
        for k in range(U(size)):  # a slice would ask whether the two overlap
            token[k + U(1)] = data[U(start) + k]
        found = _find_ngrams(token, size + 2, lengths, buckets, kept, rows, found)
    if word != 0:
        rows[found] = -1
        found += 1
    _sum_rows(rows, found, model.places, model.rows, hidden)
    scale = F(1.0 / found)
    for k in range(len(hidden)):
        hidden[k] *= scale


@njit(nogil=True, cache=True)
def _log(x: F) -> F:
    return F(math.log(np.float64(x) + 1e-5))


@njit(nogil=True, cache=True)
def _best(model: Model, hidden: Rows, stack: npt.NDArray[np.int64], scores: Rows) -> tuple[int, F]:
    """Return the label of the likeliest leaf and the logarithm of its probability; -1 where none is found."""
    label, best, floor = -1, F(-np.inf), _log(F(0))
    labels = (len(model.left) + 1) // 2
    stack[0], scores[0], top = len(model.left) - 1, F(0), 1
    while top:
        top -= 1
        node, score = stack[top], scores[top]
        if score < floor or score < best:
            continue
        if model.left[node] < 0:
            label, best = node, score
            continue
        dot = F(0)
        for k in range(len(hidden)):
            dot += model.output[node - labels, k] * hidden[k]
        right = F(1.0 / np.float64(F(1) + F(math.exp(-dot))))
        stack[top], scores[top] = model.right[node], score + _log(right)
        stack[top + 1], scores[top + 1] = model.left[node], score + _log(F(1.0 - np.float64(right)))
        top += 2
    return label, best


@njit(nogil=True, cache=True)
def _classify(
    data: Bytes,
    offsets: Offsets,
    ends: Offsets,
    chosen: npt.NDArray[np.bool_],
    model: Model,
    token: Bytes,
    rows: Nodes,
    labels: npt.NDArray[np.int16],
    scores: Rows,
) -> None:
    hidden = np.empty(model.rows.shape[1], np.float32)
    stack = np.empty(len(model.left) + 1, np.int64)
    waiting = np.empty(len(stack), np.float32)
    for row in range(len(labels)):
        if chosen[row]:
            _hide(data, offsets[row], ends[row], model, token, rows, hidden)
            labels[row], score = _best(model, hidden, stack, waiting)
            scores[row] = F(math.exp(score))


def classify(
    texts: pa.Array, ends: Offsets, chosen: npt.NDArray[np.bool_], model: Model
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
    """Return the likeliest label of the beginning of each text and its probability.

    Every space of Unicode, line breaks too, separates words as a plain one does: a text is one line.

    Args:
        texts: String column, n values.
        ends: Where the beginning of each ends (``heads``).
        chosen: n flags; texts to pass over have the label -1.
        model: The classifier.
    """
    data, offsets = string_buffers(texts)
    labels, scores = np.full(len(texts), -1, np.int16), np.zeros(len(texts), np.float32)
    longest = int((ends - offsets[:-1]).max(initial=0))
    token = np.empty(longest + 2, np.uint8)
    # Each byte can be a word, with two signs of its edges; one more for the end of the line, one to spare.
    rows = np.empty(longest * (1 + 3 * model.lengths[1]) + 2, np.int32)
    _classify(data, offsets, ends, chosen, model, token, rows, labels, scores)
    return labels, scores


@njit(nogil=True, cache=True)
def _heads(data: Bytes, offsets: Offsets, characters: int, ends: Offsets, letters: Offsets) -> None:
    for row in range(len(ends)):
        at, stop = offsets[row], offsets[row + 1]
        seen = found = 0
        while at < stop:
            byte = data[at]
            seen += byte & 0xC0 != 0x80
            if seen > characters:
                break
            found += 0x61 <= (byte | 0x20) <= 0x7A
            at += 1
        ends[row], letters[row] = at, found


def heads(texts: pa.Array, characters: int) -> tuple[Offsets, Offsets]:
    """Return where the first ``characters`` code points of each text end, and the ASCII letters in them."""
    data, offsets = string_buffers(texts)
    ends, letters = np.empty(len(texts), np.int64), np.empty(len(texts), np.int64)
    _heads(data, offsets, characters, ends, letters)
    return ends, letters
