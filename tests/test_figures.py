import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.wordings import figures

SHARES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "no evidence"),
        (0.0, "0%"),
        (0.000123, "0.012%"),
        (0.0000019, "0.00019%"),
        (0.0117, "1.17%"),
        (0.314, "31.4%"),
        (0.99999, ">99.9%"),
        (1.0, "100.0%"),
    ],
)
def test_shares_have_sensible_digits(value, text):
    assert figures.share(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0.0, ""), (0.5, ""), (0.00012, "1 in 8,300"), (0.002, "1 in 500")]
)
def test_rare_shares_are_also_one_in_so_many(value, text):
    assert figures.rarity(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "no evidence"), (0, "0"), (1234567, "1,234,567"), (12.0, "12"), (0.12345, "0.1235")],
)
def test_counts_are_grouped(value, text):
    assert figures.count(value) == text


@pytest.mark.parametrize(("value", "text"), [(999, "999 bytes"), (1500, "1.5 KB"), (10**13, "10.0 TB")])
def test_sizes_have_units(value, text):
    assert figures.size(value) == text


@given(SHARES)
def test_a_positive_share_never_reads_as_zero(value):
    digits = figures.share(value).strip(">%")
    assert (float(digits) > 0) == (value > 0)


@given(st.text(), st.integers(20, 200))
def test_tame_text_is_one_bounded_line(value, longest):
    tame = figures.tame(value, longest)
    assert len(tame) <= longest
    assert len(tame.splitlines()) <= 1
    tame.encode("utf-8")


def test_tame_text_drops_what_reorders_the_text_around_it():
    assert figures.tame("a\u202eb\u0000c\ud800d") == "a b c d"


def test_absent_parts_give_absent_ratios():
    assert figures.ratio(None, 5) is None
    assert figures.ratio(1, 0) is None
    assert figures.ratio(1, 4) == 0.25


def test_settings_are_flattened_and_sorted():
    rows = figures.flatten({"b": {"y": None, "x": True}, "a": [1, 2], "c": [{"k": 1}]})
    assert rows == [("a", "1, 2"), ("b.x", "yes"), ("b.y", "no evidence"), ("c", "1 entries")]
