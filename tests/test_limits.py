"""Limits agree with exact references, and hold their level where weights are unequal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from audit.limits import (
    WeightedCounts,
    gamma_sum_not_negative,
    lower_limit,
    p_value_at_least,
    p_value_at_most,
    upper_limit,
)


def counts(weights: list[float], yes: list[float], no: list[float]) -> WeightedCounts:
    arrays = [np.array(values, float) for values in (weights, yes, no)]
    return WeightedCounts(*arrays, largest=max(weights))


@st.composite
def weighted(draw: st.DrawFn) -> WeightedCounts:
    groups = draw(st.integers(1, 5))
    yes = draw(st.lists(st.integers(0, 30), min_size=groups, max_size=groups))
    no = draw(st.lists(st.integers(1, 300), min_size=groups, max_size=groups))
    raw = draw(st.lists(st.floats(0.01, 1), min_size=groups, max_size=groups))
    scale = sum(w * (a + b) for w, a, b in zip(raw, yes, no, strict=True))
    return counts([w / scale for w in raw], yes, no)


@pytest.mark.parametrize(
    ("yes", "n"), [(0, 1), (1, 2), (0, 400), (1, 400), (200, 400), (399, 400), (3, 9000)]
)
@pytest.mark.parametrize("alpha", [0.05, 1e-4])
def test_equal_weights_give_clopper_pearson(yes: int, n: int, alpha: float) -> None:
    sample = counts([1 / n], [yes], [n - yes])
    assert upper_limit(sample, alpha) == pytest.approx(beta.ppf(1 - alpha, yes + 1, n - yes), rel=1e-7)
    below = beta.ppf(alpha, yes, n - yes + 1) if yes else 0.0
    assert lower_limit(sample, alpha) == pytest.approx(below, rel=1e-7, abs=1e-10)


def test_p_values_are_those_of_the_binomial_test() -> None:
    sample = counts([1 / 300], [7], [293])
    assert p_value_at_most(sample, 0.01) == pytest.approx(binomtest(7, 300, 0.01, "greater").pvalue, rel=1e-8)
    assert p_value_at_least(sample, 0.05) == pytest.approx(binomtest(7, 300, 0.05, "less").pvalue, rel=1e-8)


def test_all_yes_has_no_upper_limit_under_one() -> None:
    assert upper_limit(counts([0.25], [4], [0]), 0.05) == 1.0


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_the_contour_integral_agrees_with_simulation(share: float) -> None:
    rng = np.random.default_rng(5)
    weights, yes, no = np.array([0.005, 0.01, 0.03]), np.array([3.0, 1, 0]), np.array([7.0, 20, 10])
    values = np.concatenate((weights * (1 - share), -weights * share))
    shapes = np.concatenate((yes, no))
    drawn = rng.gamma(np.where(shapes > 0, shapes, 1), size=(200_000, 6)) * (shapes > 0)
    simulated = (drawn @ values >= 0).mean()
    assert gamma_sum_not_negative(values, shapes) == pytest.approx(simulated, abs=0.004)


def test_without_yes_the_largest_weight_decides() -> None:
    sample = counts([0.001, 0.00125], [0, 0], [500, 400])
    assert upper_limit(sample, 0.05) == pytest.approx(0.00125 * np.log(20), rel=0.01)


@settings(max_examples=60, deadline=None)
@given(weighted(), st.floats(0.001, 0.4))
def test_limits_are_ordered_and_monotone_in_alpha(sample: WeightedCounts, alpha: float) -> None:
    point = float(sample.weights @ sample.yes)
    low, high = lower_limit(sample, alpha), upper_limit(sample, alpha)
    assert 0 <= low <= high <= 1
    # A mean of skewed weights may sit a little outside one-sided limits near alpha 1/2, never at small alpha.
    if alpha < 0.1:
        assert low <= point + 1e-9
        assert point <= high + 1e-9
    assert upper_limit(sample, alpha / 2) >= high - 1e-9
    assert lower_limit(sample, alpha / 2) <= low + 1e-9


@settings(max_examples=40, deadline=None)
@given(weighted(), st.floats(0.001, 0.4))
def test_limits_invert_the_tests(sample: WeightedCounts, alpha: float) -> None:
    high = upper_limit(sample, alpha)
    assert p_value_at_least(sample, high) == pytest.approx(alpha, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(weighted(), st.randoms())
def test_the_order_of_groups_does_not_matter(sample: WeightedCounts, random: object) -> None:
    order = np.arange(len(sample.weights))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = WeightedCounts(sample.weights[order], sample.yes[order], sample.no[order], sample.largest)
    assert upper_limit(other, 0.05) == pytest.approx(upper_limit(sample, 0.05), rel=1e-6)


@pytest.mark.parametrize("prevalence", [1e-3, 1e-2, 0.1, 0.5])
@pytest.mark.parametrize("harm", ["even", "largest weight", "smallest weight"])
def test_coverage_and_false_go_under_unequal_weights(prevalence: float, harm: str) -> None:
    rng, replicates, alpha = np.random.default_rng(11), 1000, 0.05
    weight, draws = np.array([0.5, 0.3, 0.15, 0.05]), np.array([100, 60, 40, 100])
    relative = {"even": np.ones(4), "largest weight": np.eye(4)[0], "smallest weight": np.eye(4)[3]}[harm]
    rates = np.minimum(relative * prevalence / (weight @ relative), 1.0)
    truth, each = float(weight @ rates), weight / draws
    missed = {"upper": 0, "lower": 0}
    for yes in rng.binomial(draws, rates, (replicates, 4)):
        sample = WeightedCounts(each, yes.astype(float), (draws - yes).astype(float), float(each.max()))
        missed["upper"] += p_value_at_least(sample, truth) < alpha  # a gate just under the truth: false GO
        missed["lower"] += p_value_at_most(sample, truth) < alpha
    # 0.05 and four standard errors of 1,000 replicates
    assert max(missed.values()) / replicates <= 0.078
