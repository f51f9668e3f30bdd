"""Length statistics of texts, and spans between bytes and code points."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.blocks import (
    BLOCK,
    ascii_digits,
    ascii_letters,
    ascii_spaces,
    high_bytes,
    lowest,
    ones,
    zeros_below,
)
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

U = np.uint64
Counts = npt.NDArray[np.int64]
#: Characters, words and tokens so far; letters, digits and widest code point of a word that is not yet over;
#: white space in a row.
State: TypeAlias = tuple[U, U, U, U, U, U, U]

#: Letters a token holds, by the widest letter of the word: ASCII, other Latin (two bytes below U+0250),
#: anything beyond.
LETTERS_PER_TOKEN = (7, 4, 3)
DIGITS_PER_TOKEN = 3
_END_OF_LATIN = 0x250
#: ASCII characters in a row that are read all at once; fewer are not worth it, but for the end of a text.
_FEWEST = 8


@njit(nogil=True, cache=True, inline="always")
def _word_tokens(letters: U, digits: U, widest: U) -> U:
    """Tokens of one word: its letters and its digits, each rounded up."""
    found = (letters + U(6)) // U(7)
    if widest >= U(0x80):
        found = (letters + U(3)) // U(4) if widest < U(0x250) else (letters + U(2)) // U(3)
    return found + (digits + U(2)) // U(3)


@njit(nogil=True, cache=True)
def _one_by_one(
    data: Bytes, at: int, limit: int, stop: int, classes: npt.NDArray[np.uint8], state: State
) -> tuple[int, State]:
    """Read the characters that begin before ``limit``; return where they end."""
    characters, words, tokens, letters, digits, widest, spaces = state
    while at < limit:
        point = int(np.int64(data[at]))
        size = 1
        if point >= 0x80:
            point, size = decode(data, at, stop)
        at += size
        characters += U(1)
        kind = classes[point]
        if kind == LETTER:
            letters += U(1)
            widest = max(widest, U(point))
        elif kind == NUMBER:
            digits += U(1)
        elif kind == IGNORED or (kind == MARK and letters + digits > U(0)):
            letters += U(kind == MARK)
        else:
            if letters + digits > U(0):
                words += U(1)
                tokens += _word_tokens(letters, digits, widest)
                letters = digits = widest = U(0)
            words += U(kind == UNSPACED)
            # The space before a word belongs to the word's token; a longer run is one token more.
            tokens += U(1) if kind != SPACE and kind != MARK else U(spaces == U(1))
        spaces = spaces + U(1) if kind == SPACE else U(0)
    return at, (characters, words, tokens, letters, digits, widest, spaces)


@njit(nogil=True, cache=True, inline="always")
def _ascii_block(data: Bytes, at: int, size: U, state: State) -> State:
    """Read ``size`` ASCII characters, at most a block, all at once."""
    characters, words, tokens, letters, digits, widest, spaces = state
    inside = lowest(size)
    letter, digit = ascii_letters(data, at) & inside, ascii_digits(data, at) & inside
    space, word = ascii_spaces(data, at) & inside, letter | digit
    after_one = space << U(1) | U(spaces > U(0))
    after_two = space << U(2) | U(spaces > U(0)) << U(1) | U(spaces > U(1))
    tokens += ones(inside & ~(word | space)) + ones(space & after_one & ~after_two)
    last = U(1) << (size - U(1))
    spaces = U(0) if space & last == U(0) else U(1) + U(after_one & last != U(0))
    is_open = bool(letters + digits > U(0))
    edges = (word ^ (word << U(1) | U(is_open))) & inside
    start = U(0)
    while edges != U(0):
        edge = zeros_below(edges)
        edges &= edges - U(1)
        if is_open:
            here = lowest(edge) & ~lowest(start)
            words += U(1)
            tokens += _word_tokens(letters + ones(letter & here), digits + ones(digit & here), widest)
            letters = digits = widest = U(0)
        start = edge
        is_open = not is_open
    if is_open:
        here = inside & ~lowest(start)
        letters += ones(letter & here)
        digits += ones(digit & here)
    return characters + size, words, tokens, letters, digits, widest, spaces


@njit(nogil=True, cache=True)
def _statistics(data: Bytes, start: int, stop: int, classes: npt.NDArray[np.uint8]) -> tuple[U, U, U]:
    state = (U(0), U(0), U(0), U(0), U(0), U(0), U(0))
    at = start
    while at < stop:
        if at + BLOCK <= len(data):
            size = min(zeros_below(high_bytes(data, at)), U(stop - at))
            if size >= U(_FEWEST) or size == U(stop - at):
                state = _ascii_block(data, at, size, state)
                at += int(size)
                continue
        at, state = _one_by_one(data, at, min(at + _FEWEST, stop), stop, classes, state)
    characters, words, tokens, letters, digits, widest, _ = state
    if letters + digits > U(0):
        words += U(1)
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
