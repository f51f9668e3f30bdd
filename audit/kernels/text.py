"""Length statistics of texts, and spans between bytes and code points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.buffers import Bytes, Offsets, string_buffers
from audit.kernels.unicode_tables import (
    IGNORED,
    LETTER,
    MARK,
    NUMBER,
    SPACE,
    UNSPACED,
    unicode_tables,
)
from audit.kernels.utf8 import decode

Counts = npt.NDArray[np.int64]

#: Letters a token holds, by the widest letter of the word: ASCII, other Latin (two bytes below U+0250),
#: anything beyond.
LETTERS_PER_TOKEN = (7, 4, 3)
DIGITS_PER_TOKEN = 3
_END_OF_LATIN = 0x250


@njit(nogil=True, cache=True)
def _word_tokens(letters: int, digits: int, widest: int) -> int:
    """Tokens of one word: its letters and its digits, each rounded up."""
    per_token = 7
    if widest >= 0x80:
        per_token = 4 if widest < 0x250 else 3
    return (letters + per_token - 1) // per_token + (digits + 2) // 3


@njit(nogil=True, cache=True)
def _statistics(data: Bytes, start: int, stop: int, classes: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    characters = words = tokens = 0
    letters = digits = widest = spaces = 0
    at = start
    while at < stop:
        point = int(np.int64(data[at]))
        size = 1
        if point >= 0x80:
            point, size = decode(data, at, stop)
        at += size
        characters += 1
        kind = classes[point]
        if kind == LETTER:
            letters += 1
            widest = max(widest, point)
        elif kind == NUMBER:
            digits += 1
        elif kind == IGNORED or (kind == MARK and letters + digits > 0):
            letters += kind == MARK
        else:
            if letters + digits > 0:
                words += 1
                tokens += _word_tokens(letters, digits, widest)
                letters = digits = widest = 0
            words += kind == UNSPACED
            # The space before a word belongs to the word's token; a longer run is one token more.
            tokens += 1 if kind != SPACE and kind != MARK else spaces == 1
        spaces = spaces + 1 if kind == SPACE else 0
    if letters + digits > 0:
        words += 1
        tokens += _word_tokens(letters, digits, widest)
    return characters, words, tokens


@njit(nogil=True, cache=True)
def _all_statistics(data: Bytes, offsets: Offsets, classes: npt.NDArray[np.uint8], out: Counts) -> None:
    for i in range(len(offsets) - 1):
        out[0, i], out[1, i], out[2, i] = _statistics(data, offsets[i], offsets[i + 1], classes)


def text_statistics(texts: pa.Array) -> tuple[Counts, Counts, Counts]:
    """Return code points, words and tokens of each text (three int64 arrays), in one pass.

    Words are maximal runs of letters, numbers and marks, whatever the script; a mark continues a word
    and starts none. In scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese; see
    ``unicode_tables.UNSPACED_RANGES``) each letter, with the marks that follow it, is a word. Format
    characters (soft hyphen, joiners) neither count nor separate.

    Tokens approximate what a byte-level BPE of 100,000 to 200,000 entries makes of the text (cl100k,
    Llama 3). The rule: a word costs a token per 7 letters when all are ASCII, per 4 when some are Latin
    with diacritics, per 3 in other alphabets, rounded up, and a token per 3 digits; a letter of a script
    without spaces is a token; so is any other visible character; a single space is free, a run of two or
    more is one token. It is a unit of account, the same on every machine; a given tokeniser may differ by
    a fifth on English prose and by more on other languages and on code.

    Args:
        texts: String column, n values; nulls count as empty.
    """
    data, offsets = string_buffers(texts)
    out = np.zeros((3, len(texts)), np.int64)
    _all_statistics(data, offsets, unicode_tables().classes, out)
    return out[0], out[1], out[2]


@njit(nogil=True, cache=True)
def _to_characters(
    data: Bytes, offsets: Offsets, rows: Counts, at: Counts, order: Counts, out: Counts
) -> None:
    row = -1
    byte = characters = 0
    for k in order:
        if rows[k] != row:
            row = rows[k]
            byte = characters = 0
        first = offsets[row]
        while byte < at[k] and first + byte < offsets[row + 1]:
            characters += (data[first + byte] & 0xC0) != 0x80
            byte += 1
        out[k] = characters


@njit(nogil=True, cache=True)
def _to_bytes(data: Bytes, offsets: Offsets, rows: Counts, at: Counts, order: Counts, out: Counts) -> None:
    row = -1
    byte = characters = 0
    for k in order:
        if rows[k] != row:
            row = rows[k]
            byte = characters = 0
        first, stop = offsets[row], offsets[row + 1]
        while first + byte < stop and (characters < at[k] or (data[first + byte] & 0xC0) == 0x80):
            characters += (data[first + byte] & 0xC0) != 0x80
            byte += 1
        out[k] = byte


def byte_to_char_offsets(texts: pa.Array, rows: npt.ArrayLike, byte_offsets: npt.ArrayLike) -> Counts:
    """Convert byte offsets within texts to code-point offsets, shape (m,) int64.

    Each text is walked once, however many offsets point into it. An offset inside a character maps to the
    end of that character; one beyond the text maps to its length.

    Args:
        texts: String column, n values.
        rows: Row of each offset, m values in [0, n), in any order.
        byte_offsets: Offsets in bytes from the start of their text, m values.
    """
    return _convert(_to_characters, texts, rows, byte_offsets)


def char_to_byte_offsets(texts: pa.Array, rows: npt.ArrayLike, char_offsets: npt.ArrayLike) -> Counts:
    """Convert code-point offsets within texts to byte offsets, shape (m,) int64; the inverse."""
    return _convert(_to_bytes, texts, rows, char_offsets)


def _convert(kernel: Callable[..., None], texts: pa.Array, rows: npt.ArrayLike, at: npt.ArrayLike) -> Counts:
    data, offsets = string_buffers(texts)
    row_of, position = np.asarray(rows, np.int64), np.asarray(at, np.int64)
    if row_of.size and not (row_of.min() >= 0 and row_of.max() < len(texts)):
        raise IndexError(f"rows must lie in [0, {len(texts)})")
    out = np.zeros(len(row_of), np.int64)
    kernel(data, offsets, row_of, position, np.lexsort((position, row_of)), out)
    return out
