"""Which identifiers of digits alone the runs of digits at a place can be.

Supersets of Presidio's patterns, as in ``audit.kernels.identifier_shapes``: lengths of runs and the signs
between them count, digits' values and checksums do not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes
from audit.kernels.identifier_shapes import is_digit, is_word, joined, letter_before
from audit.kernels.number_characters import DIGIT
from audit.kernels.utf8 import decode

#: Kinds, as bits.
SSN, PASSPORT, ITIN, NHS, CARD, LICENCE, SIN, UK_PASSPORT = 1, 2, 4, 8, 16, 32, 64, 128
ALL_NUMBERS = 255

#: Longest run of digits that is told from a longer one; no pattern here has a run of 18.
RUN_CAP = 20
#: Digits of a card number in Presidio's pattern.
_CARD_DIGITS = (13, 17)


@njit(nogil=True, cache=True)
def runs_from(
    data: Bytes, at: int, last: int, lengths: npt.NDArray[np.int64], signs: npt.NDArray[np.int64]
) -> int:
    """Measure up to four runs of digits that single spaces, hyphens or dots part; return where they end.

    Args:
        data: Bytes.
        at: Where the first run begins.
        last: End of the text.
        lengths: Out, shape (4,): digits of each run, ``RUN_CAP`` at most; 0 where there is none.
        signs: Out, shape (4,): the byte after each run (0 at the end of the text).
    """
    lengths[:], signs[:] = 0, 0
    for k in range(4):
        start = at
        while at < last and at - start < RUN_CAP and is_digit(data[at]):
            at += 1
        lengths[k] = at - start
        if at >= last:
            return at
        sign = data[at] + 0
        signs[k] = sign
        if sign != 32 and sign != 45 and sign != 46:
            return at
        if k == 3 or at + 1 >= last or not is_digit(data[at + 1]):
            return at
        at += 1
    return at


@njit(nogil=True, cache=True)
def _ends(signs: npt.NDArray[np.int64], k: int) -> bool:
    return not is_word(signs[k])


@njit(nogil=True, cache=True)
def _social(lengths: npt.NDArray[np.int64], signs: npt.NDArray[np.int64]) -> bool:
    """9, 5-4, 3-6 or 3-2-4 digits: forms of US social security and taxpayer numbers."""
    a, b, c = lengths[0], lengths[1], lengths[2]
    if a == 9:
        return _ends(signs, 0)
    if a == 5:
        return b == 4 and joined(signs[0]) and _ends(signs, 1)
    if a != 3:
        return False
    if b == 6:
        return joined(signs[0]) and _ends(signs, 1)
    return b == 2 and c == 4 and _ends(signs, 2)


@njit(nogil=True, cache=True)
def _insurance(lengths: npt.NDArray[np.int64], signs: npt.NDArray[np.int64]) -> bool:
    """9 digits, or three times 3: the forms of Canadian social insurance numbers."""
    if lengths[0] == 9:
        return _ends(signs, 0)
    if lengths[0] != 3 or lengths[1] != 3 or lengths[2] != 3:
        return False
    return joined(signs[0]) and signs[0] == signs[1] and _ends(signs, 2)


@njit(nogil=True, cache=True)
def _health(lengths: npt.NDArray[np.int64], signs: npt.NDArray[np.int64]) -> bool:
    """3, 3 and 4 digits, with a space, a hyphen or nothing between."""
    a, b, c = lengths[0], lengths[1], lengths[2]
    if a == 10:
        return _ends(signs, 0)
    if a == 6:
        return b == 4 and joined(signs[0]) and _ends(signs, 1)
    if a != 3 or not joined(signs[0]):
        return False
    if b == 7:
        return _ends(signs, 1)
    return b == 3 and c == 4 and joined(signs[1]) and _ends(signs, 2)


@njit(nogil=True, cache=True)
def _card(lengths: npt.NDArray[np.int64], signs: npt.NDArray[np.int64]) -> bool:
    """13 to 17 digits in at most four runs, the first of four or more."""
    if lengths[0] < 4:
        return False
    total = 0
    for k in range(4):
        total += lengths[k]
        if lengths[k] == 0 or total > _CARD_DIGITS[1]:
            return False
        if total >= _CARD_DIGITS[0] and _ends(signs, k):
            return True
        if not joined(signs[k]):
            return False
    return False


@njit(nogil=True, cache=True)
def _second_letter(data: Bytes, first: int, at: int, digits: int) -> bool:
    """Whether seven digits follow two letters; the first was seen, and may be one outside ASCII."""
    return digits >= 7 and (data[at - 1] >= 0x80 or letter_before(data, first, at - 1))


@njit(nogil=True, cache=True)
def number_bits(
    data: Bytes,
    first: int,
    at: int,
    lengths: npt.NDArray[np.int64],
    signs: npt.NDArray[np.int64],
) -> int:
    """Return the kinds that the runs beginning at ``at`` can be."""
    bits = 0
    after_letter = letter_before(data, first, at)
    if after_letter and ((data[at] == 57 and lengths[0] >= 8) or _second_letter(data, first, at, lengths[0])):
        bits |= LICENCE
    if after_letter and lengths[0] == 7 and _ends(signs, 0):
        bits |= UK_PASSPORT
    if lengths[0] == 8 and (after_letter or (at > first and data[at - 1] >= 0x80)) and _ends(signs, 0):
        bits |= PASSPORT
    if at > first and is_word(data[at - 1]):
        return bits
    if lengths[0] == 9 and _ends(signs, 0):
        bits |= PASSPORT
    if _social(lengths, signs):
        bits |= SSN
        if data[at] == 57:
            bits |= ITIN
    if data[at] != 48 and data[at] != 56 and _insurance(lengths, signs):
        bits |= SIN
    if _health(lengths, signs):
        bits |= NHS
    if _card(lengths, signs) and (data[at] == 49 or 51 <= data[at] <= 54):
        bits |= CARD
    return bits


@njit(nogil=True, cache=True)
def links(byte: int) -> bool:
    """Whether a byte can part two runs of one number."""
    return byte == 32 or byte == 45 or byte == 46


@njit(nogil=True, cache=True)
def _digit_size(data: Bytes, at: int, last: int, classes: npt.NDArray[np.uint8]) -> int:
    """Bytes of the digit at ``at``, of any script; 0 when there is none."""
    if at >= last:
        return 0
    if data[at] < 0x80:
        return 1 if is_digit(data[at]) else 0
    point, size = decode(data, at, last)
    return size if classes[point] & DIGIT != 0 else 0


@njit(nogil=True, cache=True)
def cluster_end(data: Bytes, at: int, last: int, classes: npt.NDArray[np.uint8]) -> tuple[int, bool]:
    """Return the end of the digits of any script that single signs part, and whether some are not ASCII."""
    foreign = False
    end = at
    while True:
        size = _digit_size(data, at, last, classes)
        if size == 0 and at < last and links(data[at]):
            at += 1
            size = _digit_size(data, at, last, classes)
        if size == 0:
            return end, foreign
        foreign |= size > 1
        at += size
        end = at
