"""Prevalence from judgements: what counts, how far it is off at most, and that it is never read as clean."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from audit.statistics.census import Census
from audit.statistics.estimation import UNSURE, Prevalence, StratumSample, completed_prefix, stratum_samples


def stratum(
    documents: int, labels: list[int], name: str = "s", tokens: list[int] | None = None
) -> StratumSample:
    judged = np.array(tokens if tokens is not None else [10] * len(labels), np.int64)
    total = int(judged.sum()) + 10 * (documents - len(labels))
    return StratumSample(name, documents, total, np.array(labels, np.int8), judged, max(10, *judged, 0))


def prevalence(*strata: StratumSample, unit: str = "documents") -> Prevalence:
    return Prevalence("toxicity", "all", strata, unit)  # type: ignore[arg-type]


@st.composite
def reviews(draw: st.DrawFn) -> Prevalence:
    strata = []
    for i in range(draw(st.integers(1, 4))):
        labels = draw(st.lists(st.sampled_from([0, 0, 0, 1, UNSURE]), max_size=25))
        tokens = draw(st.lists(st.integers(1, 500), min_size=len(labels), max_size=len(labels)))
        documents = len(labels) + draw(st.sampled_from([0, 1, 30, 4000]))
        if documents:
            strata.append(stratum(documents, labels, f"s{i}", tokens))
    return prevalence(*strata, unit=draw(st.sampled_from(["documents", "tokens"])))


def test_one_stratum_is_clopper_pearson() -> None:
    sample = prevalence(stratum(10_000, [1] * 4 + [0] * 196))
    estimate = sample.estimate(0.05)
    assert (estimate.value, estimate.n, estimate.confidence) == (0.02, 200, 0.9)
    assert estimate.low == pytest.approx(beta.ppf(0.05, 4, 197), rel=1e-6)
    assert estimate.high == pytest.approx(beta.ppf(0.95, 5, 196), rel=1e-6)


def test_the_point_weights_strata_by_their_documents() -> None:
    sample = prevalence(stratum(900, [0] * 10), stratum(100, [1, 1, 1, 0]))
    assert sample.value == pytest.approx(0.9 * 0 + 0.1 * 0.75)


def test_tokens_weigh_documents_by_length() -> None:
    sample = prevalence(stratum(1000, [1, 0, 0, 0], tokens=[70, 10, 10, 10]), unit="tokens")
    assert sample.value == pytest.approx(0.7)
    assert prevalence(stratum(1000, [1, 0, 0, 0], tokens=[70, 10, 10, 10])).value == 0.25


def test_unknown_longest_document_widens_the_limits_of_tokens() -> None:
    known = stratum(1000, [0] * 100)
    unknown = StratumSample("s", 1000, known.tokens, known.labels, known.judged_tokens)
    assert prevalence(unknown, unit="tokens").upper_limit(0.05) >= 0.9  # all but what was seen
    assert prevalence(known, unit="tokens").upper_limit(0.05) < 0.04


def test_a_judged_out_stratum_is_known_exactly() -> None:
    everything = prevalence(stratum(5, [1, 0, 0, 0, 0])).estimate(0.05)
    assert (everything.low, everything.value, everything.high) == pytest.approx((0.2, 0.2, 0.2))
    part = prevalence(stratum(5, [1, 0, 0, 0, 0]), stratum(95, [0] * 40))
    assert part.lower_limit(0.05) == pytest.approx(0.01)
    assert part.upper_limit(0.05) == pytest.approx(0.01 + 0.95 * beta.ppf(0.95, 1, 40), rel=1e-6)


def test_a_stratum_without_judgement_is_never_clean() -> None:
    sample = prevalence(stratum(900, [0] * 300, "read"), stratum(100, [], "unread"))
    estimate = sample.estimate(0.05)
    assert estimate.value is None
    assert estimate.low == pytest.approx(0.0, abs=1e-9)
    assert estimate.high is not None
    assert estimate.high > 0.1
    assert sample.unjudged == ("unread",)
    assert sample.labels_to_decide(0.01, 0.05) is None


def test_nothing_judged_has_no_estimate() -> None:
    estimate = prevalence(stratum(100, [])).estimate(0.05)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (None, None, None, 0)
    assert prevalence().estimate(0.05).high is None
    assert prevalence().upper_limit(0.05) == 1.0
    assert prevalence().p_value_at_most(0.1) == 1.0


def test_unsure_counts_against_whichever_limit_is_asked() -> None:
    unsure = prevalence(stratum(10_000, [1, UNSURE, UNSURE] + [0] * 97))
    assert unsure.upper_limit(0.05) == prevalence(stratum(10_000, [1] * 3 + [0] * 97)).upper_limit(0.05)
    assert unsure.lower_limit(0.05) == prevalence(stratum(10_000, [1] + [0] * 99)).lower_limit(0.05)
    assert unsure.value == pytest.approx(1 / 98)
    assert prevalence(stratum(50, [UNSURE])).value is None


def test_only_the_completed_prefix_counts() -> None:
    strata = pa.table({"stratum": ["a", "b"], "documents": [50, 60], "tokens": [500, 600]})
    draws = pa.table(
        {
            "stratum": ["a", "a", "a", "a", "b"],
            "draw": [4, 2, 1, 3, 1],
            "label": pa.array(["yes", "skipped", "no", None, None]),
            "tokens": [40, 20, 10, 30, 10],
        }
    )
    first, second = stratum_samples(strata, draws)
    assert first.labels.tolist() == [0, UNSURE]
    assert first.judged_tokens.tolist() == [10, 20]
    assert len(second.labels) == 0


def test_a_slice_keeps_the_prefix_of_the_whole_stratum() -> None:
    strata = pa.table({"stratum": ["a"], "documents": [20], "tokens": [200], "max_tokens": [90]})
    draws = pa.table(
        {
            "stratum": ["a"] * 4,
            "draw": [1, 2, 3, 4],
            "label": pa.array(["yes", "no", None, "yes"]),
            "tokens": [1, 2, 3, 4],
            "member": [True, False, False, True],
        }
    )
    (sample,) = stratum_samples(strata, draws)
    assert sample.labels.tolist() == [1]
    assert sample.max_tokens == 90


@pytest.mark.parametrize(
    ("column", "value", "message"), [("label", "maybe", "label"), ("stratum", "z", "stratum")]
)
def test_foreign_judgements_are_refused(column: str, value: str, message: str) -> None:
    strata = pa.table({"stratum": ["a"], "documents": [20], "tokens": [200]})
    draws = {"stratum": ["a"], "draw": [1], "label": ["no"], "tokens": [3]} | {column: [value]}
    with pytest.raises(ValueError, match=message):
        stratum_samples(strata, pa.table(draws))


def test_more_judgements_than_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        stratum(2, [0, 0, 0])


@given(st.lists(st.booleans(), max_size=20))
def test_the_prefix_ends_at_the_first_gap(judged: list[bool]) -> None:
    kept = completed_prefix(np.arange(1, len(judged) + 1), np.array(judged, bool))
    first_gap = judged.index(False) if False in judged else len(judged)
    assert kept.tolist() == [i < first_gap for i in range(len(judged))]


@settings(max_examples=60, deadline=None)
@given(reviews(), st.floats(0.001, 0.2))
def test_limits_are_ordered_certain_and_monotone(sample: Prevalence, alpha: float) -> None:
    low, high = sample.lower_limit(alpha), sample.upper_limit(alpha)
    assert -1e-9 <= low <= high + 1e-9 <= 1 + 2e-9
    assert sample.upper_limit(alpha / 3) >= high - 1e-9
    assert sample.lower_limit(alpha / 3) <= low + 1e-9
    if sample.n:
        value = sample.estimate(alpha).value
        assert value is None or low - 1e-9 <= value <= high + 1e-9


@settings(max_examples=60, deadline=None)
@given(reviews(), st.floats(0.01, 0.9), st.floats(0.001, 0.2))
def test_the_p_value_inverts_the_lower_limit(sample: Prevalence, limit: float, alpha: float) -> None:
    low = sample.lower_limit(alpha)
    if abs(low - limit) > 1e-6:
        assert (sample.p_value_at_most(limit) < alpha) == (low > limit)


@settings(max_examples=30, deadline=None)
@given(reviews(), st.randoms())
def test_the_order_of_strata_does_not_matter(sample: Prevalence, random) -> None:
    shuffled = list(sample.strata)
    random.shuffle(shuffled)
    other = prevalence(*shuffled, unit=sample.unit)
    assert other.upper_limit(0.05) == pytest.approx(sample.upper_limit(0.05), abs=1e-7)
    assert other.lower_limit(0.05) == pytest.approx(sample.lower_limit(0.05), abs=1e-7)


def test_the_labels_said_to_decide_would_decide() -> None:
    sample = prevalence(stratum(10**6, [1] + [0] * 299))
    more = sample.labels_to_decide(0.008, 0.05)
    assert more is not None
    n = 300 + more
    yes = round(n / 300)
    assert (
        prevalence(stratum(10**6, [1] * yes + [0] * (n - yes))).upper_limit(0.05) <= 0.0087
    )  # 4 yes, not 3.5
    assert prevalence(stratum(10**6, [1] + [0] * 299)).labels_to_decide(1 / 300, 0.05) is None


@pytest.mark.parametrize("unit", ["documents", "tokens"])
def test_limits_cover_on_a_finite_corpus(unit: str) -> None:
    rng, alpha, replicates = np.random.default_rng(3), 0.05, 300
    sizes, drawn = [2000, 300], [80, 60]
    tokens = [np.ceil(rng.lognormal(4, 0.7, size)).astype(np.int64) for size in sizes]
    harm = [rng.random(size) < rate for size, rate in zip(sizes, (0.01, 0.3), strict=True)]
    whole = sum(map(sum, harm)), sum(sizes)
    if unit == "tokens":
        whole = sum(t[h].sum() for t, h in zip(tokens, harm, strict=True)), sum(t.sum() for t in tokens)
    truth, misses = whole[0] / whole[1], np.zeros(2)
    for _ in range(replicates):
        strata = []
        for t, h, n in zip(tokens, harm, drawn, strict=True):
            d = rng.choice(len(t), n, replace=False)
            strata.append(StratumSample("s", len(t), int(t.sum()), h[d].astype(np.int8), t[d], int(t.max())))
        sample = prevalence(*strata, unit=unit)
        misses += [sample.p_value_at_least(truth) < alpha, sample.p_value_at_most(truth) < alpha]
    assert (misses / replicates <= 0.1).all()  # 0.05 and four standard errors


def test_census_counts_what_was_not_evaluated_both_ways() -> None:
    census = Census("duplicates.tokens", "all", total=1000, evaluated=900, flagged=90, n=45, unit="tokens")
    estimate = census.estimate(0.05)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (0.1, 0.09, 0.19, 45)
    assert "not a prevalence" in estimate.method
    assert (census.p_value_at_most(0.08), census.p_value_at_most(0.09)) == (0.0, 1.0)


def test_census_of_nothing_is_absent() -> None:
    estimate = Census("pii", "all", total=10, evaluated=0, flagged=0, n=0).estimate(0.05)
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    with pytest.raises(ValueError, match="nest"):
        Census("pii", "all", total=10, evaluated=5, flagged=6, n=5)
