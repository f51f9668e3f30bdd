"""A waiver keeps a gate from blocking until a day, and hides nothing."""

from datetime import date, timedelta

import pytest

from audit import commands, config, evaluation, standing, waivers
from audit.errors import ConfigurationError
from audit.model import GateResult
from audit.policy import FAIL, GO, NO_GO, PASS, UNDECIDED, Coverage, decide
from audit.progress import Quiet
from audit.waivers import Waiver
from tests.conftest import page
from tests.test_undeserved_go import write

DAY = date(2026, 11, 22)
FULL = Coverage(screened=1000)


def waiver(gate="g", days=0, owner="R. Sample"):
    return Waiver(gate, owner, "known, repaired downstream", DAY + timedelta(days))


def result(outcome=FAIL, gate="g", severity="block"):
    return GateResult(gate, "toxicity", "all", 0.01, 0.05, severity, outcome, "because.")


@pytest.mark.parametrize(("days", "waived"), [(1, True), (0, True), (-1, False)])
def test_a_waiver_holds_through_its_last_day(days, waived):
    (found,) = waivers.apply([result()], [waiver(days=days)], DAY)
    assert (found.outcome, found.waived, found.waived_by) == (FAIL, waived, "R. Sample")
    assert found.waiver_expires == (DAY + timedelta(days)).isoformat()
    assert ("expired" in found.reason) is not waived


def test_of_two_waivers_the_later_one_counts():
    (found,) = waivers.apply([result()], [waiver(days=5, owner="later"), waiver(days=-5)], DAY)
    assert (found.waived, found.waived_by) == (True, "later")


def test_a_waived_gate_does_not_block_and_is_named():
    results = waivers.apply([result(), result(PASS, "h")], [waiver()], DAY)
    verdict = decide(results, coverage=FULL)
    assert verdict.verdict == GO
    assert "'g' (fail) by R. Sample until 2026-11-22" in verdict.reason


def test_an_expired_waiver_blocks_again():
    results = waivers.apply([result(), result(PASS, "h")], [waiver(days=-1)], DAY)
    verdict = decide(results, coverage=FULL)
    assert verdict.verdict == NO_GO
    assert "expired" in verdict.reason


def test_waiving_everything_decides_nothing():
    results = waivers.apply([result()], [waiver()], DAY)
    assert decide(results, coverage=FULL).verdict == UNDECIDED


GATES = [
    {"name": "copies", "metric": "duplicates.documents", "limit": 0.1},
    {"name": "unscreened", "metric": "unscreened", "limit": 0.5},
]


def policy(**given):
    one = {"gate": "copies", "owner": "R. Sample", "reason": "copies go next week", **given}
    return {"gates": GATES, "waivers": [{"expires": "2026-12-31", **one}]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gate": "copie"}, r"policy.waivers.0.gate: .*unknown gate 'copie'.*Did you mean 'copies'"),
        ({"slice": "language=en"}, r"policy.waivers.0.slice: .*no slice 'language=en'"),
        ({"owner": "  "}, "policy.waivers.0.owner"),
        ({"reason": ""}, "policy.waivers.0.reason"),
        ({"expires": "some day"}, "policy.waivers.0.expires"),
        ({"expired": "2026-12-31"}, r"unknown key 'expired'.*Did you mean 'expires'"),
    ],
)
def test_a_waiver_that_is_not_whole_is_refused(given, message):
    with pytest.raises(ConfigurationError, match=message):
        config.parse({"corpus": {"name": "test"}, "policy": policy(**given)})


def test_owner_reason_and_day_are_obligatory():
    for missing in ("owner", "reason", "expires"):
        given = policy()
        del given["waivers"][0][missing]
        with pytest.raises(ConfigurationError, match=missing):
            config.parse({"corpus": {"name": "test"}, "policy": given})


@pytest.fixture
def waived(tmp_path, run_audit, monkeypatch):
    """A run at GO whose gate on copies fails, waived until the 31st of December 2026."""
    monkeypatch.setattr(standing, "_today", lambda: DAY)
    rows = [{"id": f"p{n}", "text": page(n % 3)} for n in range(6)]
    write(tmp_path / "in" / "a.jsonl", rows)
    return run_audit(tmp_path / "in", screens={"exact_duplicates": {}}, policy=policy()).run


def test_a_waiver_stands_on_every_page_and_in_the_table(waived):
    card = waived.scorecard()
    assert card["verdict"] == "GO"
    row = card["gates"][0]
    assert (row["outcome"], row["waived"], row["waived_by"]) == ("fail", True, "R. Sample")
    for name in ("scorecard.md", "scorecard.html"):
        text = (waived.folder / name).read_text()
        assert "copies go next week" in text
        assert "2026-12-31" in text
    with waived.connect() as db:
        found = db.execute(
            "SELECT outcome, waived, waived_by, waiver_reason, waiver_expires FROM gates ORDER BY gate"
        ).fetchall()
    assert found[0] == ("fail", True, "R. Sample", "copies go next week", "2026-12-31")


def test_the_gate_is_checked_against_the_day_it_is_asked(waived, monkeypatch):
    assert commands.gate(waived.folder, strict=False)["verdict"] == "GO"
    monkeypatch.setattr(standing, "_today", lambda: date(2027, 1, 1))
    for strict in (False, True):
        found = commands.gate(waived.folder, strict=strict)
        assert found["verdict"] == "NO-GO"
        assert "has expired since" in found["verdict_reason"]


def test_rendering_again_keeps_the_day_until_a_waiver_expires(waived, monkeypatch):
    before = (waived.folder / "scorecard.json").read_bytes()

    def again(day):
        monkeypatch.setattr(standing, "_today", lambda: day)
        with waived.locked():
            evaluation.evaluate(waived, Quiet())
        return (waived.folder / "scorecard.json").read_bytes()

    assert again(date(2026, 12, 24)) == before
    assert [e.data["day"] for e in waived.journal.read() if e.event == "completed"] == ["2026-11-22"] * 2
    assert again(date(2027, 1, 1)) != before
    assert waived.scorecard()["verdict"] == "NO-GO"
