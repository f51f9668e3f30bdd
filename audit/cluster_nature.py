"""Tells template pages from copies, where that can be told.

Copies are one text with small edits: each copy was changed in places of its own, or a few versions of one
place recur. Pages of a template share the frame and differ in the same places, its fields, where nearly every
page has a value of its own. Both look alike to shingles.

The rule, for the representative of a cluster and a sample of its members (``judge``): members are compared
with the representative word by word, and the changed spans of all are laid over each other. Spans that
overlap are one place. A place is a field when its fillings are of three kinds or more, and of at least half
as many as there are documents. Of the changed words, the share that stands in fields decides: template at
half or more, copies at a fifth or less, unknown between. Documents without a change are copies.

Two documents have no third to compare with. They are a template when they lie on one host under the same
path but for its digits, and every change exchanges at most five words for as many; otherwise that is unknown.

A copy that carries a date or a counter of its own, on every copy, fills a field, and counts as a template.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from audit.word_diff import Change, Difference, Words, difference

COPIES, TEMPLATE, UNKNOWN = "copies", "template", "unknown"

_TEMPLATE_SHARE, _COPIES_SHARE = 0.5, 0.2
_FIELD_WORDS = 5


@dataclass(frozen=True)
class Nature:
    """``copies``, ``template`` or ``unknown``, and why."""

    value: str
    reason: str


@dataclass(frozen=True)
class Document:
    """A member of a cluster: what is compared."""

    text: str
    url: str | None = None

    def words(self) -> list[str]:
        """Its words, case-folded, without punctuation."""
        return Words.of(re.sub(r"[\W_]+", " ", self.text.casefold())).words()


def judge(representative: Document, members: Sequence[Document]) -> Nature:
    """Say what a cluster is, from its representative and some of its other members."""
    if not members:
        return Nature(UNKNOWN, "no text could be read")
    own = representative.words()
    words = [member.words() for member in members]
    found = [difference(own, other) for other in words]
    changed = sum(change.size for each in found for change in each.changes)
    if not all(each.complete for each in found):
        return Nature(UNKNOWN, "the texts are too long, or too different, to compare in full")
    if not changed:
        return Nature(COPIES, "the members that were compared have the same words")
    if len(members) == 1:
        return _judge_pair(representative, members[0], found[0])
    share = _field_words(own, words, found) / changed
    compared = len(members) + 1
    told = f"{share:.0%} of the changed words stand in fields, over {compared} members"
    if share >= _TEMPLATE_SHARE:
        return Nature(TEMPLATE, told)
    return Nature(COPIES if share <= _COPIES_SHARE else UNKNOWN, told)


def _judge_pair(one: Document, other: Document, found: Difference) -> Nature:
    short = all(
        change.stop - change.start == change.other_stop - change.other_start <= _FIELD_WORDS
        for change in found.changes
    )
    if short and one.url and other.url and _pattern(one.url) == _pattern(other.url):
        return Nature(
            TEMPLATE, "one address but for its digits, and only short fields of equal length differ"
        )
    return Nature(UNKNOWN, "two different documents have no third to compare with")


def _pattern(url: str) -> tuple[str | None, str, str]:
    parts = urlsplit(url)
    return parts.hostname, re.sub(r"\d+", "0", parts.path), re.sub(r"\d+", "0", parts.query)


@dataclass
class _Place:
    """A span of the representative that some members change, and which changes fall into it."""

    start: int
    stop: int
    changes: dict[int, list[Change]]

    def takes(self, change: Change) -> bool:
        """Whether a change belongs to it; an insertion belongs to what it touches."""
        empty = self.start == self.stop or change.start == change.stop
        return change.start < self.stop or (empty and change.start == self.stop)

    def add(self, member: int, change: Change) -> None:
        """Take a change of a member in."""
        self.stop = max(self.stop, change.stop)
        self.changes.setdefault(member, []).append(change)


def _field_words(own: Sequence[str], words: Sequence[Sequence[str]], found: Sequence[Difference]) -> int:
    """Return the number of changed words that stand in fields."""
    total = 0
    for place in _places(found):
        fillings = {tuple(own[place.start : place.stop])}
        for member, changes in place.changes.items():
            fillings.add(_filling(own, words[member], changes, place))
        if len(fillings) >= max(3, (len(words) + 1) / 2):
            total += sum(change.size for changes in place.changes.values() for change in changes)
    return total


def _places(found: Sequence[Difference]) -> list[_Place]:
    """Lay changed spans over each other; those that overlap are one place."""
    marked = [(change, member) for member, each in enumerate(found) for change in each.changes]
    places: list[_Place] = []
    for change, member in sorted(marked, key=lambda mark: (mark[0].start, mark[0].stop, mark[1])):
        if not places or not places[-1].takes(change):
            places.append(_Place(change.start, change.stop, {}))
        places[-1].add(member, change)
    return places


def _filling(
    own: Sequence[str], other: Sequence[str], changes: Sequence[Change], place: _Place
) -> tuple[str, ...]:
    """Return what a member has in a place of the representative."""
    filling: list[str] = []
    at = place.start
    for change in changes:
        filling += own[at : change.start]
        filling += other[change.other_start : change.other_stop]
        at = change.stop
    return (*filling, *own[at : place.stop])
