"""Located hits of a detector in one text, and how overlapping ones are resolved."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """A hit: half-open code points in its text, kind, score in (0, 1]."""

    start: int
    end: int
    kind: str
    score: float


def without_contained(spans: Iterable[Span]) -> list[Span]:
    """Drop spans that lie within another of the same kind and an equal or higher score.

    The rule of Presidio's ``EntityRecognizer.remove_duplicates``. Sorted by kind and position.
    """
    kept: list[Span] = []
    active: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (s.kind, s.start, s.start - s.end, -s.score)):
        active = [a for a in active if a.kind == span.kind and a.end >= span.start]
        if not any(span.end <= a.end and span.score <= a.score for a in active):
            kept.append(span)
            active.append(span)
    return kept


def resolve_overlaps(spans: Iterable[Span], rank: Callable[[str], int]) -> list[Span]:
    """Keep of overlapping spans the best: one number is one finding.

    Higher score wins, then the longer, then the smaller rank, then the earlier; what overlaps a winner
    is dropped. The result is sorted by position and free of overlaps.

    Args:
        spans: Of one text, of any kinds.
        rank: Precedence of a kind.
    """
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (-s.score, s.start - s.end, rank(s.kind), s)):
        at = bisect_right(kept, span)
        if (at == 0 or kept[at - 1].end <= span.start) and (at == len(kept) or span.end <= kept[at].start):
            insort(kept, span)
    return kept
