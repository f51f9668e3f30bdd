"""Normalised texts: what two documents must share to be exact duplicates, and their paragraphs.

Normalised text is case-folded in full (``str.casefold``), runs of white space are one space, the ends are
trimmed, and format characters (soft hyphen, joiners, byte-order mark) are dropped. Punctuation stays. A
paragraph is what stands between two line breaks (line feed or carriage return), normalised; a text is its
paragraphs, but for empty ones, with a space between two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.blocks import (
    BLOCK,
    ascii_spaces,
    high_bytes,
    line_breaks,
    write_lower,
    zeros_below,
)
from audit.kernels.buffers import Bytes, Offsets, string_buffers
from audit.kernels.folding import write_fold
from audit.kernels.hashing import siphash128_bytes
from audit.kernels.unicode_tables import IGNORED, SPACE, UnicodeTables, unicode_tables
from audit.kernels.utf8 import decode

U = np.uint64

#: Full case-folding makes at most three bytes of one.
GROWTH = 3
_BLANK = 0x20
_LINE_FEED, _RETURN = 0x0A, 0x0D
#: Bytes that are read one by one where a block cannot be copied.
_SLOWLY = 8


class Normalised(NamedTuple):
    """n normalised texts.

    Attributes:
        data: Their bytes, one text after another.
        offsets: n + 1 borders of texts in ``data``.
        ends: Where each paragraph that is not empty ends in ``data``.
        bounds: n + 1 borders of texts in ``ends``.
    """

    data: Bytes
    offsets: Offsets
    ends: Offsets
    bounds: Offsets


@njit(nogil=True, cache=True)
def _paragraph(data: Bytes, start: int, stop: int, tables: UnicodeTables, out: Bytes, begin: int) -> int:
    """Write the normalised form of ``data[start:stop]`` to ``out[begin:]``; return where it ends."""
    at, last, end, spaced = U(start), U(stop), U(begin), U(1)
    blocks = U(max(0, len(data) - BLOCK + 1))
    # Fields are taken out once: each access counts references.
    plain, pairs, classes = tables.plain, tables.pairs, tables.classes
    while at < last:
        if at < blocks:
            here = int(np.int64(at))
            spaces = ascii_spaces(data, here)
            # As far as one space comes at a time, a block is copied.
            copied = min(
                zeros_below(high_bytes(data, here) | (spaces & (spaces << U(1) | spaced))), last - at
            )
            if copied > U(0):
                write_lower(data, here, out, int(np.int64(end)))
                at += copied
                end += copied
                spaced = spaces >> (copied - U(1)) & U(1)
                if copied == U(BLOCK):
                    continue
        limit = min(at + U(_SLOWLY), last)
        while at < limit:
            lead = data[at]
            if lead < 0x80:
                folded = plain[lead]
                out[end] = folded
                blank = U(folded == _BLANK)
                end += U(1) - (blank & spaced)
                spaced = blank
                at += U(1)
                continue
            if 0xC2 <= lead < 0xE0 and at + U(1) < last:
                pair = pairs[(U(lead) & U(0x1F)) << U(6) | U(data[at + U(1)]) & U(0x3F)]
                if pair:
                    out[end], out[end + U(1)] = pair & 0xFF, pair >> 8
                    end += U(2)
                    at += U(2)
                    spaced = U(0)
                    continue
            point, size = decode(data, int(np.int64(at)), stop)
            at += U(size)
            kind = classes[point]
            if kind == SPACE:
                out[end] = _BLANK
                end += U(1) - spaced
                spaced = U(1)
            elif kind != IGNORED:
                end = U(write_fold(point, tables, out, int(np.int64(end))))
                spaced = U(0)
    return int(np.int64(end - spaced)) if end > U(begin) else begin


@njit(nogil=True, cache=True)
def _line_breaks(data: Bytes, start: int, stop: int) -> int:
    found = 0
    for at in range(start, stop):
        found += (data[at] == _LINE_FEED) | (data[at] == _RETURN)
    return found


@njit(nogil=True, cache=True, inline="always")
def _next_break(data: Bytes, at: int, stop: int) -> int:
    """Where the next line break is; ``stop`` when there is none."""
    while at + BLOCK <= len(data) and at < stop:
        size = zeros_below(line_breaks(data, at))
        if size < U(BLOCK):
            return min(at + int(np.int64(size)), stop)
        at += BLOCK
    while at < stop and data[at] != _LINE_FEED and data[at] != _RETURN:
        at += 1
    return min(at, stop)


@njit(nogil=True, cache=True)
def _normalise(data: Bytes, texts: Offsets, tables: UnicodeTables, out: Normalised) -> None:
    end = paragraphs = 0
    written, ends, offsets, bounds = out.data, out.ends, out.offsets, out.bounds
    for row in range(len(texts) - 1):
        first = end
        start, stop = texts[row], texts[row + 1]
        while start <= stop:
            at = _next_break(data, start, stop)
            begin = end + (end > first)
            finish = _paragraph(data, start, at, tables, written, begin)
            if finish > begin:
                if begin > end:
                    written[end] = _BLANK
                end = finish
                ends[paragraphs] = end
                paragraphs += 1
            start = at + 1
        offsets[row + 1], bounds[row + 1] = end, paragraphs


#: The last texts and what became of them: several screens read the normalised texts of one batch.
_last: list[tuple[pa.Array, Normalised]] = []


def normalised(texts: pa.Array) -> Normalised:
    """Normalise n texts, a string column; those of the last call are at hand, and not to be written to."""
    if _last and _is_same(_last[0][0], texts):
        return _last[0][1]
    data, offsets = string_buffers(texts)
    start, stop = int(offsets[0]), int(offsets[-1])
    most = _line_breaks(data, start, stop) + len(texts)
    out = Normalised(
        np.empty(GROWTH * (stop - start) + 2 * BLOCK, np.uint8),  # what is not written to takes no memory
        np.zeros(len(texts) + 1, np.int64),
        np.empty(most, np.int64),
        np.zeros(len(texts) + 1, np.int64),
    )
    _normalise(data, offsets, unicode_tables(), out)
    _last[:] = [(texts, out)]
    return out


def _is_same(one: pa.Array, other: pa.Array) -> bool:
    """Whether two arrays are the same memory; as long as one is kept, no other array is given that."""
    shapes = [(array.type, array.offset, len(array)) for array in (one, other)]
    places = [[b and (b.address, b.size) for b in array.buffers()] for array in (one, other)]
    return shapes[0] == shapes[1] and places[0] == places[1]


@njit(nogil=True, cache=True)
def _digests(texts: Normalised, key: npt.NDArray[U], digests: npt.NDArray[U]) -> None:
    for row in range(len(digests)):
        start, stop = texts.offsets[row], texts.offsets[row + 1]
        digests[row, 0], digests[row, 1] = siphash128_bytes(texts.data, start, stop, key[0], key[1])


def normalised_digests(
    texts: pa.Array, key: tuple[int, int]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return the 128-bit SipHash of each normalised text, (n, 2), and its length in bytes, (n,)."""
    found = normalised(texts)
    digests = np.empty((len(texts), 2), np.uint64)
    _digests(found, np.array(key, np.uint64), digests)
    return digests, np.diff(found.offsets)
