"""The difference estimate agrees with ppi-python and svy; its limits hold where normal ones do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.statistics.prediction_powered import NormalInterval, ScoredStratum, difference, tuning_weight


def stratum(documents, mean, scores, labels) -> ScoredStratum:
    return ScoredStratum(documents, mean, 0.0, 1.0, np.array(scores, float), np.array(labels, float))


def simulated(rng, n=200, documents=10**6, prevalence=0.1, quality=4.0):
    scores = rng.beta(prevalence * quality, (1 - prevalence) * quality, documents)
    at = rng.integers(0, documents, n)
    labels = (rng.random(n) < scores[at]).astype(float)
    return stratum(documents, float(scores.mean()), scores[at], labels), scores


@pytest.mark.parametrize("tuning", [0.0, 0.5, 1.0])
def test_point_and_error_agree_with_ppi_python(tuning: float) -> None:
    ppi = pytest.importorskip("ppi_py")
    sample, everyone = simulated(np.random.default_rng(1))
    found = difference([sample], tuning=tuning)
    expected = ppi.ppi_mean_pointestimate(sample.labels, sample.scores, everyone, lam=tuning)
    assert found.value == pytest.approx(float(np.squeeze(expected)), rel=1e-9)
    low, high = ppi.ppi_mean_ci(sample.labels, sample.scores, everyone, alpha=0.1, lam=tuning)
    interval = found.normal_interval(0.05)
    assert interval.high - interval.low == pytest.approx(float(np.squeeze(high - low)), rel=0.01)


def test_tuning_agrees_with_ppi_python() -> None:
    ppi = pytest.importorskip("ppi_py")
    sample, everyone = simulated(np.random.default_rng(2), n=400)
    ours = tuning_weight([sample], [np.ones(400, bool)])
    residual = (sample.labels - ppi.ppi_mean_pointestimate(sample.labels, sample.scores, everyone))[:, None]
    lam = np.cov(residual[:, 0], sample.scores)[0, 1] / np.concatenate((everyone, sample.scores)).var()
    assert ours == pytest.approx(lam, rel=0.15)  # theirs takes the variance of all scores


def test_without_scores_it_is_the_stratified_mean_of_svy() -> None:
    svy, polars = pytest.importorskip("svy"), pytest.importorskip("polars")
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 2, 30), rng.integers(0, 2, 50)
    found = difference(
        [stratum(900, 0.5, np.full(30, 0.5), first), stratum(100, 0.5, np.full(50, 0.5), second)], tuning=0.0
    )
    table = polars.DataFrame(
        {
            "stratum": ["a"] * 30 + ["b"] * 50,
            "yes": np.r_[first, second].astype(float),
            "weight": np.repeat([30.0, 2.0], [30, 50]),
        }
    )
    sample = svy.Sample(table, svy.Design(stratum="stratum", wgt="weight"))
    (row,) = sample.estimation.mean("yes").to_dicts()
    assert found.value == pytest.approx(row["est"])
    assert found.standard_error == pytest.approx(row["se"])


def test_tuning_is_never_much_worse_than_labels_alone() -> None:
    rng = np.random.default_rng(5)
    useless = stratum(10**5, 0.5, rng.random(500), rng.random(500) < 0.2)
    labels_only = difference([useless], tuning=0.0)
    assert difference([useless]).standard_error <= 1.02 * labels_only.standard_error
    assert difference([useless], tuning=1.0).standard_error > 1.1 * labels_only.standard_error


def test_good_scores_narrow_the_limits() -> None:
    sample, _ = simulated(np.random.default_rng(6), n=2000, quality=0.5)
    tuned, labels_only = difference([sample]), difference([sample], tuning=0.0)
    widths = [d.upper_limit(0.05) - d.lower_limit(0.05) for d in (tuned, labels_only)]
    assert widths[0] < 0.75 * widths[1]


@pytest.mark.parametrize("quality", [0.5, 4.0])
def test_limits_cover_where_the_normal_interval_does_not(quality: float) -> None:
    rng, replicates, alpha, prevalence = np.random.default_rng(8), 300, 0.05, 0.004
    documents = 200_000
    scores = rng.beta(prevalence * quality, (1 - prevalence) * quality, documents)
    labels = rng.random(documents) < scores
    truth, missed = labels.mean(), np.zeros(3)
    for _ in range(replicates):
        at = rng.integers(0, documents, 300)
        found = difference([stratum(documents, float(scores.mean()), scores[at], labels[at])])
        missed += [
            found.upper_limit(alpha) < truth,
            found.lower_limit(alpha) > truth,
            found.normal_interval(alpha).high < truth,
        ]
    tolerated = alpha + 3 * (alpha / replicates) ** 0.5
    assert (missed[:2] / replicates <= tolerated).all()
    assert missed[2] / replicates > tolerated


def test_a_normal_interval_has_nothing_that_a_gate_could_ask() -> None:
    assert not {"upper_limit", "lower_limit", "p_value_at_most", "estimate"} & set(dir(NormalInterval))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.floats(0.01, 0.2))
def test_limits_are_ordered_and_within_bounds(seed: int, strata: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    parts = [stratum(10_000, 0.3, rng.random(n), rng.random(n) < 0.1) for n in rng.integers(1, 60, strata)]
    found = difference(parts)
    assert 0 <= found.lower_limit(alpha) <= found.upper_limit(alpha) + 1e-9 <= 1 + 1e-9
    assert all(0 <= weight <= 1 for weight in found.tuning)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="range"):
        ScoredStratum(10, 0.5, 0.0, 0.6, np.array([0.7]), np.array([1.0]))
    with pytest.raises(ValueError, match="judgement"):
        difference([stratum(10, 0.5, [], [])])
    with pytest.raises(ValueError, match="number"):
        stratum(10, 0.5, [0.5], [1, 0])
