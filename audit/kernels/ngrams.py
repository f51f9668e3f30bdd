"""Hashed word and character n-grams of UTF-8 text, segment by segment.

One routine, ``emit_segment``, turns a window of text into bucket numbers; training and scoring
(``segment_scores``) both call it, so what a model was taught is what it is asked. Text is folded on the
way: Unicode simple lower case, digits to ``0``, white space and control characters to one space, runs of
one character cut to two.

Feature hashing after Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (ICML 2009),
unsigned. Character n-grams are taken over folded code points and cross word borders.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes, Offsets

_TABLE_SIZE = 0x10000
_SYMBOL = 0xFFFC  # stands for every code point beyond the basic plane
_SPACE, _WORD, _OTHER, _IDEOGRAPH = 0, 1, 2, 3
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_WORD_SALT = np.uint64(0xD6E8FEB86659FD93)
_PAIR_SALT = np.uint64(0xA0761D6478BD642F)


Buckets: TypeAlias = npt.NDArray[np.uint32]
Grams: TypeAlias = tuple[np.uint64, np.uint64, np.uint64, np.uint64]


@cache
def folding_table() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Folded code point and character class of every code point of the basic plane.

    Returns:
        ``(fold, kind)``, each of shape (65536,). ``kind`` is 0 space or control, 1 part of a word,
        2 punctuation or symbol, 3 a character that is a word by itself (Han, kana).
    """
    fold = np.arange(_TABLE_SIZE, dtype=np.uint16)
    kind = np.full(_TABLE_SIZE, _OTHER, dtype=np.uint8)
    characters = list(map(chr, range(_TABLE_SIZE)))
    wide = (unicodedata.normalize("NFKC", character) for character in characters[0xFF00:])
    for point, lower in enumerate(map(str.lower, (*characters[:0xFF00], *wide))):
        if len(lower) == 1 and ord(lower) < _TABLE_SIZE:
            fold[point] = ord(lower)
    categories = np.array(list(map(unicodedata.category, characters)), "S2")
    fold[categories == b"Nd"] = ord("0")
    first = categories.astype("S1")
    kind[np.isin(first, [b"L", b"N", b"M"])] = _WORD
    for low, high in ((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF)):
        kind[low : high + 1] = _IDEOGRAPH
    blank = np.isin(first, [b"Z", b"C"])
    fold[blank], kind[blank] = ord(" "), _SPACE
    return fold, kind


@njit(nogil=True, cache=True, inline="always")
def _decode(data: Bytes, at: int, stop: int) -> tuple[np.int64, int]:  # pragma: no cover - compiled
    """Code point at ``at`` and its length in bytes; never reads at or past ``stop``."""
    lead = np.int64(data[at])
    if lead < 0x80:
        return lead, 1
    if lead < 0xE0 and at + 1 < stop:
        return ((lead & 0x1F) << 6) | (np.int64(data[at + 1]) & 0x3F), 2
    if lead < 0xF0 and at + 2 < stop:
        middle = (np.int64(data[at + 1]) & 0x3F) << 6
        return ((lead & 0x0F) << 12) | middle | (np.int64(data[at + 2]) & 0x3F), 3
    if at + 3 < stop:
        return np.int64(0x10000), 4  # beyond the basic plane: folded to one symbol, below
    return np.int64(0xFFFD), 1


@njit(nogil=True, cache=True, inline="always")
def _ends_ideographic_sentence(point: np.int64) -> bool:  # pragma: no cover - compiled
    return bool(point == 0x3002 or point == 0xFF01 or point == 0xFF1F or point == 0x0964)


@njit(nogil=True, cache=True, inline="always")
def _emit_word(
    words: Buckets, n: int, word: np.uint64, previous: np.uint64, shift: np.uint64
) -> int:  # pragma: no cover - compiled
    """Write the buckets of a word and of it with the word before."""
    words[n] = np.uint32((word * _MULTIPLIER) >> shift)
    words[n + 1] = np.uint32(((word ^ (previous * _PAIR_SALT)) * _MULTIPLIER) >> shift)
    return n + 2


@njit(nogil=True, cache=True, inline="always")
def _emit_characters(
    characters: Buckets, n: int, seen: int, grams: Grams, folded: np.uint64, shift: np.uint64
) -> tuple[int, Grams]:  # pragma: no cover - compiled
    """Write the buckets of the 2- to 5-grams that end at ``folded``.

    ``grams`` holds the hashes of the 1- to 4-grams that end before it; theirs that end at it are returned.
    """
    h1, h2, h3, h4 = grams
    g1 = (folded + np.uint64(1)) * _MULTIPLIER
    g2 = (h1 ^ folded) * _MULTIPLIER
    g3 = (h2 ^ folded) * _MULTIPLIER
    g4 = (h3 ^ folded) * _MULTIPLIER
    g5 = (h4 ^ folded) * _MULTIPLIER
    characters[n] = np.uint32(g2 >> shift)
    characters[n + 1] = np.uint32(g3 >> shift)
    characters[n + 2] = np.uint32(g4 >> shift)
    characters[n + 3] = np.uint32(g5 >> shift)
    # products keep their entropy in the high bits: bring it down for the next step
    h1, h2 = g1 ^ (g1 >> np.uint64(29)), g2 ^ (g2 >> np.uint64(31))
    h3, h4 = g3 ^ (g3 >> np.uint64(27)), g4 ^ (g4 >> np.uint64(33))
    return n + min(seen, 4), (h1, h2, h3, h4)


