"""The derivation of a gate: all numbers that its outcome rests on, and what would change it."""

import json

import pytest
from typer.testing import CliRunner

from audit import commands, explaining
from audit.cli import app
from audit.errors import ConfigurationError
from audit.explaining_words import lines
from tests.conftest import page
from tests.test_reviewing import exported, filled
from tests.test_undeserved_go import write


def words(told):
    return "\n".join(line for line in lines(told) if isinstance(line, str))


def test_a_gate_on_judgements_is_derived_whole(copied, tmp_path):
    rows = exported(copied, tmp_path)
    commands.judge(copied.folder, [filled(rows, tmp_path / "f.csv", "no")], quiet=True)
    before = {p: p.read_bytes() for p in copied.folder.rglob("*") if p.is_file() and p.name != ".lock"}
    told = commands.explain(copied.folder, "toxic")
    assert {
        p: p.read_bytes() for p in copied.folder.rglob("*") if p.is_file() and p.name != ".lock"
    } == before
    assert (told["outcome"], told["kind"], told["requires_review"]) == ("pass", "review", True)
    assert sum(row["judged"] for row in told["strata"]) == len(rows) == told["bounds"]["n"]
    assert sum(row["documents"] for row in told["strata"]) == told["bounds"]["total"] == 72
    assert told["bounds"]["upper"] == pytest.approx(told["estimate"]["high"])
    assert told["bounds"]["upper"] <= told["limit"]
    assert told["plan"]["digest"] is not None
    text = words(told)
    for part in (
        "people would call harm",
        "Gaffke",
        "Holm",
        "Berger",
        told["plan"]["digest"],
        "Unread: nothing",
    ):
        assert part in text


def test_what_is_missing_and_what_would_change_it_is_said(copied, tmp_path):
    told = commands.explain(copied.folder, "toxic")
    assert told["missing"] == "no judgement counts yet"
    assert told["change"]["unjudged_strata"]
    assert "labels in strata without any" in words(told)
    rows = exported(copied, tmp_path)
    file = filled(rows, tmp_path / "f.csv", "unsure")
    commands.judge(copied.folder, [file], quiet=True)
    told = commands.explain(copied.folder, "toxic")
    assert told["outcome"] == "insufficient evidence"
    assert sum(row["unsure"] for row in told["strata"]) == len(rows)


def test_more_labels_are_spread_over_strata(copied, tmp_path):
    with copied.connect() as db:
        kept = {doc_id for (doc_id,) in db.execute("SELECT doc_id FROM samples WHERE draw <= 2").fetchall()}
    rows = [row for row in exported(copied, tmp_path) if row["doc_id"] in kept]
    commands.judge(copied.folder, [filled(rows, tmp_path / "f.csv", "no")], quiet=True)
    told = commands.explain(copied.folder, "toxic")
    if told["outcome"] == "insufficient evidence" and told["change"]["labels"]:
        spread = told["change"]["by_stratum"]
        assert 0 < sum(spread.values()) <= told["change"]["labels"] + len(spread)


@pytest.fixture
def counted(tmp_path, run_audit):
    """Ten documents, two of them copies, one record lost; gates on counts, one of them waived."""
    rows = [{"id": f"p{n}", "text": page(n % 8)} for n in range(10)]
    write(tmp_path / "in" / "a.jsonl", [*rows, {"id": "lost"}])
    gates = [
        {"name": "copies", "metric": "duplicates.documents", "limit": 0.1},
        {"name": "few copies", "metric": "duplicates.documents", "limit": 0.9},
        {"name": "harm", "metric": "toxicity.flagged", "limit": 0.1},
    ]
    waiver = {"gate": "copies", "owner": "R. Sample", "reason": "go next week", "expires": "2999-01-01"}
    policy = {"gates": gates, "waivers": [waiver], "max_unscreened": 0.2}
    return run_audit(tmp_path / "in", screens={"exact_duplicates": {}}, policy=policy).run


def test_a_gate_on_a_count_tells_of_loss_canaries_and_waivers(counted):
    told = explaining.explain(counted, "copies")
    assert (told["outcome"], told["kind"], told["design"]) == ("fail", "census", None)
    assert told["unread"]["rejected"] == 1
    assert told["unread"]["charged_to_the_slice"] == pytest.approx(1 / 11)
    assert told["bounds"]["lower"] == pytest.approx(0.2 * 10 / 11)
    assert told["bounds"]["upper"] == pytest.approx(1 / 11 + 0.2 * 10 / 11)
    assert told["holm"]["gates"] == 3
    assert {row["screen"] for row in told["canaries"]} == {"exact_duplicates"}
    text = words(told)
    assert "Waiver by R. Sample until 2999-01-01, which holds: go next week" in text
    assert "1 records rejected" in text


def test_a_screen_that_is_off_is_named(counted):
    told = explaining.explain(counted, "harm")
    assert told["missing"] == "the screen 'toxicity' was not run: it is off"
    assert told["bounds"] is None
    assert "missing evidence named above" in words(told)


def test_an_unknown_gate_names_the_nearest(counted):
    with pytest.raises(ConfigurationError, match="Did you mean 'copies'"):
        explaining.explain(counted, "copie")


def test_the_command(counted):
    runner = CliRunner()
    shown = runner.invoke(app, ["explain", str(counted.folder), "few copies"])
    assert shown.exit_code == 0
    assert "Gate 'few copies': pass" in shown.stdout
    plain = runner.invoke(app, ["explain", str(counted.folder), "few copies", "--json"])
    assert json.loads(plain.stdout)["outcome"] == "pass"
    assert runner.invoke(app, ["explain", str(counted.folder), "none"]).exit_code == 2
    assert "Example: audit explain" in " ".join(runner.invoke(app, ["explain", "--help"]).stdout.split())
