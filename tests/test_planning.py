"""What a number of judgements is foretold to decide, held against what is known by other ways."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from audit.policy import FAIL, INSUFFICIENT, PASS, Gate, judge_gates
from audit.statistics.estimation import FIXED, NO, SEQUENTIAL, YES
from audit.statistics.planning import Fixed, Frame, Target, evidence, foresee, play
from audit.statistics.predictions import Labels, Prediction
from audit.statistics.strata import Design, design

RNG = np.random.default_rng


def frame(documents: tuple[int, ...] = (100_000,), strata: tuple[int, ...] | None = None) -> Frame:
    sizes = np.array(documents)
    code = np.arange(len(sizes)) if strata is None else np.array(strata)
    names = tuple(f"slice={h}" for h in range(int(code.max()) + 1))
    return Frame(names, code, sizes, sizes * 50, np.full(len(sizes), 400))


def sample(of: Frame, size: int, declared: int | None = None) -> Design:
    documents = np.bincount(of.stratum, of.documents).astype(np.int64)
    cells = pa.table(
        {
            "slice": pa.array([str(h) for h in range(len(documents))]),
            "documents": pa.array(documents),
            "tokens": pa.array(documents * 50),
        }
    )
    return design(cells, ["slice"], declared or size).resized(size)


def target(of: Frame, limit: float, *, members: list[bool] | None = None, **changes: object) -> Target:
    gate = Gate("gate", "toxicity", limit, **changes)  # type: ignore[arg-type]
    chosen = np.ones(len(of.stratum), bool) if members is None else np.array(members)
    return Target(gate, "toxicity", chosen, "documents")


def predicted(*shares: float, judged: Labels | None = None) -> Prediction:
    return Prediction("toxicity", np.array(shares), judged or Labels.none(), "scores")


def test_the_chance_of_a_pass_is_the_binomial_one() -> None:
    """One stratum, a gate at 1%, 0.3%: 473 labels pass with one yes or none (Clopper-Pearson)."""
    of = frame()
    found = foresee(
        of, [predicted(0.003)], [target(of, 0.01)], [], sample(of, 473), rule=FIXED, replicates=600
    )
    expected = binom.cdf(1, 473, 0.003)
    assert found.gates[0].passes == pytest.approx(expected, abs=0.07)
    assert found.go == found.gates[0].passes
    assert found.no_go == found.gates[0].fails
    assert found.budget == 473


def test_more_judgements_decide_more_and_narrow_the_limits() -> None:
    of = frame((90_000, 10_000))
    shares, gates = predicted(0.001, 0.05), [target(of, 0.01)]
    few, many = (foresee(of, [shares], gates, [], sample(of, n)) for n in (200, 3200))
    assert many.gates[0].passes > few.gates[0].passes
    assert many.gates[0].upper - many.gates[0].lower < few.gates[0].upper - few.gates[0].lower
    assert many.gates[0].predicted == pytest.approx(0.0059)


def test_the_sequential_rule_pays_for_its_looks() -> None:
    of = frame()
    once, always = (
        foresee(of, [predicted(0.003)], [target(of, 0.01)], [], sample(of, 800), rule=rule)
        for rule in (FIXED, SEQUENTIAL)
    )
    assert always.gates[0].upper > once.gates[0].upper


def test_twice_the_share_passes_less() -> None:
    of = frame()
    half, twice = (
        foresee(of, [predicted(0.004)], [target(of, 0.01)], [], sample(of, 600), factor=factor)
        for factor in (0.5, 2.0)
    )
    assert half.gates[0].passes > twice.gates[0].passes
    assert (half.gates[0].predicted, twice.gates[0].predicted) == pytest.approx((0.002, 0.008))


def test_go_needs_all_blocking_gates_at_once_and_the_fixed_ones() -> None:
    of = frame((50_000, 50_000))
    gates = [target(of, 0.02, members=[True, False]), target(of, 0.02, members=[False, True])]

    def forecast(outcome: str, severity: str = "block") -> tuple[float, float]:
        fixed = [Fixed(Gate("copies", "duplicates.documents", 0.2, severity=severity), outcome)]  # type: ignore[arg-type]
        found = foresee(of, [predicted(0.005, 0.005)], gates, fixed, sample(of, 1000))
        assert found.go <= min(gate.passes for gate in found.gates)
        return found.go, found.no_go

    assert forecast(PASS)[0] > 0.3
    assert forecast(INSUFFICIENT)[0] == 0.0
    assert forecast(FAIL) == (0.0, 1.0)
    assert forecast(FAIL, "warn")[0] == forecast(PASS)[0]


def test_outcomes_are_those_of_the_policy() -> None:
    """The forecast counts by p-values; judged gate by gate the same comes out."""
    of = frame((50_000, 30_000, 20_000), (0, 0, 1))
    gates = [target(of, 0.02), target(of, 0.08, members=[False, True, True])]
    gates[1] = Target(
        Gate("other", "toxicity", 0.08, slice="source=b"), "toxicity", gates[1].members, "documents"
    )
    how, shares = sample(of, 500), np.array([0.0, 0.02, 0.3])
    rng, passes, fails = RNG(0), np.zeros(2), np.zeros(2)
    for _ in range(40):
        labels = play(
            of, Labels.none(), predicted(*shares).drawn(1.0, rng), how.strata["size"].to_numpy(), rng
        )
        found = [evidence(of, labels, one, how, SEQUENTIAL) for one in gates]
        results = judge_gates([one.gate for one in gates], {(f.metric, f.slice): f for f in found})
        passes += [result.outcome == PASS for result in results]
        fails += [result.outcome == FAIL for result in results]
    # The play draws labels before slopes, so the same seed gives the same reviews.
    forecast = foresee(of, [predicted(*shares)], gates, [], how, replicates=40, seed=0)
    assert [gate.passes for gate in forecast.gates] == pytest.approx(passes / 40)
    assert [gate.fails for gate in forecast.gates] == pytest.approx(fails / 40)


def test_standing_judgements_are_kept() -> None:
    of = frame((1000, 50))
    judged = Labels(np.array([0] * 30 + [1] * 20), np.array([NO] * 30 + [YES] * 20, np.int8), np.full(50, 50))
    labels = play(of, judged, np.zeros(2), np.array([100, 60]), RNG(1))
    assert np.array_equal(labels.label[:50], judged.label)
    assert labels.label[50:].sum() == 0
    assert np.bincount(labels.cell).tolist() == [100, 50]  # no more than there are


def test_tokens_follow_the_lengths() -> None:
    of = frame((1000,))
    labels = play(of, Labels.none(), np.array([0.1]), np.array([800]), RNG(1))
    assert labels.tokens.mean() == pytest.approx(50, rel=0.1)
    assert labels.tokens.max() <= 400
    by_tokens = Target(Gate("gate", "toxicity.tokens", 0.2), "toxicity", np.array([True]), "tokens")
    found = evidence(of, labels, by_tokens, sample(of, 800), FIXED)
    assert found.unit == "tokens"
    assert 0.02 < found.upper_limit(0.05) < 0.3


def test_beyond_any_real_corpus_documents_are_drawn_all_the_same() -> None:
    of = frame((3 * 10**9, 10**9))
    labels = play(of, Labels.none(), np.zeros(2), np.array([300, 100]), RNG(1))
    assert np.bincount(labels.cell).tolist() == [300, 100]


def test_what_was_not_read_is_charged() -> None:
    of = frame()
    plain, how = target(of, 0.01), sample(of, 800)
    unread = replace(plain, unread=0.004)
    found, charged = (foresee(of, [predicted(0.002)], [one], [], how) for one in (plain, unread))
    assert charged.gates[0].upper == pytest.approx(0.004 + 0.996 * found.gates[0].upper)
    assert charged.gates[0].passes < found.gates[0].passes
    hopeless = foresee(of, [predicted(0.0)], [replace(plain, unread=0.02)], [], how)
    assert (hopeless.gates[0].passes, hopeless.gates[0].fails) == (0.0, 0.0)
