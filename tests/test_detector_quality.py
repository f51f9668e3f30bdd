"""Detector quality from a sample: exact where that is known, covering in strata, careful with thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from audit.statistics.detector_quality import (
    ScoredSample,
    calibration,
    precision,
    recall,
    suggest_threshold,
)
from audit.statistics.stratum_samples import UNSURE


def sample(documents, scores, labels) -> ScoredSample:
    return ScoredSample(documents, np.array(scores, float), np.array(labels, np.int8))


def simple(n=400, seed=4):
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    return sample(10**6, scores, rng.random(n) < scores**2)


def test_in_one_stratum_precision_and_recall_are_nearly_clopper_pearson() -> None:
    only = simple()
    flagged, yes = only.scores >= 0.5, only.labels == 1
    both = int((flagged & yes).sum())
    for found, n in ((precision([only], 0.5, 0.05), flagged.sum()), (recall([only], 0.5, 0.05), yes.sum())):
        assert found.value == pytest.approx(both / n)
        assert found.n == n
        assert found.low == pytest.approx(beta.ppf(0.05, both, n - both + 1), abs=1e-3)
        assert found.high == pytest.approx(beta.ppf(0.95, both + 1, n - both), abs=1e-3)


def test_strata_are_weighted() -> None:
    strata = [sample(9000, [0.9] * 10, [1] * 5 + [0] * 5), sample(1000, [0.9] * 10, [1] * 10)]
    assert precision(strata, 0.5, 0.05).value == pytest.approx(0.9 * 0.5 + 0.1)
    missed = [sample(9000, [0.1] * 20, [1] + [0] * 19), sample(1000, [0.9] * 10, [1] * 10)]
    assert recall(missed, 0.5, 0.05).value == pytest.approx(1000 / (1000 + 450))


def test_unsure_widens_on_both_sides() -> None:
    sure = sample(10**5, [0.9] * 50 + [0.1] * 50, [1] * 30 + [0] * 20 + [1] * 5 + [0] * 45)
    labels = sure.labels.copy()
    labels[[0, 31, 50, 60]] = UNSURE
    unsure = sample(10**5, sure.scores, labels)
    for ratio in (precision, recall):
        before, after = ratio([sure], 0.5, 0.05), ratio([unsure], 0.5, 0.05)
        assert after.low < before.low
        assert after.high > before.high


def test_without_evidence_there_is_no_ratio() -> None:
    assert precision([sample(100, [0.1] * 20, [0] * 20)], 0.5, 0.05).value is None
    assert recall([sample(100, [0.9] * 20, [0] * 20)], 0.5, 0.05).high is None
    assert recall([sample(100, [], []), sample(100, [0.9], [1])], 0.5, 0.05).low is None
    assert calibration([sample(100, [0.5] * 20, [0] * 20)], 0.05) is None


def test_intervals_cover_in_strata() -> None:
    rng, replicates, alpha, threshold = np.random.default_rng(9), 150, 0.1, 0.3
    shares, drawn = np.array([0.9, 0.08, 0.02]), (150, 100, 100)
    risks = ((0.08, 7.9), (1.6, 6.4), (5.6, 2.4))

    def draw(n, a, b):
        scores = rng.beta(a, b, n)
        return scores, (rng.random(n) < 0.8 * scores).astype(np.int8)

    whole = [draw(200_000, *risk) for risk in risks]
    hits, flags, harm = (
        sum(w * np.mean(f(s, y)) for w, (s, y) in zip(shares, whole, strict=True))
        for f in (lambda s, y: (s >= threshold) & (y == 1), lambda s, y: s >= threshold, lambda s, y: y == 1)
    )
    missed = np.zeros(4)
    for _ in range(replicates):
        strata = [
            sample(int(w * 10**8), *draw(n, *risk)) for w, n, risk in zip(shares, drawn, risks, strict=True)
        ]
        p, r = precision(strata, threshold, alpha), recall(strata, threshold, alpha)
        missed += [p.low > hits / flags, p.high < hits / flags, r.low > hits / harm, r.high < hits / harm]
    assert (missed / replicates <= alpha + 3 * (alpha / replicates) ** 0.5).all()


def test_calibration_finds_slope_and_intercept() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(-1, 1.5, 20_000)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-(0.7 * logits + 0.5)))
    found = calibration([sample(10**6, 1 / (1 + np.exp(-logits)), labels)], 0.05)
    assert found is not None
    assert found.slope_low < 0.7 < found.slope_high
    assert found.intercept_low < 0.5 < found.intercept_high
    assert found.slope_high - found.slope_low < 0.1
    with pytest.raises(ValueError, match="probabilities"):
        calibration([sample(10, [1.5], [1])], 0.05)


def test_a_threshold_is_the_highest_that_surely_misses_little() -> None:
    only = simple(2000)
    candidates = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8]
    found = suggest_threshold([only], 0.1, 0.05, candidates)
    assert found is not None
    assert found.missed.high <= 0.1
    higher = min(c for c in candidates if c > found.threshold)
    assert recall([only], higher, 0.05).low < 0.9
    assert found.precision.value == precision([only], found.threshold, 0.05).value
    assert suggest_threshold([only], 0.0, 0.05, [0.5]) is None


def test_a_suggested_threshold_misses_more_no_more_often_than_alpha() -> None:
    rng, replicates, alpha = np.random.default_rng(12), 80, 0.1
    # recall at threshold t of scores U with P(yes | u) = u**2 is 1 - t**3
    wrong = 0
    for _ in range(replicates):
        scores = rng.random(300)
        only = sample(10**6, scores, rng.random(300) < scores**2)
        found = suggest_threshold([only], 0.1, alpha, [0.3, 0.35, 0.4, 0.45, 0.5, 0.55])
        wrong += found is not None and found.threshold**3 > 0.1
    assert wrong / replicates <= alpha + 3 * (alpha / replicates) ** 0.5
