"""Words with their places: a hash of each word's folded form, and the bytes where it stands.

Words are those of ``audit.kernels.words`` (case-folded runs of letters, numbers, underscores and marks; a
letter of a script written without spaces is a word by itself). That module hashes them faster and in
bounded memory, but forgets where they were.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.buffers import Bytes, Offsets, string_buffers
from audit.kernels.folding import ascii_folds
from audit.kernels.unicode_tables import (
    IGNORED,
    LETTER,
    MARK,
    NUMBER,
    UNSPACED,
    UnicodeTables,
    unicode_tables,
)
from audit.kernels.utf8 import decode

U = np.uint64
Hashes: TypeAlias = npt.NDArray[np.uint64]

_SEED = U(0xD6E8FEB86659FD93)
_PRIME = U(0x100000001B3)


class WordTables(NamedTuple):
    """All tables that splitting reads.

    Attributes:
        bytes: uint8 (256,): folded ASCII letter, number or underscore; 0 for every other byte.
        two_bytes: uint16 (2048,): what letters and numbers of two bytes fold to, where that is one code
            point; else 0.
        unicode: For all others.
    """

    bytes: npt.NDArray[np.uint8]
    two_bytes: npt.NDArray[np.uint16]
    unicode: UnicodeTables


@cache
def word_tables() -> WordTables:
    """Build the tables, once a process."""
    tables = unicode_tables()
    one = np.zeros(256, np.uint8)
    one[:128] = ascii_folds()
    folds, classes = tables.folds[:0x800], tables.classes[:0x800]
    simple = np.isin(classes, (LETTER, NUMBER)) & (folds < 1 << 16) & (np.arange(0x800) >= 0x80)
    return WordTables(one, np.where(simple, folds, 0).astype(np.uint16), tables)


@njit(nogil=True, cache=True)
def _absorb(running: U, point: int, tables: UnicodeTables) -> U:
    """Take the case-folding of a code point into a hash."""
    folded = tables.folds[point]
    running = (running ^ U(folded & 0x1FFFFF)) * _PRIME
    row = folded >> 21
    if row > 0:
        second, third = tables.expansions[row - 1, 0], tables.expansions[row - 1, 1]
        running = (running ^ U(second)) * _PRIME
        if third > 0:
            running = (running ^ U(third)) * _PRIME
    return running


@njit(nogil=True, cache=True)
def next_words(
    data: Bytes, at: int, stop: int, tables: WordTables, words: Hashes, starts: Offsets, ends: Offsets
) -> tuple[int, int]:
    """Fill ``words`` with the next words of ``data[at:stop]``; return (at, how many) for the next call.

    The text is done when ``at`` reaches ``stop``.

    Args:
        data, at, stop: Bytes, where to go on, and where the text ends.
        tables: ``word_tables()``.
        words: uint64 (m,): receives the hash of each word.
        starts, ends: int64 (m,): receive the byte where each begins, and the one after its end.
    """
    # fields are taken out once: each access counts references, which costs more than a word
    letters, two_bytes, unicode = tables.bytes, tables.two_bytes, tables.unicode
    classes = unicode.classes
    here, last, n, most = U(at), U(stop), 0, len(words)
    running, start, inside = _SEED, U(at), 0  # inside: 1 in a word, 2 after a letter that is one by itself
    while here < last:
        byte = data[here]
        folded = letters[byte]
        if folded != 0 and inside < 2:
            if inside == 0:
                start, inside = here, 1
            running = (running ^ U(folded)) * _PRIME
            here += U(1)
            continue
        ended, size = inside > 0, 0
        if byte < 0x80:
            size = 0 if folded != 0 else 1
        else:
            point = (
                two_bytes[U(byte & 0x1F) << U(6) | U(data[here + U(1)] & 0x3F)]
                if (byte < 0xE0 and inside < 2 and here + U(1) < last)
                else np.uint16(0)
            )
            if point != 0:
                if inside == 0:
                    start, inside = here, 1
                running = (running ^ U(point)) * _PRIME
                here += U(2)
                continue
            character, size = decode(data, int(here), int(last))
            kind = classes[character]
            if kind in (LETTER, NUMBER, UNSPACED):
                if inside == 0 or (inside == 1 and kind != UNSPACED):
                    start = here if inside == 0 else start
                    inside = 2 if kind == UNSPACED else 1
                    running = _absorb(running, character, unicode)
                    here += U(size)
                    continue
                size = 0  # a word ends before this letter, which begins the next
            elif kind == IGNORED or (kind == MARK and inside > 0):
                running = running if kind == IGNORED else _absorb(running, character, unicode)
                here += U(size)
                continue
        if ended:
            words[n], starts[n], ends[n] = running, start, here
            n += 1
            running, inside = _SEED, 0
        here += U(size)
        if n == most:
            return int(here), n
    if inside > 0:
        words[n], starts[n], ends[n] = running, start, here
        n += 1
    return int(here), n


@njit(nogil=True, cache=True)
def _split(data: Bytes, offsets: Offsets, tables: WordTables, words: Hashes, borders: Offsets) -> int:
    block, starts, ends = np.empty(256, np.uint64), np.empty(256, np.int64), np.empty(256, np.int64)
    n = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            at, found = next_words(data, at, stop, tables, block, starts, ends)
            words[n : n + found] = block[:found]
            n += found
        borders[row + 1] = n
    return n


def split_words(texts: pa.Array) -> tuple[Hashes, Offsets]:
    """Hashes of the words of n texts, and their borders by text, int64 (n + 1,)."""
    data, offsets = string_buffers(texts)
    words = np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint64)
    borders = np.zeros(len(offsets), np.int64)
    n = _split(data, offsets, word_tables(), words, borders)
    return words[:n], borders
