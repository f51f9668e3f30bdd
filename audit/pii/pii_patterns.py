"""Raw hits of recognisers that are data (``audit.pii.pii_recognisers``) in a batch of texts.

One pass finds the literals of all recognisers. The surroundings of a recogniser's literals are copied
together and searched by RE2 in one call, so that text without literals costs the pass alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.kernels.anchors import Anchors, Places, find_anchors, prepare
from audit.kernels.buffers import Bytes, Offsets, string_buffers
from audit.kernels.candidates import Windows, code_points_before
from audit.kernels.gathering import SEPARATOR, gather, windows_around
from audit.pii.pii_budget import Budget, Over, window_bytes
from audit.pii.pii_checks import CHECKS
from audit.pii.pii_recognisers import Recogniser, compile_pattern, program_size
from audit.pii.spans import Span

#: Code points of context that a hit carries, as for Presidio's.
CONTEXT_REACH = 120


class PatternHit(NamedTuple):
    """A span that a recogniser found: row, code points in it, the value, and 120 code points before it."""

    row: int
    span: Span
    recogniser: Recogniser
    value: str
    before: str


@dataclass(frozen=True)
class _Column:
    texts: pa.Array
    data: Bytes
    offsets: Offsets

    def everything(self, rows: npt.NDArray[np.int64]) -> Windows:
        sizes = np.diff(self.offsets)[rows]
        return np.stack([rows, np.zeros_like(rows), sizes], axis=1)


def search_patterns(
    texts: pa.Array, recognisers: tuple[Recogniser, ...], budget: Budget
) -> tuple[list[PatternHit], Over]:
    """Find raw hits, and the texts that were not searched because a kind's budget is spent.

    Args:
        texts: n texts, without nulls.
        recognisers: Whom to ask.
        budget: ``max_bytes`` around a kind's literals and ``max_pattern_steps``. Recognisers without
            literals read whole texts, of which only the steps count.

    Returns:
        The hits, and by kind n flags, true where a text was not searched.
    """
    column = _Column(texts, *string_buffers(texts))
    windows = _windows(column, recognisers)
    over = _over(column, recognisers, windows, budget)
    hits: list[PatternHit] = []
    for each, found in zip(recognisers, windows, strict=True):
        if found is None:
            rows = _candidates(texts, each, ~over[each.kind])
            hits += _hits(column, each, column.everything(rows))
        else:
            hits += _hits(column, each, found[~over[each.kind][found[:, 0]]])
    return hits, over


def _windows(column: _Column, recognisers: tuple[Recogniser, ...]) -> list[Windows | None]:
    """Windows around each recogniser's literals; None where it has none."""
    places = find_anchors(column.data, column.offsets, _anchors(recognisers))
    owners = np.array([owner for owner, _, _ in _literals(recognisers)], np.int64)
    present = owners[places[:, 2]]
    found: list[Windows | None] = []
    owner = 0
    for each in recognisers:
        if not (each.anchors or each.words):
            found.append(None)
            continue
        own = places[present == owner] if len(places) else places
        found.append(
            windows_around(column.data, column.offsets, _sorted(own), each.before, each.after)
            if len(own)
            else np.empty((0, 3), np.int64)
        )
        owner += 1
    return found


def _over(
    column: _Column,
    recognisers: tuple[Recogniser, ...],
    windows: Sequence[Windows | None],
    budget: Budget,
) -> dict[str, npt.NDArray[np.bool_]]:
    """Where a kind's budget is spent, over all its recognisers."""
    sizes = np.diff(column.offsets)
    read = {each.kind: np.zeros(len(sizes), np.int64) for each in recognisers}
    steps = {each.kind: np.zeros(len(sizes), np.int64) for each in recognisers}
    for each, found in zip(recognisers, windows, strict=True):
        if found is not None and not len(found):
            continue
        work = sizes if found is None else window_bytes(found, len(sizes))
        steps[each.kind] += work * sum(program_size(pattern.regex) for pattern in each.patterns)
        if found is not None:
            read[each.kind] += work
    return {kind: (read[kind] > budget.max_bytes) | (steps[kind] > budget.max_pattern_steps) for kind in read}


def _literals(recognisers: Iterable[Recogniser]) -> list[tuple[int, str, bool]]:
    anchored = (each for each in recognisers if each.anchors or each.words)
    return [
        (owner, literal, whole)
        for owner, each in enumerate(anchored)
        for whole, literals in ((False, each.anchors), (True, each.words))
        for literal in literals
    ]


@cache
def _anchors(recognisers: tuple[Recogniser, ...]) -> Anchors:
    literals = _literals(recognisers)
    return prepare([literal for _, literal, _ in literals], [whole for _, _, whole in literals])


def _sorted(places: Places) -> Places:
    return places[np.lexsort((places[:, 1], places[:, 0]))]


def _candidates(
    texts: pa.Array, recogniser: Recogniser, allowed: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Of the rows allowed, those that a pattern matches somewhere; Arrow's kernel is RE2 too."""
    rows = np.flatnonzero(allowed).astype(np.int64)
    chosen = texts if allowed.all() else texts.take(pa.array(rows))
    found = np.zeros(len(rows), np.bool_)
    for pattern in recogniser.patterns:
        found |= pc.match_substring_regex(chosen, pattern.regex).to_numpy(zero_copy_only=False)
    matching: npt.NDArray[np.int64] = rows[found]
    return matching


def _hits(column: _Column, recogniser: Recogniser, windows: Windows) -> Iterator[PatternHit]:
    if not len(windows):
        return
    joined, first_points = gather(column.data, column.offsets, windows)
    text = joined.tobytes().decode("utf-8", "replace")
    points = code_points_before(column.data, column.offsets, windows)
    starts = [*first_points.tolist(), len(text)]
    for pattern in recogniser.patterns:
        compiled = compile_pattern(pattern.regex)
        group = compiled.groupindex.get("value", 0)
        for match in compiled.finditer(text):
            start, end = match.span(group)
            value = match[group]
            if not value or not all(CHECKS[check](value) for check in recogniser.checks):
                continue
            at = bisect_right(starts, start) - 1
            if match.start() < starts[at] - 1 or match.end() > starts[at + 1] - len(SEPARATOR) + 1:
                continue  # reaches further than the line end of its window: into another one
            shift = int(points[at]) - starts[at]
            span = Span(start + shift, end + shift, recogniser.kind, pattern.score)
            row = int(windows[at, 0])
            stop = int(column.offsets[row] + windows[at, 1]) + len(text[starts[at] : start].encode())
            yield PatternHit(row, span, recogniser, value, _before(column, row, stop))


def _before(column: _Column, row: int, stop: int) -> str:
    first = max(int(column.offsets[row]), stop - 4 * CONTEXT_REACH)
    return column.data[first:stop].tobytes().decode("utf-8", "ignore")[-CONTEXT_REACH:]
