from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.sources.values import Refusal, parse_timestamp, text_of, timestamps

WHEN = datetime(2019, 4, 24, 1, 35, 46)
MICROS = (WHEN - datetime(1970, 1, 1)) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    "value",
    [
        "2019-04-24T01:35:46Z", "2019-04-24 01:35:46", "2019-04-24T03:35:46+02:00", "2019-04-24 01:35:46 UTC",
        "20190424013546", "Wed, 24 Apr 2019 01:35:46 GMT", "1556069746", 1556069746, 1556069746.0,
        1556069746_000, 1556069746_000_000, 1556069746_000_000_000, WHEN, WHEN.replace(tzinfo=UTC),
    ],
)  # fmt: skip
def test_notations_of_one_time(value):
    assert parse_timestamp(value) == MICROS


@pytest.mark.parametrize(
    "value", ["", "x", "24/04/2019", None, True, [1], float("nan"), 1e300, "9" * 40, "2019-13"]
)
def test_what_is_no_time_is_null(value):
    assert parse_timestamp(value) is None
    assert timestamps([value, "2019"]).to_pylist() == [None, datetime(2019, 1, 1)]


@given(st.lists(st.datetimes(), min_size=1), st.sampled_from(["", "Z", "+05:30"]), st.booleans())
def test_a_time_does_not_depend_on_its_neighbours(times, zone, mixed):
    values = [time.isoformat() + zone for time in times]
    alone = [timestamps([value]).cast(pa.int64()).to_pylist()[0] for value in values]
    together = timestamps(values + ["no time"] * mixed).cast(pa.int64()).to_pylist()
    assert together[: len(values)] == alone == [parse_timestamp(value) for value in values]


def test_zones_are_turned_into_utc():
    assert parse_timestamp(WHEN.replace(tzinfo=timezone(timedelta(hours=2)))) == MICROS - 7200 * 10**6


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing_text"), (5, "text_not_string"), ({}, "text_not_string"), (["a"], "text_not_string"),
        ([{"content": 5}], "text_not_string"), (b"\xff", "invalid_utf8"), ("\udc80", "lone_surrogate"),
        ([{"content": "\ud800"}], "lone_surrogate"),
    ],
)  # fmt: skip
def test_what_is_no_text(value, reason):
    found = text_of(value)
    assert isinstance(found, Refusal)
    assert found.reason == reason
