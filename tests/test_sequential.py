"""Limits that hold after every judgement: alpha is never spent twice, and what waits counts as harm."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.statistics.estimation import FIXED, SEQUENTIAL, UNSURE, Prevalence, StratumSample
from audit.statistics.sequential import FARTHEST, share_of_alpha, size_at
from audit.statistics.strata import design

ALPHA = 0.05


def test_the_shares_of_alpha_sum_to_one_at_most() -> None:
    assert share_of_alpha(0) == 0.5
    assert 0.95 < sum(share_of_alpha(j) for j in range(-FARTHEST, FARTHEST + 1)) <= 1
    assert sum(share_of_alpha(j) for j in range(-500, 501)) <= 1


@given(st.integers(1, 10**6), st.integers(-FARTHEST, FARTHEST - 1))
def test_looks_are_nested(declared: int, look: int) -> None:
    assert 1 <= size_at(declared, look) <= size_at(declared, look + 1)
    assert size_at(declared, 0) == declared


def plan(risk, documents, size, factor=1):
    table = pa.table(
        {
            "band": [str(i) for i in range(len(risk))],
            "documents": documents,
            "tokens": documents,
            "expected": np.array(risk) * documents,
        }
    )
    return design(table, ["band"], size).resized(size * factor)


def review(how, labels, judged):
    """The review when so many of each stratum's draws are judged."""
    rows = how.strata.to_pylist()
    return tuple(
        StratumSample(
            row["stratum"],
            row["documents"],
            row["documents"],
            own[:done],
            np.ones(done, np.int64),
            1,
            waiting=len(own) - done,
            waiting_tokens=np.ones(len(own) - done, np.int64),
            drawn=len(own),
            looks=how.looks[row["stratum"]],
        )
        for row, own, done in zip(rows, labels, judged, strict=True)
    )


def drawn_labels(how, risk, rng):
    return [
        (rng.random(n) < p).astype(np.int8)
        for n, p in zip(how.strata.column("size").to_pylist(), risk, strict=True)
    ]


def sequential(strata) -> Prevalence:
    return Prevalence("toxicity", "all", strata, "documents", SEQUENTIAL)


def test_the_design_knows_its_looks() -> None:
    how = plan([0.01, 0.2], np.array([90_000, 10_000]), 200, 4)
    totals = {j: sum(sizes[j] for sizes in how.looks.values()) for j in (-1, 0, 1, 2)}
    assert totals == {-1: 100, 0: 200, 1: 400, 2: 800}
    assert all(3 not in sizes for sizes in how.looks.values())
    for sizes in how.looks.values():
        assert all(sizes[j] <= sizes[j + 1] for j in range(-FARTHEST, 2))


@pytest.mark.parametrize("risk", [[0.002, 0.05], [0.02, 0.02], [0.3, 0.1]])
def test_peeking_and_extending_stays_at_alpha(risk) -> None:
    rng, documents, replicates = np.random.default_rng(4), np.array([70_000, 30_000]), 120
    how = plan(risk, documents, 100, 8)
    truth = float(documents @ np.array(risk) / documents.sum())
    false_go = false_no_go = 0
    for _ in range(replicates):
        labels = drawn_labels(how, risk, rng)
        states = [
            sequential(review(how, labels, [int(len(own) * part) for own in labels]))
            for part in (0.06, 0.125, 0.2, 0.3, 0.5, 0.75, 1.0)
        ]
        false_go += any(state.p_value_at_least(truth) < ALPHA for state in states)
        false_no_go += any(state.p_value_at_most(truth) < ALPHA for state in states)
    assert max(false_go, false_no_go) / replicates <= 0.05 + 3 * (0.0475 / replicates) ** 0.5


