"""Gates and verdicts: three outcomes, and no way to GO without evidence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from audit.model import GateResult
from audit.policy import (
    FAIL,
    GO,
    INSUFFICIENT,
    NO_GO,
    PASS,
    UNDECIDED,
    Coverage,
    Gate,
    Missing,
    decide,
    judge_gates,
)
from audit.statistics.census import Census
from audit.statistics.estimation import Prevalence, StratumSample

FULL = Coverage(screened=1000)


def reviewed(yes: int, no: int, documents: int = 100_000) -> Prevalence:
    labels = np.array([1] * yes + [0] * no, np.int8)
    strata = (StratumSample("s", documents, documents, labels, np.ones(yes + no, np.int64), 1),)
    return Prevalence("toxicity", "all", strata)


def gate(name: str = "g", metric: str = "toxicity", limit: float = 0.01, **more: object) -> Gate:
    return Gate(name, metric, limit, **more)  # type: ignore[arg-type]


def outcome(yes: int, no: int, rule: Gate | None = None) -> GateResult:
    rule = rule or gate()
    return judge_gates([rule], {(rule.metric, rule.slice): reviewed(yes, no)})[0]


def result(outcome: str, severity: str = "block") -> GateResult:
    return GateResult("g", "toxicity", "all", 0.01, 0.05, severity, outcome, "because.")


@pytest.mark.parametrize(
    ("yes", "no", "expected"),
    [(0, 500, PASS), (0, 100, INSUFFICIENT), (30, 470, FAIL), (8, 492, INSUFFICIENT)],
)
def test_bounds_decide_not_the_point(yes: int, no: int, expected: str) -> None:
    judged = outcome(yes, no)
    assert judged.outcome == expected
    assert judged.estimate is not None
    assert judged.estimate.n == yes + no


def test_insufficient_evidence_says_what_would_suffice() -> None:
    assert outcome(0, 100).reason == (
        "the limit 1% lies between the 95% bounds 0% and 2.95%; "
        "about 200 more labels that come out as those so far would decide."
    )
    assert "too near the limit" in outcome(5, 495).reason


def test_unread_strata_are_named() -> None:
    known = reviewed(0, 500, 600).strata[0]
    empty = StratumSample("band=0.8-1", 100, 100, np.empty(0, np.int8), np.empty(0, np.int64), 1)
    sample = Prevalence("toxicity", "all", (known, empty))
    judged = judge_gates([gate()], {("toxicity", "all"): sample})[0]
    assert judged.outcome == INSUFFICIENT
    assert "band=0.8-1" in judged.reason


@pytest.mark.parametrize(
    ("rule", "evidence", "words"),
    [
        (gate(), {}, "nothing measured"),
        (gate(), {("toxicity", "all"): Missing("screen toxicity failed on every shard")}, "failed on every"),
        (gate(), {("toxicity", "language=de"): reviewed(0, 900)}, "nothing measured"),
        (gate(), {("toxicity", "all"): reviewed(0, 0)}, "no judgement"),
        (gate(minimum_n=1000), {("toxicity", "all"): reviewed(0, 999)}, "999 judgements count"),
        (
            gate(requires_review=True),
            {("toxicity", "all"): Census("toxicity", "all", 10, 10, 0, 10)},
            "review",
        ),
        (gate(), {("toxicity", "all"): Census("toxicity", "all", 10, 0, 0, 0)}, "evaluated no document"),
        (gate(), {("toxicity", "all"): Census("toxicity", "all", 0, 0, 0, 0)}, "evaluated no document"),
    ],
)
def test_lack_of_evidence_never_passes(rule: Gate, evidence: dict, words: str) -> None:
    judged = judge_gates([rule], evidence)
    assert judged[0].outcome == INSUFFICIENT
    assert words in judged[0].reason
    assert judged[0].estimate is None
    assert decide(judged, coverage=FULL).verdict == UNDECIDED


def test_census_gates_are_decided_by_the_count_unless_too_much_was_not_evaluated() -> None:
    rule = gate(metric="duplicates.tokens", limit=0.1)

    def judge(evaluated: int, flagged: int) -> str:
        census = Census(rule.metric, "all", 100, evaluated, flagged, evaluated, "tokens")
        return judge_gates([rule], {(rule.metric, "all"): census})[0].outcome

    assert [judge(100, 10), judge(100, 11), judge(95, 8), judge(95, 5)] == [PASS, FAIL, INSUFFICIENT, PASS]


def test_failures_are_corrected_for_the_number_of_blocking_gates() -> None:
    sample = reviewed(10, 490)  # p-value of a prevalence of at most 1%: 0.031
    rules = [gate("first"), gate("second", "other")]
    alone = judge_gates(rules[:1], {("toxicity", "all"): sample})
    both = judge_gates(rules, {("toxicity", "all"): sample, ("other", "all"): reviewed(0, 900)})
    assert alone[0].outcome == FAIL
    assert [r.outcome for r in both] == [INSUFFICIENT, PASS]
    assert "corrected for 2 gates" in both[0].reason
    warned = [rules[0], gate("second", "other", severity="warn")]
    evidence = {("toxicity", "all"): sample, ("other", "all"): reviewed(0, 900)}
    assert judge_gates(warned, evidence)[0].outcome == FAIL
    assert judge_gates(warned, evidence, strict=True)[0].outcome == INSUFFICIENT


def test_holm_steps_down_past_a_clear_failure() -> None:
    evidence = {("a", "all"): reviewed(50, 450), ("b", "all"): reviewed(10, 490)}
    results = judge_gates([gate("b", "b"), gate("a", "a")], evidence)
    assert [r.outcome for r in results] == [FAIL, FAIL]
    assert [r.gate for r in results] == ["b", "a"]


OUTCOMES = st.lists(
    st.tuples(st.sampled_from([PASS, FAIL, INSUFFICIENT]), st.sampled_from(["block", "warn"])), max_size=6
)


@given(OUTCOMES, st.booleans())
def test_verdict_follows_from_blocking_outcomes(outcomes: list[tuple[str, str]], strict: bool) -> None:
    verdict = decide([result(*pair) for pair in outcomes], coverage=FULL, strict=strict).verdict
    blocking = {out for out, severity in outcomes if strict or severity == "block"}
    expected = NO_GO if FAIL in blocking else GO if blocking == {PASS} else UNDECIDED
    assert verdict == expected


@pytest.mark.parametrize(
    "coverage",
    [
        Coverage(screened=0),
        Coverage(screened=0, shards=0),
        Coverage(screened=5, shards=3, failed_shards=3),
        Coverage(screened=98, rejected=2, max_unscreened=0.01),
        Coverage(screened=98, unread_share=0.02, max_unscreened=0.01),
    ],
)
def test_a_corpus_that_was_not_screened_is_never_go(coverage: Coverage) -> None:
    assert decide([result(PASS)], coverage=coverage).verdict == UNDECIDED
    assert decide([result(FAIL)], coverage=coverage).verdict == NO_GO


def test_coverage_within_the_allowance_lets_pass() -> None:
    coverage = Coverage(screened=99, rejected=1, max_unscreened=0.01, unread_share=0.01)
    assert decide([result(PASS)], coverage=coverage).verdict == GO


def test_false_go_is_at_most_alpha_just_over_the_limit() -> None:
    rng, limit, n = np.random.default_rng(8), 0.01, 600
    counts = np.bincount(rng.binomial(n, limit * 1.001, 2000), minlength=40)
    passed = itertools.accumulate(counts)
    go = 0
    for yes, total in enumerate(passed):
        if outcome(yes, n - yes).outcome != PASS:
            break
        go = int(total)
    assert 0 < go / 2000 <= 0.05 + 4 * (0.05 * 0.95 / 2000) ** 0.5


def test_gates_validate_inside_a_configuration() -> None:
    adapter = TypeAdapter(Gate)
    assert adapter.validate_python({"name": "a", "metric": "pii", "limit": 0.1}) == gate("a", "pii", 0.1)
    for bad in ({"limit": 1.5}, {"alpha": 0.5}, {"severity": "stop"}, {"minimum": 3}, {"name": ""}):
        with pytest.raises(ValidationError):
            adapter.validate_python({"name": "a", "metric": "pii", "limit": 0.1} | bad)
