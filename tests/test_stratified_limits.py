"""Limits agree with exact references, hold their level in strata, and are narrow where strata differ."""

from __future__ import annotations

import time
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest

from audit.statistics.stratified_limits import (
    FEWEST,
    JudgedValues,
    lower_limit,
    p_value_at_least,
    p_value_at_most,
    upper_limit,
)


def judged(shares, drawn, yes) -> JudgedValues:
    return JudgedValues.of_counts(np.array(shares, float), np.array(drawn), np.array(yes, float))


@st.composite
def samples(draw: st.DrawFn) -> JudgedValues:
    strata = draw(st.integers(1, 6))
    drawn = draw(st.lists(st.integers(1, 300), min_size=strata, max_size=strata))
    raw = draw(st.lists(st.floats(0.001, 1), min_size=strata, max_size=strata))
    yes = [draw(st.integers(0, min(n, draw(st.sampled_from([3, 300]))))) for n in drawn]
    return judged(np.array(raw) / sum(raw), drawn, yes)


@pytest.mark.parametrize(
    ("yes", "n"), [(0, 1), (1, 2), (0, 400), (1, 400), (200, 400), (399, 400), (3, 9000), (400, 400)]
)
@pytest.mark.parametrize("alpha", [0.05, 1e-4])
def test_one_stratum_is_clopper_pearson(yes: int, n: int, alpha: float) -> None:
    sample = judged([1], [n], [yes])
    above = beta.ppf(1 - alpha, yes + 1, n - yes) if yes < n else 1.0
    assert upper_limit(sample, alpha) == pytest.approx(above, rel=1e-7)
    below = beta.ppf(alpha, yes, n - yes + 1) if yes else 0.0
    assert lower_limit(sample, alpha) == pytest.approx(below, rel=1e-6, abs=1e-10)


def test_p_values_are_those_of_the_binomial_test() -> None:
    sample = judged([1], [300], [7])
    assert p_value_at_most(sample, 0.01) == pytest.approx(binomtest(7, 300, 0.01, "greater").pvalue, rel=1e-8)
    assert p_value_at_least(sample, 0.05) == pytest.approx(binomtest(7, 300, 0.05, "less").pvalue, rel=1e-8)


def test_without_yes_the_largest_weight_decides() -> None:
    sample = judged([0.5, 0.5], [500, 400], [0, 0])
    assert upper_limit(sample, 0.05) == pytest.approx(0.00125 * np.log(20), rel=0.01)


@pytest.mark.parametrize("strata", [2, 10, 40])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_with_no_yes_the_limit_is_that_of_simple_labels_over_the_proportional_share(strata, share) -> None:
    weight = 0.9 ** np.arange(strata)
    weight /= weight.sum()
    n = 4000
    drawn = np.ceil(n * (share * weight + (1 - share) * (np.arange(strata) == strata - 1))).astype(int)
    simple = 1 - 0.05 ** (1 / drawn.sum())
    assert upper_limit(judged(weight, drawn, np.zeros(strata)), 0.05) <= 1.01 * simple / share


@settings(max_examples=80, deadline=None)
@given(samples(), st.floats(0.001, 0.2))
def test_limits_are_ordered_and_monotone_in_alpha(sample: JudgedValues, alpha: float) -> None:
    point = float(sample.weights * sample.counts @ sample.values)
    low, high = lower_limit(sample, alpha), upper_limit(sample, alpha)
    assert -1e-9 <= low <= high + 1e-9 <= 1 + 2e-9
    if alpha < 0.1:
        assert low - 1e-9 <= point <= high + 1e-9
    assert upper_limit(sample, alpha / 2) >= high - 1e-9
    assert lower_limit(sample, alpha / 2) <= low + 1e-9


@settings(max_examples=60, deadline=None)
@given(samples(), st.floats(0.001, 0.2))
def test_limits_invert_the_tests(sample: JudgedValues, alpha: float) -> None:
    high = upper_limit(sample, alpha)
    if 0 < high < 1 - 1e-6:
        assert p_value_at_least(sample, high) == pytest.approx(alpha, rel=1e-4)
        assert p_value_at_least(sample, high * 1.01) < alpha


