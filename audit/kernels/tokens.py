"""Tokens (what stands between ASCII white space) that can hold a URL, a date or a licence number."""

from __future__ import annotations

import numpy as np
from numba import njit

from audit.kernels.buffers import Bytes, Offsets
from audit.kernels.candidates import Windows, emit, is_space

URL, DATE, LICENCE = 0, 1, 2

#: Digits in a row that are a licence number by themselves.
_LICENCE_DIGITS = 6


@njit(nogil=True, cache=True)
def _is_letter(byte: int) -> bool:
    return byte >= 0x80 or 65 <= (byte & 0xDF) <= 90


@njit(nogil=True, cache=True)
def _is_digit(byte: int) -> bool:
    return byte >= 0x80 or 48 <= byte <= 57


@njit(nogil=True, cache=True)
def _is_licence(data: Bytes, at: int, stop: int) -> bool:
    """Whether a digit stands beside a letter, or begins six."""
    if not _is_digit(data[at]):
        return False
    if at + 1 < stop and _is_letter(data[at + 1]):
        return True
    digits = at
    while digits < stop and digits - at < _LICENCE_DIGITS and _is_digit(data[digits]):
        digits += 1
    return digits - at == _LICENCE_DIGITS


@njit(nogil=True, cache=True)
def _is_sign(data: Bytes, start: int, at: int, stop: int, form: int) -> bool:
    """Whether a byte of a token is what a form cannot be without."""
    byte = data[at]
    if form == LICENCE:
        return _is_licence(data, at, stop) or (at > start and _is_digit(byte) and _is_letter(data[at - 1]))
    if form == URL:
        return byte == 46 and start < at < stop - 2 and _is_letter(data[at + 1]) and _is_letter(data[at + 2])
    if byte != 45 and byte != 46 and byte != 47:
        return False
    return (at > start and _is_digit(data[at - 1])) or (at + 1 < stop and _is_digit(data[at + 1]))


@njit(nogil=True, cache=True)
def token_windows(data: Bytes, offsets: Offsets, form: int) -> Windows:
    """Return the tokens that can hold a form; characters outside ASCII count as letters and as digits.

    None of Presidio's patterns for these crosses white space, so a token is searched as it is in its text.

    Args:
        data, offsets: n UTF-8 texts.
        form: ``URL``, ``DATE`` or ``LICENCE``.
    """
    windows, n = np.empty((1024, 3), np.int64), 0
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        at = start = first
        while at <= last:
            if at == last or is_space(data[at]):
                for place in range(start, at):
                    if _is_sign(data, start, place, at, form):
                        windows, n = emit(windows, n, row, start - first, at - first)
                        break
                start = at + 1
            at += 1
    return windows[:n].copy()
