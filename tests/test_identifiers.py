"""Ids and addresses keep their shape and lose what is personal."""

import pyarrow as pa
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.identifiers import _SUSPECT, LONGEST, _values, mask_identifier, mask_identifiers

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
    "jürgen.sample@exämple.org",
    "bob.sample%2540mail.example.org",
    "bob.sample＠example.org",
    "https://example.com/?e=bob.sample&#64;example.org",
]
A1 = "a1B2c3D4e5"
#: Values that are made up at run time, so that no scanner takes them for real: (text, what must be gone).
NUMBERS_AND_SECRETS = [
    ("card_4111111111111111", "1111"),
    ("https://example.com/pay?n=4111%201111%201111%201111&x=1", "1111"),
    ("4111 1111 1111 1111 12/25", "1111"),
    ("x/3782-822463-10005.html", "822463"),
    ("https://example.com/GB82WEST12345698765432/x", "WEST"),
    ("iban GB82 WEST 1234 5698 7654 32 PAID", "5698"),
    (f"https://example.com/?access_token={A1}&x=1", A1),
    (f"https://example.com/a;jsessionid={A1}", A1),
    (f"https://example.com/?X-Amz-Signature={A1}", A1),
    (f"https://example.com/#id_token={A1}", A1),
    ("https://example.com/k/gh" + f"p_{A1 * 3}a1B2c3", A1),
    ("AK" + "IAQ2W3E4R5T6Y7U2I3.jsonl", "Q2W3"),
]
PLAIN = [
    "https://www.example.com/2024/05/12/a-page?id=20255501431234#top",
    "https://example.social/@nobody/110203",
    "urn:uuid:6d6f2da8-cffa-6020-2555-014312345678",
    "d00012345",
    "2024-05-12T10:00:00Z",
    "1+1=2",
    "4111 1111 1111 1112",
    "https://example.com/product/4111111111111111234",
    "status/1790000000000000000",
    "DE12345678901234567890",
    "https://example.com/?tokens=&signature=&x=1",
    "https://example.com/tokenizer?author=x",
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


@pytest.mark.parametrize(("text", "gone"), NUMBERS_AND_SECRETS)
def test_numbers_and_secrets_are_masked(text, gone):
    masked = mask_identifier(text)
    assert gone not in masked
    assert mask_identifier(masked) == masked


def test_identifiers_stay_apart_by_what_is_not_personal():
    urls = [f"https://example.com/{n}?mail=bob@example.com&t={n}" for n in range(20)]
    assert len(set(mask_identifiers(pa.array(urls)).to_pylist())) == 20


@pytest.mark.parametrize(
    "unit", ["a", "a.", "1", "1 ", "a@", "4111 ", "GB82 ", "?token=", "password=x ", "%25"]
)
def test_long_identifiers_are_masked_or_hidden(unit):
    just_short_enough = (unit * LONGEST)[:LONGEST]
    masked = mask_identifiers(pa.array([unit * 300_000, just_short_enough, "d1"])).to_pylist()
    assert masked[0] == f"[{300_000 * len(unit)} characters]"
    assert masked[2] == "d1"
    assert mask_identifiers(pa.array(masked)).to_pylist() == masked


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


PIECES = [
    *(
        "@",
        "%40",
        "＠",
        "&#64;",
        "a",
        "Z",
        "é",
        "1",
        "23",
        "456",
        "7890",
        "GB82",
        "+",
        "-",
        ".",
        " ",
        "(",
        ")",
    ),
    *("%20", "?", "&", "=", "token", "sig", "tel", ":", "/", "4111", "x"),
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_whatever_is_masked_is_suspected(text):
    assert re2.search(_SUSPECT, text) or not _values().search(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(), st.sampled_from(PERSONAL + PLAIN)), max_size=6))
def test_columns_and_single_texts_agree(values):
    column = pa.array(
        [v.encode("utf-8", "replace").decode() if v is not None else None for v in values], pa.string()
    )
    expected = [None if v is None else mask_identifier(v) for v in column.to_pylist()]
    assert mask_identifiers(column).to_pylist() == expected
    assert mask_identifiers(pa.array(expected, pa.string())).to_pylist() == expected
