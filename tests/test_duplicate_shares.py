"""Copies by documents, tokens and slices, alarms and repeated paragraphs of whole runs, on known truth."""

import json

import jsonschema
import pytest

from audit.aggregation import aggregate_queries
from tests.conftest import page
from tests.test_scorecard import schema

SCREENS = {"exact_duplicates": {}, "near_duplicates": {}, "repeated_paragraphs": {"minimum_documents": 3}}
FOOTER = "Example Gazette, all rights reserved; no part of it may be copied by anybody."


def audit(folder, run_audit, rows, **sections):
    folder.mkdir()
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return run_audit(folder, **{"screens": SCREENS, **sections}).run


def document(number, text, source, host="example.com"):
    return {"id": f"d{number}", "text": text, "source": source, "url": f"https://{host}/{number}"}


@pytest.fixture
def run(tmp_path, run_audit):
    """Source ``books``: 6 pages. ``web``: 2 pages and 2 copies of books. ``mirror``: 3 copies."""
    rows = [document(n, page(n), "books") for n in range(6)]
    rows += [document(10 + n, page(20 + n) * (n + 1), "web") for n in range(2)]
    rows += [document(12 + n, page(n).upper(), "web") for n in range(2)]
    rows += [document(20 + n, page(n), "mirror") for n in range(3)]
    return audit(tmp_path / "in", run_audit, rows)


def test_copies_are_counted_by_documents_and_tokens_overall_and_by_slice(run):
    card = run.scorecard()
    with run.connect() as db:
        tokens = dict(db.execute("SELECT doc_id, n_tokens FROM documents").fetchall())
    copies = card["duplicates"]["copies"]
    gone = ["d12", "d13", "d20", "d21", "d22"]
    assert (copies["evaluated"], copies["flagged"]) == (13, 5)
    assert copies["flagged_tokens"] == sum(tokens[name] for name in gone)
    assert copies["evaluated_tokens"] == sum(tokens.values())
    sources = next(group for group in card["slices"] if group["dimension"] == "source")["largest"]
    found = {row["value"]: row["screens"]["duplicates"] for row in sources}
    assert {name: (row["flagged"], row["evaluated"]) for name, row in found.items()} == {
        "books": (0, 6),
        "web": (2, 4),
        "mirror": (3, 3),
    }
    assert found["web"]["flagged_tokens"] == tokens["d12"] + tokens["d13"]
    assert found["web"]["evaluated_tokens"] == sum(tokens[f"d{n}"] for n in (10, 11, 12, 13))


def test_both_shares_are_estimates_and_stand_on_both_pages(run):
    card = run.scorecard()
    values = {(row["metric"], row["slice"]): row["value"] for row in card["estimates"]}
    copies = card["duplicates"]["copies"]
    assert values["duplicates.documents", "all"] == pytest.approx(5 / 13)
    assert values["duplicates.documents", "source=web"] == 0.5
    assert values["duplicates.tokens", "all"] == pytest.approx(
        copies["flagged_tokens"] / copies["evaluated_tokens"]
    )
    share = f"{values['duplicates.tokens', 'source=web']:.1%}"
    for name in ("scorecard.html", "scorecard.md"):
        text = (run.folder / name).read_text(encoding="utf-8")
        assert share in text
        assert "38.5%" in text


def test_a_source_that_would_be_wiped_out_raises_an_alarm_and_half_of_one_does_not(run):
    duplicates = run.scorecard()["duplicates"]
    (alarm,) = duplicates["alarms"]
    assert (alarm["dimension"], alarm["value"], alarm["documents"], alarm["copies"]) == (
        "source",
        "mirror",
        3,
        3,
    )
    assert alarm["tokens"] == alarm["copied_tokens"] > 0
    assert duplicates["alarm_rule"]["share"] == aggregate_queries.ALARM_SHARE == 0.5
    assert any(step["subject"] == "duplicates" for step in run.scorecard()["next_steps"])


def test_the_scorecard_of_a_whole_run_follows_its_schema(run):
    jsonschema.validate(run.scorecard(), schema())


