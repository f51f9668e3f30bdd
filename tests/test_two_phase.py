"""Three phases: unbiased by design, honest errors for nested and independent samples, limits that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.statistics.two_phase import PhasedStratum, joint_inclusion, phased_difference


def population(rng, sizes=(40_000, 4000), rates=(0.01, 0.3)):
    strata = []
    for size, rate in zip(sizes, rates, strict=True):
        screen = rng.beta(rate * 3, (1 - rate) * 3, size)
        labels = rng.random(size) < screen
        probe = np.clip(0.8 * labels + 0.2 * screen + 0.02 * rng.random(size), 0, 1)
        strata.append((screen, probe, labels.astype(float)))
    return strata


def audit(rng, strata, n1, n2, *, nested):
    parts = []
    for screen, probe, labels in strata:
        order = rng.permutation(len(screen))[: n1 + n2]
        first = order[:n1]
        second = order[:n2] if nested else order[n1 : n1 + n2]
        parts.append(
            PhasedStratum(
                len(screen),
                float(screen.mean()),
                screen[first],
                probe[first],
                screen[second],
                probe[second],
                labels[second],
            )
        )
    return phased_difference(parts, nested=nested)


@pytest.mark.parametrize("nested", [True, False])
def test_it_is_unbiased_and_its_error_and_limits_are_honest(nested: bool) -> None:
    rng, replicates, alpha = np.random.default_rng(1), 200, 0.05
    strata = population(rng)
    total = sum(len(s[0]) for s in strata)
    truth = sum(s[2].sum() for s in strata) / total
    values, errors, missed = [], [], np.zeros(2)
    for _ in range(replicates):
        found = audit(rng, strata, 1500, 150, nested=nested)
        values.append(found.value)
        errors.append(found.standard_error)
        missed += [found.upper_limit(alpha) < truth, found.lower_limit(alpha) > truth]
    spread = np.std(values)
    assert np.mean(values) == pytest.approx(truth, abs=4 * spread / replicates**0.5)
    assert np.mean(errors) == pytest.approx(spread, rel=0.2)
    assert (missed / replicates <= alpha + 3 * (alpha / replicates) ** 0.5).all()
    # a good probe on ten times as many documents beats the labels alone
    rates = np.array([s[2].mean() for s in strata])
    share = np.array([len(s[0]) / total for s in strata])
    alone = np.sqrt((share**2 * rates * (1 - rates) / 150).sum())
    assert spread < 0.7 * alone


def test_without_scores_it_is_the_stratified_mean() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(80) < 0.2).astype(float)
    nothing = np.zeros(80)
    part = PhasedStratum(9000, 0.3, np.zeros(500), np.zeros(500), nothing, nothing, labels)
    found = phased_difference([part], nested=True, tuning=(0.0, 0.0))
    assert found.value == pytest.approx(labels.mean())
    assert found.standard_error == pytest.approx(labels.std(ddof=1) / 80**0.5)


def test_the_weights_suit_each_phase() -> None:
    rng = np.random.default_rng(3)
    found = audit(rng, population(rng), 2000, 400, nested=True)
    assert found.tuning[1] > 0.8
    assert 0.3 < found.tuning[0] <= 1


@given(st.floats(0.001, 1), st.floats(0.001, 1))
def test_inclusion_in_both_phases_is_the_product(first: float, second: float) -> None:
    assert joint_inclusion(np.array([first]), np.array([second]))[0] == pytest.approx(first * second)


def test_impossible_probabilities_and_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="over 0"):
        joint_inclusion(np.array([0.0]), np.array([0.5]))
    one, none = np.zeros(1), np.zeros(0)
    with pytest.raises(ValueError, match="phase"):
        PhasedStratum(5, 0.1, one, one, none, none, none)
    with pytest.raises(ValueError, match="number"):
        PhasedStratum(5, 0.1, one, none, one, one, one)
