"""Who judges what: a sample shared out among reviewers, part of it given to several.

By the rank of the draw within its stratum, and so by permanent random number: every reviewer has documents
of every stratum, nobody's share depends on anything seen, and an extended sample keeps what was given out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor

_SLOT = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")


@dataclass(frozen=True)
class Draw:
    """A drawn document: ``rank`` counts from 1 within the stratum, in draw order."""

    doc_id: str
    stratum: str
    rank: int


@dataclass(frozen=True)
class Sharing:
    """How a sample is shared out.

    Attributes:
        reviewers: People.
        overlap: Share of each stratum's documents that several judge.
        several: How many judge those, as far as there are so many people.
    """

    reviewers: int
    overlap: float
    several: int = 2

    def given(self, draw: Draw) -> tuple[int, ...]:
        """Who judges a document, from 1, the first one first."""
        start, people = _start(draw.stratum), self.reviewers
        turn = floor(start * people)
        # Systematic sampling with a random start: every run of draws has its share, to within one.
        before, shared = (floor(rank * self.overlap + start) for rank in (draw.rank - 1, draw.rank))
        if shared == before or people == 1:
            return ((draw.rank - shared + turn) % people + 1,)
        # Turns go by the shared documents alone, and the distance of the others moves on: all pairs meet.
        first, distance = (shared + turn) % people, shared // people
        others = [(first + 1 + (distance + number) % (people - 1)) % people for number in range(people - 1)]
        return tuple(who + 1 for who in [first, *others][: self.several])


def assignments(draws: Iterable[Draw], sharing: Sharing) -> dict[str, tuple[int, ...]]:
    """doc_id -> who judges it, from 1."""
    return {draw.doc_id: sharing.given(draw) for draw in draws}


def slot_name(who: int, reviewers: int) -> str:
    """An assignment as files carry it: ``2/3``; empty where nobody shares."""
    return f"{who}/{reviewers}" if reviewers > 1 else ""


def was_given(name: str, draw: Draw, overlap: float, several: int) -> bool:
    """Whether a document was given to an assignment, whatever the number of reviewers that it names."""
    match = _SLOT.fullmatch(name)
    if match is None:
        return not name
    who, reviewers = int(match[1]), int(match[2])
    return who <= reviewers and who in Sharing(reviewers, overlap, several).given(draw)


def _start(stratum: str) -> float:
    """Uniform on [0, 1), the same for a stratum at every call."""
    digest = hashlib.blake2b(f"review overlap {stratum}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
