import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from audit.toxicity.calibration import LEAST_JUDGED, Calibration, calibrate, recalibrate


def draw(n, slope, intercept, seed=5):
    random = np.random.default_rng(seed)
    logits = random.normal(-2, 2, n)
    return logits, random.random(n) < expit(slope * logits + intercept), random


def test_calibration_finds_the_line():
    logits, positive, _ = draw(20_000, 0.7, -1.2)
    found = calibrate(logits, positive, np.ones(20_000))
    assert abs(found.slope - 0.7) < 4 * found.slope_error
    assert abs(found.intercept + 1.2) < 4 * found.intercept_error


def test_recalibration_undoes_an_oversample_of_high_scores():
    logits, positive, random = draw(40_000, 0.8, -1.0)
    inclusion = np.where(logits > 0, 0.8, 0.05)
    drawn = random.random(len(logits)) < inclusion
    found = recalibrate(logits[drawn], positive[drawn], inclusion[drawn])
    assert found.slope_low < 0.8 < found.slope_high
    assert found.intercept_low < -1.0 < found.intercept_high
    predicted = expit(found.apply(logits)).mean()
    assert predicted == pytest.approx(positive.mean(), abs=0.02)


@pytest.mark.parametrize(
    ("n", "slope", "intercept"), [(3000, 1.0, 0.5), (6000, 1.0, -3.0), (1500, 2.0, -1.0)]
)
def test_limits_cover_under_unequal_weights_and_few_positives(n, slope, intercept):
    inside = np.zeros(2)
    for seed in range(60):
        logits, positive, random = draw(n, slope, intercept, seed)
        inclusion = np.where(logits > -1, 0.15, 0.03)
        drawn = random.random(n) < inclusion
        found = recalibrate(logits[drawn], positive[drawn], inclusion[drawn])
        inside += (
            found.slope_low < slope < found.slope_high,
            found.intercept_low < intercept < found.intercept_high,
        )
    assert (inside >= 60 * 0.9 - 3 * (60 * 0.09) ** 0.5).all()


def test_a_small_review_hardly_moves_the_slope():
    logits = np.array([-3.0, -2.5, -2, -1.5, -1, 1, 1.5, 2, 2.5, 3])
    found = recalibrate(logits, logits > 0, np.full(10, 0.1))  # separated: no maximum without the prior
    assert 1 < found.slope < 4


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 1), st.integers(0, 1000))
def test_equal_inclusion_probabilities_do_not_matter(share, seed):
    logits, positive, _ = draw(200, 1, 1, seed)
    some = recalibrate(logits, positive, np.full(200, share))
    census = recalibrate(logits, positive, np.ones(200))
    assert some.slope == pytest.approx(census.slope)
    assert some.intercept_high == pytest.approx(census.intercept_high)
    assert census.intercept_low <= census.intercept <= census.intercept_high


@pytest.mark.parametrize(
    ("logits", "inclusion", "positives"),
    [
        (np.zeros(20), np.zeros(20), 10),
        (np.zeros(20), np.full(20, 1.5), 10),
        (np.full(20, np.nan), np.ones(20), 10),
        (np.zeros(20), np.ones(20), LEAST_JUDGED - 1),
    ],
)
def test_what_cannot_be_recalibrated_is_refused(logits, inclusion, positives):
    with pytest.raises(ValueError, match="recalibration needs"):
        recalibrate(logits, np.arange(20) < positives, inclusion)


def test_applying_is_linear():
    np.testing.assert_allclose(Calibration(2, 1, 0, 0).apply(np.array([0.0, 3.0])), [1, 7])
