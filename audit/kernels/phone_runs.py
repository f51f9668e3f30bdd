"""Runs of digits and phone punctuation in a text, as symbols.

A run is what libphonenumber's ``PhoneNumberMatcher`` can find numbers in; where an extension may follow,
the run goes on through it, and only the library reads it.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numba import njit

from audit.kernels.blocks import BLOCK, ascii_digits, high_bytes, zeros_below
from audit.kernels.buffers import Bytes, Offsets
from audit.kernels.phone_numbers import Symbols, is_lead
from audit.kernels.phone_symbols import FORBIDDEN, FOREIGN, MARK, NONE
from audit.kernels.utf8 import character_start, decode

#: Symbols that can stand before a number's first digit: two leads, each with four of punctuation.
LEADING = 10
#: Bytes between a number and its extension's digits, at most (``extensión`` with punctuation, spaces).
_EXTENSION = 64
#: Of a run: symbols, digits, symbols read in all, where it ends with the punctuation behind it, and whether
#: only the library reads it.
Run: TypeAlias = tuple[int, int, int, int, bool]


@njit(nogil=True, cache=True)
def next_digit(data: Bytes, at: int, last: int, classes: Symbols) -> int:
    """Return where the next digit of any script is; ``last`` when there is none."""
    while at < last:
        byte = data[at] + 0
        if byte < 0x80:
            if 48 <= byte <= 57:
                return at
            at += 1
            if at + BLOCK <= len(data):  # on to the next byte that can begin a digit
                at += int(np.int64(zeros_below(ascii_digits(data, at) | high_bytes(data, at))))
            continue
        point, size = decode(data, at, last)
        if classes[point] & 63 == FOREIGN:
            return at
        at += size
    return last


@njit(nogil=True, cache=True)
def _previous(data: Bytes, at: int, floor: int) -> int:
    return character_start(data, at - 1, floor)


@njit(nogil=True, cache=True)
def _run_start(data: Bytes, at: int, floor: int, last: int, classes: Symbols) -> int:
    """Return where the punctuation before a run's first digit begins, if it begins with a lead."""
    begin = at
    for _ in range(LEADING):
        if at <= floor:
            break
        at = _previous(data, at, floor)
        symbol = classes[decode(data, at, last)[0]] & 63
        if symbol >= MARK:
            break
        if is_lead(symbol):
            begin = at
    return begin


@njit(nogil=True, cache=True)
def _read_run(
    data: Bytes, at: int, last: int, classes: Symbols, symbols: Symbols, places: Offsets
) -> tuple[Symbols, Offsets, int, int, bool, int]:
    """Decode a run, up to its last digit.

    Returns:
        The buffers of symbols and of their places (bytes; one more), grown as needed; how many symbols
        and digits there are; whether digits of other scripts are among them; and where the run ends, with
        the punctuation behind it.
    """
    n, length, digits, foreign = 0, 0, 0, False
    while at < last:
        point, size = data[at] + 0, 1
        if point >= 0x80:
            point, size = decode(data, at, last)
        symbol = classes[point] & 63
        if symbol >= NONE:
            break
        if n + 1 >= len(symbols):
            symbols = np.concatenate((symbols, np.empty_like(symbols)))
            places = np.concatenate((places, np.empty_like(places)))
        symbols[n] = symbol
        places[n] = at
        n += 1
        at += size
        if symbol <= 9 or symbol == FOREIGN:
            digits += 1
            foreign |= symbol == FOREIGN
            length = n
            places[n] = at
    return symbols, places, length, digits, foreign, at


@njit(nogil=True, cache=True)
def _forbids(data: Bytes, at: int, last: int, classes: Symbols) -> bool:
    return at < last and classes[decode(data, at, last)[0]] & FORBIDDEN != 0


@njit(nogil=True, cache=True)
def _is_minutes(data: Bytes, at: int, last: int) -> bool:
    """``_TIME_STAMPS_SUFFIX``."""
    if at + 2 >= last or data[at] != 58:
        return False
    return bool(48 <= data[at + 1] <= 53 and 48 <= data[at + 2] <= 57)


@njit(nogil=True, cache=True)
def _letter(data: Bytes, at: int, last: int) -> int:
    return (data[at] | 0x20) + 0 if at < last else 0


@njit(nogil=True, cache=True)
def _may_extend(data: Bytes, at: int, last: int) -> bool:
    """Whether an extension may follow a number (``_EXTN_PATTERNS_FOR_MATCHING``): if in doubt, yes."""
    if at < last and data[at] == 59:
        return _letter(data, at + 1, last) == 0x65
    while at < last and (data[at] == 32 or data[at] == 9 or data[at] == 44 or data[at] == 0xC2):
        if data[at] == 0xC2:
            if at + 1 >= last or data[at + 1] != 0xA0:
                return False
            at += 1
        at += 1
    if at >= last:
        return False
    lead = data[at] + 0
    if lead == 35:  # number sign
        return True
    if lead >= 0x80:
        point = decode(data, at, last)[0]
        return (
            point == 0x130 or point == 0x131 or point == 0x414 or point == 0x434 or 0xFF00 <= point < 0xFFF0
        )
    first, second, third = lead | 0x20, _letter(data, at + 1, last), _letter(data, at + 2, last)
    if first == 0x65:
        return second == 0x78 and third == 0x74
    if first == 0x78:
        return second == 0x74
    if first == 0x61:
        return second == 0x6E and third == 0x65
    return first == 0x69 and second == 0x6E and third == 0x74 and not _is_letter(data, at + 3, last)


@njit(nogil=True, cache=True)
def _is_letter(data: Bytes, at: int, last: int) -> bool:
    return bool(0x61 <= _letter(data, at, last) <= 0x7A)


# Inline: handing the buffers through another call costs a tenth of the scan.
@njit(nogil=True, cache=True, inline="always")
def read_whole_run(
    data: Bytes, at: int, floor: int, last: int, classes: Symbols, symbols: Symbols, places: Offsets
) -> tuple[Symbols, Offsets, Run]:
    """Decode the run of a digit, and the digits of extensions that may belong to it.

    Args:
        data: UTF-8 texts.
        at: Where the digit is.
        floor: Where the run may begin: behind the one before.
        last: Where the text ends.
        classes: ``phone_symbols()``.
        symbols, places: Buffers.

    Returns:
        The buffers, grown as needed, and the run: its symbols are those before an extension's digits were
        read into the same buffer, for the library reads those runs anyway.
    """
    begin = _run_start(data, at, floor, last, classes)
    symbols, places, length, digits, foreign, floor = _read_run(data, begin, last, classes, symbols, places)
    read, end, extended = length, places[length], False
    while _may_extend(data, end, last):
        more = next_digit(data, end, last, classes)
        if more == last or more - end > _EXTENSION:
            break
        symbols, places, length, further, foreign, floor = _read_run(
            data, more, last, classes, symbols, places
        )
        read, end, extended, digits = read + length, places[length], True, digits + further
    places[0] = begin
    return symbols, places, (length, digits, read, floor, foreign or extended)


@njit(nogil=True, cache=True)
def edges(
    data: Bytes, first: int, begin: int, end: int, last: int, classes: Symbols
) -> tuple[bool, bool, bool]:
    """Return whether a run must not begin a number, must not end one, and is followed by minutes."""
    before = begin > first and _forbids(data, _previous(data, begin, first), last, classes)
    return before, _forbids(data, end, last, classes), _is_minutes(data, end, last)
