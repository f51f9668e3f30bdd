from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.kernels.buffers import string_buffers
from audit.kernels.identifier_numbers import (
    ALL_NUMBERS,
    CARD,
    ITIN,
    LICENCE,
    NHS,
    PASSPORT,
    SIN,
    SSN,
    UK_PASSPORT,
)
from audit.kernels.identifier_scan import EMAIL, IBAN, IP, MAC, MBI, NINO, NUMBER, WALLET, scan_identifiers
from audit.kernels.number_characters import character_classes
from audit.pii.pii_search import Hit, Texts, search
from audit.pii.pii_shapes import patterns_digest, shape_of
from audit.pii.presidio import recognisers

SHAPED = (
    *("CREDIT_CARD", "CRYPTO", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "MAC_ADDRESS"),
    *("MEDICAL_LICENSE", "UK_NHS", "US_ITIN", "US_PASSPORT", "US_SSN"),
    *("CA_SIN", "UK_NINO", "UK_PASSPORT", "US_MBI"),
)
ALL = recognisers((), SHAPED, ())
#: Signs, digits of other scripts, and letters that match s and k without case.
ALPHABETS = (
    *("AB12 34cdKſ", "1EG4-TE5MK73Aſ0\u212a", "123-456 789", "AB 1234567é"),
    *(
        "0123456789- .",
        "45 -1",
        "0123456789abcdefABCDEF:-.%/ g",
        "::::abcdef0123456789.ffff /",
        "AB12 -ab9ſKKs",
    ),
    *(
        "@a.b-c @x1_é漢٣３",
        "１２３0123456789-４ x",
        "ab９8765432٣-. ",
        "::1.2.3.4/%ﬀ٣",
        "13bc1BvEYt5m4GFg7xJ",
    ),
)
#: Fictional, or the examples of the standards.
VALUES = (
    *("4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32", "219-09-9999", "jane.doe@example.com"),
    *("192.0.2.17", "2001:db8::1", "00:00:5e:00:53:01", "0000.5e00.5301", "943 476 5919", "912-70-1234"),
    *("AB1234563", "X12345678", "123456789", "::ffff:192.0.2.1", "fe80::1%eth0/64", "a@example.co"),
    *("AA 12 34 56 C", "AA123456C", "1EG4-TE5-MK73", "1EG4TE5MK73", "046 454 286", "AB1234567"),
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
)
noise = st.sampled_from(ALPHABETS).flatmap(lambda alphabet: st.text(st.sampled_from(alphabet), max_size=40))
texts = st.lists(
    st.lists(
        noise | st.sampled_from(VALUES) | st.sampled_from(["", " ", "-", ".", ":", "é"]), max_size=8
    ).map("".join),
    max_size=6,
)


def scan(*values: str) -> list[tuple[int, str, int, int]]:
    column = pa.array(values, pa.string())
    raw = [value.encode() for value in values]
    found = scan_identifiers(*string_buffers(column), character_classes())
    return [(row, raw[row][a:b].decode(), group, bits) for row, a, b, group, bits in found.tolist()]


def shown(hits: list[Hit]) -> set[tuple[object, ...]]:
    return {(hit.row, hit.span, hit.value, hit.before) for hit in hits}


@settings(max_examples=150)
@given(texts)
def test_windows_hold_all_that_recognisers_find_in_whole_texts(values: list[str]) -> None:
    column = Texts(pa.array(values, pa.string()))
    whole, _ = search(column, ALL, 1 << 40, prefilter=False)
    found, over = search(column, ALL, 1 << 40)
    assert shown(found) == shown(whole)
    assert not over


@given(texts, st.integers(0, 3))
def test_windows_of_a_group_are_sorted_disjoint_and_cut_between_code_points(
    values: list[str], skip: int
) -> None:
    column = pa.array(["12-34-567 x@example.com 1", *values], pa.string())[skip:]
    raw = [value.encode() for value in column.to_pylist()]
    found = scan_identifiers(*string_buffers(column), character_classes())
    for row, start, stop, _, _ in found.tolist():
        raw[row][start:stop].decode()
    assert found[:, 0].tolist() == sorted(found[:, 0].tolist())
    for group in range(8):
        own = found[found[:, 3] == group].tolist()
        assert all(a[0] < b[0] or a[2] < b[1] for a, b in pairwise(own))


