"""Raw hits of recognisers in a batch of texts, reached through the windows where they can be.

A native pass finds the windows; equal windows are read once, and windows of many documents are joined, so
that a recogniser is called once per tens of kilobytes and most text never becomes a Python string. What is
found is what the recognisers find in the whole texts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.kernels.buffers import string_buffers
from audit.kernels.candidates import (
    NUMBER_DIGITS,
    NUMBER_GAP,
    NUMBER_PAD,
    PLAIN_DIGITS,
    PLAIN_GAP,
    Windows,
    code_points_before,
    email_windows,
    number_windows,
    wallet_windows,
)
from audit.kernels.identifier_scan import Shaped, scan_identifiers
from audit.kernels.number_characters import character_classes
from audit.kernels.tokens import DATE, LICENCE, URL, token_windows
from audit.pii.phones import LENIENCY, PhoneNumbers
from audit.pii.phones import search as search_phones
from audit.pii.pii_kinds import Trigger, kind_of
from audit.pii.pii_shapes import Shape, shape_of
from audit.pii.presidio import CONTEXT_REACH, Recogniser, hits
from audit.pii.presidio_library import PhoneRecognizer
from audit.pii.spans import Span

#: Between joined windows: no pattern of Presidio's matches a NUL, and a line end is a word's end.
SEPARATOR = "\n\0\n"
#: Code points of joined windows in one call. libphonenumber gives up on a text after 65,535 broken
#: numbers, which this many code points cannot hold.
CHUNK = 16_384
#: Least digits, gap and padding.
_NUMBERS = {
    Trigger.NUMBER: (NUMBER_DIGITS, NUMBER_GAP, NUMBER_PAD),
    Trigger.HOST: (0, NUMBER_GAP, NUMBER_PAD),
    Trigger.DIGITS: (PLAIN_DIGITS, PLAIN_GAP, 1),
}
_TOKENS = {Trigger.URL: URL, Trigger.DATE: DATE, Trigger.LICENCE: LICENCE}


class Hit(NamedTuple):
    """A span that a recogniser found.

    Attributes:
        row: In the batch.
        span: Code points in the row's text; score before context.
        recogniser: Who found it.
        value: What was matched; never leaves the screen.
        before: Up to 120 code points of text before it.
    """

    row: int
    span: Span
    recogniser: Recogniser
    value: str
    before: str


class _Found(NamedTuple):
    """A hit in a window: what was found, where in the window, and how many bytes stand before it there."""

    span: Span
    recogniser: Recogniser
    value: str
    bytes_before: int


#: Where a recogniser looks.
Place: TypeAlias = Trigger | Shape
#: Kind -> n flags, true where a text was not searched for it.
Over: TypeAlias = dict[str, npt.NDArray[np.bool_]]


class Texts:
    """A string column and its candidate windows.

    Args:
        array: n texts, without nulls.
    """

    def __init__(self, array: pa.Array) -> None:
        self.data, self.offsets = string_buffers(array)
        self.view = memoryview(self.data)  # type: ignore[arg-type]  # arrays are buffers from Python 3.12 on

    @cached_property
    def _shaped(self) -> Shaped:
        return scan_identifiers(self.data, self.offsets, character_classes())

    def windows(self, place: Place) -> Windows:
        """Return where a recogniser has to look."""
        if isinstance(place, Shape):
            own = (self._shaped[:, 3] == place.group) & (self._shaped[:, 4] & place.bit != 0)
            return self._shaped[own, :3]
        if place is Trigger.EMAIL:
            return email_windows(self.data, self.offsets)
        if place is Trigger.WALLET:
            return wallet_windows(self.data, self.offsets)
        if place in _TOKENS:
            return token_windows(self.data, self.offsets, _TOKENS[place])
        if place in _NUMBERS:
            return number_windows(self.data, self.offsets, character_classes(), *_NUMBERS[place])
        sizes = np.diff(self.offsets)
        return np.stack([np.arange(len(sizes)), np.zeros_like(sizes), sizes], axis=1)


def search(
    texts: Texts, recognisers: Sequence[Recogniser], budget: int, *, prefilter: bool = True
) -> tuple[list[Hit], Over]:
    """Find raw hits, and the texts that were not searched for a kind because its windows exceed the budget.

    Args:
        texts: n texts.
        recognisers: Whom to ask.
        budget: Bytes of windows that one text may have for one kind.
        prefilter: Off, every recogniser reads every text whole: slow, and the measure of the windows.

    Returns:
        The hits, and for each kind with such texts n flags, true where it was not searched for.

    Raises:
        MatchingError: A recogniser gave up.
    """
    found: list[Hit] = []
    over: Over = {}
    places: dict[Place, list[Recogniser]] = {}
    for recogniser in recognisers:
        if prefilter and is_compiled(recogniser):
            numbers = search_phones(texts.data, texts.offsets, recogniser.supported_regions)
            _note(over, recogniser, numbers.over)
            found += (hit for hit in number_hits(texts, recogniser, numbers) if not numbers.over[hit.row])
        else:
            places.setdefault(_place(recogniser) if prefilter else Trigger.TEXT, []).append(recogniser)
    for place, members in places.items():
        windows = texts.windows(place)
        work = np.bincount(windows[:, 0], windows[:, 2] - windows[:, 1], len(texts.offsets) - 1)
        too_much = work > budget
        for recogniser in members:
            _note(over, recogniser, too_much)
        found += _hits(texts, windows[~too_much[windows[:, 0]]] if too_much.any() else windows, members)
    return found, over


def _place(recogniser: Recogniser) -> Place:
    return shape_of(recogniser) or kind_of(recogniser.supported_entities[0]).trigger


def _note(over: Over, recogniser: Recogniser, flags: npt.NDArray[np.bool_]) -> None:
    if flags.any():
        kind = recogniser.supported_entities[0]
        over[kind] = over.get(kind, False) | flags


def is_compiled(recogniser: Recogniser) -> TypeGuard[PhoneRecognizer]:
    """Whether the phone scan answers for a recogniser: it reads numbers at Presidio's own leniency."""
    return isinstance(recogniser, PhoneRecognizer) and recogniser.leniency == LENIENCY


