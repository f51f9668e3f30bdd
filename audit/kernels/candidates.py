"""Where in a text personal data can be at all: windows of bytes around ``@`` and numbers.

A detector that reads only these windows must find what it would find in the whole text. So windows
are cut at white space, which the detectors' patterns do not cross unnoticed, and reach further than the
longest match; only in tokens of hundreds of bytes are they cut elsewhere.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes, Offsets
from audit.kernels.number_characters import DIGIT
from audit.kernels.utf8 import character_end, character_start, decode

#: (n, 3) int64: row, start and stop, bytes relative to the row's first; sorted and disjoint.
Windows: TypeAlias = npt.NDArray[np.int64]

#: Bytes that an e-mail address is searched in, before and after its ``@`` (RFC 5321: at most 64 and 255).
ADDRESS_REACH = 320
#: Digits of the shortest identifier with letters or wide gaps, and of the shortest without.
NUMBER_DIGITS, PLAIN_DIGITS = 6, 7
#: Bytes between two digits (or separators) of one number, at most; and where only one sign may part them.
NUMBER_GAP, PLAIN_GAP = 16, 1
#: Bytes kept around numbers: with the digits, more than the longest pattern (42 for an IBAN with spaces).
NUMBER_PAD = 40
#: Characters of the shortest wallet address.
WALLET_LENGTH = 26
#: Bytes in which a window's edge may move outwards to white space.
EDGE_REACH = 128


@njit(nogil=True, cache=True)
def emit(windows: Windows, n: int, row: int, start: int, stop: int) -> tuple[Windows, int]:
    """Append a window, or widen the last one where they touch; grow the array when it is full."""
    if n > 0 and windows[n - 1, 0] == row and start <= windows[n - 1, 2]:
        windows[n - 1, 2] = max(windows[n - 1, 2], stop)
        return windows, n
    if n == len(windows):
        grown = np.empty((2 * n + 64, 3), np.int64)
        grown[:n] = windows
        windows = grown
    windows[n, 0], windows[n, 1], windows[n, 2] = row, start, stop
    return windows, n + 1


@njit(nogil=True, cache=True)
def is_space(byte: int) -> bool:
    """Whether a byte is ASCII white space."""
    return byte == 32 or 9 <= byte <= 13


@njit(nogil=True, cache=True)
def left_edge(data: Bytes, first: int, at: int, reach: int) -> int:
    """Return the start of the token that holds ``at``, or the code point ``reach`` bytes before it."""
    limit = max(first, at - reach)
    while at > limit and not is_space(data[at - 1]):
        at -= 1
    return character_start(data, at, first)


@njit(nogil=True, cache=True)
def right_edge(data: Bytes, last: int, at: int, reach: int) -> int:
    """Return the end of the token that holds the byte before ``at``, or ``reach`` bytes on."""
    limit = min(last, at + reach)
    while at < limit and not is_space(data[at]):
        at += 1
    return character_end(data, at, last)


@njit(nogil=True, cache=True)
def _next_byte(data: Bytes, at: int, last: int, byte: int) -> int:
    while at < last and data[at] != byte:
        at += 1
    return at


@njit(nogil=True, cache=True)
def email_windows(data: Bytes, offsets: Offsets) -> Windows:
    """Return a window around each ``@``: its token, at most ``ADDRESS_REACH`` bytes to either side.

    Args:
        data, offsets: n UTF-8 texts (``buffers.string_buffers``).
    """
    windows, n = np.empty((256, 3), np.int64), 0
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        at = _next_byte(data, first, last, 0x40)
        while at < last:
            start = left_edge(data, first, at, ADDRESS_REACH)
            stop = right_edge(data, last, at + 1, ADDRESS_REACH)
            windows, n = emit(windows, n, row, start - first, stop - first)
            at = _next_byte(data, at + 1, last, 0x40)
    return windows[:n].copy()


@njit(nogil=True, cache=True)
def _counts(least: int, digits: int, colons: int, hyphens: int, dots: int) -> bool:
    if least == 0:
        return colons >= 2 or hyphens >= 5 or dots >= 2
    return digits >= least


@njit(nogil=True, cache=True)
def _is_alphanumeric(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= (byte & 0xDF) <= 90


@njit(nogil=True, cache=True)
def _is_hex(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= (byte & 0xDF) <= 70


@njit(nogil=True, cache=True)
def _joins(data: Bytes, first: int, at: int, last: int) -> bool:
    """Whether a hyphen or dot stands between hex digits."""
    return first < at < last - 1 and _is_hex(data[at - 1]) and _is_hex(data[at + 1])


@njit(nogil=True, cache=True)
def _is_address_colon(data: Bytes, first: int, at: int, last: int) -> bool:
    """Whether a colon stands as in IPv6 and MAC addresses: before a hex digit, or beside a colon."""
    if at > first and data[at - 1] == 58:
        return True
    if at + 1 >= last:
        return False
    return data[at + 1] == 58 or _is_hex(data[at + 1])


@njit(nogil=True, cache=True)
def _next_number(
    data: Bytes, first: int, at: int, last: int, classes: npt.NDArray[np.uint8], least: int, gap: int
) -> tuple[int, int, int]:
    """Return start and end of the next group that counts, and where to go on; start -1 when none."""
    begin, end = -1, -1
    addresses = least == 0
    digits, colons, hyphens, dots = 0, 0, 0, 0
    while at < last:
        byte, size = data[at] + 0, 1  # int64: unsigned and signed integers would meet as floats
        digit = 48 <= byte <= 57
        if byte >= 0x80:
            point, size = decode(data, at, last)
            digit = classes[point] & DIGIT != 0
        separator = (byte == 45 or byte == 46) and _joins(data, first, at, last)
        colon = byte == 58 and _is_address_colon(data, first, at, last)
        if digit or (addresses and (colon or separator)):
            if begin >= 0 and at - end > gap:
                if _counts(least, digits, colons, hyphens, dots):
                    return begin, end, at
                begin = -1
            if begin < 0:
                begin, digits, colons, hyphens, dots = at, 0, 0, 0, 0
            digits += digit
            colons += colon
            hyphens += byte == 45
            dots += byte == 46
            end = at + size
        at += size
    if begin >= 0 and _counts(least, digits, colons, hyphens, dots):
        return begin, end, at
    return -1, -1, at


@njit(nogil=True, cache=True)
def number_windows(
    data: Bytes, offsets: Offsets, classes: npt.NDArray[np.uint8], least: int, gap: int, pad: int
) -> Windows:
    """Return a window around each group of digits that can hold an identifier, or an IP or MAC address.

    For identifiers a group is digits at most ``gap`` bytes apart, and counts with ``least``. For addresses
    it is digits, colons before hex digits, and hyphens or dots between hex digits, and counts with
    2 colons (IPv6, MAC), 5 hyphens (MAC) or 2 dots (IPv4, MAC). The window adds ``pad`` bytes to either
    side and goes on to white space.

    Args:
        data, offsets: n UTF-8 texts.
        classes: ``character_classes()``.
        least: Digits of a group, at least; 0 when addresses are sought, not identifiers.
        gap, pad: Bytes.
    """
    windows, n = np.empty((1024, 3), np.int64), 0
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        begin, end, at = _next_number(data, first, first, last, classes, least, gap)
        while begin >= 0:
            start = left_edge(data, first, max(first, begin - pad), EDGE_REACH)
            stop = right_edge(data, last, min(last, end + pad), EDGE_REACH)
            windows, n = emit(windows, n, row, start - first, stop - first)
            begin, end, at = _next_number(data, first, at, last, classes, least, gap)
    return windows[:n].copy()


@njit(nogil=True, cache=True)
def _next_long_run(data: Bytes, at: int, last: int) -> tuple[int, int]:
    """Return the next run of ``WALLET_LENGTH`` ASCII letters and digits; start -1 when there is none."""
    begin = at
    while at < last:
        if data[at] >= 0x80 or not _is_alphanumeric(data[at]):
            if at - begin >= WALLET_LENGTH:
                return begin, at
            begin = at + 1
        at += 1
    return (begin, last) if last - begin >= WALLET_LENGTH else (-1, last)


@njit(nogil=True, cache=True)
def wallet_windows(data: Bytes, offsets: Offsets) -> Windows:
    """Return the runs of ASCII letters and digits that are long enough for a wallet address."""
    windows, n = np.empty((256, 3), np.int64), 0
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        begin, end = _next_long_run(data, first, last)
        while begin >= 0:
            windows, n = emit(windows, n, row, begin - first, end - first)
            begin, end = _next_long_run(data, end, last)
    return windows[:n].copy()


@njit(nogil=True, cache=True)
def code_points_before(data: Bytes, offsets: Offsets, windows: Windows) -> npt.NDArray[np.int64]:
    """Return, for each window, the code points between its text's start and its own."""
    counts = np.empty(len(windows), np.int64)
    row, at, points = np.int64(-1), np.int64(0), np.int64(0)
    for k in range(len(windows)):
        if windows[k, 0] != row:
            row, at, points = windows[k, 0], offsets[windows[k, 0]], np.int64(0)
        stop = offsets[row] + windows[k, 1]
        for place in range(at, stop):  # a range, so that it is vectorised
            points += data[place] & 0xC0 != 0x80
        at = max(at, stop)
        counts[k] = points
    return counts
