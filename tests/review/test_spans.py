"""Offsets are code points here and UTF-16 units in JavaScript."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.review.spans import Span, from_utf16, mismatch, to_utf16, utf16_units

TEXT = "👨🏻‍🚒 firemen drive firetrucks"
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("😀🏽𐍈👩‍🚒"), min_size=1)


def test_the_example_of_doccanos_issue_2290():
    start = TEXT.index("firetrucks")
    assert to_utf16(Span(start, start + 10, "X"), TEXT) == Span(22, 32, "X")
    assert from_utf16(Span(22, 32, "X"), TEXT) == Span(start, start + 10, "X")


@given(data=st.data(), text=texts)
def test_units_are_those_of_the_encoding_and_both_ways_agree(data, text):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    there = to_utf16(Span(start, end, "X", "t"), text)
    raw = text.encode("utf-16-le")
    assert raw[2 * there.start : 2 * there.end].decode("utf-16-le") == text[start:end]
    assert from_utf16(there, text) == Span(start, end, "X", "t")
    assert utf16_units(text)[-1] == len(raw) // 2


@pytest.mark.parametrize(("start", "end"), [(1, 2), (0, 1), (-2, 2), (0, 99)])
def test_places_within_a_character_or_out_of_the_text_are_none(start, end):
    with pytest.raises(ValueError, match="span"):
        from_utf16(Span(start, end, "X"), "😀😀")


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (0, 3), (2, 1)])
def test_spans_out_of_the_text_are_refused_on_the_way_out(start, end):
    with pytest.raises(ValueError, match="span"):
        to_utf16(Span(start, end, "X"), "ab")


def test_a_span_must_mark_what_it_says():
    assert mismatch(Span(0, 2, "X", "ab"), "abc") is None
    assert mismatch(Span(0, 2, "X"), "abc") is None
    assert "not what stands" in (mismatch(Span(1, 3, "X", "ab"), "abc") or "")
    assert "empty" in (mismatch(Span(1, 1, "X"), "abc") or "")
