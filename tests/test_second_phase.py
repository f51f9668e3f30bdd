"""Adjudicated prevalences by the classes that a run uses: limits, points, looks, slices, coverage."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.adjudication import Reviewed, adjudicate, counts_by_stratum, labels_for_limits, prevalence
from audit.statistics import stratified_limits as limits
from audit.statistics.adjudicated_limits import adjudicated_values
from audit.statistics.estimation import FIXED, NO, SEQUENTIAL, YES, Prevalence, StratumSample, stratum_samples
from audit.statistics.second_phase import SecondPhase, second_phase

SEED = bytes(range(16))
ALPHA = 0.05
SIZES = {"a": 5000, "b": 900}


def documents(said, stratum):
    """Reviewed documents from (reviewer's yes, adjudicator's yes or None) pairs."""
    word = {True: ("yes",), False: ("no",), None: ()}
    return [
        Reviewed(f"{stratum}{i}", f"{i:032x}", stratum, i + 1, 0.1, word[first], word[second])
        for i, (first, second) in enumerate(said)
    ]


def sampled(second, looks=None):
    """What a run makes of adjudicated documents."""
    rows = [
        (d.reviewed.stratum, d.reviewed.draw, d.label, d.weight, 3 + d.reviewed.draw % 5)
        for d in labels_for_limits(second)
    ]
    draws = pa.table(
        dict(zip(("stratum", "draw", "label", "weight", "tokens"), zip(*rows, strict=True), strict=True))
    )
    strata = pa.table(
        {
            "stratum": list(SIZES),
            "documents": list(SIZES.values()),
            "tokens": [5 * size for size in SIZES.values()],
            "max_tokens": [7, 7],
        }
    )
    return stratum_samples(strata, draws, looks)


answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(answers, answers, st.floats(0.05, 1))
@settings(max_examples=40, deadline=None)
def test_a_run_has_the_limits_and_the_point_of_two_phases(a, b, share) -> None:
    second = adjudicate(documents(a, "a") + documents(b, "b"), share, SEED)
    found = Prevalence("toxicity", "all", sampled(second))
    counts = {name: np.array(each) for name, each in counts_by_stratum(second, list(SIZES)).items()}
    shares = np.array(list(SIZES.values())) / sum(SIZES.values())
    names = ("positives", "upheld", "negatives", "again", "overturned")
    expected = adjudicated_values(shares, *(counts[name] for name in names))
    seen = sum(d.selected and d.label == "no" for d in second) / sum(SIZES.values())
    assert found.upper_limit(ALPHA) == pytest.approx(
        min(limits.upper_limit(expected, ALPHA), 1 - seen), abs=1e-6
    )
    assert found.value == pytest.approx(prevalence(second, SIZES))


def test_what_is_not_adjudicated_says_so_and_what_is_says_how() -> None:
    plain = StratumSample("s", 100, 100, np.zeros(20, np.int8), np.ones(20, np.int64), 1)
    again = SecondPhase(np.arange(1, 21), np.array([4, 9]))
    second = StratumSample("s", 100, 100, np.zeros(20, np.int8), np.ones(20, np.int64), 1, second=again)
    methods = [Prevalence("m", "all", (each,)).estimate(ALPHA).method for each in (plain, second)]
    assert "by reviewers' answers, not adjudicated" in methods[0]
    assert "1/pi2" in methods[1]
    assert Prevalence("m", "all", (second,)).upper_limit(ALPHA) > 3 * Prevalence(
        "m", "all", (plain,)
    ).upper_limit(ALPHA)


@given(answers, answers, st.floats(0.05, 1), st.sampled_from(["documents", "tokens"]))
@settings(max_examples=40, deadline=None)
def test_what_waits_is_worst_either_way(a, b, share, unit) -> None:
    """Limits with adjudications to come are no tighter than with them; the point is not there yet."""
    finished = adjudicate(documents(a, "a") + documents(b, "b"), share, SEED)
    open_ = adjudicate(
        documents([(first, None) for first, _ in a], "a") + documents([(first, None) for first, _ in b], "b"),
        share,
        SEED,
    )
    done, waits = (Prevalence("toxicity", "all", sampled(each), unit) for each in (finished, open_))
    assert waits.upper_limit(ALPHA) >= done.upper_limit(ALPHA) - 1e-9
    assert waits.lower_limit(ALPHA) <= done.lower_limit(ALPHA) + 1e-9
    assert waits.value is None


def test_a_stratum_of_which_no_negative_is_looked_at_again_could_be_all_harm() -> None:
    """At a look that ends before the first negative that was taken."""
    phase = SecondPhase(np.arange(1, 41), np.array([30]))
    stratum = StratumSample("s", 1000, 1000, np.zeros(40, np.int8), np.ones(40, np.int64), 1, second=phase)
    first = stratum.first(20)
    assert first.second is not None
    assert first.second.tells_nothing
    assert Prevalence("m", "all", (first,)).upper_limit(ALPHA) == pytest.approx(1.0, abs=1e-6)
    assert Prevalence("m", "all", (first,)).lower_limit(ALPHA) == 0.0


def test_a_slice_of_which_nothing_is_looked_at_again_could_be_anything() -> None:
    phase = SecondPhase(np.arange(1, 41), np.array([30, 35]))
    part = StratumSample(
        "s", 100, 100, np.zeros(3, np.int8), np.ones(3, np.int64), 1, ranks=np.array([2, 3, 8]), second=phase
    )
    found = Prevalence("m", "language=en", (part,))
    assert (found.lower_limit(ALPHA), found.upper_limit(ALPHA)) == (0.0, 1.0)
    assert found.p_value_at_least(0.5) == 1.0


def test_later_judgements_change_nothing_about_an_earlier_look() -> None:
    ranks = np.arange(1, 101)
    weights = np.where(ranks % 7 == 0, 100 / 14, 0.0)
    whole, half = second_phase(ranks, weights), second_phase(ranks[:50], weights[:50])
    assert whole.first(50).weights(ranks[:50]).tolist() == half.weights(ranks[:50]).tolist()
    assert whole.first(50).stands_for == 50 / 7


def test_who_judged_and_looked_at_everything_again_knows() -> None:
    everything = SecondPhase(np.arange(3, 11), np.arange(3, 11))
    labels = np.array([YES, YES, YES, *[NO] * 7], np.int8)
    stratum = StratumSample("s", 10, 10, labels, np.ones(10, np.int64), 1, second=everything)
    found = Prevalence("m", "all", (stratum,))
    assert (found.lower_limit(ALPHA), found.value, found.upper_limit(ALPHA)) == pytest.approx((0.3,) * 3)
    part = SecondPhase(np.arange(3, 11), np.array([5]))
    doubted = StratumSample("s", 10, 10, labels, np.ones(10, np.int64), 1, second=part)
    assert Prevalence("m", "all", (doubted,)).upper_limit(ALPHA) == pytest.approx(0.9)  # all but one


def replicate(rng, corpus, share, unit, rule):
    """Review and adjudicate a sample of a corpus; reviewers miss a third of the harm."""
    strata = []
    for code, (tokens, harm, member, n) in enumerate(corpus):
        drawn = rng.choice(len(tokens), n, replace=False)
        wrong = rng.random(n) < np.where(harm[drawn], 1 / 3, 0.005)
        negative = ~(harm[drawn] ^ wrong)
        again = negative & (rng.random(n) < share)
        ranks, inside = np.arange(1, n + 1), member[drawn]
        strata.append(
            StratumSample(
                str(code),
                int(member.sum()),
                int(tokens[member].sum()),
                (harm[drawn] & (~negative | again))[inside].astype(np.int8),
                tokens[drawn][inside],
                int(tokens[member].max()),
                ranks=ranks[inside],
                drawn=n,
                looks={0: n // 2, 1: n},
                second=SecondPhase(ranks[negative], ranks[again]),
            )
        )
    return Prevalence("m", "s", tuple(strata), unit, rule)


@pytest.mark.parametrize("unit", ["documents", "tokens"])
@pytest.mark.parametrize("rule", [FIXED, SEQUENTIAL])
@pytest.mark.parametrize(
    ("rates", "draws", "part"),
    [((0.0005, 0.005), (3000, 1000), 1.0), ((0.1, 0.5), (150, 100), 1.0), ((0.1, 0.5), (150, 100), 0.3)],
    ids=["rare", "common", "slice"],
)
def test_limits_cover_though_reviewers_miss_a_third(unit, rule, rates, draws, part) -> None:
    rng = np.random.default_rng(12)
    corpus = [
        (
            np.ceil(rng.lognormal(4, 0.7, size)).astype(np.int64),
            rng.random(size) < rate,
            rng.random(size) < part,
            n,
        )
        for size, rate, n in zip((18_000, 2000), rates, draws, strict=True)
    ]
    weight = [t if unit == "tokens" else np.ones(len(t)) for t, *_ in corpus]
    parts = list(zip(weight, corpus, strict=True))
    truth = sum(w[h & m].sum() for w, (_, h, m, _) in parts) / sum(w[m].sum() for w, (_, _, m, _) in parts)
    misses, replicates = np.zeros(2), 200
    for _ in range(replicates):
        found = replicate(rng, corpus, 0.2, unit, rule)
        misses += [found.p_value_at_least(truth) < ALPHA, found.p_value_at_most(truth) < ALPHA]
    assert (misses / replicates < 0.1).all()  # binomial at 0.05: over it once in a thousand
