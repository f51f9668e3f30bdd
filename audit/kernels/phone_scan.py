"""Phone numbers in many texts at once, by the plans of some regions.

Texts are read for runs of digits and phone punctuation. Each run is searched as libphonenumber's
``PhoneNumberMatcher`` searches it, region by region; a run in which something stands that only the
library reads (extensions, vanity letters, digits of other scripts, foreign country codes) is handed back.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes, Offsets
from audit.kernels.phone_numbers import (
    Moves,
    Outputs,
    Symbols,
    ends_in_time,
    has_date,
    is_lead,
    next_split,
    piece,
    trimmed,
)
from audit.kernels.phone_symbols import FORBIDDEN, FOREIGN, MARK, NONE, PLUS
from audit.kernels.utf8 import character_start, decode

#: (n, 4) int64: row, start and stop (bytes relative to the row's first), region.
Found: TypeAlias = npt.NDArray[np.int64]
#: (r, 3) int32: where a region's automata for plain numbers and numbers after a plus sign start, and the
#: fewest digits that either needs.
Plans: TypeAlias = npt.NDArray[np.int32]

#: Output of a plan's automaton: only the library can tell (``phone_plans``).
UNDECIDED = 2
#: Symbols that can stand before a number's first digit: two leads, each with four of punctuation.
_LEADING = 10
#: Bytes between a number and its extension's digits, at most (``extensión`` with punctuation, spaces).
_EXTENSION = 64
#: ``_PUNCTUATION_LIMIT``, ``_DIGIT_BLOCK_LIMIT`` and ``_BLOCK_LIMIT``.
_PUNCTUATION, _BLOCK, _BLOCKS = 4, 20, 20


@njit(nogil=True, cache=True)
def _put(rows: Found, n: int, row: int, start: int, stop: int, region: int) -> Found:
    if n == len(rows):
        grown = np.empty((2 * n + 64, 4), np.int64)
        grown[:n] = rows
        rows = grown
    rows[n, 0], rows[n, 1], rows[n, 2], rows[n, 3] = row, start, stop, region
    return rows


@njit(nogil=True, cache=True)
def _next_digit(data: Bytes, at: int, last: int, classes: Symbols) -> int:
    """Return where the next digit of any script is; ``last`` when there is none."""
    while at < last:
        byte = data[at] + 0
        if byte < 0x80:
            if 48 <= byte <= 57:
                return at
            at += 1
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
    for _ in range(_LEADING):
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


@njit(nogil=True, cache=True)
def _candidate(symbols: Symbols, index: int) -> tuple[int, int]:
    """Return the next candidate's start and end (``_PATTERN``); start -1 when there is none."""
    digit = index
    while digit < len(symbols) and symbols[digit] > 9:
        digit += 1
    if digit == len(symbols):
        return -1, -1
    start = digit
    for at in range(digit - 1, max(index, digit - _LEADING) - 1, -1):
        if is_lead(symbols[at]) and _leads_to(symbols, at, digit):
            start = at
    return start, _candidate_end(symbols, digit)


@njit(nogil=True, cache=True)
def _leads_to(symbols: Symbols, at: int, digit: int) -> bool:
    """Whether one or two leads, each with punctuation behind it, fill the symbols before a digit."""
    if digit - at - 1 <= _PUNCTUATION and not _has_plus(symbols, at + 1, digit):
        return True
    for second in range(at + 1, min(at + _PUNCTUATION + 2, digit)):
        reaches = is_lead(symbols[second]) and digit - second - 1 <= _PUNCTUATION
        if reaches and not (_has_plus(symbols, at + 1, second) or _has_plus(symbols, second + 1, digit)):
            return True
    return False


@njit(nogil=True, cache=True)
def _has_plus(symbols: Symbols, start: int, stop: int) -> bool:
    for at in range(start, stop):  # noqa: SIM110 (Numba knows no generators)
        if symbols[at] == PLUS:
            return True
    return False


@njit(nogil=True, cache=True)
def _candidate_end(symbols: Symbols, at: int) -> int:
    blocks = 0
    while True:
        begin = at
        while at < len(symbols) and symbols[at] <= 9 and at - begin < _BLOCK:
            at += 1
        end = at
        while at < len(symbols) and symbols[at] > 9 and symbols[at] != PLUS and at - end < _PUNCTUATION:
            at += 1
        if blocks == _BLOCKS or at == len(symbols) or symbols[at] > 9:
            return end
        blocks += 1


@njit(nogil=True, cache=True)
def _match(
    symbols: Symbols,
    start: int,
    stop: int,
    edges: tuple[bool, bool, bool],
    moves: Moves,
    outputs: Outputs,
    plan: tuple[int, int],
) -> tuple[int, int, int, int]:
    """Search one candidate (``_extract_match``, ``_extract_inner_match``).

    Returns:
        0, valid or undecided; the match; and how many symbols were looked at.
    """
    around = (edges[0], edges[1])
    if has_date(symbols, start, stop):
        return 0, 0, 0, stop - start
    if edges[2] and stop == len(symbols) and ends_in_time(symbols, start, stop):
        return 0, 0, 0, stop - start
    decided = piece(symbols, start, stop, around, moves, outputs, plan)
    if decided:
        return decided, start, stop, stop - start
    steps = stop - start
    for way in range(6):
        separator, begin, end = next_split(symbols, way, start, stop)
        if separator >= 0:
            end_of_first = trimmed(symbols, start, separator)
            decided = piece(symbols, start, end_of_first, around, moves, outputs, plan)
            steps += separator - start
            if decided:
                return decided, start, end_of_first, steps
        while separator >= 0:
            end = trimmed(symbols, begin, end)
            decided = piece(symbols, begin, end, around, moves, outputs, plan)
            steps += end - begin + 1
            if decided:
                return decided, begin, end, steps
            separator, begin, end = next_split(symbols, way, separator + 1, stop)
    return 0, 0, 0, steps


