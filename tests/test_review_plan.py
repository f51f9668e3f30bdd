"""The plan of a run's review, from its folder and by command."""

import csv
import json

import pytest
from typer.testing import CliRunner

from audit import commands, plan_wording, review_plan
from audit.cli import app
from audit.errors import ConfigurationError


def planned(run, budget=None):
    with run.locked():
        return review_plan.plan(run, budget)


def shown(result) -> str:
    return "\n".join(line for line in plan_wording.lines(result) if isinstance(line, str))


def before(run) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()}


def test_a_plan_says_what_budgets_decide(standing):
    result = planned(standing, 30)
    assert (result["budget"], result["declared"]) == (30, 30)
    assert result["judged"] == {"toxicity": 0}
    assert [forecast["factor"] for forecast in result["forecasts"]] == [0.5, 1.0, 2.0]
    (at_budget,) = result["forecasts"][1]["gates"]
    assert at_budget["gate"] == "toxic"
    assert at_budget["lower"] <= at_budget["predicted"] <= at_budget["upper"]
    assert result["forecasts"][1]["go"] == at_budget["passes"]
    # Plain pages against a limit of one half: few labels do, and all documents judged decide for certain.
    assert result["decided_by"]["toxic"] == result["verdict_by"] <= 72
    assert result["ladder"][-1]["budget"] == 72
    assert result["ladder"][-1]["go"] == 1.0
    assert "scores of the screen 'toxicity'" in shown(result)
    assert "toxic: decided by about" in shown(result)


def test_planning_changes_nothing(copied):
    standing = before(copied)
    planned(copied)
    assert {k: v for k, v in before(copied).items() if k != ".lock"} == {
        k: v for k, v in standing.items() if k != ".lock"
    }


def test_judgements_move_the_plan_and_fix_the_looks(copied, tmp_path):
    file = tmp_path / "sample.csv"
    commands.sample(copied.folder, file, file_format="csv", size=None, quiet=True)
    with file.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "toxicity": "yes"} for row in rows)
    commands.judge(copied.folder, [file], quiet=True)
    result = planned(copied, 60)
    assert result["judged"]["toxicity"] == 40
    assert result["declared"] == 40  # frozen at the first judgement
    assert "recalibrated by 40 judgements" in result["predictions"]["toxicity"]
    assert result["forecasts"][1]["gates"][0]["predicted"] > 0.3
    assert result["forecasts"][1]["no_go"] > 0.9
    assert [forecast["budget"] for forecast in result["ladder"]] == [72]


def test_questions_that_nothing_predicts_are_assumed(run_audit, corpus):
    gates = [
        {"name": "false", "metric": "factuality", "limit": 0.4},
        {"name": "pii", "metric": "pii", "limit": 0.4},
    ]
    run = run_audit(
        corpus,
        screens={"pii": {}},
        sampling={"size": 20, "questions": ["factuality", "pii"]},
        policy={"gates": gates},
    ).run
    result = planned(run)
    assert result["predictions"]["factuality"] == "no screen predicts it; assumed 25% of its strictest limit"
    assert result["predictions"]["pii"] == "what the screen 'pii' flags"
    shares = {gate["gate"]: gate["predicted"] for gate in result["forecasts"][1]["gates"]}
    assert shares == pytest.approx({"false": 0.1, "pii": 1 / 72})


def test_gates_that_no_judgement_changes_are_said(run_audit, corpus):
    gates = [
        {"name": "copies", "metric": "duplicates.documents", "limit": 0.0},
        {"name": "toxic", "metric": "toxicity", "limit": 0.5},
    ]
    screens = {"pii": {}, "exact_duplicates": {}}
    run = run_audit(corpus, screens=screens, policy={"gates": gates}).run
    result = planned(run)
    assert result["fixed"] == [{"gate": "copies", "outcome": "fail"}]
    assert all(forecast["go"] == 0 and forecast["no_go"] == 1 for forecast in result["forecasts"])
    assert "copies: fail, whatever people judge" in shown(result)


def test_without_a_gate_on_judgements_there_is_no_plan(run_audit, corpus):
    gates = [{"name": "pii", "metric": "pii.flagged", "limit": 0.5}]
    run = run_audit(corpus, screens={"pii": {}}, policy={"gates": gates}).run
    with pytest.raises(ConfigurationError, match="no gate of the policy rests on judgements"):
        planned(run)


def test_the_command_prints_a_plan_and_refuses_what_contradicts(standing):
    def audit(*arguments: str):
        return CliRunner().invoke(app, ["sample", str(standing.folder), *arguments])

    result = json.loads(audit("--plan", "--budget", "25", "--json").stdout)
    assert result["budget"] == 25
    table = audit("--plan").stdout
    assert "40 judgements" in table
    assert "passes" in table
    for wrong in (("--plan", "--out", "x.csv"), ("--plan", "--size", "9"), ("--budget", "9"), ()):
        assert audit(*wrong).exit_code == 2, wrong
