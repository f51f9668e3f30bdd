"""Differences of the largest clusters: masked, stored with the run, absent with a reason."""

import json
import shutil

import pytest

from audit import cluster_report
from audit.cluster_report import mask_spans
from audit.errors import InputError
from audit.lineage import verification
from tests.conftest import page

EMAIL, OTHER = "jane.sample@example.com", "bob.sample@example.org"
NEAR = {"near_duplicates": {}, "pii": {}, "language": {}}


def write(folder, texts, name="a.jsonl", **columns):
    folder.mkdir(exist_ok=True)
    rows = [{"id": f"{name[0]}{n}", "text": text, **columns} for n, text in enumerate(texts)]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def family(*, email=EMAIL, other=OTHER):
    long = "\n".join(page(n) for n in range(3))
    return [
        f"{long}\nWrite to {email} for the first edition of it.",
        f"{long}\nWrite to {other} for the second edition of it.",
        page(50),
    ]


def differences(run):
    return run.scorecard()["duplicates"]["differences"]


def test_the_difference_is_shown_with_values_masked(tmp_path, run_audit):
    run = run_audit(write(tmp_path / "in", family()), screens=NEAR).run
    (row,) = differences(run)
    assert (row["representative"], row["member"], row["reason"]) == ("a0", "a1", None)
    shown = json.dumps(row["hunks"])
    assert "first" in shown
    assert "second" in shown
    assert "sample" not in shown
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert b"jane.sample" not in path.read_bytes(), path.name
    html = (run.folder / "scorecard.html").read_text(encoding="utf-8")
    assert "<del>first</del>" in html
    assert "<ins>second</ins>" in html


def test_it_is_kept_when_the_corpus_is_gone_and_it_verifies(tmp_path, run_audit):
    run = run_audit(write(tmp_path / "in", family()), screens=NEAR).run
    before = differences(run)
    shutil.rmtree(tmp_path / "in")
    from audit.evaluation import evaluate
    from audit.progress import Quiet

    with run.locked():
        evaluate(run, Quiet())
    assert differences(run) == before
    assert verification.verify(run.folder).problems == ()


def test_without_the_pii_screen_no_text_is_quoted(tmp_path, run_audit):
    run = run_audit(write(tmp_path / "in", family()), screens={"near_duplicates": {}}).run
    (row,) = differences(run)
    assert row["hunks"] == []
    assert "the pii screen did not run" in row["reason"]
    assert run.scorecard()["duplicates"]["largest_clusters"][0]["nature"] == "unknown"


def test_a_document_that_the_pii_screen_skipped_is_not_quoted(tmp_path, run_audit, monkeypatch):
    seen = cluster_report._findings
    monkeypatch.setattr(
        cluster_report,
        "_findings",
        lambda *arguments: {p: ("failed: budget", rest[1]) for p, rest in seen(*arguments).items()},
    )
    (row,) = differences(run_audit(write(tmp_path / "in", family()), screens=NEAR).run)
    assert row["hunks"] == []
    assert "did not evaluate" in row["reason"]


def test_a_source_that_cannot_be_read_is_a_reason_and_is_tried_again(tmp_path, run_audit, monkeypatch):
    folder = write(tmp_path / "in", family())

    def gone(*arguments):
        raise InputError("unreadable", "no such file")

    with monkeypatch.context() as patched:
        patched.setattr(cluster_report.StoredSketches, "texts", gone)
        run = run_audit(
            folder, screens={"exact_duplicates": {}, "pii": {}, "near_duplicates": {"margin": 0.0}}
        ).run
    (row,) = differences(run)
    assert row["hunks"] == []
    assert "cannot be read" in row["reason"]
    again = run_audit(
        folder, screens={"exact_duplicates": {}, "pii": {}, "near_duplicates": {"margin": 0.0}}
    ).run
    assert differences(again)[0]["hunks"]
    assert verification.verify(again.folder).problems == ()


def test_identical_texts_need_no_reading_and_are_copies(tmp_path, run_audit):
    run = run_audit(write(tmp_path / "in", [page(1), page(1).upper(), page(2)]), screens=NEAR).run
    (row,) = differences(run)
    assert "the same but for case" in row["reason"]
    assert run.scorecard()["duplicates"]["largest_clusters"][0]["nature"] == "copies"


def test_a_second_run_keeps_the_part(tmp_path, run_audit):
    folder = write(tmp_path / "in", family())
    stamps = [
        {p: p.stat().st_mtime_ns for p in run.store.folder.glob("cluster_diffs/*.parquet")}
        for run in (run_audit(folder, screens=NEAR).run, run_audit(folder, screens=NEAR).run)
    ]
    assert stamps[0] == stamps[1]
    assert len(stamps[0]) == 1


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], "ab 12 cd 345"),
        ([(3, 5, "ID")], "ab ## cd 345"),
        ([(0, 5, "ID"), (3, 8, "OTHER")], "xx ## xx 345"),
        ([(9, 40, "ID")], "ab 12 cd ###"),
        ([(50, 60, "ID")], "ab 12 cd 345"),
    ],
)
def test_spans_are_masked_where_they_are(spans, expected):
    assert mask_spans("ab 12 cd 345", spans) == expected


def test_a_value_found_in_one_text_is_masked_in_the_other_too():
    left = cluster_report._Page(f"call {EMAIL} now", None, None, [(5, 5 + len(EMAIL), "EMAIL_ADDRESS")])
    right = cluster_report._Page(f"or {EMAIL.upper()} later", None, None, [])
    assert all("sample" not in text.lower() for text in cluster_report._masked(left, right))