@settings(max_examples=60, deadline=None)
@given(samples(), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_p_values_fall_with_the_hypothesis(sample: JudgedValues, one: float, other: float) -> None:
    few, many = sorted((one, other))
    assert p_value_at_least(sample, many) <= p_value_at_least(sample, few) + 1e-9


@settings(max_examples=40, deadline=None)
@given(samples(), st.integers(0, 5))
def test_one_more_yes_never_lowers_a_limit(sample: JudgedValues, which: int) -> None:
    strata = len(sample.shares)
    yes, no = sample.counts[:strata].copy(), sample.counts[strata:]
    h = which % strata
    if no[h] == 0:
        return
    more = yes.copy()
    more[h] += 1
    drawn = (yes + no).astype(int)
    if drawn.min() < FEWEST:
        return  # pooled strata weigh a common mean
    before, after = judged(sample.shares, drawn, yes), judged(sample.shares, drawn, more)
    assert upper_limit(after, 0.05) >= upper_limit(before, 0.05) - 1e-9


@settings(max_examples=30, deadline=None)
@given(samples(), st.randoms())
def test_the_order_of_strata_does_not_matter(sample: JudgedValues, random) -> None:
    strata = len(sample.shares)
    order = list(range(strata))
    random.shuffle(order)
    yes, no = sample.counts[:strata], sample.counts[strata:]
    other = judged(sample.shares[order], (yes + no)[order].astype(int), yes[order])
    same = judged(sample.shares, (yes + no).astype(int), yes)
    if (yes + no).min() >= FEWEST or strata == 1:
        assert upper_limit(other, 0.05) == pytest.approx(upper_limit(same, 0.05), rel=1e-6)


def exact_misses(shares, drawn, rates, alpha):
    """Chance that either limit misses, by enumeration of all outcomes that matter."""
    shares, truth = np.array(shares), float(np.array(shares) @ np.array(rates))
    chances = [binom.pmf(np.arange(n + 1), n, p) for n, p in zip(drawn, rates, strict=True)]
    upper = lower = 0.0
    for yes in product(*(np.flatnonzero(c > 1e-6) for c in chances)):
        chance = np.prod([c[x] for c, x in zip(chances, yes, strict=True)])
        if chance > 1e-7:
            sample = judged(shares, drawn, yes)
            upper += chance * (p_value_at_least(sample, truth) < alpha)
            lower += chance * (p_value_at_most(sample, truth) < alpha)
    return upper, lower


@pytest.mark.parametrize(
    ("shares", "drawn", "rates"),
    [
        ([0.94, 0.06], [55, 27], [0.084, 1.0]),  # the worst of many thousand random ones
        ([0.57, 0.43], [91, 29], [0.0, 0.0986]),
        ([0.984, 0.016], [96, 11], [0.536, 0.002]),
        ([0.9, 0.1], [60, 60], [0.02, 0.4]),  # rare and heavy, many and light
        ([0.9, 0.1], [60, 60], [0.04, 0.04]),
        ([0.97, 0.03], [40, 1], [0.05, 0.5]),  # one label in a stratum
        ([0.6, 0.3, 0.1], [12, 12, 12], [0.05, 0.1, 0.8]),
        ([0.6, 0.3, 0.1], [30, 4, 3], [0.05, 0.1, 0.8]),
    ],
)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_level_holds_by_enumeration(shares, drawn, rates, alpha: float) -> None:
    assert max(exact_misses(shares, drawn, rates, alpha)) <= alpha


@pytest.mark.parametrize("prevalence", [1e-3, 1e-2, 0.1, 0.5])
@pytest.mark.parametrize("harm", ["even", "largest weight", "smallest weight"])
def test_coverage_and_false_go_under_unequal_weights(prevalence: float, harm: str) -> None:
    rng, replicates, alpha = np.random.default_rng(11), 2000, 0.05
    weight, draws = np.array([0.5, 0.3, 0.15, 0.05]), np.array([100, 60, 40, 100])
    relative = {"even": np.ones(4), "largest weight": np.eye(4)[0], "smallest weight": np.eye(4)[3]}[harm]
    rates = np.minimum(relative * prevalence / (weight @ relative), 1.0)
    truth = float(weight @ rates)
    missed = {"upper": 0, "lower": 0}
    for yes, times in Counter(map(tuple, rng.binomial(draws, rates, (replicates, 4)).tolist())).items():
        sample = judged(weight, draws, yes)
        missed["upper"] += times * (p_value_at_least(sample, truth) < alpha)  # a gate just under: false GO
        missed["lower"] += times * (p_value_at_most(sample, truth) < alpha)
    assert max(missed.values()) / replicates <= 0.07  # 0.05 and four standard errors


@pytest.mark.parametrize(("prevalence", "n"), [(0.003, 10_000), (0.01, 3000), (0.1, 300)])
def test_a_good_detector_narrows_the_interval(prevalence: float, n: int) -> None:
    """AUC 0.95 in ten bands, calibrated, half proportional: at most 0.65 times simple random labels."""
    separation = 2**0.5 * 1.6449
    scores = np.linspace(-6, 6 + separation, 20_001)
    harm = prevalence * np.exp(-((scores - separation) ** 2) / 2)
    density = harm + (1 - prevalence) * np.exp(-(scores**2) / 2)
    risk, density = harm / density, density / density.sum()
    spread = np.cumsum(density * np.sqrt(risk * (1 - risk)))
    band = np.minimum((spread / spread[-1] * 10).astype(int), 9)
    weight = np.bincount(band, density)
    rate = np.bincount(band, density * risk) / weight
    neyman = weight * np.sqrt(rate * (1 - rate))
    drawn = np.round(n * (0.5 * weight + 0.5 * neyman / neyman.sum())).astype(int)
    rng, widths = np.random.default_rng(2), []
    for yes in rng.binomial(drawn, rate, (60, 10)):
        sample = judged(weight, drawn, yes)
        widths.append(upper_limit(sample, 0.05) - lower_limit(sample, 0.05))
    simple = [
        beta.ppf(0.95, x + 1, n - x) - beta.ppf(0.05, x, n - x + 1) for x in rng.binomial(n, prevalence, 400)
    ]
    assert np.mean(widths) <= 0.65 * np.mean(simple)


def test_forty_strata_take_milliseconds() -> None:
    rng = np.random.default_rng(2)
    weight = rng.dirichlet(np.ones(40))
    drawn = np.maximum((10_000 * weight).astype(int), 1)
    sample = judged(weight, drawn, rng.binomial(drawn, 0.01))
    upper_limit(sample, 0.05)
    start = time.perf_counter()
    for _ in range(10):
        upper_limit(sample, 0.05)
    assert (time.perf_counter() - start) / 10 < 0.05  # 2 ms on a quiet machine


def test_small_strata_share_a_mean() -> None:
    pooled = judged([0.9, 0.05, 0.05], [100, 3, 9], [1, 3, 0]).pooled()
    assert len(pooled.shares) == 2
    assert pooled.shares.sum() == pytest.approx(1)
    alone = judged([0.9, 0.1], [100, 3], [1, 3]).pooled()
    assert len(alone.shares) == 1  # too few even together: the smallest other joins
    assert judged([1.0], [3], [1]).pooled().shares.tolist() == [1.0]
