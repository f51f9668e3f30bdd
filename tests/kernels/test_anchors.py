from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.kernels.anchors import find_anchors, prepare
from audit.kernels.buffers import string_buffers
from audit.kernels.candidates import code_points_before
from audit.kernels.gathering import SEPARATOR, gather, windows_around

LITERALS = ["abc", "abcd", "bca", "né le", "a-b", "dob"]
WHOLE = [False, False, False, True, False, True]
TEXTS = st.lists(
    st.lists(st.sampled_from(["a", "B", "c", "d", "é", "-", " ", "né le", "DOB", "o"])).map("".join)
)


def lower(text: str) -> bytes:
    return bytes(b | 0x20 if 65 <= b <= 90 else b for b in text.encode())


def places(text: str, literal: str, whole: bool) -> list[int]:
    data, wanted = lower(text), lower(literal)
    found = [i for i in range(len(data)) if data.startswith(wanted, i)]
    ends = [
        data[i - 1 : i] + b"|" + data[i + len(wanted) : i + len(wanted) + 1]
        if i
        else b"|" + data[len(wanted) : len(wanted) + 1]
        for i in found
    ]
    alone = [not any(c.isascii() and c.isalnum() for c in e.decode("latin-1")) for e in ends]
    return [i for i, free in zip(found, alone, strict=True) if free or not whole]


@given(TEXTS, st.integers(0, 2))
def test_every_place_of_every_literal_is_found(texts: list[str], skip: int) -> None:
    array = pa.array(["abc"] * skip + texts, pa.string()).slice(skip)
    found = find_anchors(*string_buffers(array), prepare(LITERALS, WHOLE))
    expected = {
        (row, at, k)
        for row, text in enumerate(texts)
        for k, (literal, whole) in enumerate(zip(LITERALS, WHOLE, strict=True))
        for at in places(text, literal, whole)
    }
    assert {tuple(place) for place in found.tolist()} == expected
    assert len(found) == len(expected)


@given(TEXTS, st.integers(0, 6), st.integers(1, 6))
def test_windows_are_disjoint_whole_code_points_and_gathered_in_order(
    texts: list[str], before: int, after: int
) -> None:
    data, offsets = string_buffers(pa.array(texts, pa.string()))
    found = find_anchors(data, offsets, prepare(["abc", "bca"], [False, False]))
    windows = windows_around(data, offsets, found, before, after)
    joined, firsts = gather(data, offsets, windows)
    parts = joined.tobytes().decode().split(SEPARATOR)[:-1]
    points = code_points_before(data, offsets, windows)
    text = joined.tobytes().decode()
    for (row, start, stop), part, first, point in zip(windows.tolist(), parts, firsts, points, strict=True):
        assert texts[row].encode()[start:stop].decode() == part == text[first : first + len(part)]
        assert texts[row][point : point + len(part)] == part


def test_short_literals_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 3"):
        prepare(["ab"], [False])
    assert len(find_anchors(*string_buffers(pa.array(["abc"])), prepare([], []))) == 0