@njit(nogil=True, cache=True)
def _search_run(
    symbols: Symbols,
    edges: tuple[bool, bool, bool],
    moves: Moves,
    outputs: Outputs,
    plan: tuple[int, int],
    matches: Offsets,
    budget: int,
) -> tuple[int, bool, int]:
    """Search a run for the numbers of one region.

    Args:
        matches: Receives start and stop of each number, in symbols; as long as the run or longer.
        budget: Symbols to look at.

    Returns:
        How many numbers there are, whether the library must decide, and how many symbols were looked at.
    """
    n, index, steps = 0, 0, 0
    while steps <= budget:
        start, stop = _candidate(symbols, index)
        if start < 0:
            break
        steps += stop - index
        decided, begin, end, looked = _match(symbols, start, stop, edges, moves, outputs, plan)
        steps += looked
        index = stop
        if decided == UNDECIDED:
            return n, True, steps
        if decided:
            matches[2 * n] = begin
            matches[2 * n + 1] = end
            n += 1
            index = end
    return n, False, steps


@njit(nogil=True, cache=True)
def _may_hold(
    symbols: Symbols,
    edges: tuple[bool, bool, bool],
    moves: Moves,
    outputs: Outputs,
    plan: tuple[int, int],
    matches: Offsets,
    budget: int,
) -> tuple[bool, int]:
    """Whether a run with extensions can hold a number at all; and how many symbols were looked at.

    The number stands before the mark of its extension, so a run is searched up to each mark and whole.
    """
    around = (edges[0], False, False)
    steps = 0
    for at in range(1, len(symbols) + 1):
        if at == len(symbols) or symbols[at] == MARK:
            stop = trimmed(symbols, 0, at)
            n, undecided, looked = _search_run(
                symbols[:stop], around, moves, outputs, plan, matches, budget - steps
            )
            steps += looked
            if n or undecided:
                return True, steps
            if steps > budget:
                break
    return False, steps


@njit(nogil=True, cache=True)
def scan(
    data: Bytes,
    offsets: Offsets,
    classes: Symbols,
    moves: Moves,
    outputs: Outputs,
    plans: Plans,
    budget: int,
) -> tuple[Found, Found, npt.NDArray[np.int64]]:
    """Find the phone numbers of n texts.

    Args:
        data, offsets: n UTF-8 texts.
        classes: ``phone_symbols()``.
        moves, outputs: The plans' automata, joined; state 0 accepts nothing.
        plans: Of r regions.
        budget: Symbols that may be looked at in one text, over all regions; what is beyond is not
            searched.

    Returns:
        The numbers; the runs that only the library can search, by region; and for each text how many
        symbols were looked at, more than the budget where the text was not finished.
    """
    found, n = np.empty((256, 4), np.int64), 0
    opened, m = np.empty((64, 4), np.int64), 0
    symbols, places = np.empty(256, np.uint8), np.empty(256, np.int64)
    matches = np.empty(256, np.int64)
    work = np.zeros(len(offsets) - 1, np.int64)
    least = plans[:, 2].min()
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        floor, at = first, _next_digit(data, first, last, classes)
        while at < last and work[row] <= budget:
            begin = _run_start(data, at, floor, last, classes)
            symbols, places, length, digits, foreign, floor = _read_run(
                data, begin, last, classes, symbols, places
            )
            if len(matches) < len(symbols) + 2:
                matches = np.empty(len(symbols) + 2, np.int64)
            end, extended = places[length], False
            while _may_extend(data, end, last):
                more = _next_digit(data, end, last, classes)
                if more == last or more - end > _EXTENSION:
                    break
                symbols, places, length, further, foreign, floor = _read_run(
                    data, more, last, classes, symbols, places
                )
                end, extended, digits = places[length], True, digits + further
                work[row] += length
            run = symbols[:length]
            work[row] += length
            at = _next_digit(data, floor, last, classes)
            if digits < least:
                continue
            before = begin > first and _forbids(data, _previous(data, begin, first), last, classes)
            edges = (before, _forbids(data, end, last, classes), _is_minutes(data, end, last))
            unclear = _has_mark(run)
            for region in range(len(plans)):
                if digits < plans[region, 2]:
                    continue
                plan = (plans[region, 0], plans[region, 1])
                count, ask, left = 0, foreign or extended, budget - work[row]
                if unclear and not ask:
                    ask, steps = _may_hold(run, edges, moves, outputs, plan, matches, left)
                    work[row] += steps
                elif not ask:
                    count, ask, steps = _search_run(run, edges, moves, outputs, plan, matches, left)
                    work[row] += steps
                if ask:
                    opened = _put(opened, m, row, begin - first, end - first, region)
                    m += 1
                    continue
                for k in range(0, 2 * count, 2):
                    start, stop = places[matches[k]] - first, places[matches[k + 1]] - first
                    found = _put(found, n, row, start, stop, region)
                    n += 1
    return found[:n].copy(), opened[:m].copy(), work


@njit(nogil=True, cache=True)
def _has_mark(symbols: Symbols) -> bool:
    for symbol in symbols:  # noqa: SIM110
        if symbol == MARK:
            return True
    return False
