"""One pass over a batch that finds where the usual identifiers can be.

Only a byte that an identifier cannot be without (a digit, ``@``, ``:``, ``-``, ``.``, the lead byte of
digits of other scripts) is looked at; ``audit.kernels.identifier_shapes`` says what may stand there. A window
holds every match of its kind's pattern whole, with the characters beside it that the pattern looks at, and
windows of one group that touch are one: so a recogniser that reads the windows finds what it finds in the
whole text.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes, Offsets
from audit.kernels.candidates import ADDRESS_REACH, left_edge, right_edge
from audit.kernels.identifier_numbers import ALL_NUMBERS, cluster_end, links, number_bits, runs_from
from audit.kernels.identifier_places import FEWEST, LEADS, after, flag_places, matters, next_flag
from audit.kernels.identifier_shapes import (
    WALLET_LENGTH,
    address_end,
    alphanumeric_size,
    hex_span,
    iban_end,
    is_address,
    is_digit,
    is_hex,
    is_iban,
    is_ipv4,
    is_letter,
    is_mac,
    is_wallet,
    letter_before,
    mbi_end,
    nino_end,
)
from audit.kernels.utf8 import character_past, characters_back

#: (n, 5) int64: row, start and stop in bytes of the row, group, kinds as bits; in order of row, and within
#: a row and group sorted and disjoint.
Shaped: TypeAlias = npt.NDArray[np.int64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Groups of windows.
NUMBER, WALLET, IBAN, IP, MAC, EMAIL, NINO, MBI = range(8)
_GROUPS = 8

#: Windows that one place can add.
_MOST_AT_ONCE = 10
#: Characters before a number that a pattern reads: two letters, and what stands before them.
_BEFORE = 3
#: Bytes of the longest MAC address.
_MAC_BYTES = 17

#: What the pass remembers, in one array: windows so far; the row; where the digits that go on here
#: began; how far wallets, IPv6 addresses and digits of other scripts were seen.
_COUNT, _ROW, _CLUSTER, _WALLET_END, _SPAN_END, _FOREIGN_END = range(6)
#: After these, the latest window of each group.
_LATEST = 6


@njit(nogil=True, cache=True)
def _emit(out: Shaped, seen: Integers, start: int, stop: int, group: int, bits: int) -> None:
    """Append a window, or widen the group's last one where they touch."""
    k, n = seen[_LATEST + group], seen[_COUNT]
    if k >= 0 and start <= out[k, 2]:
        out[k, 1] = min(out[k, 1], start)
        out[k, 2] = max(out[k, 2], stop)
        out[k, 4] |= bits
        return
    out[n, 0], out[n, 1], out[n, 2], out[n, 3], out[n, 4] = seen[_ROW], start, stop, group, bits
    seen[_LATEST + group] = n
    seen[_COUNT] = n + 1


@njit(nogil=True, cache=True)
def _grown(out: Shaped, n: int) -> Shaped:
    grown = np.empty((2 * len(out), 5), np.int64)
    grown[:n] = out[:n]
    return grown


@njit(nogil=True, cache=True)
def _wallet(data: Bytes, first: int, at: int, last: int, out: Shaped, seen: Integers) -> None:
    """Look for a wallet address among the letters and digits around ``at``: 1 or 3, and 25 after it."""
    byte = data[at + WALLET_LENGTH - 1]
    if byte < 0x80 and not (is_digit(byte) or is_letter(byte)):
        return
    stop = at
    size = alphanumeric_size(data, stop, last)
    while size:
        stop += size
        size = alphanumeric_size(data, stop, last)
    seen[_WALLET_END] = stop
    if is_wallet(data, at, stop):
        start = at
        while start > first and (is_letter(data[start - 1]) or is_digit(data[start - 1])):
            start -= 1
        _emit(out, seen, start - first, stop - first, WALLET, 1)


@njit(nogil=True, cache=True)
def _foreign(
    data: Bytes, first: int, at: int, last: int, classes: npt.NDArray[np.uint8], out: Shaped, seen: Integers
) -> None:
    """Take a number with digits of another script for everything."""
    end, foreign = cluster_end(data, at, last, classes)
    seen[_FOREIGN_END] = end
    if not foreign:
        return
    start, stop = (
        characters_back(data, first, min(at, seen[_CLUSTER]), _BEFORE),
        character_past(data, end, last),
    )
    _emit(out, seen, start - first, stop - first, NUMBER, ALL_NUMBERS)


@njit(nogil=True, cache=True)
def _runs(data: Bytes, first: int, at: int, last: int, runs: Integers, out: Shaped, seen: Integers) -> None:
    """Look at the runs of digits that begin at ``at``; ``runs`` is scratch space."""
    lengths, signs = runs[:4], runs[4:]
    end = runs_from(data, at, last, lengths, signs)
    bits = number_bits(data, first, at, lengths, signs)
    if bits:
        start, stop = characters_back(data, first, seen[_CLUSTER], _BEFORE), character_past(data, end, last)
        _emit(out, seen, start - first, stop - first, NUMBER, bits)
    if is_ipv4(data, first, at, lengths, signs):
        masked = end < last and data[end] == 47
        stop = address_end(data, end, last) if masked else character_past(data, end, last)
        _emit(out, seen, characters_back(data, first, seen[_CLUSTER], 1) - first, stop - first, IP, 1)


