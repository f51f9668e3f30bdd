"""Linear scores over hashed n-grams, segment by segment: one sum for a table, more for its heads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes, Offsets
from audit.kernels.ngrams import Buckets, emit_segment, folding_table


class Tables(NamedTuple):
    """Weights by bucket.

    Attributes:
        weights: int8 (groups, 2 ** bits).
        heads: int8 (tables, 2 ** head_bits, heads), head_bits at most bits: further scores of the same
            n-grams. A bucket's place is the upper bits of its number.
        head_tables: int8 (groups,): each group's table in ``heads``; -1 for none.
    """

    weights: npt.NDArray[np.int8]
    heads: npt.NDArray[np.int8]
    head_tables: npt.NDArray[np.int8]


class Segments(NamedTuple):
    """Segments of n documents and their scores.

    Attributes:
        offsets: Borders of each document's segments, shape (n + 1,).
        starts, ends: Half-open code points of each segment.
        sums: float32, a score for each segment.
        head_sums: float32 (segments, heads); 0 where the group has no heads.
    """

    offsets: Offsets
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    sums: npt.NDArray[np.float32]
    head_sums: npt.NDArray[np.float32]


@njit(nogil=True, cache=True)
def _at_most(data: Bytes, at: int, stop: int, points: int) -> bool:  # pragma: no cover - compiled
    """Whether as many code points or fewer lie between two bytes."""
    if stop - at <= points:
        return True
    if stop - at > 4 * points:
        return False
    found = 0
    for place in range(at, stop):
        found += (data[place] & 0xC0) != 0x80  # not inside a code point
    return found <= points


@njit(nogil=True, cache=True, inline="always")
def _sum(weights: npt.NDArray[np.int8], buckets: Buckets, n: int) -> int:  # pragma: no cover - compiled
    total = 0
    for i in range(n):
        total += int(np.int64(weights[buckets[np.uint64(i)]]))
    return total


@njit(nogil=True, cache=True, inline="always")
def _sum_heads(
    heads: npt.NDArray[np.int8], buckets: Buckets, n: int, shift: np.uint64, sums: npt.NDArray[np.int64]
) -> None:  # pragma: no cover - compiled
    """Add up rows of ``heads``, (2 ** head_bits, heads), three heads at a time: sums stay in registers."""
    width = np.uint64(heads.shape[1])
    flat = heads.reshape(heads.size)
    head = np.uint64(0)
    while head + np.uint64(3) <= width:
        one = two = three = np.int64(0)
        for i in range(n):
            place = (np.uint64(buckets[np.uint64(i)]) >> shift) * width + head
            one += flat[place]
            two += flat[place + np.uint64(1)]
            three += flat[place + np.uint64(2)]
        sums[head], sums[head + np.uint64(1)], sums[head + np.uint64(2)] = one, two, three
        head += np.uint64(3)
    while head < width:
        one = np.int64(0)
        for i in range(n):
            one += flat[(np.uint64(buckets[np.uint64(i)]) >> shift) * width + head]
        sums[head] = one
        head += np.uint64(1)


@njit(nogil=True, cache=True)
def _score(
    data: Bytes,
    offsets: Offsets,
    groups: npt.NDArray[np.int8],
    window: tuple[int, int],
    whole: int,
    fold: npt.NDArray[np.uint16],
    kind: npt.NDArray[np.uint8],
    shifts: tuple[np.uint64, np.uint64],
    tables: Tables,
    found: Segments,
) -> int:  # pragma: no cover - compiled
    longest = max(window[1], whole)
    characters = np.empty(4 * (longest + 1), np.uint32)
    words = np.empty(2 * (longest + 1), np.uint32)
    n_heads = tables.heads.shape[2]
    of_characters, of_words = np.empty(n_heads, np.int64), np.empty(n_heads, np.int64)
    shift, head_shift = shifts
    segment = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        group = groups[row]
        start = 0
        lengths = (whole, whole) if _at_most(data, at, stop, whole) else window
        while group >= 0 and at < stop:
            at, n, c, w = emit_segment(data, at, stop, lengths, fold, kind, shift, characters, words)
            weights = tables.weights[group]
            character_sum, word_sum = _sum(weights, characters, c), _sum(weights, words, w)
            character_norm, word_norm = 1 / np.sqrt(max(c, 1)), 1 / np.sqrt(max(w, 1))
            found.starts[segment], found.ends[segment] = start, start + n
            found.sums[segment] = character_sum * character_norm + word_sum * word_norm
            table = tables.head_tables[group]
            if table >= 0:
                heads = tables.heads[table]
                _sum_heads(heads, characters, c, head_shift, of_characters)
                _sum_heads(heads, words, w, head_shift, of_words)
                for head in range(n_heads):
                    total = of_characters[head] * character_norm + of_words[head] * word_norm
                    found.head_sums[segment, head] = total
            start += n
            segment += 1
        found.offsets[row + 1] = segment
    return segment


def score_segments(
    data: Bytes,
    offsets: Offsets,
    groups: npt.NDArray[np.int8],
    tables: Tables,
    *,
    window: tuple[int, int],
    whole: int = 0,
) -> Segments:
    """Linear scores of every segment of every document.

    A segment's score is the sum of the weights of its character n-grams over the root of their number,
    plus the same of its words.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: Document borders in ``data``, shape (documents + 1,).
        groups: Row of ``tables.weights`` for each document; negative for documents to pass over.
        tables: Weights.
        window: As in ``ngram_buckets``.
        whole: A document of as many code points or fewer is one segment.

    Raises:
        ValueError: A table's number of buckets is not a power of two.
    """
    fold, kind = folding_table()
    bits, head_bits = _bits(tables.weights.shape[1]), _bits(tables.heads.shape[1])
    shifts = (np.uint64(64 - bits), np.uint64(bits - head_bits))
    most = _most_segments(offsets, window)
    found = Segments(
        np.zeros(len(offsets), np.int64),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(most, np.float32),
        np.zeros((most, tables.heads.shape[2]), np.float32),
    )
    n = _score(data, offsets, groups, window, whole, fold, kind, shifts, tables, found)
    return Segments(found.offsets, found.starts[:n], found.ends[:n], found.sums[:n], found.head_sums[:n])


def _bits(buckets: int) -> int:
    bits = buckets.bit_length() - 1
    if buckets != 1 << bits:
        raise ValueError("weights must have a power of two of buckets")
    return bits


def _most_segments(offsets: Offsets, window: tuple[int, int]) -> int:
    """All segments of a document but its last hold ``least`` code points or more, so as many bytes."""
    least = max(1, min(window[0], window[1] // 2))
    return int((np.diff(offsets) // least + 1).sum())
