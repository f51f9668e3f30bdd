"""Phone numbers in texts, as Presidio's recogniser finds them, without a call for each candidate.

libphonenumber's metadata is compiled into automata (``phone_plans``) and its search into a native pass
(``kernels.phone_scan``). ``phonenumbers`` itself reads only the runs that the pass hands back: with
extensions, vanity letters, digits of other scripts or a foreign country code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import phonenumbers

from audit.kernels.buffers import Bytes, Offsets
from audit.kernels.phone_numbers import DEAD, Moves, Outputs
from audit.kernels.phone_scan import TAIL, Found, Plans, Work, scan
from audit.kernels.phone_symbols import phone_symbols
from audit.pii.digit_automata import Automaton, nothing, of_lengths, shortest
from audit.pii.phone_plan_cache import plan_of
from audit.pii.phone_plans import UNDECIDED, Plan

#: ``Leniency.VALID``, Presidio's choice.
LENIENCY = 1
#: Symbols that are looked at in one text, over all regions: some tenths of a second.
MAX_STEPS = 50_000_000
#: Bytes of one text that ``phonenumbers`` itself reads, over all regions: two seconds at worst.
MAX_LIBRARY_BYTES = 100_000
#: Numbers of one text, over all regions.
MAX_NUMBERS = 20_000

#: The plan where there is no other: whatever has three digits and not too many is asked.
_LONG_ENOUGH = of_lengths(range(3, 40))
_ALWAYS_ASKED = Automaton(_LONG_ENOUGH.moves, _LONG_ENOUGH.outputs * np.uint8(UNDECIDED))


@dataclass(frozen=True)
class Tables:
    """Regions' plans as the scan reads them."""

    moves: Moves
    outputs: Outputs
    plans: Plans


@cache
def tables(regions: tuple[str | None, ...]) -> Tables:
    """Join the automata of some regions; None stands for no region."""
    moves, outputs = [np.zeros((1, 10), np.int32)], [np.zeros(1, np.uint8)]
    plans: list[list[int]] = []
    size = 1
    for region in regions:
        plan = _plan(region)
        starts: list[int] = []
        for automaton in (plan.plain, plan.plus):
            starts.append(size)
            moves.append(np.where(_alive(automaton)[automaton.moves], automaton.moves + size, DEAD))
            outputs.append(automaton.outputs)
            size += len(automaton.outputs)
        plans.append([*starts, min(shortest(plan.plain), shortest(plan.plus))])
    return Tables(np.concatenate(moves).astype(np.int32), np.concatenate(outputs), np.array(plans, np.int32))


def _plan(region: str | None) -> Plan:
    """Return a region's plan; one that cannot be compiled is always asked, as all numbers without region."""
    if region is None:
        return Plan(nothing(), _ALWAYS_ASKED)
    return plan_of(region) or Plan(_ALWAYS_ASKED, _ALWAYS_ASKED)


def _alive(automaton: Automaton) -> npt.NDArray[np.bool_]:
    """Return the states from which something is still accepted."""
    alive = automaton.outputs > 0
    while True:
        wider = alive | alive[automaton.moves].any(axis=1)
        if (wider == alive).all():
            return alive
        alive = wider


@dataclass(frozen=True)
class PhoneNumbers:
    """What a search of n texts found.

    Attributes:
        spans: (m, 3) int64: row, start, stop (bytes relative to the row's first); sorted, without those
            that lie within another.
        over: n flags: the search was left before the text's end because a budget was spent; the spans
            are those found until then.
        work: (n, 3) int64: symbols looked at, bytes for ``phonenumbers`` to read, numbers found.
        asked: Runs that ``phonenumbers`` itself read, counted once a region.
    """

    spans: npt.NDArray[np.int64]
    over: npt.NDArray[np.bool_]
    work: Work
    asked: int


def search(
    data: Bytes,
    offsets: Offsets,
    regions: Sequence[str],
    *,
    max_steps: int = MAX_STEPS,
    max_library_bytes: int = MAX_LIBRARY_BYTES,
    max_numbers: int = MAX_NUMBERS,
) -> PhoneNumbers:
    """Find the phone numbers of n texts.

    Args:
        data, offsets: n UTF-8 texts (``buffers.string_buffers``).
        regions: Whose numbers are read without a country code. Without any, numbers with a plus sign
            are read.
        max_steps: Symbols looked at in one text; the run that crosses the limit is the last.
        max_library_bytes: Bytes of one text that ``phonenumbers`` reads, with what is kept behind a run.
        max_numbers: Numbers of one text, those of each region counted.
    """
    chosen: tuple[str | None, ...] = tuple(regions) or (None,)
    joined = tables(chosen)
    limits = np.array([max_steps, max_library_bytes, max_numbers], np.int64)
    found, opened, work = scan(
        data, offsets, phone_symbols(), joined.moves, joined.outputs, joined.plans, limits
    )
    spans = [found[:, :3], *_ask(data, offsets, opened, chosen)]
    over: npt.NDArray[np.bool_] = np.any(work > limits, axis=1)
    return PhoneNumbers(_outermost(np.concatenate(spans)), over, work, len(opened))


def _ask(
    data: Bytes, offsets: Offsets, opened: Found, regions: Sequence[str | None]
) -> Iterator[npt.NDArray[np.int64]]:
    """Let ``phonenumbers`` search runs; once it takes all of a run, other regions can add nothing."""
    whole: tuple[int, int] | None = None
    for row, start, stop, region in opened.tolist():
        if whole == (row, start):
            continue
        first, last = int(offsets[row]), int(offsets[row + 1])
        begin = max(first, first + start - 4)
        head = data[begin : first + start].tobytes().decode("utf-8", "ignore")[-1:]
        run = data[first + start : first + stop].tobytes().decode("utf-8", "replace")
        tail = data[first + stop : min(last, first + stop + TAIL)].tobytes().decode("utf-8", "ignore")
        text = head + run + tail
        # The library's own limit of broken numbers would end a search unseen; the bytes are bounded.
        matcher = phonenumbers.PhoneNumberMatcher(
            text, regions[region], leniency=LENIENCY, max_tries=len(text)
        )
        for match in matcher:
            if match.start >= len(head) + len(run):
                break
            if match.start == len(head) and match.end >= len(head) + len(run):
                whole = (row, start)
            at = start + len(text[len(head) : match.start].encode())
            yield np.array([[row, at, at + len(text[match.start : match.end].encode())]], np.int64)


def _outermost(spans: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sort spans and drop those within another of the same row (Presidio's ``remove_duplicates``)."""
    spans = spans[np.lexsort((-spans[:, 2], spans[:, 1], spans[:, 0]))]
    width = int(spans[:, 2].max(initial=0)) + 1
    reached = np.maximum.accumulate(spans[:, 0] * width + spans[:, 2])
    kept = np.ones(len(spans), np.bool_)
    kept[1:] = reached[1:] > reached[:-1]
    return spans[kept]