def number_hits(texts: Texts, recogniser: PhoneRecognizer, found: PhoneNumbers) -> Iterator[Hit]:
    """Phone numbers as hits of the recogniser for which they were found, in their order."""
    kind = recogniser.supported_entities[0]
    points = code_points_before(texts.data, texts.offsets, found.spans)
    for (row, start, stop), point in zip(found.spans.tolist(), points.tolist(), strict=True):
        first = int(texts.offsets[row])
        value = str(texts.view[first + start : first + stop], "utf-8")
        span = Span(point, point + len(value), kind, recogniser.SCORE)
        yield Hit(row, span, recogniser, value, _text_before(texts, row, first + start))


def _hits(texts: Texts, windows: Windows, recognisers: Sequence[Recogniser]) -> Iterator[Hit]:
    """Hits in windows, in the windows' order."""
    distinct: dict[bytes, int] = {}
    starts = texts.offsets[windows[:, 0]]
    which = np.array(
        [
            distinct.setdefault(bytes(texts.view[start:stop]), len(distinct))
            for start, stop in zip(
                (starts + windows[:, 1]).tolist(), (starts + windows[:, 2]).tolist(), strict=True
            )
        ],
        np.int64,
    )
    found = _found([text.decode("utf-8", "replace") for text in distinct], recognisers)
    hit = np.array([bool(each) for each in found], np.bool_)
    own = np.flatnonzero(hit[which]) if len(which) else which
    points = code_points_before(texts.data, texts.offsets, windows[own])
    for k, point in zip(own.tolist(), points.tolist(), strict=True):
        row, first = int(windows[k, 0]), int(starts[k] + windows[k, 1])
        for span, recogniser, value, shift in found[which[k]]:
            shifted = Span(point + span.start, point + span.end, span.kind, span.score)
            yield Hit(row, shifted, recogniser, value, _text_before(texts, row, first + shift))


def _found(windows: list[str], recognisers: Sequence[Recogniser]) -> list[list[_Found]]:
    """What recognisers find in each of n windows."""
    found: list[list[_Found]] = [[] for _ in windows]
    for begin, end in _chunks(windows):
        chunk = windows[begin:end]
        joined = SEPARATOR.join(chunk)
        starts = np.cumsum([0] + [len(text) + len(SEPARATOR) for text in chunk[:-1]]).tolist()
        for recogniser in recognisers:
            for span in hits(recogniser, joined):
                at = bisect_right(starts, span.start) - 1
                start, stop, text = span.start - starts[at], span.end - starts[at], chunk[at]
                inside = span._replace(start=start, end=stop)
                before = len(text[:start].encode())
                found[begin + at].append(_Found(inside, recogniser, text[start:stop], before))
    return found


def _chunks(windows: list[str]) -> Iterator[tuple[int, int]]:
    """Ranges of windows of about ``CHUNK`` code points together; at least one at a time."""
    begin = size = 0
    for end, window in enumerate(windows):
        if end > begin and size + len(window) > CHUNK:
            yield begin, end
            begin, size = end, 0
        size += len(window) + len(SEPARATOR)
    if begin < len(windows):
        yield begin, len(windows)


def _text_before(texts: Texts, row: int, stop: int) -> str:
    first = max(int(texts.offsets[row]), stop - 4 * CONTEXT_REACH)
    return str(texts.view[first:stop], "utf-8", "ignore")[-CONTEXT_REACH:]
