"""Finding listed terms in text: words by a hash of their folded form, phrases by chained hashes.

A letter of a script written without spaces is a word by itself, so a phrase of Chinese is found within a
sentence and a phrase of English only between word borders. Terms are kept in one hash table of all their
beginnings; text is read once, with the phrases that are still open beside it.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.buffers import Bytes, Offsets, string_buffers
from audit.kernels.candidates import code_points_before
from audit.kernels.term_words import WordTables, next_words, split_words, word_tables

U = np.uint64
Hashes: TypeAlias = npt.NDArray[np.uint64]
#: (n, 5) int64: row, start and stop (bytes relative to the row's first), term, words.
RawHits: TypeAlias = npt.NDArray[np.int64]

#: Bytes between two words of a phrase, at most: a space, a hyphen, an ideographic space.
GAP = 3

_FIRST = U(0x9FB21C651E98DF25)
_BLOCK = 1024  # words that are split off at a time
_SECOND = U(0x9E3779B97F4A7C15)
_FILTER_SHIFT = U(48)  # the filter has 2 ** 16 bits


class TermTables(NamedTuple):
    """All beginnings of all terms.

    Attributes:
        keys: uint64 (2 ** k,), open addressing; 0 is a free slot.
        terms: int32 (2 ** k,): the term that ends here, or -1.
        continues: uint8 (2 ** k,): whether a longer term begins so.
        filter: uint64 (1024,): a bit for each key, to tell most absent ones at once.
        salts: uint64 (groups,): keeps the terms of groups apart.
        longest: Words of the longest term.
    """

    keys: Hashes
    terms: npt.NDArray[np.int32]
    continues: npt.NDArray[np.uint8]
    filter: Hashes
    salts: Hashes
    longest: int


class Hits(NamedTuple):
    """Terms found, by row and start; none overlaps another.

    Attributes:
        rows, starts, ends: int64 (n,): text, half-open code points.
        terms: int64 (n,).
        words: int64 (n,): words of each.
        text_words: int64 (texts,): words of each text; 0 for texts that were passed over.
    """

    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    terms: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    text_words: npt.NDArray[np.int64]


@njit(nogil=True, cache=True, inline="always")
def _chain(before: U, word: U) -> U:
    """Key of a beginning followed by a word; never 0."""
    key = ((before * _FIRST) ^ word ^ (word >> U(32))) * _SECOND
    key ^= key >> U(29)
    return key if key != U(0) else U(1)


@njit(nogil=True, cache=True, inline="always")
def _slot(key: U, keys: Hashes) -> int:
    """Where a key is, or the free slot where it would be."""
    mask = U(len(keys) - 1)
    slot = (key >> U(20)) & mask
    while keys[slot] != U(0) and keys[slot] != key:
        slot = (slot + U(1)) & mask
    return int(np.int64(slot))


@njit(nogil=True, cache=True)
def _insert(words: Hashes, borders: Offsets, groups: npt.NDArray[np.int64], tables: TermTables) -> None:
    for term in range(len(borders) - 1):
        key, last = tables.salts[groups[term]], borders[term + 1] - 1
        for place in range(borders[term], borders[term + 1]):
            key = _chain(key, words[place])
            slot = _slot(key, tables.keys)
            if tables.keys[slot] == U(0):
                tables.keys[slot] = key
                bit = key >> _FILTER_SHIFT
                tables.filter[bit >> U(6)] |= U(1) << (bit & U(63))
            if place == last:
                tables.terms[slot] = term
            else:
                tables.continues[slot] = 1


def term_tables(terms: pa.Array, groups: npt.NDArray[np.int64], n_groups: int) -> TermTables:
    """Compile terms.

    Args:
        terms: n strings, each with a word; where two of a group read alike, the later one counts.
        groups: The group of each, int64 (n,), under ``n_groups``.
        n_groups: How many groups there are.

    Raises:
        ValueError: A term holds no word.
    """
    words, borders = split_words(terms)
    lengths = np.diff(borders)
    if (lengths == 0).any():
        raise ValueError(f"term {int(np.flatnonzero(lengths == 0)[0])} holds no word")
    size = 1 << max(6, int(4 * len(words)).bit_length())
    salts = (np.arange(1, n_groups + 1, dtype=np.uint64)) * U(0xA0761D6478BD642F)
    tables = TermTables(
        np.zeros(size, np.uint64),
        np.full(size, -1, np.int32),
        np.zeros(size, np.uint8),
        np.zeros(1024, np.uint64),
        salts,
        int(lengths.max(initial=1)),
    )
    _insert(words, borders, groups, tables)
    return tables


@njit(nogil=True, cache=True, inline="always")
def _find(key: U, filter_: Hashes, keys: Hashes) -> int:
    """Slot of a beginning; -1 when no term begins so."""
    bit = key >> _FILTER_SHIFT
    if (filter_[bit >> U(6)] >> (bit & U(63))) & U(1) == U(0):
        return -1
    slot = _slot(key, keys)
    return slot if keys[slot] == key else -1


@njit(nogil=True, cache=True)
def _emit(hits: RawHits, n: int, hit: tuple[int, int, int, int, int]) -> tuple[RawHits, int]:
    if n == len(hits):
        grown = np.empty((2 * n + 64, 5), np.int64)
        grown[:n] = hits
        hits = grown
    hits[n, 0], hits[n, 1], hits[n, 2], hits[n, 3], hits[n, 4] = hit
    return hits, n + 1


@njit(nogil=True, cache=True)
def _search(
    data: Bytes,
    offsets: Offsets,
    groups: npt.NDArray[np.int8],
    tables: TermTables,
    splitting: WordTables,
    text_words: npt.NDArray[np.int64],
) -> RawHits:
    """Return every term in every text, overlapping ones too."""
    hits, n = np.empty((256, 5), np.int64), 0
    known, filter_, salts, most = tables.keys, tables.filter, tables.salts, tables.longest + 1
    keys, starts, lengths = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    words, begins, ends = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    for row in range(len(offsets) - 1):
        if groups[row] < 0:
            continue
        first, stop, salt = offsets[row], offsets[row + 1], salts[groups[row]]
        at, n_open, before = first, 0, first
        while at < stop:
            at, n_words = next_words(data, at, stop, splitting, words, begins, ends)
            text_words[row] += n_words
            for place in range(n_words):
                word, start, end = words[place], begins[place], ends[place]
                if start - before > GAP:
                    n_open = 0
                before, kept = end, 0
                for k in range(n_open + 1):
                    slot = _find(_chain(keys[k] if k < n_open else salt, word), filter_, known)
                    if slot < 0:
                        continue
                    begin, length = (starts[k], lengths[k] + 1) if k < n_open else (start, 1)
                    term = tables.terms[slot]
                    if term >= 0:
                        hits, n = _emit(hits, n, (row, begin - first, end - first, term, length))
                    if tables.continues[slot] > 0:
                        keys[kept], starts[kept], lengths[kept] = known[slot], begin, length
                        kept += 1
                n_open = kept
    return hits[:n].copy()


@njit(nogil=True, cache=True)
def _disjoint(hits: RawHits) -> npt.NDArray[np.bool_]:
    """Which hits to keep, of hits by row, start and falling length: the first, then what it leaves free."""
    keep = np.zeros(len(hits), np.bool_)
    row, free = np.int64(-1), np.int64(0)
    for k in range(len(hits)):
        if hits[k, 0] != row:
            row, free = hits[k, 0], np.int64(0)
        if hits[k, 1] >= free:
            keep[k] = True
            free = hits[k, 2]
    return keep


def search_terms(texts: pa.Array, groups: npt.NDArray[np.int8], tables: TermTables) -> Hits:
    """Find terms, the leftmost and longest where they overlap.

    Args:
        texts: n strings (also large, also sliced).
        groups: Whose terms are sought in each text, int8 (n,); negative: the text is passed over.
        tables: As ``term_tables`` makes them.
    """
    data, offsets = string_buffers(texts)
    text_words = np.zeros(len(texts), np.int64)
    found = _search(data, offsets, groups, tables, word_tables(), text_words)
    found = found[np.lexsort((-found[:, 2], found[:, 1], found[:, 0]))]
    found = found[_disjoint(found)]
    starts = code_points_before(data, offsets, np.ascontiguousarray(found[:, :3]))
    ends = code_points_before(data, offsets, np.ascontiguousarray(found[:, [0, 2, 2]]))
    return Hits(found[:, 0], starts, ends, found[:, 3], found[:, 4], text_words)
