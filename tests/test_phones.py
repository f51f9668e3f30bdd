from __future__ import annotations

from pathlib import Path

import numpy as np
import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberMatcher
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from audit.kernels.buffers import string_buffers
from audit.kernels.phone_scan import TAIL
from audit.pii import phone_plan_cache, phone_plans
from audit.pii.digit_automata import accepting
from audit.pii.digit_patterns import Prefix, UnsupportedPattern, parse, prefixes
from audit.pii.phone_plans import UNDECIDED, VALID, plan_of
from audit.pii.phones import MAX_LIBRARY_BYTES, MAX_NUMBERS, MAX_STEPS, PhoneNumbers, search

REGIONS = ("US", "DE", "BR")
STOCK = PhoneRecognizer(supported_regions=REGIONS)

pieces = st.sampled_from(
    [
        *(
            "212",
            "555",
            "0123",
            "20",
            "7946",
            "030",
            "23125",
            "0",
            "00",
            "49",
            "+49",
            "+1",
            "+44",
            "+",
            "1",
            "90",
        ),
        *(
            "(0)",
            "(212)",
            "(11)",
            "[",
            ")",
            "(",
            " ",
            " ",
            "-",
            " - ",
            "/",
            ".",
            "\u2013",
            "\u00a0",
            "\u3000",
        ),
        *(
            "x",
            " ext. 12",
            "#4",
            "~",
            ", int 5",
            ";ext=7",
            "a",
            "%",
            "\u20ac",
            "e\u0301",
            ":30",
            " 12",
            "2012-01-02 08",
        ),
        *(
            "3/10/2011",
            "211-227 (2003)",
            "\uff12\uff11",
            "\u0661",
            "\n",
            "\u96fb",
            "\U0001f600",
            "11987654321",
        ),
    ]
)
digits = st.text("0123456789", min_size=3, max_size=16)


def found(*texts: str, regions: tuple[str, ...] = REGIONS) -> PhoneNumbers:
    return search(*string_buffers(pa.array(texts, pa.string())), regions)


def values(text: str, regions: tuple[str, ...] = REGIONS) -> list[str]:
    return [text.encode()[a:b].decode() for _, a, b in found(text, regions=regions).spans.tolist()]


@settings(max_examples=250, deadline=None)
@given(st.lists(pieces, max_size=14).map("".join))
def test_a_text_has_the_numbers_that_stock_presidio_finds(text: str) -> None:
    expected = sorted((r.start, r.end) for r in STOCK.analyze(text, ["PHONE_NUMBER"]))
    assert values(text) == [text[start:end] for start, end in expected]


@settings(max_examples=200, deadline=None)
@given(
    digits, st.sampled_from(["", "", "0", "90", "00", "011", "1", "49", "55", "031", "0055"]), st.booleans()
)
def test_a_plan_says_what_the_library_says(number: str, prefix: str, plus: bool) -> None:
    number = prefix + number
    for region in REGIONS:
        plan = plan_of(region)
        assert plan is not None
        said = (plan.plus if plus else plan.plain).run(number)
        text = "+" * plus + number
        matches = [m for m in PhoneNumberMatcher(text, region) if m.raw_string == text]
        assert said == UNDECIDED or (said == VALID) == bool(matches)


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
def test_example_numbers_of_any_country_are_found(kind: int) -> None:
    for region in ("IN", "JP", "ZA", "GG", "BS", "AR"):
        number = phonenumbers.example_number_for_type(region, kind)
        if number is not None:
            text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
            assert values(f"Tel. {text}.") == [text]
            assert values(f"Tel. {text}.", regions=()) == [text]


def test_a_region_that_cannot_be_compiled_is_read_by_the_library() -> None:
    assert plan_of("AR") is None
    text = "Tel. 011 4321-5678"
    expected = [m.raw_string for m in PhoneNumberMatcher(text, "AR")]
    assert expected
    assert values(text, regions=("AR",)) == expected


def test_slices_and_rows() -> None:
    column = pa.array(["(212) 555-0123", "none", "Ж 212-555-0123"], pa.string())[1:]
    assert search(*string_buffers(column), ("US",)).spans.tolist() == [[1, 3, 15]]


