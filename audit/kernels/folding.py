"""Case-folding a chunk of text into bytes in which zero stands for every separator."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes
from audit.kernels.unicode_tables import (
    IGNORED,
    LETTER,
    MARK,
    NUMBER,
    UNDERSCORE,
    UNSPACED,
    UnicodeTables,
    unicode_tables,
)
from audit.kernels.utf8 import decode, encode

U = np.uint64
U8 = np.uint8

#: Bytes of text that are folded at a time.
CHUNK = 8192
#: Folded bytes after which a word is cut, so that buffers stay bounded.
LONGEST_WORD = 4096
_BLOCK = 16


@cache
def ascii_folds() -> npt.NDArray[np.uint8]:
    """Return, for each ASCII byte, its folded word character, or 0 for a separator; (128,)."""
    tables = unicode_tables()
    inside = np.isin(tables.classes[:128], (LETTER, NUMBER, UNDERSCORE))
    return np.where(inside, tables.folds[:128], 0).astype(np.uint8)


@cache
def two_byte_folds() -> npt.NDArray[np.uint16]:
    """Return what the letters and numbers of two bytes fold to, where that is two bytes again; (2048,).

    An entry holds both bytes, the first one low; 0 where the long way must be taken.
    """
    tables = unicode_tables()
    points = np.arange(0x800)
    folded = tables.folds[:0x800]
    simple = np.isin(tables.classes[:0x800], (LETTER, NUMBER)) & (folded >= 0x80) & (folded < 0x800)
    entries = (0xC0 | folded >> 6) | (0x80 | folded & 0x3F) << 8
    return np.where(simple & (points >= 0x80), entries, 0).astype(np.uint16)


class FoldingTables(NamedTuple):
    """All tables that folding reads."""

    ascii: npt.NDArray[np.uint8]
    two_bytes: npt.NDArray[np.uint16]
    unicode: UnicodeTables


@cache
def folding_tables() -> FoldingTables:
    """Return the tables, built once a process."""
    return FoldingTables(ascii_folds(), two_byte_folds(), unicode_tables())


@njit(nogil=True, cache=True, inline="always")
def _is_ascii(data: Bytes, at: U) -> bool:
    bits = U8(0)
    for k in range(_BLOCK):
        bits |= data[at + U(k)]
    return bool(bits < U8(0x80))


@njit(nogil=True, cache=True, inline="always")
def _fold_ascii(data: Bytes, at: U, out: Bytes, end: U) -> None:
    """Fold a block by arithmetic, which compiles to vector instructions; a table would not."""
    for k in range(_BLOCK):
        byte = data[at + U(k)]
        lower = U8(byte | U8(0x20))
        letter = U8(lower - U8(97)) < U8(26)
        other = (U8(byte - U8(48)) < U8(10)) | (byte == U8(95))
        out[end + U(k)] = lower if letter else (byte if other else U8(0))


@njit(nogil=True, cache=True)
def write_fold(point: int, tables: UnicodeTables, out: Bytes, end: int) -> int:
    """Write the case-folding of a code point in UTF-8; return where it ends."""
    folded = int(np.int64(tables.folds[point]))
    end = encode(folded & 0x1FFFFF, out, end)
    row = folded >> 21
    if row > 0:
        end = encode(int(np.int64(tables.expansions[row - 1, 0])), out, end)
        if tables.expansions[row - 1, 1] > 0:
            end = encode(int(np.int64(tables.expansions[row - 1, 1])), out, end)
    return end


@njit(nogil=True, cache=True)
def _fold_character(point: int, inside: int, tables: UnicodeTables, out: Bytes, end: int) -> tuple[int, int]:
    """Write one character beyond ASCII; return (end, inside).

    ``inside`` is 0 outside words, 1 in a word, 2 after a letter of a script without spaces: marks go on
    with it, any other letter starts a word.
    """
    kind = tables.classes[point]
    if kind == IGNORED:
        return end, inside
    if kind == MARK and inside > 0:
        return write_fold(point, tables, out, end), inside
    if kind in (LETTER, NUMBER):
        if inside == 2:
            out[end] = 0
            end += 1
        return write_fold(point, tables, out, end), 1
    if inside > 0:
        out[end] = 0
        end += 1
    if kind == UNSPACED:
        return write_fold(point, tables, out, end), 2
    return end, 0


@njit(nogil=True, cache=True)
def fold_chunk(
    data: Bytes,
    at: int,
    stop: int,
    out: Bytes,
    end: int,
    inside: int,
    tables: FoldingTables,
) -> tuple[int, int, int]:
    """Fold up to ``CHUNK`` bytes of ``data[at:stop]`` to ``out[end:]``; return (at, end, inside).

    At most three bytes are written for one that is read, and at most a block more.
    """
    ascii_, two_bytes = tables.ascii, tables.two_bytes
    limit = min(at + CHUNK, stop)
    while at < limit:
        block_end = min(at + _BLOCK, limit)
        if at + _BLOCK <= limit and inside != 2 and _is_ascii(data, U(at)):
            _fold_ascii(data, U(at), out, U(end))
            at += _BLOCK
            end += _BLOCK
            inside = 1 if out[U(end - 1)] != 0 else 0
            continue
        while at < block_end:
            byte = data[U(at)]
            if byte < 0x80:
                if inside == 2:
                    out[U(end)] = 0
                    end += 1
                folded = ascii_[byte]
                out[U(end)] = folded
                end += 1
                inside = 1 if folded != 0 else 0
                at += 1
                continue
            if byte < 0xE0 and at + 1 < stop and inside != 2:
                pair = two_bytes[U(byte & 0x1F) << U(6) | U(data[U(at + 1)] & 0x3F)]
                if pair != 0:
                    out[U(end)] = pair & 0xFF
                    out[U(end + 1)] = pair >> 8
                    at += 2
                    end += 2
                    inside = 1
                    continue
            point, size = decode(data, at, stop)
            end, inside = _fold_character(point, inside, tables.unicode, out, end)
            at += size
    return at, end, inside
