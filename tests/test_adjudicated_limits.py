"""Limits after a second look: what reviewers missed is found again, as far as it was looked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.statistics.adjudicated_limits import adjudicated_values
from audit.statistics.stratified_limits import (
    JudgedValues,
    lower_limit,
    p_value_at_least,
    p_value_at_most,
    upper_limit,
)


def counts(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@given(st.integers(1, 200), st.data())
@settings(max_examples=30, deadline=None)
def test_when_everything_is_looked_at_again_nothing_is_left_of_the_reviewers(
    n: int, data: st.DataObject
) -> None:
    positives = data.draw(st.integers(0, n))
    upheld, overturned = data.draw(st.integers(0, positives)), data.draw(st.integers(0, n - positives))
    negatives = counts(n - positives)
    found = adjudicated_values(
        np.ones(1), counts(positives), counts(upheld), negatives, negatives, counts(overturned)
    )
    plain = JudgedValues.of_counts(np.ones(1), counts(n), counts(upheld + overturned).astype(float))
    assert upper_limit(found, 0.05) == pytest.approx(upper_limit(plain, 0.05), abs=1e-6)
    assert lower_limit(found, 0.05) == pytest.approx(lower_limit(plain, 0.05), abs=1e-6)


def test_negatives_that_nobody_looked_at_are_not_taken_for_certain() -> None:
    few = adjudicated_values(np.ones(1), counts(0), counts(0), counts(1000), counts(100), counts(0))
    assert upper_limit(few, 0.05) > 0.025  # ln(20) / 100, not ln(20) / 1000


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        adjudicated_values(np.ones(1), counts(3), counts(4), counts(5), counts(1), counts(0))
    with pytest.raises(ValueError, match="nobody looked again"):
        adjudicated_values(np.ones(1), counts(3), counts(3), counts(5), counts(0), counts(0))


def test_limits_cover_where_reviewers_miss_a_tenth() -> None:
    rng = np.random.default_rng(4)
    shares, rates, n, replicates = np.array([0.8, 0.2]), np.array([0.02, 0.2]), counts(300, 200), 300
    truth, upper, lower = float(shares @ rates), 0, 0
    for _ in range(replicates):
        harm = rng.binomial(n, rates)
        missed, alarms = rng.binomial(harm, 0.1), rng.binomial(n - harm, 0.005)
        negatives = n - harm + missed - alarms
        again = np.maximum(rng.binomial(negatives, 0.2), 1)
        overturned = rng.hypergeometric(missed, negatives - missed, again)
        found = adjudicated_values(shares, n - negatives, harm - missed, negatives, again, overturned)
        upper += p_value_at_least(found, truth) >= 0.05
        lower += p_value_at_most(found, truth) >= 0.05
    assert min(upper, lower) / replicates > 0.91  # binomial at 95%: below it once in a thousand
