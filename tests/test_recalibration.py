import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit

from audit.recalibration import (
    BANDS,
    Judged,
    judged,
    reliability,
    section,
    tables,
)
from audit.scored_draws import ScoredPart
from audit.statistics.stratum_samples import NO, UNSURE, YES
from audit.toxicity.calibration import calibrate, recalibrate


def review(n=4000, slope=0.5, intercept=1.0, seed=3):
    """Judged documents whose answers follow a line, drawn more often where scores are high."""
    random = np.random.default_rng(seed)
    logits = random.normal(-2, 2, n)
    positive = random.random(n) < expit(slope * logits + intercept)
    inclusion = np.where(logits > 0, 0.9, 0.3)
    drawn = random.random(n) < inclusion
    return Judged(expit(logits)[drawn], positive[drawn], inclusion[drawn], 7, 2)


def penalised(beta, logits, positive, weights):
    margins = beta[0] * logits + beta[1]
    return weights @ (np.logaddexp(0, margins) - positive * margins) + 0.5 * (beta[0] - 1) ** 2


def test_the_fit_is_the_minimum_that_a_general_optimiser_finds():
    found = review()
    weights = 1 / found.inclusion
    weights /= weights.mean()
    logits = logit(found.scores)
    best = minimize(penalised, [1.0, 0.0], (logits, found.positive, weights), tol=1e-12).x
    card = section(found, 0.5)
    np.testing.assert_allclose([card["slope"]["value"], card["intercept"]["value"]], best, atol=1e-4)
    assert card["slope"]["low"] < 0.5 < card["slope"]["high"]
    assert card["intercept"]["low"] < 1.0 < card["intercept"]["high"]


@settings(max_examples=40, deadline=None)
@given(st.floats(-1, 3), st.floats(-4, 4), st.integers(0, 10_000))
def test_extreme_scores_do_not_throw_the_fit_off(slope, intercept, seed):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 6, 300)
    positive = random.random(300) < expit(slope * logits + intercept)
    positive[:5], positive[5:10] = True, False
    fitted = recalibrate(logits, positive, np.ones(300))
    best = minimize(penalised, [fitted.slope, fitted.intercept], (logits, positive, np.ones(300))).fun
    reached = penalised(np.array([fitted.slope, fitted.intercept]), logits, positive, np.ones(300))
    assert reached == pytest.approx(best, rel=1e-6, abs=1e-6)


def test_a_flat_relation_under_wide_scores_is_found():
    random = np.random.default_rng(1)
    logits = random.normal(1, 5, 400)
    positive = random.random(400) < 0.75
    assert abs(calibrate(logits, positive, np.ones(400)).slope) < 0.1
    assert abs(recalibrate(logits, positive, np.ones(400)).slope) < 0.1


def test_the_table_is_weighted_by_hand():
    scores = np.array([0.02, 0.02, 0.6, 0.7, 0.7])
    positive = np.array([False, True, True, False, True])
    found = Judged(scores, positive, np.array([0.5, 0.25, 1, 1, 1]), 0, 0)
    rows = reliability(found, recalibrate(np.array([-2.0, 2] * 5), np.array([False, True] * 5), np.ones(10)))
    assert [(row["low"], row["n"], row["positives"]) for row in rows] == [(0.01, 2, 1), (0.5, 3, 2)]
    assert rows[0]["observed"] == pytest.approx(4 / 6)
    assert rows[1]["predicted"] == pytest.approx(2 / 3)
    z, n, p = 1.644854, 3, 2 / 3  # Wilson's interval of three equal weights
    middle, half = (p + z**2 / 2 / n), z * np.sqrt(p * (1 - p) / n + z**2 / 4 / n**2)
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    assert (rows[1]["observed_low"], rows[1]["observed_high"]) == pytest.approx((low, high), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 0.99))
def test_the_section_holds_together(seed, threshold):
    card = section(review(300, seed=seed), threshold)
    assert sum(row["n"] for row in card["reliability"]) == card["n"]
    assert sum(row["positives"] for row in card["reliability"]) == card["positives"]
    for row in card["reliability"]:
        assert row["low"] <= row["predicted"] <= row["high"]
        assert 0 <= row["observed_low"] <= row["observed"] <= row["observed_high"] <= 1
    found = card["threshold"]
    line = card["slope"]["value"] * logit(threshold) + card["intercept"]["value"]
    assert found["probability"] == pytest.approx(expit(line))
    if found["even"] is not None:
        even = card["slope"]["value"] * logit(found["even"]) + card["intercept"]["value"]
        assert even == pytest.approx(0, abs=1e-3)


def test_the_matching_threshold_flags_as_many_as_are_toxic():
    found = review(20_000)
    weights = 1 / found.inclusion
    threshold = section(found, 0.5)["threshold"]["matching"]
    flagged = np.average(found.scores >= threshold, weights=weights)
    assert flagged == pytest.approx(np.average(found.positive, weights=weights), abs=0.02)


def test_too_few_answers_are_not_evaluated():
    found = Judged(np.full(50, 0.1), np.arange(50) < 4, np.ones(50), 1, 2)
    card = section(found, 0.12)
    assert "4 toxic and 46 other documents" in card["not_evaluated"]
    assert card["slope"] is card["intercept"] is card["threshold"] is None
    assert card["reliability"] == []
    rows = tables(card)
    assert rows["calibration"][0]["slope"] is None
    assert rows["calibration"][0]["reason"] == card["not_evaluated"]
    assert rows["reliability"] == []


def part(documents, labels, scores, evaluated=None):
    codes, n = np.array(labels, np.int8), len(labels)
    known = np.ones(n, bool) if evaluated is None else np.array(evaluated)
    return ScoredPart(
        "s", documents, 0.0, 0.0, 1.0, codes, np.array(scores, float), np.zeros(n, bool), known, np.arange(n)
    )


def test_unclear_and_unscored_documents_are_counted_and_left_out():
    parts = [
        part(40, [YES, YES, UNSURE, NO], [0.5, 0.5, 0.5, 0.0], [True, True, True, False]),
        part(2, [NO], [0.2]),
        part(9, [], []),
    ]
    found = judged(parts)
    assert found.scores.tolist() == [0.5, 0.5, 0.2]
    assert found.positive.tolist() == [True, True, False]
    assert found.inclusion.tolist() == [0.1, 0.1, 0.5]
    assert (found.unclear, found.unscored, found.strata, found.unjudged) == (1, 1, 3, 1)


def test_bands_cover_every_score():
    assert BANDS[0] == 0
    assert BANDS[-1] == 1
    scores = np.array([0.0, 1.0, *BANDS])
    found = Judged(scores, scores > 0.5, np.ones(len(scores)), 0, 0)
    assert sum(row["n"] for row in reliability(found, recalibrate(np.array([-2.0, 2] * 5),
        np.array([False, True] * 5), np.ones(10)))) == len(scores)  # fmt: skip
