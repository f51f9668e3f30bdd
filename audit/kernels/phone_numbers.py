"""One candidate for a phone number: is it one, as a whole or in part, in a region's plan?

The functions follow libphonenumber's ``PhoneNumberMatcher`` step by step on symbols
(``phone_symbols``); the expressions that they stand for are named.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.phone_symbols import (
    CLOSING,
    DOT,
    HYPHEN,
    OPENING,
    OTHER_SPACE,
    PLUS,
    ROUND,
    SLASH,
    SPACE,
    WIDE_HYPHEN,
)

Symbols: TypeAlias = npt.NDArray[np.uint8]
Moves: TypeAlias = npt.NDArray[np.int32]
Outputs: TypeAlias = npt.NDArray[np.uint8]

#: ``phonenumbers.parse`` refuses longer strings.
LONGEST = 250
#: State of a joined table from which nothing is accepted.
DEAD = 0


@njit(nogil=True, cache=True)
def _is_space(symbol: int) -> bool:
    return symbol in (SPACE, OTHER_SPACE)


@njit(nogil=True, cache=True)
def _is_opening(symbol: int) -> bool:
    return symbol in (ROUND, OPENING)


@njit(nogil=True, cache=True)
def _is_parenthesis(symbol: int) -> bool:
    return symbol in (ROUND, OPENING, CLOSING)


@njit(nogil=True, cache=True)
def is_lead(symbol: int) -> bool:
    """Whether a symbol may begin a number: a bracket or a plus sign (``_LEAD_CLASS``)."""
    return symbol in (ROUND, OPENING, PLUS)


@njit(nogil=True, cache=True)
def has_date(symbols: Symbols, start: int, stop: int) -> bool:
    """Whether a candidate holds a date with slashes (``_SLASH_SEPARATED_DATES``)."""
    for at in range(start + 1, stop - 4):
        if symbols[at] != SLASH or symbols[at - 1] > 9 or symbols[at + 1] > 9:
            continue
        second = at + 2
        if symbols[second] <= 9 and symbols[at + 1] <= 3:
            second += 1
        ends = second + 2 < stop and symbols[second] == SLASH
        if ends and symbols[second + 1] <= 9 and symbols[second + 2] <= 9:
            return True
    return False


@njit(nogil=True, cache=True)
def ends_in_time(symbols: Symbols, start: int, stop: int) -> bool:
    """Whether a candidate ends with a date and an hour (``_TIME_STAMPS``)."""
    at = stop - 1
    if at - start < 8 or symbols[at] > 9 or symbols[at - 1] > 2 or symbols[at - 2] != SPACE:
        return False
    at -= 2
    while at >= start and symbols[at] == SPACE:
        at -= 1
    for most in (3, 1):  # the tens of the day, then of the month
        if at - 1 < start or symbols[at] > 9 or symbols[at - 1] > most:
            return False
        at -= 2
        if at >= start and (symbols[at] == HYPHEN or symbols[at] == SLASH):
            at -= 1
    if at - 3 < start or symbols[at - 3] < 1 or symbols[at - 3] > 2:
        return False
    return bool(symbols[at] <= 9 and symbols[at - 1] <= 9 and symbols[at - 2] <= 9)


@njit(nogil=True, cache=True)
def _brackets_match(symbols: Symbols, start: int, stop: int) -> bool:
    """``_MATCHING_BRACKETS``: the first may be lone; then at most three pairs, never nested."""
    at = start + 1 if start < stop and _is_opening(symbols[start]) else start
    inside = _skip(symbols, at, stop)
    if inside == at:
        return False
    at = inside
    if at < stop and symbols[at] == CLOSING:
        inside = _skip(symbols, at + 1, stop)
        if inside == at + 1:
            return False
        at = inside
    for _ in range(3):
        if at == stop or not _is_opening(symbols[at]):
            break
        inside = _skip(symbols, at + 1, stop)
        if inside == at + 1 or inside == stop or symbols[inside] != CLOSING:
            return False
        at = inside + 1
    return _skip(symbols, at, stop) == stop


@njit(nogil=True, cache=True)
def _skip(symbols: Symbols, at: int, stop: int) -> int:
    while at < stop and not _is_parenthesis(symbols[at]):
        at += 1
    return at


@njit(nogil=True, cache=True)
def _is_page_reference(symbols: Symbols, start: int, stop: int) -> bool:
    """``_PUB_PAGES``: as in 211-227 (2003)."""
    for bracket in range(start + 3, stop - 1):
        if symbols[bracket] != ROUND or symbols[bracket + 1] > 9:
            continue
        at = bracket - 1
        while at > start and bracket - 1 - at < 4 and _is_space(symbols[at]):
            at -= 1
        digits = at
        while at > start and symbols[at] <= 9 and digits - at < 5:
            at -= 1
        if at == digits or symbols[at] != HYPHEN:
            continue
        while at > start and symbols[at] == HYPHEN:
            at -= 1
        if symbols[at] <= 9:
            return True
    return False


@njit(nogil=True, cache=True)
def decide(
    symbols: Symbols, start: int, stop: int, moves: Moves, outputs: Outputs, plain: int, plus: int
) -> int:
    """Return what a plan says of the digits of a piece (``parse``, ``is_valid_number`` and so on).

    Args:
        symbols: Of a run; the piece is from ``start`` to ``stop``.
        moves, outputs: The plans' joined automata.
        plain, plus: Where the region's automata start.
    """
    if stop - start > LONGEST:
        return 0
    at = start
    while at < stop and symbols[at] > 9 and symbols[at] != PLUS:
        at += 1
    state, begin = plain, at
    while at < stop and symbols[at] == PLUS:
        state = plus
        at += 1
    digits = 0
    for k in range(at, stop):
        if symbols[k] == PLUS:
            return 0
        if symbols[k] <= 9:
            digits += 1
            state = moves[state, symbols[k]]
            if state == DEAD:
                return 0
    if digits < 2 or (digits == 2 and stop - begin > 2):
        return 0
    return int(outputs[state])


@njit(nogil=True, cache=True)
def piece(
    symbols: Symbols,
    start: int,
    stop: int,
    edges: tuple[bool, bool],
    moves: Moves,
    outputs: Outputs,
    plan: tuple[int, int],
) -> int:
    """Return what ``_parse_and_verify`` says of a piece: 0, valid, or undecided.

    Args:
        symbols: Of a whole run.
        start, stop: The piece.
        edges: Whether the characters before and after the run forbid a number beside them.
        moves, outputs: The plans' joined automata.
        plan: Where the region's automata start.
    """
    if stop <= start:
        return 0
    if start == 0 and edges[0] and not is_lead(symbols[start]):
        return 0
    if stop == len(symbols) and edges[1]:
        return 0
    decided = decide(symbols, start, stop, moves, outputs, plan[0], plan[1])
    if decided == 0 or not _brackets_match(symbols, start, stop):
        return 0
    return 0 if _is_page_reference(symbols, start, stop) else decided


@njit(nogil=True, cache=True)
def trimmed(symbols: Symbols, start: int, stop: int) -> int:
    """Return the end of a piece without the punctuation at its end (``_UNWANTED_END_CHAR_PATTERN``)."""
    while stop > start and symbols[stop - 1] > 9:
        stop -= 1
    return stop


@njit(nogil=True, cache=True)
def next_split(symbols: Symbols, way: int, at: int, stop: int) -> tuple[int, int, int]:
    """Return where the next separator of a way to split begins, and the piece behind it.

    The ways are ``_INNER_MATCHES``: slashes, brackets, hyphens beside spaces, wide hyphens, dots, spaces.
    The separator is -1 when there is none.
    """
    while at < stop and not _is_separator(symbols, way, at, stop):
        at += 1
    if at >= stop:
        return -1, stop, stop
    begin = at
    if way == 0:
        while begin < stop and symbols[begin] == SLASH:
            begin += 1
        return at, begin, stop
    if way == 1:
        return at, at, _until(symbols, way, at + 1, stop)
    begin += 2 if way == 2 else 1
    if way == 4:
        while begin < stop and symbols[begin] == DOT:
            begin += 1
    while begin < stop and _is_space(symbols[begin]):
        begin += 1
    end = stop if way == 2 or way == 3 else _until(symbols, way, begin, stop)
    return at, begin, end


@njit(nogil=True, cache=True)
def _is_separator(symbols: Symbols, way: int, at: int, stop: int) -> bool:
    symbol = symbols[at]
    if way == 0:
        return bool(symbol == SLASH)
    if way == 1:
        return bool(symbol == ROUND)
    if way == 3:
        return bool(symbol == WIDE_HYPHEN)
    if way == 4:
        return bool(symbol == DOT)
    if way == 5:
        return _is_space(symbol)
    if at + 1 >= stop:
        return False
    after = symbols[at + 1]
    return (_is_space(symbol) and after == HYPHEN) or (symbol == HYPHEN and _is_space(after))


@njit(nogil=True, cache=True)
def _until(symbols: Symbols, way: int, at: int, stop: int) -> int:
    while at < stop and not _is_separator(symbols, way, at, stop):
        at += 1
    return at
