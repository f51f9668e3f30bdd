"""Raw hits of recognisers that are data (``audit.pii_recognisers``) in a batch of texts.

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
from audit.pii_checks import CHECKS
from audit.pii_recognisers import Recogniser, compile_pattern
from audit.spans import Span

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
    texts: pa.Array, recognisers: tuple[Recogniser, ...], budget: int
) -> tuple[list[PatternHit], npt.NDArray[np.bool_]]:
    """Find raw hits, and the texts that were not searched because their windows exceed the budget.

    Args:
        texts: n texts, without nulls.
        recognisers: Whom to ask.
        budget: Bytes around literals, over all recognisers, that one text may have. Recognisers without
            literals read whole texts in linear time, and do not count.

    Returns:
        The hits, and n flags, true where a text was not searched.
    """
    column = _Column(texts, *string_buffers(texts))
    anchored = [each for each in recognisers if each.anchors or each.words]
    places = find_anchors(column.data, column.offsets, _anchors(recognisers))
    windows = {
        index: windows_around(column.data, column.offsets, _sorted(own), each.before, each.after)
        for index, (each, own) in enumerate(zip(anchored, _by_owner(places, recognisers), strict=True))
        if len(own)
    }
    work = np.zeros(len(texts), np.int64)
    for found in windows.values():
        np.add.at(work, found[:, 0], found[:, 2] - found[:, 1])
    over = work > budget
    hits: list[PatternHit] = []
    for index, found in windows.items():
        hits += _hits(column, anchored[index], found[~over[found[:, 0]]])
    for each in recognisers:
        if not (each.anchors or each.words):
            rows = _candidates(texts, each)
            hits += _hits(column, each, column.everything(rows[~over[rows]]))
    return hits, over


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


def _by_owner(places: Places, recognisers: Sequence[Recogniser]) -> Iterator[Places]:
    owners = np.array([owner for owner, _, _ in _literals(recognisers)], np.int64)
    present = owners[places[:, 2]]
    for owner in range(int(owners.max(initial=-1)) + 1):
        yield places[present == owner]


def _sorted(places: Places) -> Places:
    return places[np.lexsort((places[:, 1], places[:, 0]))]


def _candidates(texts: pa.Array, recogniser: Recogniser) -> npt.NDArray[np.int64]:
    """Rows that a pattern matches somewhere; Arrow's kernel is RE2 too."""
    found = np.zeros(len(texts), np.bool_)
    for pattern in recogniser.patterns:
        found |= pc.match_substring_regex(texts, pattern.regex).to_numpy(zero_copy_only=False)
    return np.flatnonzero(found).astype(np.int64)


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
