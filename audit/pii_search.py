"""Raw hits of recognisers in a batch of texts, reached through the windows where they can be.

A native pass finds the windows; windows of many documents are joined, so that a recogniser is called once
per tens of kilobytes and most text never becomes a Python string. What is found is what the recognisers
find in the whole texts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from audit.kernels.buffers import Bytes, Offsets, string_buffers
from audit.kernels.candidates import (
    Windows,
    code_points_before,
    email_windows,
    number_windows,
    phone_windows,
    wallet_windows,
)
from audit.kernels.number_characters import character_classes
from audit.pii_kinds import Trigger, kind_of
from audit.presidio import CONTEXT_REACH, Recogniser, hits, national_digits
from audit.spans import Span

#: Between joined windows: no pattern of Presidio's matches a NUL, and a line end is a word's end.
SEPARATOR = "\n\0\n"
#: Code points of joined windows in one call. libphonenumber gives up on a text after 65,535 broken
#: numbers, which this many code points cannot hold.
CHUNK = 16_384
#: Digits of the shortest phone number with a plus sign that is a candidate. A few of the smallest
#: countries have numbers of four digits after the country code; these need their region's own entry.
INTERNATIONAL_DIGITS = 7


@dataclass(frozen=True)
class Hit:
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


@dataclass(frozen=True)
class _Window:
    row: int
    code_point: int  # of its first character, in the row's text
    byte: int  # of its first byte, in the data buffer
    text: str


class Texts:
    """A string column and its candidate windows.

    Args:
        array: n texts, without nulls.
    """

    def __init__(self, array: pa.Array) -> None:
        self.data, self.offsets = string_buffers(array)

    def windows(self, trigger: Trigger, digits: int) -> Windows:
        """Return where a trigger's recognisers have to look; ``digits`` is a phone number's least."""
        if trigger is Trigger.EMAIL:
            return email_windows(self.data, self.offsets)
        if trigger is Trigger.WALLET:
            return wallet_windows(self.data, self.offsets)
        if trigger is Trigger.PHONE:
            return phone_windows(self.data, self.offsets, character_classes(), digits)
        if trigger is not Trigger.TEXT:
            return number_windows(self.data, self.offsets, character_classes(), trigger is Trigger.HOST)
        sizes = np.diff(self.offsets)
        return np.stack([np.arange(len(sizes)), np.zeros_like(sizes), sizes], axis=1)


def search(
    texts: Texts, recognisers: Sequence[Recogniser], budget: int, *, prefilter: bool = True
) -> tuple[list[Hit], npt.NDArray[np.bool_]]:
    """Find raw hits, and the texts that were not searched because their windows exceed the budget.

    Args:
        texts: n texts.
        recognisers: Whom to ask.
        budget: Bytes of windows, over all triggers, that one text may have.
        prefilter: Off, every recogniser reads every text whole: slow, and the measure of the windows.

    Returns:
        The hits, and n flags, true where a text was not searched.

    Raises:
        MatchingError: A recogniser gave up.
    """
    groups = _by_windows(recognisers) if prefilter else {(Trigger.TEXT, 0): list(recognisers)}
    windows = {key: texts.windows(*key) for key in groups}
    work = np.zeros(len(texts.offsets) - 1, np.int64)
    for found in windows.values():
        np.add.at(work, found[:, 0], found[:, 2] - found[:, 1])
    over = work > budget
    hits_found = [
        hit
        for key, members in groups.items()
        for chunk in _chunks(texts.data, texts.offsets, windows[key][~over[windows[key][:, 0]]])
        for recogniser in members
        for hit in _hits_in(chunk, recogniser, texts)
    ]
    return hits_found, over


def _by_windows(recognisers: Sequence[Recogniser]) -> dict[tuple[Trigger, int], list[Recogniser]]:
    """Group recognisers by what they read: the trigger and, for phones, the least number of digits.

    Numbers with a plus sign are the same in every region. One region (that with the shortest national
    numbers) reads all from ``INTERNATIONAL_DIGITS`` on, so the others need not.
    """
    phones = [national_digits(r) for r in recognisers if isinstance(r, PhoneRecognizer)]
    groups: dict[tuple[Trigger, int], list[Recogniser]] = {}
    for recogniser in recognisers:
        digits = 0
        if isinstance(recogniser, PhoneRecognizer):
            digits = national_digits(recogniser)
            digits = min(digits, INTERNATIONAL_DIGITS) if digits == min(phones) else digits
        trigger = kind_of(recogniser.supported_entities[0]).trigger
        groups.setdefault((trigger, digits), []).append(recogniser)
    return groups


def _chunks(data: Bytes, offsets: Offsets, windows: Windows) -> Iterator[list[_Window]]:
    """Yield windows of about ``CHUNK`` code points together, decoded; at least one at a time."""
    before = code_points_before(data, offsets, windows)
    view = memoryview(data)  # type: ignore[arg-type]  # NumPy arrays are buffers from Python 3.12 on
    chunk: list[_Window] = []
    size = 0
    for (row, start, stop), code_point in zip(windows.tolist(), before.tolist(), strict=True):
        first = int(offsets[row])
        text = str(view[first + start : first + stop], "utf-8", "replace")
        if chunk and size + len(text) > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(_Window(row, code_point, first + start, text))
        size += len(text) + len(SEPARATOR)
    if chunk:
        yield chunk


def _hits_in(chunk: list[_Window], recogniser: Recogniser, texts: Texts) -> Iterator[Hit]:
    joined = SEPARATOR.join(window.text for window in chunk)
    found = hits(recogniser, joined)
    if not found:
        return
    starts = np.cumsum([0] + [len(window.text) + len(SEPARATOR) for window in chunk[:-1]]).tolist()
    for span in found:
        at = bisect_right(starts, span.start) - 1
        window, start, end = chunk[at], span.start - starts[at], span.end - starts[at]
        shifted = span._replace(start=window.code_point + start, end=window.code_point + end)
        before = _before(texts, window, start)
        yield Hit(window.row, shifted, recogniser, window.text[start:end], before)


def _before(texts: Texts, window: _Window, start: int) -> str:
    stop = window.byte + len(window.text[:start].encode())
    first = max(int(texts.offsets[window.row]), stop - 4 * CONTEXT_REACH)
    return texts.data[first:stop].tobytes().decode("utf-8", "ignore")[-CONTEXT_REACH:]
