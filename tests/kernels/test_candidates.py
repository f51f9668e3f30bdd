from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from audit.kernels.buffers import string_buffers
from audit.kernels.candidates import (
    ADDRESS_REACH,
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
from audit.kernels.number_characters import DIGIT, character_classes
from audit.kernels.tokens import DATE, LICENCE, URL, token_windows

texts = st.lists(st.text(st.sampled_from("a1 9@:.-+x\nßЖ電😀"), max_size=200), max_size=4)


def all_windows(column: pa.Array) -> list[Windows]:
    data, offsets = string_buffers(column)
    classes = character_classes()
    return [
        email_windows(data, offsets),
        number_windows(data, offsets, classes, NUMBER_DIGITS, NUMBER_GAP, NUMBER_PAD),
        number_windows(data, offsets, classes, 0, NUMBER_GAP, NUMBER_PAD),
        number_windows(data, offsets, classes, PLAIN_DIGITS, PLAIN_GAP, 1),
        *(token_windows(data, offsets, form) for form in (URL, DATE, LICENCE)),
        wallet_windows(data, offsets),
    ]


def cut(column: pa.Array, windows: Windows) -> list[tuple[int, str]]:
    raw = [text.encode() for text in column.to_pylist()]
    return [(row, raw[row][start:stop].decode()) for row, start, stop in windows.tolist()]


@given(texts, st.integers(0, 3))
def test_windows_are_sorted_disjoint_and_cut_between_code_points(texts: list[str], skip: int) -> None:
    column = pa.array(["x@1234567890", *texts], pa.string())[skip:]
    for windows in all_windows(column):
        cut(column, windows)
        keys = windows.tolist()
        assert keys == sorted(keys)
        assert all(a[0] < b[0] or a[2] < b[1] for a, b in pairwise(keys))


@given(texts)
def test_code_points_before_a_window(texts: list[str]) -> None:
    column = pa.array(texts, pa.string())
    data, offsets = string_buffers(column)
    for windows in all_windows(column):
        expected = [len(texts[row].encode()[:start].decode()) for row, start, _ in windows.tolist()]
        assert code_points_before(data, offsets, windows).tolist() == expected


def test_a_long_token_around_an_at_sign_is_cut() -> None:
    column = pa.array(["a" * 1000 + "@" + "b" * 1000])
    ((_, start, stop),) = email_windows(*string_buffers(column)).tolist()
    assert (start, stop) == (1000 - ADDRESS_REACH, 1001 + ADDRESS_REACH)


def test_prose_has_no_windows() -> None:
    column = pa.array(["In 2019, e.g., on 3 May, well-known people came: no numbers here. 100%"])
    assert [len(windows) for windows in all_windows(column)] == [0] * 8


def test_tokens_that_can_hold_a_form() -> None:
    column = pa.array(["see (example.com/x), 1/22 A12 or 1234567; end."])
    data, offsets = string_buffers(column)
    found = [cut(column, token_windows(data, offsets, form)) for form in (URL, DATE, LICENCE)]
    assert found == [[(0, "(example.com/x),")], [(0, "1/22")], [(0, "A12"), (0, "1234567;")]]


def test_classes_know_digits_of_all_scripts() -> None:
    classes = character_classes()
    assert all(classes[ord(c)] == DIGIT for c in "0９٤५")
    assert not classes[ord("a")]
    assert np.count_nonzero(classes & DIGIT) > 600
