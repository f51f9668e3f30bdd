import hashlib
import json
import shutil

import pytest

from audit import commands
from audit.errors import FatalError
from audit.lineage import verification

TABLES = (
    "shards",
    "rejects",
    "documents",
    "findings",
    "duplicates",
    "evaluations",
    "strata",
    "samples",
    "judgements",
    "estimates",
    "gates",
    "slice_counts",
    "finding_counts",
)
#: Families whose parts digest the whole corpus.
_OF_THE_CORPUS = ("duplicates/", "repeated_paragraphs.resolved/", "cluster_diffs/", "totals/", "aggregates/")
CUTS = {"run": {"shard_bytes": 4096}}


def parts(run):
    return {
        path.relative_to(run.store.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.store.folder.glob("[a-z]*/*.parquet")
    }


def tables(run):
    with run.connect() as db:
        return {name: db.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in TABLES}


def test_the_accounting_adds_up(corpus, run_audit):
    run = run_audit(corpus).run
    accounting = run.scorecard()["accounting"]
    assert accounting["documents_in"] == accounting["screened"] + accounting["rejected"] == 72
    with run.connect() as db:
        rows = db.execute(
            "SELECT screen, sum(evaluated + skipped + failed) FROM evaluations GROUP BY ALL"
        ).fetchall()
    assert rows
    assert {count for _, count in rows} == {72}


def test_two_workers_give_the_same_evidence_as_one(corpus, run_audit):
    one = run_audit(corpus, "one", workers=1, **CUTS).run
    two = run_audit(corpus, "two", workers=2, **CUTS).run
    assert len(parts(one)) > 20
    assert parts(one) == parts(two)
    assert tables(one) == tables(two)
    assert (one.folder / "scorecard.json").read_bytes() == (two.folder / "scorecard.json").read_bytes()


def test_a_second_run_computes_nothing(corpus, run_audit):
    first = run_audit(corpus, **CUTS).run
    stamps = {path: path.stat().st_mtime_ns for path in first.store.folder.glob("[a-z]*/*.parquet")}
    again = run_audit(corpus, **CUTS).run
    assert stamps == {path: path.stat().st_mtime_ns for path in again.store.folder.glob("[a-z]*/*.parquet")}


def test_an_added_shard_is_all_that_is_new(corpus, run_audit):
    first = run_audit(corpus).run
    before, stamps = parts(first), {p: p.stat().st_mtime_ns for p in first.store.folder.glob("pii/*.parquet")}
    (corpus / "more.jsonl").write_text(
        json.dumps({"id": "new", "text": "A new page about the harbour."}) + "\n"
    )
    after = parts(run_audit(corpus).run)
    kept = {name for name in before if not name.startswith(_OF_THE_CORPUS)}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert run_audit(corpus).run.scorecard()["accounting"]["documents_in"] == 73


def test_a_removed_shard_leaves_the_evidence(corpus, run_audit):
    run_audit(corpus)
    (corpus / "comments.parquet").unlink()
    run = run_audit(corpus).run
    assert run.scorecard()["accounting"]["documents_in"] == 42
    with run.connect() as db:
        assert db.execute("SELECT count(*) FROM documents").fetchone() == (42,)


def test_one_changed_setting_costs_its_own_screen_only(corpus, run_audit):
    screens = {"language": {}, "exact_duplicates": {}, "pii": {}}
    first = run_audit(corpus, screens=screens).run
    before = parts(first)
    changed = {**screens, "language": {"minimum_score": 0.123}}
    after = parts(run_audit(corpus, screens=changed).run)
    families = {name.split("/")[0] for name in set(after) - set(before)}
    assert families == {"language", "slices", "cells", "finding_cells", "canaries", "totals", "aggregates"}


def test_a_touched_or_moved_corpus_is_not_screened_again(corpus, run_audit):
    first = run_audit(corpus).run
    before = {path.name: path.stat().st_mtime_ns for path in first.store.folder.glob("[a-z]*/*.parquet")}
    moved = corpus.with_name("elsewhere")
    shutil.move(corpus, moved)
    (moved / "pages.jsonl").touch()
    again = run_audit(moved).run
    assert {p.name: p.stat().st_mtime_ns for p in again.store.folder.glob("[a-z]*/*.parquet")} == before


def test_changed_content_is_screened_again(corpus, run_audit):
    run_audit(corpus)
    path = corpus / "pages.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("harbour", "airport"), encoding="utf-8")
    run = run_audit(corpus).run
    with run.connect() as db:
        digests = db.execute("SELECT count(DISTINCT digest) FROM shards").fetchone()
    assert digests == (2,)
    assert run_audit(corpus, "undisturbed").run.scorecard()["run_id"] == run.scorecard()["run_id"]


def test_a_run_where_every_shard_failed_is_never_go(tmp_path, run_audit):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(b"PAR1 this is no Parquet file")
    result = run_audit(
        folder, policy={"gates": [{"name": "g", "metric": "duplicates.documents", "limit": 1.0}]}
    )
    assert result.verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert result.run.scorecard()["accounting"]["shards"]["failed"] == 1


def test_repeated_ids_keep_their_documents_and_get_ids_of_their_own(tmp_path, run_audit):
    rows = [{"id": "same", "text": f"Page {n} of a set with one id for all of them."} for n in range(4)]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = run_audit(tmp_path / "in").run
    with run.connect() as db:
        ids = [row[0] for row in db.execute("SELECT doc_id FROM documents").fetchall()]
    assert len(ids) == len(set(ids)) == 4


def test_a_folder_in_use_is_refused(corpus, run_audit, tmp_path):
    run = run_audit(corpus).run
    with run.locked(), pytest.raises(FatalError, match="another process"):
        run_audit(corpus)


def test_a_finished_run_verifies_and_a_moved_one_answers_sql(corpus, run_audit, tmp_path):
    run = run_audit(corpus).run
    moved = tmp_path / "moved"
    shutil.move(run.folder, moved)
    report = verification.verify(moved)
    assert report.problems == ()
    with type(run)(moved).connect() as db:
        assert db.execute("SELECT count(*) FROM documents WHERE language = 'en'").fetchone()[0] > 60


def test_findings_are_where_they_say(corpus, run_audit):
    run = run_audit(corpus).run
    with run.connect() as db:
        found = db.execute(
            "SELECT kind, start, \"end\" FROM findings WHERE doc_id = 'contact' AND screen = 'pii'"
        ).fetchall()
    text = next(r["text"] for r in map(json.loads, (corpus / "pages.jsonl").open()) if r["id"] == "contact")
    assert {text[start:end] for kind, start, end in found if kind == "EMAIL_ADDRESS"} == {
        "jane.sample@example.com"
    }


def test_no_file_of_a_run_holds_a_personal_value(corpus, run_audit):
    run = run_audit(corpus).run
    for path in run.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"jane.sample" not in data, path.name
            assert b"555-0143" not in data, path.name


def test_a_judgement_says_nothing_of_another_text_under_the_same_id(tmp_path, run_audit):
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "a.jsonl"
    path.write_text(json.dumps({"id": "a", "text": "The first text under this id."}) + "\n")
    gates = {"gates": [{"name": "g", "metric": "toxicity", "limit": 0.5, "alpha": 0.2}]}
    run = run_audit(folder, policy=gates).run
    answers = tmp_path / "answers.csv"
    with run.connect() as db:
        (digest,) = db.execute("SELECT text_digest FROM documents").fetchone()
    answers.write_text(f"doc_id,text_digest,question,label\na,{digest},toxicity,no\n")
    assert commands.judge(run.folder, [answers], quiet=True)["verdict"] == "GO"
    path.write_text(json.dumps({"id": "a", "text": "Another text, which nobody has judged."}) + "\n")
    assert run_audit(folder, policy=gates).verdict.verdict == "INSUFFICIENT EVIDENCE"