@pytest.mark.parametrize(("size", "alarms"), [(19, 0), (20, 1)])
def test_a_domain_needs_twenty_documents_for_an_alarm(tmp_path, run_audit, size, alarms):
    rows = [document(n, page(n), "one") for n in range(40)]
    rows += [document(100 + n, page(n), "one", "mirror.example.org") for n in range(size)]
    found = audit(tmp_path / "in", run_audit, rows).scorecard()["duplicates"]["alarms"]
    assert [row["value"] for row in found if row["dimension"] == "domain"] == ["mirror.example.org"] * alarms


def test_repeated_paragraphs_are_columns_estimates_and_examples(tmp_path, run_audit):
    rows = [document(n, f"{page(n)}\n{FOOTER}", "with" if n < 3 else "more") for n in range(4)]
    rows += [document(10 + n, page(30 + n), "without") for n in range(2)]
    run = audit(tmp_path / "in", run_audit, rows)
    with run.connect() as db:
        measured = db.execute(
            """SELECT doc_id, repeated_paragraphs_bytes, repeated_paragraphs_share,
            repeated_paragraphs_text_bytes FROM documents ORDER BY doc_id"""
        ).fetchall()
    assert [row[1] for row in measured] == [len(FOOTER)] * 2 + [0, 0] + [
        len(FOOTER)
    ] * 2  # d0 d1 d10 d11 d2 d3
    for _, repeated, share, total in measured:
        assert share == pytest.approx(repeated / total)
    card = run.scorecard()
    values = {row["slice"]: row for row in card["estimates"] if row["metric"] == "repeated_paragraphs.bytes"}
    assert values["all"]["value"] == pytest.approx(4 * len(FOOTER) / sum(row[3] for row in measured))
    assert values["all"]["low"] == values["all"]["high"] == values["all"]["value"]
    assert values["source=without"]["value"] == 0.0
    assert "census" in values["all"]["method"]
    (most,) = card["repeated_paragraphs"]["most_repeated"]
    assert (most["documents"], most["bytes"], most["doc_id"]) == (4, 4 * len(FOOTER), "d0")
    for path in run.folder.rglob("*"):
        if path.is_file() and path.suffix != ".lock":
            assert b"Gazette" not in path.read_bytes(), path.name


def test_what_the_paragraph_screen_did_not_evaluate_widens_its_limits(tmp_path, run_audit):
    rows = [document(n, f"{page(n)}\n{FOOTER}", "s") for n in range(4)]
    rows.append(document(9, "\u200b\u200b\u200b\u200b", "s"))
    card = audit(tmp_path / "in", run_audit, rows).scorecard()
    whole = next(
        r for r in card["estimates"] if (r["metric"], r["slice"]) == ("repeated_paragraphs.bytes", "all")
    )
    assert (whole["n"], card["accounting"]["screened"]) in {(4, 5), (4, 4)}
    if card["accounting"]["screened"] == 5:
        assert whole["low"] < whole["value"] < whole["high"]


def test_without_its_screen_there_is_no_evidence_of_repeated_paragraphs(tmp_path, run_audit):
    run = audit(tmp_path / "in", run_audit, [document(0, page(0), "s")], screens={"exact_duplicates": {}})
    assert run.scorecard()["repeated_paragraphs"] is None
    assert not [r for r in run.scorecard()["estimates"] if r["metric"].startswith("repeated")]


def test_a_setting_of_the_paragraph_screen_costs_no_other_screen(tmp_path, run_audit):
    rows = [document(n, f"{page(n)}\n{FOOTER}", "s") for n in range(4)]
    run = audit(tmp_path / "in", run_audit, rows)
    before = {path.name for path in run.store.folder.glob("[a-z]*/*.parquet")}
    changed = {**SCREENS, "repeated_paragraphs": {"minimum_documents": 5}}
    run_audit(tmp_path / "in", screens=changed)
    after = {
        path.relative_to(run.store.folder).as_posix() for path in run.store.folder.glob("[a-z]*/*.parquet")
    }
    families = {name.split("/")[0] for name in after if name.split("/")[1] not in before}
    paragraphs = {"repeated_paragraphs", "repeated_paragraphs.resolved"}
    assert families == {*paragraphs, "slices", "cells", "finding_cells", "canaries", "totals", "aggregates"}
