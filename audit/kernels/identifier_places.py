"""Which bytes of a text are looked at for identifiers: a vectorised pass that leaves few of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes
from audit.kernels.identifier_numbers import links
from audit.kernels.identifier_shapes import (
    WALLET_LENGTH,
    is_digit,
    is_letter,
    letter_before,
    mbi_end,
    nino_end,
)

#: Digits of the shortest number without a sign.
FEWEST = 7
#: Bytes between the places at which a long run is tried.
_STEP = 4
#: Bytes before and after a place that decide whether it is looked at.
_LOOK_BACK, _LOOK_AHEAD = 1, 5


def _leads() -> npt.NDArray[np.bool_]:
    leads = np.zeros(256, np.bool_)
    leads[list({chr(point).encode()[0] for point in range(0x80, 0x20000) if chr(point).isdecimal()})] = True
    return leads


#: Which bytes begin a decimal digit outside ASCII.
LEADS = _leads()
_FIRST_LEAD = int(np.flatnonzero(LEADS)[0])


@njit(nogil=True, cache=True)
def flag_places(data: Bytes) -> npt.NDArray[np.uint8]:
    """Flag the places to look at; comparisons only, so that the loop is vectorised.

    They are the first digit of a run, ``@``, a hyphen or dot that comes again where the next group of a MAC
    address would end, a colon before a hex digit or another, and bytes from the first lead of a digit on.
    """
    n = len(data)
    flags = np.zeros((n + 7) // 8 * 8, np.uint8)
    for k in range(_LOOK_BACK, n - _LOOK_AHEAD):
        byte, before, after = data[k], data[k - 1], data[k + 1]
        digit = (byte >= 48) & (byte <= 57) & ((before < 48) | (before > 57))
        lower = after | 32
        hexadecimal = ((after >= 48) & (after <= 58)) | ((lower >= 97) & (lower <= 102))
        again = ((byte == 45) & (data[k + 3] == 45)) | ((byte == 46) & (data[k + 5] == 46))
        sign = again & (before != 45) & (before != 46)
        flags[k] = digit | sign | (byte == 64) | ((byte == 58) & hexadecimal) | (byte >= _FIRST_LEAD)
    flags[:_LOOK_BACK] = 1
    flags[max(0, n - _LOOK_AHEAD) : n] = 1
    return flags


@njit(nogil=True, cache=True)
def next_flag(flags: npt.NDArray[np.uint8], words: npt.NDArray[np.uint64], at: int, last: int) -> int:
    """Return the next flagged place from ``at`` on; ``last`` when there is none before it."""
    while at < last and at & 7:
        if flags[at]:
            return at
        at += 1
    while at < last and words[at >> 3] == 0:
        at += 8
    while at < last and flags[at] == 0:
        at += 1
    return min(at, last)


@njit(nogil=True, cache=True)
def after(data: Bytes, at: int, last: int) -> int:
    """Return the byte at ``at``; 0 beyond the end of the text."""
    return data[at] + 0 if at < last else 0


@njit(nogil=True, cache=True)
def _goes_on(data: Bytes, digits: int, run: int, last: int) -> bool:
    """Whether the run after a sign has the length that it has in identifiers; its first digit was seen."""
    second, third = after(data, run + 2, last), after(data, run + 3, last)
    if second >= 0x80 or third >= 0x80:
        return True
    if data[run] == 46:
        return digits <= 3 and (second == 46 or third == 46 or after(data, run + 4, last) == 46)
    if digits == 3:
        return is_digit(second)
    return digits > 3 and is_digit(second) and is_digit(third)


@njit(nogil=True, cache=True)
def _may_be_long(data: Bytes, at: int, last: int) -> bool:
    """Whether some of the places in which a wallet address would have letters or digits have them."""
    for place in range(at + WALLET_LENGTH - 1, at, -_STEP):
        byte = after(data, place, last)
        if byte < 0x80 and not (is_digit(byte) or is_letter(byte)):
            return False
    return True


@njit(nogil=True, cache=True)
def _begins_with_two(data: Bytes, first: int, at: int) -> bool:
    """Whether what ends before ``at`` with a letter can be two letters that begin a word."""
    if data[at - 1] >= 0x80:
        return True
    if at - 2 < first or not (is_letter(data[at - 2]) or data[at - 2] >= 0x80):
        return False
    if at - 3 < first or data[at - 2] >= 0x80:
        return True
    return not (is_letter(data[at - 3]) or is_digit(data[at - 3]))


@njit(nogil=True, cache=True)
def matters(data: Bytes, first: int, at: int, run: int, last: int, wallet_end: int) -> bool:
    """Whether a run of digits is more than a short one that stands alone, which most are."""
    beside = after(data, run, last)
    if run - at >= FEWEST or beside >= 0x80:
        return True
    if links(beside):
        beyond = after(data, run + 1, last)
        if beyond >= 0x80 or (is_digit(beyond) and _goes_on(data, run - at, run, last)):
            return True
    elif is_letter(beside):
        if at >= wallet_end and _may_be_long(data, at, last):
            return True
        fourth = after(data, at + 3, last)
        if run - at == 1 and (fourth >= 0x80 or is_digit(fourth)) and mbi_end(data, at, last) >= 0:
            return True
    if run - at <= 1 or at == first:
        return False
    if data[at - 1] != 32:
        return letter_before(data, first, at) and _begins_with_two(data, first, at)
    pairs = run - at == 6 or (beside == 32 and (run - at == 2 or run - at == 4))
    return pairs and nino_end(data, first, at, last) >= 0
