"""The tail of a sum of gammas: exact where it is known, and never smaller by binning than the tolerance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from audit.statistics import gamma_sums
from audit.statistics.gamma_sums import DENSE, RATIO, log_probability_not_negative


def probability(values, shapes) -> float:
    return math.exp(log_probability_not_negative(np.array(values, float), np.array(shapes, float)))


@pytest.mark.parametrize(("x", "n", "p"), [(0, 10, 0.2), (3, 40, 0.2), (30, 400, 0.1), (2, 9000, 1e-3)])
def test_two_terms_compare_two_gammas(x: int, n: int, p: float) -> None:
    # P(Beta(x + 1, n - x) >= p) is the binomial probability of x or fewer
    assert probability([1 - p, -p], [x + 1, n - x]) == pytest.approx(binom.cdf(x, n, p), rel=1e-9)


def test_small_tails_keep_their_relative_accuracy() -> None:
    assert probability([0.5, -0.5], [3, 400]) == pytest.approx(beta.sf(0.5, 3, 400), rel=1e-8)


def test_signs_decide_alone() -> None:
    assert probability([1, 2], [1, 1]) == 1.0
    assert probability([-1, -2], [1, 1]) == 0.0
    assert probability([], []) == 1.0
    assert probability([5.0, -1.0], [0.0, 2.0]) == 0.0  # a term of shape 0 is no term


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_it_agrees_with_simulation(share: float) -> None:
    rng = np.random.default_rng(5)
    weights, yes, no = np.array([0.005, 0.01, 0.03]), np.array([3.0, 1, 0]), np.array([7.0, 20, 10])
    values, shapes = np.concatenate((weights * (1 - share), -weights * share)), np.concatenate((yes, no))
    drawn = rng.gamma(np.where(shapes > 0, shapes, 1), size=(200_000, 6)) * (shapes > 0)
    assert probability(values, shapes) == pytest.approx((drawn @ values >= 0).mean(), abs=0.004)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 2.0), st.integers(1, 60), st.floats(1.05, 2.0))
def test_binning_keeps_the_mean_and_widens_the_spread_a_little(
    seed: int, sigma: float, positive: int, surplus: float
) -> None:
    rng = np.random.default_rng(seed)
    up, down = rng.lognormal(0, sigma, positive), rng.lognormal(0, sigma, 5 * DENSE)
    values = np.concatenate((up, -down * surplus * up.sum() / down.sum()))
    shapes = np.ones(len(values))
    grid, mass = gamma_sums._binned(values, shapes)
    assert grid @ mass == pytest.approx(values.sum(), abs=1e-9 * np.abs(values).sum())
    exact, binned = shapes @ values**2, mass @ grid**2
    assert exact * (1 - 1e-12) <= binned <= exact * (1 + 2 * RATIO) + 1e-6 * (values**2).max()
    # in the tail that limits live in, the binned probability is the larger one
    unbinned = gamma_sums._log_upper_tail(values, shapes)
    if unbinned < math.log(0.2):
        found = log_probability_not_negative(values, shapes)
        assert unbinned - 1e-6 <= found <= unbinned + 0.02 * abs(unbinned)
