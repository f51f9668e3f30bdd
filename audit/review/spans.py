"""Marked passages, and how tools count their places.

Here an offset counts code points, as Python does. JavaScript counts UTF-16 units, in which a character
outside the basic plane (emoji, old scripts, rare Chinese) takes two: doccano (issue 2290 of its
repository) and Argilla (issue 5729) store what their web pages count. Label Studio's page counts UTF-16
units too but stores code points (``fixCodePointsInRange``); Prodigy marks whole tokens, whose offsets
come from Python.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, order=True)
class Span:
    """A marked passage: half-open code points in the text as the source yielded it, and what it is.

    ``text`` is the passage where a format repeats it, for the check alone; it is never stored.
    """

    start: int
    end: int
    label: str
    text: str | None = None


def utf16_units(text: str) -> list[int]:
    """UTF-16 offset of each code point of a text, and of its end: shape (len(text) + 1,)."""
    return [0, *accumulate(1 + (character > "\uffff") for character in text)]


def to_utf16(span: Span, text: str) -> Span:
    """The same passage counted in UTF-16 units.

    Raises:
        ValueError: It is not within the text.
    """
    units = utf16_units(text)
    if not 0 <= span.start <= span.end < len(units):
        raise ValueError("the span is not within the text")
    return Span(units[span.start], units[span.end], span.label, span.text)


def from_utf16(span: Span, text: str) -> Span:
    """The same passage counted in code points.

    Raises:
        ValueError: It is not within the text, or begins or ends within a character.
    """
    units = utf16_units(text)
    places = []
    for offset in (span.start, span.end):
        place = bisect_left(units, offset)
        if place == len(units) or units[place] != offset:
            raise ValueError("the span is not within the text, or cuts a character in two")
        places.append(place)
    return Span(places[0], places[1], span.label, span.text)


def mismatch(span: Span, text: str) -> str | None:
    """What is wrong with a span of a text; None if nothing is."""
    if not 0 <= span.start < span.end <= len(text):
        return "a span is empty or not within the text"
    if span.text is not None and span.text != text[span.start : span.end]:
        return "a span's text is not what stands at its offsets"
    return None