@pytest.mark.parametrize(
    ("value", "group", "bits"),
    [
        ("219-09-9999", NUMBER, SSN),
        ("912-70-1234", NUMBER, SSN | ITIN),
        ("123456789", NUMBER, SSN | PASSPORT | SIN),
        ("146 454 286", NUMBER, SIN),
        ("AB1234563", NUMBER, LICENCE | UK_PASSPORT),
        ("AA 12 34 56 C", NINO, 1),
        ("AA123456C", NINO, 1),
        ("1EG4-TE5-MK73", MBI, 1),
        ("X12345678", NUMBER, PASSPORT),
        ("943 476 5919", NUMBER, NHS),
        ("4111-1111-1111-1111", NUMBER, CARD),
        ("AB１234563", NUMBER, ALL_NUMBERS),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", WALLET, 1),
        ("GB82WEST12345698765432", IBAN, 1),
        ("192.0.2.17", IP, 1),
        ("2001:db8::1", IP, 1),
        ("00-00-5e-00-53-01", MAC, 1),
        ("x@example.com", EMAIL, 1),
    ],
)
def test_shapes_are_told_apart(value: str, group: int, bits: int) -> None:
    found = [
        (text, g, b) for _, text, g, b in scan("in the year 2024, ", f"see: {value} (3.5%)") if g == group
    ]
    assert len(found) == 1
    assert value in found[0][0]
    assert found[0][1:] == (group, bits)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "on 2024-05-01 at 12:34:56",
            "version 1.2.3",
            "std::vector",
            "1,234,567.89",
            "10 000 people in 24 h",
        ),
        *("-----------", "a@b", "@@@@@@", "d41d8cd98f00b204e9800998ecf8427e", "12345678901234567890"),
    ],
)
def test_common_text_has_no_windows(text: str) -> None:
    assert not scan(text)


def test_what_stands_before_a_text_is_another_text() -> None:
    assert scan("219-0", "9-9999") == scan("", "") == []
    assert [row for row, *_ in scan("7", "219-09-9999", "7")] == [1]


def test_the_work_grows_with_the_text_and_not_with_its_square() -> None:
    """Each of these would be walked over and over by a scan that forgets how far it saw."""
    for unit in ("1-", "a:", "１2", "a1", "1.2.3.4.", "@a.b@", "bc1", "GB82"):
        n = 200_000 // len(unit)
        found = scan_identifiers(*string_buffers(pa.array([unit * n], pa.string())), character_classes())
        sizes = found[:, 2] - found[:, 1]
        assert sizes.sum() <= 6 * len(unit.encode()) * n


def test_shapes_belong_to_the_patterns_that_they_were_made_for() -> None:
    for recogniser in ALL:
        assert shape_of(recogniser) is not None


def test_other_patterns_are_not_reached_through_shapes() -> None:
    other: Any = recognisers((), ["US_SSN"], ())[0]
    known = patterns_digest(other)
    other.patterns = other.patterns[1:]
    assert patterns_digest(other) != known
    assert shape_of(other) is None


def test_equal_windows_are_hits_of_their_own() -> None:
    column = Texts(pa.array(["mail x@example.com, x@example.com", "né x@example.com"], pa.string()))
    found, _ = search(column, ALL, 1 << 40)
    places = sorted((hit.row, hit.span.start, hit.before) for hit in found)
    assert places == [(0, 5, "mail "), (0, 20, "mail x@example.com, "), (1, 3, "né ")]


def test_a_budget_is_per_kind() -> None:
    column = Texts(pa.array(["x@example.com " * 50 + "219-09-9999", "x@example.com"], pa.string()))
    found, over = search(column, ALL, 100)
    assert {kind: np.flatnonzero(rows).tolist() for kind, rows in over.items()} == {"EMAIL_ADDRESS": [0]}
    assert [(hit.row, hit.span.kind) for hit in found] == [(1, "EMAIL_ADDRESS"), (0, "US_SSN")]