@njit(nogil=True, cache=True)
def emit_segment(
    data: Bytes,
    at: int,
    stop: int,
    window: tuple[int, int],
    fold: npt.NDArray[np.uint16],
    kind: npt.NDArray[np.uint8],
    shift: np.uint64,
    characters: Buckets,
    words: Buckets,
) -> tuple[int, int, int, int]:  # pragma: no cover - compiled
    """Write the buckets of the segment that starts at byte ``at``.

    A segment ends after the first sentence end at or past ``window[0]`` code points, unless next to
    nothing would be left, and at the latest at ``window[1]``, there at a space where one came in its
    second half. ``characters`` needs room for 4 (window[1] + 1) buckets, ``words`` for half as many.

    Returns:
        Byte after the segment, its code points, character buckets and word buckets written.
    """
    shortest, longest = window
    last_close = stop - shortest // 2
    n_points = n_characters = n_words = seen = repeats = 0
    grams = (np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0))
    word = previous = np.uint64(0)
    last = np.uint64(32)
    in_word = ended = False
    back = (0, 0, 0, 0)  # the last space: where to end when the longest length is met inside a word
    while at < stop:
        point, length = _decode(data, at, stop)
        folded, group = np.uint64(_SYMBOL), np.uint8(_OTHER)
        if point < _TABLE_SIZE:
            folded, group = np.uint64(fold[point]), kind[point]
        if n_points >= longest:
            if group == _WORD and in_word and back[0] > 0:
                return back
            break
        at += length
        n_points += 1
        if in_word and group != _WORD:
            n_words = _emit_word(words, n_words, word, previous, shift)
            previous, in_word = word, False
        repeats = repeats + 1 if folded == last else 0
        last = folded
        if repeats < (1 if group == _SPACE else 2):
            n_characters, grams = _emit_characters(characters, n_characters, seen, grams, folded, shift)
            seen += 1
            if group in (_WORD, _IDEOGRAPH):
                word = ((word if in_word else _WORD_SALT) ^ folded) * _MULTIPLIER
                word ^= word >> np.uint64(32)
                in_word = group == _WORD
            if group == _IDEOGRAPH:
                n_words = _emit_word(words, n_words, word, previous, shift)
                previous = word
        if group == _SPACE:
            if n_points >= shortest and at <= last_close and (ended or point == 10):
                return at, n_points, n_characters, n_words
            if n_points * 2 > longest:
                back = (at, n_points, n_characters, n_words)
        else:
            ended = point == 46 or point == 33 or point == 63 or (ended and group == _OTHER)
            if n_points >= shortest and at <= last_close and _ends_ideographic_sentence(point):
                break
    if in_word:
        n_words = _emit_word(words, n_words, word, previous, shift)
    return at, n_points, n_characters, n_words


@njit(nogil=True, cache=True)
def _count(
    data: Bytes,
    offsets: Offsets,
    window: tuple[int, int],
    fold: npt.NDArray[np.uint16],
    kind: npt.NDArray[np.uint8],
    shift: np.uint64,
) -> tuple[int, int, int]:  # pragma: no cover - compiled
    characters = np.empty(4 * (window[1] + 1), np.uint32)
    words = np.empty(2 * (window[1] + 1), np.uint32)
    n_segments = n_characters = n_words = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            at, _, c, w = emit_segment(data, at, stop, window, fold, kind, shift, characters, words)
            n_segments += 1
            n_characters += c
            n_words += w
    return n_segments, n_characters, n_words


@njit(nogil=True, cache=True)
def _fill(
    data: Bytes,
    offsets: Offsets,
    window: tuple[int, int],
    fold: npt.NDArray[np.uint16],
    kind: npt.NDArray[np.uint8],
    shift: np.uint64,
    sizes: tuple[int, int, int],
) -> tuple[npt.NDArray[np.int32], Offsets, Buckets, Offsets, Buckets]:  # pragma: no cover - compiled
    characters = np.empty(4 * (window[1] + 1), np.uint32)
    words = np.empty(2 * (window[1] + 1), np.uint32)
    rows = np.empty(sizes[0], np.int32)
    character_offsets = np.zeros(sizes[0] + 1, np.int64)
    word_offsets = np.zeros(sizes[0] + 1, np.int64)
    all_characters = np.empty(sizes[1], np.uint32)
    all_words = np.empty(sizes[2], np.uint32)
    segment = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            at, _, c, w = emit_segment(data, at, stop, window, fold, kind, shift, characters, words)
            rows[segment] = row
            c0, w0 = character_offsets[segment], word_offsets[segment]
            all_characters[c0 : c0 + c] = characters[:c]
            all_words[w0 : w0 + w] = words[:w]
            segment += 1
            character_offsets[segment], word_offsets[segment] = c0 + c, w0 + w
    return rows, character_offsets, all_characters, word_offsets, all_words


def ngram_buckets(
    data: Bytes, offsets: Offsets, *, bits: int, window: tuple[int, int]
) -> tuple[npt.NDArray[np.int32], Offsets, Buckets, Offsets, Buckets]:
    """Bucket numbers of every segment, for training.

    Args:
        data: UTF-8 bytes of all documents.
        offsets: Document borders in ``data``, shape (documents + 1,).
        bits: Buckets are numbered below ``2 ** bits``.
        window: Shortest length (code points) at which a sentence end closes a segment, and the longest.

    Returns:
        ``(rows, character_offsets, characters, word_offsets, words)``: the document of each segment;
        borders of each segment's buckets in ``characters`` and in ``words``, and these.
    """
    fold, kind = folding_table()
    shift = np.uint64(64 - bits)
    sizes = _count(data, offsets, window, fold, kind, shift)
    return _fill(data, offsets, window, fold, kind, shift, sizes)
