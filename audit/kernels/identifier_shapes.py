"""Whether what stands at a place can be an identifier: cheap tests that never say no to a real one.

Each is a superset of one of Presidio's patterns: it looks at lengths of digit runs, the signs between them
and the neighbours, and leaves digits' values, checksums and word boundaries beside letters outside ASCII to
the recogniser itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes
from audit.kernels.utf8 import character_past

#: Characters of the shortest wallet address.
WALLET_LENGTH = 26
#: Characters that Presidio's pattern takes from a 1 or 3 on, at most.
WALLET_REACH = 60
#: Characters that Presidio's pattern for IBANs takes from the first digit on, at most.
_IBAN_REACH = 45
#: What stands at each place of a Medicare number.
_NUMERAL, _LETTER, _EITHER = 0, 1, 2
_MBI = (0, 1, 2, 0, 1, 2, 0, 1, 1, 0, 0)
_SPACE, _HYPHEN, _DOT, _COLON = 32, 45, 46, 58


@njit(nogil=True, cache=True)
def is_digit(byte: int) -> bool:
    """Whether a byte is an ASCII digit."""
    return 48 <= byte <= 57


@njit(nogil=True, cache=True)
def is_letter(byte: int) -> bool:
    """Whether a byte is an ASCII letter."""
    return 65 <= (byte & 0xDF) <= 90 and byte < 0x80


@njit(nogil=True, cache=True)
def is_hex(byte: int) -> bool:
    """Whether a byte is an ASCII hexadecimal digit."""
    return 48 <= byte <= 57 or (65 <= (byte & 0xDF) <= 70 and byte < 0x80)


@njit(nogil=True, cache=True)
def is_word(byte: int) -> bool:
    """Whether a byte is an ASCII letter, digit or underscore: with it beside, there is no word boundary."""
    return is_digit(byte) or is_letter(byte) or byte == 95


@njit(nogil=True, cache=True)
def joined(sign: int) -> bool:
    """Whether a byte is a space or hyphen, which may part the groups of a number."""
    return sign in (_SPACE, _HYPHEN)


@njit(nogil=True, cache=True)
def letter_before(data: Bytes, first: int, at: int) -> bool:
    """Whether a letter stands before ``at``; also U+017F and U+212A, which match s and k without case."""
    if at <= first:
        return False
    byte = data[at - 1]
    return is_letter(byte) or byte == 0xAA or byte == 0xBF


@njit(nogil=True, cache=True)
def alphanumeric_size(data: Bytes, at: int, last: int) -> int:
    """Bytes of the letter or digit at ``at`` (ASCII, or one of the two above); 0 when it is neither."""
    if at >= last:
        return 0
    byte = data[at]
    if is_digit(byte) or is_letter(byte):
        return 1
    if byte == 0xC5 and at + 1 < last and data[at + 1] == 0xBF:
        return 2
    if byte == 0xE2 and at + 2 < last and data[at + 1] == 0x84 and data[at + 2] == 0xAA:
        return 3
    return 0


@njit(nogil=True, cache=True)
def is_ipv4(
    data: Bytes, first: int, at: int, lengths: npt.NDArray[np.int64], signs: npt.NDArray[np.int64]
) -> bool:
    """Whether four runs of up to three digits, with dots between, begin at ``at``."""
    if at > first and is_word(data[at - 1]):
        return False
    for k in range(4):
        if not 1 <= lengths[k] <= 3 or (k < 3 and signs[k] != _DOT):
            return False
    return not is_word(signs[3])


@njit(nogil=True, cache=True)
def is_iban(data: Bytes, first: int, at: int, last: int) -> bool:
    """Whether two letters stand before ``at``, and two digits and two groups of four from it on."""
    if not letter_before(data, first, at) or at + 2 > last or not is_digit(data[at + 1]):
        return False
    if data[at - 1] < 0x80 and not letter_before(data, first, at - 1):
        return False
    if data[at - 1] < 0x80 and at - 3 >= first and data[at - 2] < 0x80:
        before = data[at - 3]
        if is_digit(before) or is_letter(before):
            return False
    at += 2
    for _ in range(2):
        if at < last and joined(data[at] + 0):
            at += 1
        for _ in range(4):
            size = alphanumeric_size(data, at, last)
            if size == 0:
                return False
            at += size
    return True


@njit(nogil=True, cache=True)
def nino_end(data: Bytes, first: int, at: int, last: int) -> int:
    """Return the end of a British insurance number whose digits begin at ``at``; -1 when there is none.

    Two letters, three pairs of digits and a letter up to D, with single spaces or nothing between.
    """
    letters = at - 1 if at > first and data[at - 1] == _SPACE else at
    if not letter_before(data, first, letters):
        return -1
    if data[letters - 1] < 0x80 and not letter_before(data, first, letters - 1):
        return -1
    for pair in range(3):
        if pair and at < last and data[at] == _SPACE:
            at += 1
        if at + 2 > last or not is_digit(data[at]) or not is_digit(data[at + 1]):
            return -1
        at += 2
    if at < last and data[at] == _SPACE:
        at += 1
    return at + 1 if at < last and 97 <= data[at] | 32 <= 100 else -1


@njit(nogil=True, cache=True)
def mbi_end(data: Bytes, at: int, last: int) -> int:
    """Return the end of a Medicare number that begins at ``at``; -1 when there is none.

    Eleven digits and letters, of which some must be the one or the other, with or without two hyphens.
    """
    for place in range(len(_MBI)):
        if (place == 4 or place == 7) and at < last and data[at] == _HYPHEN:
            at += 1
        size = alphanumeric_size(data, at, last)
        if size == 0 or (_MBI[place] != _EITHER and is_digit(data[at]) != (_MBI[place] == _NUMERAL)):
            return -1
        at += size
    return at


@njit(nogil=True, cache=True)
def iban_end(data: Bytes, at: int, last: int) -> int:
    """Return the end of the letters, digits, spaces and hyphens that an IBAN can take from ``at`` on."""
    for _ in range(_IBAN_REACH):
        size = alphanumeric_size(data, at, last)
        if size == 0 and at < last and joined(data[at] + 0):
            size = 1
        at += size
    return at


@njit(nogil=True, cache=True)
def _is_base58(byte: int) -> bool:
    """Whether a byte is a digit of base 58, which has no 0, I, O and l."""
    return (is_digit(byte) and byte != 48) or (is_letter(byte) and byte != 73 and byte != 79 and byte != 108)


@njit(nogil=True, cache=True)
def is_wallet(data: Bytes, at: int, stop: int) -> bool:
    """Whether letters and digits hold a wallet address: ``bc1``, or 1 or 3 and digits of base 58.

    The recogniser takes up to ``WALLET_REACH`` characters from a 1 or 3 on, and all have to be of base 58.
    """
    stranger = at  # the next byte that is no digit of base 58
    for place in range(at, stop - WALLET_LENGTH + 1):
        if data[place] != 49 and data[place] != 51:
            continue
        if place >= 2 and data[place] == 49 and data[place - 1] | 32 == 99 and data[place - 2] | 32 == 98:
            return True
        stranger = max(stranger, place)
        while stranger < stop and _is_base58(data[stranger]):
            stranger += 1
        if stranger >= min(stop, place + WALLET_REACH):
            return True
    return False


@njit(nogil=True, cache=True)
def is_mac(data: Bytes, first: int, at: int, last: int) -> bool:
    """Whether the sign at ``at`` is the first of six hex pairs (``:`` or ``-``) or three fours (``.``)."""
    size, groups = (4, 3) if data[at] == _DOT else (2, 6)
    start = at - size
    stop = start + groups * (size + 1) - 1
    if start < first or stop > last or data[at + size + 1] != data[at]:
        return False
    if start > first and is_word(data[start - 1]):
        return False
    for k in range(stop - start):
        byte = data[start + k]
        if k % (size + 1) == size:
            if byte != data[at]:
                return False
        elif not is_hex(byte):
            return False
    return stop == last or not is_word(data[stop])


@njit(nogil=True, cache=True)
def hex_span(data: Bytes, first: int, at: int, last: int) -> tuple[int, int, bool]:
    """Return the hex digits and colons around a colon, and whether an IPv6 address can begin there."""
    start, stop = at, at
    while start > first and (is_hex(data[start - 1]) or data[start - 1] == _COLON):
        start -= 1
    colons, double = 0, False
    while stop < last and (is_hex(data[stop]) or data[stop] == _COLON):
        colons += data[stop] == _COLON
        double |= data[stop] == _COLON and stop > first and data[stop - 1] == _COLON
        stop += 1
    clean = start == first or not is_word(data[start - 1])
    return start, stop, clean and (double or colons >= 6)


@njit(nogil=True, cache=True)
def is_local(byte: int) -> bool:
    """Whether a byte can be the last of an address before its ``@``."""
    if is_word(byte) or byte >= 0x80:
        return True
    if byte == 33 or 35 <= byte <= 39 or byte == 42 or byte == 43 or byte == 45 or byte == 47:
        return True
    return byte == 61 or byte == 63 or byte == 94 or byte == 96 or 123 <= byte <= 126


@njit(nogil=True, cache=True)
def is_address(data: Bytes, first: int, at: int, last: int) -> bool:
    """Whether an ``@`` has a name before it and a host with a dot after it."""
    if at == first or not is_local(data[at - 1] + 0):
        return False
    at += 1
    if at >= last or not (is_word(data[at]) or data[at] >= 0x80):
        return False
    while at < last and (is_word(data[at]) or data[at] >= 0x80 or data[at] == _HYPHEN):
        at += 1
    return at + 1 < last and data[at] == _DOT and (is_word(data[at + 1]) or data[at + 1] >= 0x80)


@njit(nogil=True, cache=True)
def address_end(data: Bytes, at: int, last: int) -> int:
    """Return the end of what can go on an IPv6 address: groups, an IPv4 part, a zone, a mask."""
    while at < last and (is_letter(data[at]) or data[at] == 37 or 46 <= data[at] <= 58 or data[at] >= 0x80):
        at += 1
    return character_past(data, character_past(data, at, last), last)
