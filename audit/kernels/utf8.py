"""Decoding UTF-8 inside kernels."""

from __future__ import annotations

import numpy as np
from numba import njit

from audit.kernels.buffers import Bytes

REPLACEMENT = 0xFFFD


@njit(nogil=True, cache=True)
def decode(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """Return the code point that starts at byte ``at`` and its length in bytes.

    A sequence that is cut off by ``stop`` or starts with a continuation byte decodes as U+FFFD of one
    byte, so that no input makes a kernel read beyond its value.
    """
    lead = int(np.int64(data[at]))
    if lead < 0x80:
        return lead, 1
    if lead < 0xC2 or lead > 0xF4:
        return REPLACEMENT, 1
    size = 2 if lead < 0xE0 else (3 if lead < 0xF0 else 4)
    if at + size > stop:
        return REPLACEMENT, 1
    point = lead & (0x7F >> size)
    for k in range(1, size):
        point = point << 6 | int(np.int64(data[at + k])) & 0x3F
    if point > 0x10FFFF:
        return REPLACEMENT, 1
    return point, size


@njit(nogil=True, cache=True)
def character_start(data: Bytes, at: int, first: int) -> int:
    """Return where the character begins that holds byte ``at``, not before ``first``."""
    while at > first and data[at] & 0xC0 == 0x80:
        at -= 1
    return at


@njit(nogil=True, cache=True)
def character_end(data: Bytes, at: int, last: int) -> int:
    """Return ``at``, or the end of the character that ``at`` lies within, not beyond ``last``."""
    while at < last and data[at] & 0xC0 == 0x80:
        at += 1
    return at


@njit(nogil=True, cache=True)
def characters_back(data: Bytes, first: int, at: int, characters: int) -> int:
    """Return where the character begins that stands ``characters`` before ``at``."""
    for _ in range(characters):
        if at > first:
            at = character_start(data, at - 1, first)
    return at


@njit(nogil=True, cache=True)
def character_past(data: Bytes, at: int, last: int) -> int:
    """Return the end of the character at ``at``."""
    return character_end(data, at + 1, last) if at < last else last


@njit(nogil=True, cache=True)
def encode(point: int, out: Bytes, end: int) -> int:
    """Write the UTF-8 of a code point at ``out[end:]``; return where it ends."""
    if point < 0x80:
        out[end] = point
        return end + 1
    if point < 0x800:
        out[end] = 0xC0 | point >> 6
        out[end + 1] = 0x80 | point & 0x3F
        return end + 2
    if point < 0x10000:
        out[end] = 0xE0 | point >> 12
        out[end + 1] = 0x80 | point >> 6 & 0x3F
        out[end + 2] = 0x80 | point & 0x3F
        return end + 3
    out[end] = 0xF0 | point >> 18
    out[end + 1] = 0x80 | point >> 12 & 0x3F
    out[end + 2] = 0x80 | point >> 6 & 0x3F
    out[end + 3] = 0x80 | point & 0x3F
    return end + 4
