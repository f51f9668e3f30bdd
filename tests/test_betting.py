"""Betting: the limit holds at every length at once, with and without replacement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from audit.statistics.betting import interleaved, lower_limit, upper_limit


def test_without_harm_it_is_near_the_exact_limit() -> None:
    assert upper_limit(np.zeros(400), 0.05) == pytest.approx(np.log(2 / 0.05) / 400, rel=0.05)


def test_drawing_the_whole_population_tells_its_mean() -> None:
    values = np.array([1.0] * 5 + [0.0] * 45)
    np.random.default_rng(0).shuffle(values)
    assert upper_limit(values, 0.05, population=50) == pytest.approx(0.1, abs=0.03)
    assert lower_limit(values, 0.05, population=50) == pytest.approx(0.1, abs=0.03)
    assert upper_limit(values[:40], 0.05, population=50) <= upper_limit(values[:40], 0.05)


@pytest.mark.parametrize(("yes", "population"), [(2, 400), (40, 400), (5, None)])
def test_it_covers_at_every_length_at_once(yes: int, population: int | None) -> None:
    rng, alpha, replicates = np.random.default_rng(3), 0.1, 150
    size = population or 1000
    truth, missed = yes / size, np.zeros(2)
    for _ in range(replicates):
        values = np.zeros(size)
        values[:yes] = 1
        drawn = rng.choice(values, 200, replace=population is None)
        # the capital is never forgotten, so the last limit is the smallest of all
        missed += [
            upper_limit(drawn, alpha, population=population) < truth - 1e-9,
            lower_limit(drawn, alpha, population=population) > truth + 1e-9,
        ]
    assert (missed / replicates <= alpha + 3 * (alpha / replicates) ** 0.5).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.01, 0.3))
def test_limits_tighten_and_never_cross(values: list[float], alpha: float) -> None:
    data = np.array(values)
    high, low = upper_limit(data, alpha, top=3.0), lower_limit(data, alpha, top=3.0)
    assert 0 <= low <= high + 1e-9 <= 3 + 1e-9
    assert upper_limit(data[:-1], alpha, top=3.0) >= high - 1e-6
    assert upper_limit(data, alpha / 2, top=3.0) >= high - 1e-6


def test_strata_are_taken_by_a_fixed_random_sequence() -> None:
    rng = np.random.default_rng(7)
    weight, chances, rates = np.array([0.9, 0.1]), np.array([0.5, 0.5]), np.array([0.01, 0.3])
    order = interleaved(2, chances, np.array([300, 300]), rng)
    assert len(order) >= 300
    assert np.bincount(order).max() <= 300
    values = (rng.random(len(order)) < rates[order]) * (weight / chances)[order]
    truth = float(weight @ rates)
    high = upper_limit(values, 0.05, top=float((weight / chances).max()))
    assert truth < high < 4 * beta.ppf(0.95, 24, 577)


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="between"):
        upper_limit(np.array([1.5]), 0.05)
    with pytest.raises(ValueError, match="more values"):
        upper_limit(np.zeros(5), 0.05, population=4)
