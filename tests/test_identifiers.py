"""Ids and addresses keep their shape and lose what is personal."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.identifiers import mask_identifier, mask_identifiers

PERSONAL = [
    "bob.sample@example.com",
    "https://example.com/u?mail=bob.sample%40example.com&x=1",
    "mailto:bob.sample@example.com",
    "https://bob.sample:5550143@example.com/path",
    "reports/bob.sample@example.com.jsonl:17",
    "https://example.com/c?tel=+12025550143",
    "https://example.com/c?tel=%2B12025550143",
    "https://example.com/c?phone=2025550143",
    "tel-202-555-0143",
    "call (202) 555-0143 now",
]
PLAIN = [
    "https://www.example.com/2024/05/12/a-page?id=20255501431234#top",
    "https://example.social/@nobody/110203",
    "urn:uuid:6d6f2da8-cffa-6020-2555-014312345678",
    "d00012345",
    "2024-05-12T10:00:00Z",
    "1+1=2",
    "https://archive.example.org/20240512101500/https://example.com",
    "",
]


@pytest.mark.parametrize("value", PERSONAL)
def test_personal_values_are_masked(value):
    masked = mask_identifier(value)
    assert "sample" not in masked
    assert "5550143" not in masked
    assert "555-0143" not in masked
    assert mask_identifiers(pa.array([value])).to_pylist() == [masked]


@pytest.mark.parametrize("value", PLAIN)
def test_plain_identifiers_stay(value):
    assert mask_identifier(value) == value


def test_what_surrounds_a_value_stays():
    assert mask_identifier("https://example.com/u?mail=bob@example.com&x=1").startswith(
        "https://example.com/u?mail="
    )
    assert mask_identifier("https://example.com/u?mail=bob@example.com&x=1").endswith("&x=1")


def test_a_column_keeps_its_nulls_and_its_slice():
    column = pa.array(["plain", None, "bob@example.com", "d1"])
    assert mask_identifiers(column).to_pylist() == ["plain", None, "xxx@xxxx.xxx", "d1"]
    assert mask_identifiers(column.slice(1)).to_pylist() == [None, "xxx@xxxx.xxx", "d1"]
    assert mask_identifiers(column.slice(0, 2)) is not None
    assert mask_identifiers(pa.array([], pa.string())).to_pylist() == []
    assert mask_identifiers(pa.nulls(2, pa.string())).to_pylist() == [None, None]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(), st.sampled_from(PERSONAL + PLAIN)), max_size=6))
def test_columns_and_single_texts_agree(values):
    column = pa.array(
        [v.encode("utf-8", "replace").decode() if v is not None else None for v in values], pa.string()
    )
    expected = [None if v is None else mask_identifier(v) for v in column.to_pylist()]
    assert mask_identifiers(column).to_pylist() == expected
