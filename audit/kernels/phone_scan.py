"""Phone numbers in many texts at once, by the plans of some regions.

Texts are read for runs of digits and phone punctuation (``phone_runs``). Each run is searched as
libphonenumber's ``PhoneNumberMatcher`` searches it, region by region (``phone_search``); a run in which
something stands that only the library reads (extensions, vanity letters, digits of other scripts, foreign
country codes) is handed back. What each text costs is counted, and a text that costs too much is left.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes, Offsets
from audit.kernels.phone_numbers import Moves, Outputs, Symbols
from audit.kernels.phone_runs import edges, next_digit, read_whole_run
from audit.kernels.phone_search import has_mark, may_hold, search_run

#: (n, 4) int64: row, start and stop (bytes relative to the row's first), region.
Found: TypeAlias = npt.NDArray[np.int64]
#: (r, 3) int32: where a region's automata for plain numbers and numbers after a plus sign start, and the
#: fewest digits that either needs.
Plans: TypeAlias = npt.NDArray[np.int32]
#: (n, 3) int64: what each text cost, by ``STEPS``, ``LIBRARY`` and ``NUMBERS``.
Work: TypeAlias = npt.NDArray[np.int64]

#: Columns of the work: symbols looked at, bytes for the library to read, numbers found; over all regions.
STEPS, LIBRARY, NUMBERS = 0, 1, 2
#: Bytes kept behind a run for the library, for its extension; counted with the run.
TAIL = 80


@njit(nogil=True, cache=True)
def _put(rows: Found, n: int, row: int, start: int, stop: int, region: int) -> Found:
    if n == len(rows):
        grown = np.empty((2 * n + 64, 4), np.int64)
        grown[:n] = rows
        rows = grown
    rows[n, 0], rows[n, 1], rows[n, 2], rows[n, 3] = row, start, stop, region
    return rows


@njit(nogil=True, cache=True)
def _within(spent: Offsets, limits: Offsets) -> bool:
    return bool(
        spent[STEPS] <= limits[STEPS]
        and spent[LIBRARY] <= limits[LIBRARY]
        and spent[NUMBERS] <= limits[NUMBERS]
    )


@njit(nogil=True, cache=True)
def _search(
    run: Symbols,
    known: tuple[bool, bool],
    around: tuple[bool, bool, bool],
    moves: Moves,
    outputs: Outputs,
    plan: tuple[int, int],
    matches: Offsets,
    budget: int,
) -> tuple[int, bool, int]:
    """Search a run for one region.

    Args:
        run: Its symbols.
        known: Whether only the library reads it, and whether marks of extensions are in it.
        around: ``edges``.
        moves, outputs: The plans' automata, joined.
        plan: Where the region's start.
        matches: Receives start and stop of each number, in symbols.
        budget: Symbols to look at.

    Returns:
        How many numbers there are, whether the library must decide, and how many symbols were looked at.
    """
    if known[0]:
        return 0, True, 0
    if known[1]:
        ask, steps = may_hold(run, around, moves, outputs, plan, matches, budget)
        return 0, ask, steps
    return search_run(run, around, moves, outputs, plan, matches, budget)


@njit(nogil=True, cache=True)
def scan(
    data: Bytes,
    offsets: Offsets,
    classes: Symbols,
    moves: Moves,
    outputs: Outputs,
    plans: Plans,
    limits: Offsets,
) -> tuple[Found, Found, Work]:
    """Find the phone numbers of n texts.

    Args:
        data, offsets: n UTF-8 texts.
        classes: ``phone_symbols()``.
        moves, outputs: The plans' automata, joined; state 0 accepts nothing.
        plans: Of r regions.
        limits: 3 int64: what one text may cost, by ``STEPS``, ``LIBRARY`` and ``NUMBERS``.

    Returns:
        The numbers; the runs that only the library can search, by region; and the work, over a limit
        where a text was left before its end.
    """
    found, n = np.empty((256, 4), np.int64), 0
    opened, m = np.empty((64, 4), np.int64), 0
    symbols, places = np.empty(256, np.uint8), np.empty(256, np.int64)
    matches = np.empty(256, np.int64)
    work = np.zeros((len(offsets) - 1, 3), np.int64)
    least = plans[:, 2].min()
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        spent, floor = work[row], first
        at = next_digit(data, first, last, classes)
        while at < last and _within(spent, limits):
            symbols, places, (length, digits, read, floor, asks) = read_whole_run(
                data, at, floor, last, classes, symbols, places
            )
            spent[STEPS] += read
            at = next_digit(data, floor, last, classes)
            if digits < least:
                continue
            if len(matches) < len(symbols) + 2:
                matches = np.empty(len(symbols) + 2, np.int64)
            run = symbols[:length]
            start, stop = places[0], places[length]
            around = edges(data, first, start, stop, last, classes)
            known = (asks, not asks and has_mark(run))
            for region in range(len(plans)):
                if digits < plans[region, 2]:
                    continue
                plan, left = (plans[region, 0], plans[region, 1]), limits[STEPS] - spent[STEPS]
                count, ask, steps = _search(run, known, around, moves, outputs, plan, matches, left)
                spent[STEPS] += steps
                if ask:
                    spent[LIBRARY] += stop - start + TAIL
                    if spent[LIBRARY] <= limits[LIBRARY]:
                        opened = _put(opened, m, row, start - first, stop - first, region)
                        m += 1
                    continue
                spent[NUMBERS] += count
                for k in range(count - max(0, spent[NUMBERS] - limits[NUMBERS])):
                    begin, end = places[matches[2 * k]] - first, places[matches[2 * k + 1]] - first
                    found = _put(found, n, row, begin, end, region)
                    n += 1
    return found[:n].copy(), opened[:m].copy(), work