def test_at_the_declared_size_it_is_the_fixed_limit_at_half_of_alpha_or_better() -> None:
    risk = [0.01, 0.2]
    how = plan(risk, np.array([90_000, 10_000]), 400)
    labels = drawn_labels(how, risk, np.random.default_rng(1))
    strata = review(how, labels, [len(own) for own in labels])
    at_once = Prevalence("toxicity", "all", strata, "documents", FIXED)
    assert sequential(strata).upper_limit(ALPHA) <= at_once.upper_limit(ALPHA / 2) + 1e-12
    assert sequential(strata).upper_limit(ALPHA) >= at_once.upper_limit(ALPHA)


def test_what_is_missing_of_a_look_counts_as_harm_and_as_clean() -> None:
    how = plan([0.01, 0.2], np.array([90_000, 10_000]), 400)
    labels = [np.zeros(n, np.int8) for n in how.strata.column("size").to_pylist()]
    nearly = review(how, labels, [len(labels[0]) - 3, len(labels[1])])
    harm = [np.r_[labels[0][:-3], np.ones(3, np.int8)], labels[1]]
    as_harm = Prevalence("t", "all", review(how, harm, [len(own) for own in labels]), "documents", FIXED)
    assert sequential(nearly).upper_limit(ALPHA) <= as_harm.upper_limit(ALPHA / 2) + 1e-12
    assert sequential(nearly).lower_limit(ALPHA) == pytest.approx(0, abs=1e-9)
    assert sequential(nearly).waiting == 0
    assert Prevalence("t", "all", nearly, "documents", FIXED).waiting == 3


def test_nothing_judged_decides_nothing() -> None:
    how = plan([0.01, 0.2], np.array([90_000, 10_000]), 400)
    labels = drawn_labels(how, [0.0, 0.0], np.random.default_rng(0))
    state = sequential(review(how, labels, [0, 0]))
    assert (state.upper_limit(ALPHA), state.lower_limit(ALPHA), state.p_value_at_most(0.1)) == (1.0, 0.0, 1.0)
    assert state.estimate(ALPHA).high is None


def test_a_fixed_rule_reads_no_further_than_was_declared() -> None:
    how = plan([0.01, 0.2], np.array([90_000, 10_000]), 100, 4)
    labels = [np.zeros(n, np.int8) for n in how.strata.column("size").to_pylist()]
    whole = review(how, labels, [len(own) for own in labels])
    declared = plan([0.01, 0.2], np.array([90_000, 10_000]), 100)
    first = [np.zeros(n, np.int8) for n in declared.strata.column("size").to_pylist()]
    alone = review(declared, first, [len(own) for own in first])
    extended = Prevalence("t", "all", whole, "documents", FIXED).upper_limit(ALPHA)
    assert extended == Prevalence("t", "all", alone, "documents", FIXED).upper_limit(ALPHA)


def test_limits_say_which_rule_they_keep() -> None:
    how = plan([0.01, 0.2], np.array([90_000, 10_000]), 100)
    labels = drawn_labels(how, [0.1, 0.1], np.random.default_rng(0))
    strata = review(how, labels, [len(own) for own in labels])
    assert "after every judgement" in sequential(strata).estimate(ALPHA).method
    assert "declared size only" in Prevalence("t", "all", strata).estimate(ALPHA).method


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_limits_never_cross_whatever_is_judged(seed: int, first: float, second: float) -> None:
    rng, risk = np.random.default_rng(seed), [0.05, 0.4]
    how = plan(risk, np.array([3000, 500]), 60, 2)
    labels = drawn_labels(how, risk, rng)
    labels = [np.where(rng.random(len(own)) < 0.1, UNSURE, own).astype(np.int8) for own in labels]
    state = sequential(review(how, labels, [int(len(labels[0]) * first), int(len(labels[1]) * second)]))
    assert 0 <= state.lower_limit(ALPHA) <= state.upper_limit(ALPHA) <= 1
    limit = 0.1
    if abs(state.lower_limit(ALPHA) - limit) > 1e-6:
        assert (state.p_value_at_most(limit) < ALPHA) == (state.lower_limit(ALPHA) > limit)
    if abs(state.upper_limit(ALPHA) - limit) > 1e-6:
        assert (state.p_value_at_least(limit) < ALPHA) == (state.upper_limit(ALPHA) < limit)
