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
from audit.kernels.number_characters import character_classes
from audit.kernels.tokens import DATE, LICENCE, URL, token_windows
from audit.phones import LENIENCY
from audit.phones import search as search_phones
from audit.pii_kinds import Trigger, kind_of
from audit.presidio import CONTEXT_REACH, Recogniser, hits
from audit.spans import Span

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

    def windows(self, trigger: Trigger) -> Windows:
        """Return where a trigger's recognisers have to look."""
        if trigger is Trigger.EMAIL:
            return email_windows(self.data, self.offsets)
        if trigger is Trigger.WALLET:
            return wallet_windows(self.data, self.offsets)
        if trigger in _TOKENS:
            return token_windows(self.data, self.offsets, _TOKENS[trigger])
        if trigger in _NUMBERS:
            return number_windows(self.data, self.offsets, character_classes(), *_NUMBERS[trigger])
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
    compiled = [
        r for r in recognisers if prefilter and isinstance(r, PhoneRecognizer) and r.leniency == LENIENCY
    ]
    groups: dict[Trigger, list[Recogniser]] = {}
    for recogniser in recognisers:
        if recogniser not in compiled:
            trigger = kind_of(recogniser.supported_entities[0]).trigger if prefilter else Trigger.TEXT
            groups.setdefault(trigger, []).append(recogniser)
    windows = {trigger: texts.windows(trigger) for trigger in groups}
    work = np.zeros(len(texts.offsets) - 1, np.int64)
    for found in windows.values():
        np.add.at(work, found[:, 0], found[:, 2] - found[:, 1])
    over = work > budget
    phones: list[Hit] = []
    for recogniser in compiled:
        more, too_much = _phones(texts, recogniser)
        phones += more
        over |= too_much
    hits_found = [
        hit
        for trigger, members in groups.items()
        for chunk in _chunks(texts.data, texts.offsets, windows[trigger][~over[windows[trigger][:, 0]]])
        for recogniser in members
        for hit in _hits_in(chunk, recogniser, texts)
    ]
    return hits_found + [hit for hit in phones if not over[hit.row]], over


def _phones(texts: Texts, recogniser: PhoneRecognizer) -> tuple[list[Hit], npt.NDArray[np.bool_]]:
    found = search_phones(texts.data, texts.offsets, recogniser.supported_regions)
    points = code_points_before(texts.data, texts.offsets, found.spans)
    phones = []
    for (row, start, stop), point in zip(found.spans.tolist(), points.tolist(), strict=True):
        first = int(texts.offsets[row])
        value = texts.data[first + start : first + stop].tobytes().decode()
        entity = recogniser.supported_entities[0]
        span = Span(point, point + len(value), entity, recogniser.SCORE)
        phones.append(Hit(row, span, recogniser, value, _text_before(texts, row, first + start)))
    return phones, found.over


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
    return _text_before(texts, window.row, window.byte + len(window.text[:start].encode()))


def _text_before(texts: Texts, row: int, stop: int) -> str:
    first = max(int(texts.offsets[row]), stop - 4 * CONTEXT_REACH)
    return texts.data[first:stop].tobytes().decode("utf-8", "ignore")[-CONTEXT_REACH:]