HOSTILE = [
    *("7", "0", "1 ", "1-", "12.", "12/", "1/2(", "(1", "1)", "+", "+1", "+49 ", "+1-", "x1", "1x2 ", "1~2 "),
    *("123 ext 4 ", "1 ext 2 ", "12/12/12 ", "1 2 3 4 5 6 7 8 9 ", "212-555-0123 ", "+33 1 23 45 67 89, "),
    *("\uff11", "\u0661", "\u0661\u0661\u0661 ", "\U0001f600", "word 12, ", "\n"),
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_work_on_hostile_texts_is_linear_or_over_budget(unit: str) -> None:
    size = 200_000
    result = found(unit * (size // len(unit.encode())))
    steps, library, numbers = result.work[0].tolist()
    most = size * 300  # symbols of a candidate, in the ways to split it
    assert result.over[0] or (steps <= most and library <= MAX_LIBRARY_BYTES and numbers <= MAX_NUMBERS)
    assert steps <= MAX_STEPS + most
    assert numbers <= MAX_NUMBERS + size // 10
    assert result.asked <= len(REGIONS) * MAX_LIBRARY_BYTES // TAIL


def test_a_run_of_marks_is_searched_once() -> None:
    text = "2125551" + "x" * 300_000 + "2125551"
    assert found(text).work[0, 0] < 20 * len(text)


def test_valid_numbers_without_end_are_found_or_over_budget() -> None:
    few, many = "212-555-0123 fax +44 20 7946 0958; " * 500, "212-555-0123, " * 40_000
    result = found(few, many, "212-555-0123", regions=("US", "GB"))
    assert result.over.tolist() == [False, True, False]
    assert np.bincount(result.spans[:, 0]).tolist() == [1000, MAX_NUMBERS, 1]


def test_broken_numbers_without_end_hide_no_number() -> None:
    # libphonenumber gives up after 65,535; the scan counts symbols instead.
    text = "1 2 3 4 5 6 7 8 9 " * 70_000
    assert values(f"{text}, tel. 212-555-0123") == ["212-555-0123"]


def test_runs_for_the_library_count_with_what_is_kept_behind_them() -> None:
    data, offsets = string_buffers(pa.array(["212-555-0123 ext. 4, and so on. " * 10, "212-555-0123 x 4."]))
    result = search(data, offsets, ("US",), max_library_bytes=300)
    assert result.over.tolist() == [True, False]
    assert result.work[0, 1] > 300
    assert result.asked == 4


def test_over_budget_texts_keep_what_was_found_and_others_are_whole() -> None:
    data, offsets = string_buffers(
        pa.array(["212-555-0123, " + "1 2 3 " * 1000 + "212-555-0123", "212-555-0123"])
    )
    result = search(data, offsets, ("US",), max_steps=5000)
    assert result.over.tolist() == [True, False]
    assert result.spans.tolist() == [[0, 0, 12], [1, 0, 12]]


def test_plans_are_kept_on_disk_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = phone_plan_cache.plan_of.__wrapped__
    first = fresh("US")
    file = next((tmp_path / "corpus-audit" / "phone-plans").iterdir())
    monkeypatch.setattr(phone_plans, "plan_of", lambda region: pytest.fail("compiled again"))
    assert np.array_equal(fresh("US").plain.moves, first.plain.moves)
    assert np.array_equal(fresh("US").plus.outputs, first.plus.outputs)
    assert phone_plan_cache.trouble() is None
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for damage in (lambda data: data[:-100], lambda data: data[:50] + b"x" + data[51:], lambda data: b""):
        intact = file.read_bytes()
        file.write_bytes(damage(intact))
        assert np.array_equal(fresh("US").plain.moves, first.plain.moves)
        assert file.read_bytes() == intact


def test_that_a_region_cannot_be_compiled_is_kept_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = phone_plan_cache.plan_of.__wrapped__
    assert fresh("AR") is None
    monkeypatch.setattr(phone_plans, "plan_of", lambda region: pytest.fail("compiled again"))
    assert fresh("AR") is None


def test_without_a_cache_plans_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", Path("/proc/none")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        assert phone_plan_cache.plan_of.__wrapped__("GB") is not None
        assert phone_plan_cache.trouble() is not None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", _no_home)
    assert phone_plan_cache.plan_of.__wrapped__("GB") is not None
    assert "no home" in str(phone_plan_cache.trouble())


def _no_home(path: Path) -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize(
    "expression", ["[2-9]\\d{2}|1(?:0|5\\d)?", "(\\d{2})(?:[13]|4[05-7]{1,3})", "", "0|180020"]
)
def test_automata_accept_what_the_expression_matches(expression: str) -> None:
    import re

    automaton = accepting(parse(expression))
    for k in range(3000):
        for text in (str(k), f"0{k}", f"18002{k}"):
            assert automaton.run(text) == bool(re.fullmatch(expression, text))


@pytest.mark.parametrize("expression", ["1+", "(?=1)", "1$", "[^1]", "(1", "1)", "1??", "a"])
def test_what_cannot_be_read_is_refused(expression: str) -> None:
    with pytest.raises(UnsupportedPattern):
        parse(expression)


def test_prefixes_in_the_order_of_the_expression() -> None:
    pattern = parse("(?:0|90)(?:(1[24])(\\d{10,11}))?")
    expected = [
        Prefix("012", 10),
        Prefix("014", 10),
        Prefix("0"),
        Prefix("9012", 10),
        Prefix("9014", 10),
        Prefix("90"),
    ]
    assert sorted(map(str, prefixes(pattern, keep_last_group=True))) == sorted(map(str, expected))
    with pytest.raises(UnsupportedPattern):
        prefixes(parse("\\d{9}"), keep_last_group=False)
