from __future__ import annotations

import time

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.pii.pii_budget import Budget
from audit.pii.pii_obfuscation import search_disguised, unveil
from audit.pii.presidio import recognisers

STOCK = recognisers(("us",), ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD"), ("US",))
ADDRESS = "jane.doe@example.com"


def found(*texts: str) -> list[tuple[int, str, str]]:
    hits, over = search_disguised(pa.array(texts), STOCK, Budget())
    assert not any(flags.any() for flags in over.values())
    return [(h.row, h.value, texts[h.row][h.span.start : h.span.end]) for h in hits]


DISGUISES = [
    "jane.doe [at] example [dot] com",
    "jane.doe(at)example.com",
    "jane.doe ( at ) example ( dot ) com",
    "jane.doe {at} example.com",
    "jane[dot]doe[at]example[dot]com",
    "JANE.DOE AT EXAMPLE DOT COM".lower().replace(" at ", " AT ").replace(" dot ", " DOT "),
    "jane.doe at example dot com",
    "jane.doe&#64;example.com",
    "jane.doe&#x40;example&#46;com",
    "jane.doe&commat;example&period;com",
    "&#106;&#97;&#110;&#101;.doe&#64;example.com",
    "jane.doe%40example.com",
    "ｊａｎｅ．ｄｏｅ＠ｅｘａｍｐｌｅ．ｃｏｍ",
    "jane.\u200bdoe@exam\u200bple.com",
    "j\u2060ane.doe@example\ufeff.com",
    "jane.doe_at_example.com",
]


@pytest.mark.parametrize("written", DISGUISES)
def test_disguised_addresses_are_found_where_they_are_written(written: str) -> None:
    for before, after in [("", ""), ("Größe 😀 ", " and more"), ("(", ")")]:
        assert found("other text", before + written + after) == [(1, ADDRESS, written)]


def test_numbers_too() -> None:
    assert found("４１１１ １１１１ １１１１ １１１１") == [
        (0, "4111 1111 1111 1111", "４１１１ １１１１ １１１１ １１１１")
    ]
    assert found("call 212-555\u200b-0123 now") == [(0, "212-555-0123", "212-555\u200b-0123")]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "look at this dot com boom",
            "we met at ten (at) the station",
            ADDRESS,
            "an @ &#64; alone",
            "AT&amp;T",
        ),
        *("نمی\u200cخواهم و می\u200cروم", "２０２０年", f"{ADDRESS} and a\u200bb", "", "😀" * 500),
    ],
)
def test_prose_and_plain_values_are_left_to_others(text: str) -> None:
    assert found(text) == []


def test_over_budget_is_said() -> None:
    hits, over = search_disguised(
        pa.array(["a (at) b " * 1000, "jane(at)example.com"]), STOCK, Budget(max_bytes=1000)
    )
    assert {kind for each in STOCK for kind in each.supported_entities} == set(over)
    assert all(flags.tolist() == [True, False] for flags in over.values())
    assert [hit.row for hit in hits] == [1]


PIECES = [
    *"aZ9 .@é電😀\u200b\u2060\u00ad１ａ＠",
    "&#64;",
    "&amp;",
    "&#x2e;",
    "%40",
    "[at]",
    "(dot)",
    " at ",
    " dot ",
    "x",
]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_offsets_map_back_exactly(written: str) -> None:
    plain = unveil(written)
    assert len(plain.text) == len(plain.starts) == len(plain.ends)
    assert list(plain.starts) == sorted(plain.starts)
    for i, character in enumerate(plain.text):
        start, end = plain.written(i, i + 1)
        assert 0 <= start < end <= len(written)
        assert end <= (plain.starts[i + 1] if i + 1 < len(plain.starts) else len(written))
        source = written[start:end]
        assert source == character or unveil(source).text == character or character in "@."
    if written.isascii() and not any(sign in written for sign in "&%[(@") and " at " not in written:
        assert plain.text == written


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.sampled_from(DISGUISES), st.text(max_size=30))
def test_any_surroundings_keep_the_place(before: str, written: str, after: str) -> None:
    text = f"{before}\n\n{written}\n\n{after}"
    assert (0, ADDRESS, written) in found(text)


@pytest.mark.parametrize(
    "unit",
    ["(at)", " at a dot ", "a AT b DOT c ", "&#64;", "\u200ba", "１", "[dot]", "%40", "x (at) y (dot) "],
)
def test_work_is_bounded_on_odd_text(unit: str) -> None:
    began = time.process_time()
    search_disguised(pa.array([unit * (200_000 // len(unit))]), STOCK, Budget())
    assert time.process_time() - began < 20
