"""What gates are held against: counts with their doubt, and judgements by slice."""

import pytest

from audit.evidence import DuplicateCount
from audit.model import WHOLE


def copies(total=100, flagged=10, fewer=2.0, more=5.0):
    return DuplicateCount("duplicates.documents", WHOLE, total, flagged, total, fewer, more)


def test_duplicates_carry_the_doubt_of_their_sketches():
    count = copies()
    assert (count.lower_limit(0.05), count.value, count.upper_limit(0.05)) == (0.08, 0.1, 0.15)
    assert count.p_value_at_most(0.079) == 0.0
    assert count.p_value_at_most(0.08) == 1.0
    shown = count.estimate(0.05)
    assert (shown.low, shown.value, shown.high) == (0.08, 0.1, 0.15)


def test_limits_of_duplicates_stay_shares():
    assert copies(flagged=1, fewer=3.0).lower_limit(0.05) == 0.0
    assert copies(flagged=99, more=30.0).upper_limit(0.05) == 1.0


def test_an_empty_slice_has_no_value():
    empty = copies(total=0, flagged=0)
    assert empty.value is None
    assert (empty.lower_limit(0.05), empty.upper_limit(0.05)) == (0.0, 1.0)
    assert empty.estimate(0.05).value is None


def estimates(run):
    with run.connect() as db:
        rows = db.execute("SELECT metric, slice, value, low, high, n FROM estimates").fetchall()
    return {(metric, name): tuple(rest) for metric, name, *rest in rows}


def test_every_reported_slice_has_its_evidence(standing):
    found = estimates(standing)
    for name in ("all", "source=pages", "source=comments", "language=en", "period=2013"):
        for metric in (
            "pii.flagged",
            "pii.flagged_tokens",
            "duplicates.documents",
            "toxicity",
            "toxicity.tokens",
        ):
            assert (metric, name) in found, (metric, name)
    assert found["unscreened", "all"][0] == 0.0


def test_shares_follow_from_the_counts(standing):
    found = estimates(standing)
    assert found["duplicates.documents", "source=pages"][0] == pytest.approx(1 / 42)
    assert found["duplicates.documents", "source=comments"][0] == 0.0
    with standing.connect() as db:
        share = db.execute("SELECT avg(pii_flagged::INT) FROM documents").fetchone()[0]
    assert found["pii.flagged", "all"][0] == pytest.approx(share)


def test_without_a_judgement_there_is_no_value(standing):
    value, _, _, n = estimates(standing)["toxicity", "all"]
    assert value is None
    assert n == 0
