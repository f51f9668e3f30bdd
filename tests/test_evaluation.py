"""A verdict stands only while the run that it speaks of is whole."""

import json

import pytest

from audit import commands, evaluation
from audit.errors import FatalError
from audit.lineage import verification
from audit.progress import Quiet
from tests.test_reviewing import exported, filled


@pytest.fixture
def go(copied, tmp_path):
    """A run at GO."""
    file = filled(exported(copied, tmp_path), tmp_path / "filled.csv", "no")
    assert commands.judge(copied.folder, [file], quiet=True)["verdict"] == "GO"
    return copied


@pytest.mark.parametrize("event", ["started", "screened", "judged", "extended"])
def test_an_interrupted_run_is_never_go(go, event):
    go.journal.append(event, {"files": {}})
    for strict in (False, True):
        assert commands.gate(go.folder, strict=strict)["verdict"] == "INSUFFICIENT EVIDENCE"


def test_exporting_leaves_the_verdict(go, tmp_path):
    exported(go, tmp_path)
    assert commands.gate(go.folder, strict=False)["verdict"] == "GO"


def test_evaluating_again_gives_the_same_scorecard(go):
    names = ("scorecard.json", "scorecard.md", "scorecard.html")
    before = {name: (go.folder / name).read_bytes() for name in names}
    with go.locked():
        evaluation.evaluate(go, Quiet())
    assert {name: (go.folder / name).read_bytes() for name in names} == before


def test_an_evaluation_that_fails_leaves_the_last_one(go, monkeypatch):
    before = {p: p.read_bytes() for p in go.folder.glob("*.*") if p.name != "journal.jsonl"}

    def fail(*_: object, **__: object) -> None:
        raise FatalError("no space")

    monkeypatch.setattr(evaluation, "_judge", fail)
    with go.locked(), pytest.raises(FatalError):
        evaluation.evaluate(go, Quiet())
    assert {p: p.read_bytes() for p in go.folder.glob("*.*") if p.name != "journal.jsonl"} == before
    assert not list(go.folder.glob(".database-*"))


def test_a_scorecard_that_lost_its_run_is_not_signed(copied):
    (copied.store.folder / "shards.jsonl").unlink()
    with copied.locked(), pytest.raises((FatalError, FileNotFoundError)):
        evaluation.evaluate(copied, Quiet())


def test_verification_finds_a_changed_byte_in_every_file(go):
    assert verification.verify(go.folder).problems == ()
    files = [
        path.relative_to(go.folder)
        for path in sorted(go.folder.rglob("*"))
        if path.is_file() and path.name != ".lock" and path.parent.name != "cache"
    ]
    kinds = {name.suffix for name in files}
    assert {".json", ".jsonl", ".md", ".html", ".duckdb", ".parquet"} <= kinds
    assert {"sample", "judgements", "parts"} <= {name.parts[0] for name in files}
    for name in files:
        path = go.folder / name
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        found = verification.verify(go.folder).problems
        path.write_bytes(whole)
        assert name.as_posix() in {problem.file for problem in found}, name
    assert verification.verify(go.folder).problems == ()


def test_verification_finds_a_file_that_is_gone_or_was_added(go):
    part = next(go.store.folder.glob("pii/*.parquet"))
    content = part.read_bytes()
    part.unlink()
    assert [p.what for p in verification.verify(go.folder).problems] == ["missing"]
    part.write_bytes(content)
    stray = part.with_name(f"{'0' * 16}.{'0' * 16}.parquet")
    stray.write_bytes(content)
    assert len(verification.verify(go.folder).problems) == 1


def test_the_scorecard_reconciles_with_the_database(go):
    card = json.loads((go.folder / "scorecard.json").read_bytes())
    with go.connect() as db:
        outcomes = dict(db.execute("SELECT gate, outcome FROM gates").fetchall())
        estimates = db.execute("SELECT count(*) FROM estimates").fetchone()[0]
    assert outcomes == {row["gate"]: row["outcome"] for row in card["gates"]}
    assert len(card["estimates"]) == estimates
    required = (
        "schema_version run_id verdict verdict_reason accounting gates estimates screens sampling provenance"
    )
    assert set(required.split()) <= set(card)
