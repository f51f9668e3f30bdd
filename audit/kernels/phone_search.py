"""The phone numbers of one run, by the plan of one region.

The functions follow libphonenumber's ``PhoneNumberMatcher`` step by step on symbols (``phone_symbols``).
Each counts the symbols that it looks at, so that its work can be bounded.
"""

from __future__ import annotations

from numba import njit

from audit.kernels.buffers import Offsets
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
from audit.kernels.phone_runs import LEADING
from audit.kernels.phone_symbols import MARK, PLUS

#: Output of a plan's automaton: only the library can tell (``phone_plans``).
UNDECIDED = 2
#: ``_PUNCTUATION_LIMIT``, ``_DIGIT_BLOCK_LIMIT`` and ``_BLOCK_LIMIT``.
_PUNCTUATION, _BLOCK, _BLOCKS = 4, 20, 20


@njit(nogil=True, cache=True)
def _candidate(symbols: Symbols, index: int) -> tuple[int, int]:
    """Return the next candidate's start and end (``_PATTERN``); start -1 when there is none."""
    digit = index
    while digit < len(symbols) and symbols[digit] > 9:
        digit += 1
    if digit == len(symbols):
        return -1, -1
    start = digit
    for at in range(digit - 1, max(index, digit - LEADING) - 1, -1):
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
def search_run(
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
def may_hold(
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
    steps, stop, searched = 0, 0, 0
    for at in range(len(symbols) + 1):
        if at < len(symbols) and symbols[at] <= 9:
            stop = at + 1
        elif (at == len(symbols) or symbols[at] == MARK) and stop > searched:
            searched = stop
            n, undecided, looked = search_run(
                symbols[:stop], around, moves, outputs, plan, matches, budget - steps
            )
            steps += looked
            if n or undecided:
                return True, steps
            if steps > budget:
                break
    return False, steps


@njit(nogil=True, cache=True)
def has_mark(symbols: Symbols) -> bool:
    """Whether something stands in a run that may begin an extension."""
    for symbol in symbols:  # noqa: SIM110
        if symbol == MARK:
            return True
    return False
