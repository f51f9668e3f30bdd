"""The plan stands from the first export on: changed settings decide nothing until somebody answers for it."""

import copy

import pytest

from audit import commands, config, frozen_plan
from tests.conftest import page
from tests.test_reviewing import exported, filled
from tests.test_undeserved_go import write

GATE = {"name": "toxic", "metric": "toxicity", "limit": 0.5}
BASE = {"screens": {"exact_duplicates": {}}, "sampling": {"size": 20}, "policy": {"gates": [GATE]}}
AMENDMENT = {"owner": "R. Sample", "reason": "the limit was a slip of the pen"}


def changed(sampling=(), gate=(), **policy):
    return {
        **BASE,
        "sampling": {**BASE["sampling"], **dict(sampling)},
        "policy": {"gates": [{**GATE, **dict(gate)}], **policy},
    }


@pytest.fixture
def inputs(tmp_path):
    write(tmp_path / "in" / "a.jsonl", [{"id": f"p{n}", "text": page(n)} for n in range(60)])
    return tmp_path / "in"


@pytest.fixture
def judged(inputs, run_audit, tmp_path):
    """A run at GO: 20 documents judged clean."""
    run = run_audit(inputs, **BASE).run
    file = filled(exported(run, tmp_path), tmp_path / "filled.csv", "no")
    assert commands.judge(run.folder, [file], quiet=True)["verdict"] == "GO"
    return run


def events(run, name):
    return [entry.data for entry in run.journal.read() if entry.event == name]


def sampled(run):
    with run.connect() as db:
        return set(db.execute("SELECT doc_id FROM samples").fetchall())


def test_the_first_export_freezes_the_plan_once(judged):
    (frozen,) = events(judged, "plan frozen")
    assert frozen["because"] == "export"
    assert set(frozen["plan"]) == {"estimator", "design", "questions", "gates", "max_unscreened"}
    names = [entry.event for entry in judged.journal.read()]
    assert names.index("plan frozen") < names.index("judged")
    assert judged.scorecard()["plan"]["digest"] == frozen["digest"]


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        (changed(gate={"limit": 0.9}), "gates.toxic.limit"),
        (changed(gate={"alpha": 0.2}), "gates.toxic.alpha"),
        (changed(gate={"limit": 0.2}), "gates.toxic.limit"),
        (changed(sampling={"rule": "fixed"}), "estimator.rule"),
        (changed(sampling={"proportional_share": 1.0}), "design.proportional_share"),
        (changed(sampling={"bands": [0.1, 0.9]}), "design.bands"),
        (changed(max_unscreened=0.3), "max_unscreened"),
    ],
)
def test_a_changed_setting_decides_nothing_and_is_named(inputs, run_audit, judged, sections, key):
    found = run_audit(inputs, **sections)
    assert found.verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert key in found.verdict.reason
    assert found.run.scorecard()["plan"]["changed"] == [key]
    assert found.run.scorecard()["gates"][0]["outcome"] == "insufficient evidence"


def test_put_back_it_stands_again(inputs, run_audit, judged):
    run_audit(inputs, **changed(gate={"limit": 0.9}))
    assert run_audit(inputs, **BASE).verdict.verdict == "GO"


def test_a_larger_size_is_an_extension(inputs, run_audit, judged):
    before = sampled(judged)
    found = run_audit(inputs, **changed(sampling={"size": 30}))
    assert found.run.scorecard()["plan"]["changed"] == []
    assert before < sampled(found.run)
    assert found.verdict.verdict == "GO"  # by the look at the declared size, which still stands


def test_an_amendment_that_is_not_stricter_draws_anew(inputs, run_audit, judged):
    before = sampled(judged)
    found = run_audit(inputs, **changed(gate={"limit": 0.9}, amendments=[AMENDMENT]))
    (amended,) = events(found.run, "plan amended")
    assert (amended["owner"], amended["changed"]) == ("R. Sample", ["gates.toxic.limit"])
    plan = found.run.scorecard()["plan"]
    assert (plan["number"], plan["new_draw"], plan["changed"]) == (2, True, [])
    after = sampled(found.run)
    assert after != before
    # Labels of documents that are drawn again count; the others wait, so nothing is decided yet.
    assert found.verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert run_audit(inputs, **changed(gate={"limit": 0.9}, amendments=[AMENDMENT])).run
    assert len(events(found.run, "plan amended")) == 1


def test_an_amendment_serves_one_change_only(inputs, run_audit, judged):
    run_audit(inputs, **changed(gate={"limit": 0.9}, amendments=[AMENDMENT]))
    found = run_audit(inputs, **changed(gate={"limit": 0.95}, amendments=[AMENDMENT]))
    assert "configuration has changed" in found.verdict.reason


def test_an_amendment_that_only_makes_go_harder_keeps_the_sample(inputs, run_audit, judged):
    before = sampled(judged)
    found = run_audit(inputs, **changed(gate={"limit": 0.4}, amendments=[AMENDMENT]))
    assert sampled(found.run) == before
    assert found.run.scorecard()["plan"]["new_draw"] is False
    assert found.verdict.verdict == "GO"


def test_a_corpus_without_a_judged_document_is_another_corpus(inputs, run_audit, judged):
    gone = sorted(doc_id for (doc_id,) in sampled(judged))[0]
    rows = [{"id": f"p{n}", "text": page(n)} for n in range(60) if f"p{n}" != gone]
    write(inputs / "a.jsonl", rows)
    found = run_audit(inputs, **BASE)
    assert found.verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert "1 documents that were judged are no longer in the corpus" in found.verdict.reason
    amended = run_audit(inputs, **changed(amendments=[AMENDMENT]))
    assert amended.run.scorecard()["plan"]["obstacle"] is None
    assert amended.run.scorecard()["plan"]["new_draw"] is True


def test_nothing_is_frozen_before_the_sample_leaves(inputs, run_audit):
    run = run_audit(inputs, **BASE).run
    assert run.scorecard()["plan"]["number"] == 0
    assert run_audit(inputs, **changed(gate={"limit": 0.9})).run.scorecard()["plan"]["changed"] == []


def plan(**sections):
    data = {"corpus": {"name": "test"}, **changed(**sections)}
    return frozen_plan.content(config.parse(copy.deepcopy(data)), 20)


@pytest.mark.parametrize(
    ("gate", "stricter"),
    [
        ({}, True),
        ({"limit": 0.4}, True),
        ({"limit": 0.6}, False),
        ({"alpha": 0.01}, True),
        ({"alpha": 0.1}, False),
        ({"severity": "warn"}, False),
        ({"minimum_n": 10}, True),
        ({"requires_review": True}, True),
        ({"requires_review": False}, False),
        ({"slice": "language=en"}, False),
        ({"metric": "toxicity.tokens"}, False),
        ({"name": "other"}, False),
    ],
)
def test_what_counts_as_stricter(gate, stricter):
    assert frozen_plan.is_only_stricter(plan(), plan(gate=gate)) is stricter


def test_new_gates_and_questions_are_stricter_and_others_are_not():
    more = plan(sampling={"questions": ["toxicity", "spam"]})
    assert frozen_plan.is_only_stricter(plan(), more)
    assert not frozen_plan.is_only_stricter(more, plan())
    assert not frozen_plan.is_only_stricter(plan(), plan(sampling={"rule": "fixed"}))
    assert not frozen_plan.is_only_stricter(plan(max_unscreened=0.01), plan(max_unscreened=0.02))


def test_changes_are_named_by_their_dotted_keys():
    old, new = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": None}
    assert list(frozen_plan.changes(old, new)) == ["a.c", "d", "e"]