@njit(nogil=True, cache=True)
def _number(
    data: Bytes,
    first: int,
    at: int,
    run: int,
    last: int,
    classes: npt.NDArray[np.uint8],
    runs: Integers,
    out: Shaped,
    seen: Integers,
) -> None:
    """Look at a run of ASCII digits, from ``at`` to ``run``."""
    beside = after(data, run, last)
    beyond = after(data, run + 1, last) if links(beside) else 0
    if run - at >= FEWEST or is_digit(beyond):
        _runs(data, first, at, last, runs, out, seen)
    if (beside >= 0x80 or beyond >= 0x80) and at >= seen[_FOREIGN_END]:
        _foreign(data, first, at, last, classes, out, seen)
    if at >= seen[_WALLET_END] and at + WALLET_LENGTH <= last:
        _wallet(data, first, at, last, out, seen)
    _lettered(data, first, at, last, out, seen)
    if run - at > 1 and is_iban(data, first, at, last):
        start, stop = (
            characters_back(data, first, at, _BEFORE),
            character_past(data, iban_end(data, at, last), last),
        )
        _emit(out, seen, start - first, stop - first, IBAN, 1)


@njit(nogil=True, cache=True)
def _lettered(data: Bytes, first: int, at: int, last: int, out: Shaped, seen: Integers) -> None:
    """Look for identifiers of both letters and digits that have their first digit at ``at``."""
    end = nino_end(data, first, at, last)
    if end >= 0:
        start, stop = characters_back(data, first, at, _BEFORE + 1), character_past(data, end, last)
        _emit(out, seen, start - first, stop - first, NINO, 1)
    end = mbi_end(data, at, last)
    if end >= 0:
        start, stop = characters_back(data, first, at, 1), character_past(data, end, last)
        _emit(out, seen, start - first, stop - first, MBI, 1)


@njit(nogil=True, cache=True)
def _address(data: Bytes, first: int, at: int, last: int, out: Shaped, seen: Integers) -> None:
    if is_address(data, first, at, last):
        start = left_edge(data, first, at, ADDRESS_REACH)
        stop = right_edge(data, last, at + 1, ADDRESS_REACH)
        _emit(out, seen, start - first, stop - first, EMAIL, 1)


@njit(nogil=True, cache=True)
def _is_parting(data: Bytes, at: int, last: int) -> bool:
    """Whether a sign comes again where the next group of a MAC or IPv6 address would end."""
    byte = data[at]
    if byte == 45 or byte == 46:
        again = at + (5 if byte == 46 else 3)
        return again < last and data[again] == byte
    if byte != 58:
        return False
    if at + 1 >= last:
        return False
    return data[at + 1] == 58 or is_hex(data[at + 1])


@njit(nogil=True, cache=True)
def _sign(data: Bytes, first: int, at: int, last: int, out: Shaped, seen: Integers) -> None:
    """Look at a colon, hyphen or dot."""
    if is_mac(data, first, at, last):
        start = at - (4 if data[at] == 46 else 2)
        stop = character_past(data, min(last, start + _MAC_BYTES), last)
        start = characters_back(data, first, start, 1)
        _emit(out, seen, start - first, stop - first, MAC, 1)
    if data[at] == 58 and at >= seen[_SPAN_END]:
        start, end, plausible = hex_span(data, first, at, last)
        seen[_SPAN_END] = end
        if plausible:
            start, stop = characters_back(data, first, start, 1), address_end(data, end, last)
            _emit(out, seen, start - first, stop - first, IP, 1)


@njit(nogil=True, cache=True)
def _begin(row: int, first: int, seen: Integers) -> None:
    seen[_ROW] = row
    seen[_CLUSTER], seen[_WALLET_END], seen[_SPAN_END], seen[_FOREIGN_END] = first, first, first, first
    seen[_LATEST:] = -1


@njit(nogil=True, cache=True)
def scan_identifiers(data: Bytes, offsets: Offsets, classes: npt.NDArray[np.uint8]) -> Shaped:
    """Find the windows in which the usual identifiers can be.

    Args:
        data, offsets: n UTF-8 texts (``buffers.string_buffers``).
        classes: ``character_classes()``.
    """
    out, runs = np.empty((1024, 5), np.int64), np.empty(8, np.int64)
    seen = np.zeros(_LATEST + _GROUPS, np.int64)
    flags = flag_places(data)
    words = flags.view(np.uint64)
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        if first == last:
            continue
        _begin(row, first, seen)
        flags[first] = 1  # what stands before it is another text
        at, run = next_flag(flags, words, first, last), first - 2
        while at < last:
            if seen[_COUNT] + _MOST_AT_ONCE > len(out):
                out = _grown(out, seen[_COUNT])
            byte = data[at]
            if is_digit(byte):
                if at != run + 1 or not links(data[at - 1]):
                    seen[_CLUSTER] = at
                start, run = at, at + 1
                while run < last and is_digit(data[run]):
                    run += 1
                if matters(data, first, start, run, last, seen[_WALLET_END]):
                    _number(data, first, start, run, last, classes, runs, out, seen)
                at = run - 1
            elif byte == 64:
                _address(data, first, at, last, out, seen)
            elif byte < 0x80:
                if _is_parting(data, at, last):
                    _sign(data, first, at, last, out, seen)
            elif LEADS[byte] and at >= seen[_FOREIGN_END] and letter_before(data, first, at):
                _foreign(data, first, at, last, classes, out, seen)
            at = next_flag(flags, words, at + 1, last)
    return out[: seen[_COUNT]].copy()
