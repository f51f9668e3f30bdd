"""Word-level differences between two texts, in bounded work.

Source: J. W. Ratcliff, D. E. Metzener, "Pattern matching: the gestalt approach", Dr. Dobb's Journal, July
1988, as Python's ``difflib`` has it; what both texts begin and end with is set aside first.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from audit.kernels.unicode_tables import UNSPACED_RANGES

#: Words of each text that are compared at a time, and how many times at most.
WINDOW, WINDOWS = 1500, 20
#: Equal words between two changes that are shown as one.
_JOINED = 3
_CONTEXT = 6
_LONGEST = 240

_UNSPACED = "".join(f"{chr(low)}-{chr(high)}" for low, high in UNSPACED_RANGES)
#: A run of visible characters; in scripts without spaces, a character.
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


#: Kind, then where it starts and stops in the left and in the right sequence.
_Opcode = tuple[str, int, int, int, int]


@dataclass(frozen=True)
class Words:
    """A text and where its words are."""

    text: str
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: str) -> Words:
        """Split a text: at white space, and around each letter of a script that has none."""
        return cls(text, tuple(match.span() for match in _WORD.finditer(text)))

    def words(self) -> list[str]:
        """The words themselves."""
        return [self.text[start:end] for start, end in self.spans]

    def excerpt(self, start: int, stop: int) -> str:
        """The text from one word to another, on one line and bounded."""
        if start >= stop:
            return ""
        text = re.sub(r"\s+", " ", self.text[self.spans[start][0] : self.spans[stop - 1][1]])
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 60]}…{text[-59:]}"


@dataclass(frozen=True)
class Change:
    """Words ``left[start:stop]`` stand where the other text has ``right[other_start:other_stop]``."""

    start: int
    stop: int
    other_start: int
    other_stop: int

    @property
    def size(self) -> int:
        """Words that differ."""
        return max(self.stop - self.start, self.other_stop - self.other_start)


@dataclass(frozen=True)
class Difference:
    """Changes from one text to another, in order; not complete where the texts were cut."""

    changes: tuple[Change, ...]
    complete: bool


@dataclass(frozen=True)
class Hunk:
    """A change with the words around it."""

    before: str
    removed: str
    added: str
    after: str


def difference(left: Sequence[str], right: Sequence[str]) -> Difference:
    """Compare two sequences of words.

    What both begin and end with is set aside. Between, a window of ``WINDOW`` words slides over both: the
    next one starts where the last words that both windows share end. A difference is not complete when two
    windows share nothing, or after ``WINDOWS`` of them.
    """
    head = _shared(left, right)
    tail = _shared(left[head:][::-1], right[head:][::-1])
    stop, other_stop = len(left) - tail, len(right) - tail
    changes: list[Change] = []
    at, other_at = head, head
    for _ in range(WINDOWS):
        end, other_end = min(at + WINDOW, stop), min(other_at + WINDOW, other_stop)
        found = _aligned(left[at:end], right[other_at:other_end])
        last = (end, other_end) == (stop, other_stop)
        if not last:
            while found and found[-1][0] != "equal":
                found.pop()  # what would follow is not known yet
            if not found:
                return Difference(tuple(changes), False)
        changes += [
            Change(at + a, at + b, other_at + c, other_at + d)
            for kind, a, b, c, d in found
            if kind != "equal"
        ]
        if last:
            return Difference(tuple(changes), True)
        at, other_at = at + found[-1][2], other_at + found[-1][4]
    return Difference(tuple(changes), False)


def _aligned(left: Sequence[str], right: Sequence[str]) -> list[_Opcode]:
    # A word that is frequent in long texts is no anchor; this bounds the work.
    return list(difflib.SequenceMatcher(None, left, right, autojunk=True).get_opcodes())


def hunks(left: Words, right: Words, most: int) -> tuple[list[Hunk], int, bool]:
    """Return the first changes between two texts, how many more there are, and whether all was compared."""
    found = difference(left.words(), right.words())
    joined = list(_join(found.changes))
    shown = [
        Hunk(
            left.excerpt(max(0, change.start - _CONTEXT), change.start),
            left.excerpt(change.start, change.stop),
            right.excerpt(change.other_start, change.other_stop),
            left.excerpt(change.stop, min(len(left.spans), change.stop + _CONTEXT)),
        )
        for change in joined[:most]
    ]
    return shown, len(joined) - len(shown), found.complete


def _shared(left: Sequence[str], right: Sequence[str]) -> int:
    pairs = zip(left, right, strict=False)
    shorter = min(len(left), len(right))
    return next((place for place, (a, b) in enumerate(pairs) if a != b), shorter)


def _join(changes: Sequence[Change]) -> Iterator[Change]:
    if not changes:
        return
    running = changes[0]
    for _, change in pairwise(changes):
        if change.start - running.stop <= _JOINED:
            running = Change(running.start, change.stop, running.other_start, change.other_stop)
        else:
            yield running
            running = change
    yield running
