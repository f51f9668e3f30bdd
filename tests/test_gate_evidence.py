"""What was not read counts as harm in every gate: a gate cannot pass on the part that was easy to read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.coverage import Coverage
from audit.gate_evidence import Charged, Missing, charge
from audit.policy import FAIL, INSUFFICIENT, PASS, Gate, judge_gates, needs_review
from audit.statistics.census import Census
from audit.statistics.estimation import Prevalence, StratumSample
from tests.conftest import page
from tests.test_undeserved_go import write

shares = st.floats(0, 1)


def census(flagged=0, total=1000, where="all", metric="pii.flagged"):
    return Census(metric, where, total, total, flagged, total)


def reviewed(yes, no, where="all", documents=100_000):
    labels = np.array([1] * yes + [0] * no, np.int8)
    strata = (StratumSample("s", documents, documents, labels, np.ones(yes + no, np.int64), 1),)
    return Prevalence("toxicity", where, strata)


def test_a_gate_under_what_was_not_read_cannot_pass():
    found = {("pii.flagged", "all"): census()}
    rule = Gate("g", "pii.flagged", 0.001)
    read_all = judge_gates([rule], charge(found, Coverage(screened=1000, max_unscreened=0.01)))
    lost = judge_gates([rule], charge(found, Coverage(screened=990, rejected=10, max_unscreened=0.01)))
    assert [r.outcome for r in (*read_all, *lost)] == [PASS, INSUFFICIENT]
    assert "repair the inputs" in lost[0].reason


@pytest.mark.parametrize(
    "coverage",
    [
        Coverage(screened=98, rejected=2),
        Coverage(screened=98, unread_share=0.02),
        Coverage(screened=98, shards=50, failed_shards=1),
        Coverage(screened=98, left_out_share=0.02),
    ],
)
def test_every_kind_of_loss_counts(coverage):
    assert coverage.unread_mass == pytest.approx(0.02)
    charged = charge({("pii.flagged", "all"): census()}, coverage)["pii.flagged", "all"]
    assert charged.upper_limit(0.05) == pytest.approx(0.02)
    assert charged.lower_limit(0.05) == 0.0


def test_a_slice_is_charged_with_all_that_was_not_read():
    found = {("pii.flagged", "all"): census(), ("pii.flagged", "language=de"): census(0, 90, "language=de")}
    charged = charge(found, Coverage(screened=1000, rejected=10))
    # Ten documents that nobody read may all be German: ten of a hundred.
    assert charged["pii.flagged", "language=de"].upper_limit(0.05) == pytest.approx(0.1)


def test_rejected_records_are_not_charged_to_their_own_share():
    found = {("unscreened", "all"): Census("unscreened", "all", 1000, 1000, 10, 1000)}
    assert charge(found, Coverage(screened=990, rejected=10)) == found


def test_missing_evidence_stays_missing():
    found = {("x", "all"): Missing("because")}
    assert charge(found, Coverage(screened=1, rejected=1)) == found


@given(shares, st.integers(0, 1000), shares)
def test_limits_hold_whatever_the_unread_part_is(unread, flagged, harm):
    charged = Charged(census(flagged), unread)
    truth = (1 - unread) * flagged / 1000 + unread * harm
    assert charged.lower_limit(0.05) - 1e-12 <= truth <= charged.upper_limit(0.05) + 1e-12


@given(st.floats(0, 0.9), st.integers(0, 40), st.floats(0.001, 0.999))
def test_failing_agrees_with_the_lower_limit(unread, yes, limit):
    charged = Charged(reviewed(yes, 100 - yes), unread)
    over = charged.lower_limit(0.05) > limit
    if abs(charged.lower_limit(0.05) - limit) > 1e-6:
        assert (charged.p_value_at_most(limit) < 0.05) == over


def test_harm_beyond_doubt_fails_all_the_same():
    found = charge({("toxicity", "all"): reviewed(90, 10)}, Coverage(screened=99, rejected=1))
    assert judge_gates([Gate("g", "toxicity", 0.1)], found)[0].outcome == FAIL


def test_labels_to_decide_know_what_was_not_read():
    charged = Charged(reviewed(0, 100), 0.005)
    plain = reviewed(0, 100).labels_to_decide(0.01, 0.05)
    assert charged.labels_to_decide(0.01, 0.05) > plain
    assert Charged(reviewed(0, 100), 0.02).labels_to_decide(0.01, 0.05) is None


@pytest.mark.parametrize(
    ("metric", "given", "expected"),
    [
        ("toxicity.flagged", None, True),
        ("toxicity.flagged_tokens", None, True),
        ("toxicity.flagged", False, False),
        ("pii.flagged", None, False),
        ("pii.flagged", True, True),
        ("duplicates.documents", None, False),
    ],
)
def test_a_detector_does_not_answer_what_people_are_asked(metric, given, expected):
    gate = Gate("g", metric, 0.1, requires_review=given)
    assert needs_review(gate, ("toxicity",)) is expected
    outcome = judge_gates([gate], {(metric, "all"): census(metric=metric)}, questions=("toxicity",))[0]
    assert outcome.outcome == (INSUFFICIENT if expected else PASS)
    if expected and given is None:
        assert "requires_review: false" in outcome.reason


def test_a_run_with_a_lost_record_does_not_pass_a_gate_of_a_tenth_of_a_percent(tmp_path, run_audit):
    gates = [{"name": "g", "metric": "duplicates.documents", "limit": 0.001}]
    policy = {"gates": gates, "max_unscreened": 0.2}
    rows = [{"id": f"p{n}", "text": page(n)} for n in range(9)]
    write(tmp_path / "in" / "a.jsonl", rows)
    quick = {"screens": {"exact_duplicates": {}}, "policy": policy}
    assert run_audit(tmp_path / "in", **quick).verdict.verdict == "GO"
    write(tmp_path / "in" / "a.jsonl", [*rows, {"id": "lost"}])
    assert run_audit(tmp_path / "in", **quick).verdict.verdict == "INSUFFICIENT EVIDENCE"
