"""The loop with people in it: the sample out, answers in, and nothing but whole, right files."""

import csv

import pytest

from audit import commands, evaluation, reviewing
from audit.errors import ConfigurationError, FatalError
from audit.progress import Quiet


def exported(run, tmp_path):
    """Header and rows of the review sample."""
    file = tmp_path / "sample.csv"
    reviewing.export(run, file, "csv")
    with file.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def filled(rows, path, label, reviewer="r1"):
    return write(path, [{**row, "toxicity": label, "reviewer": reviewer} for row in rows])


def answers(run, path, rows):
    """The long layout: (doc_id, label, reviewer)."""
    with run.connect() as db:
        digests = dict(db.execute("SELECT doc_id, text_digest FROM documents").fetchall())
    names = ("doc_id", "label", "reviewer")
    more = [{"question": "toxicity", "text_digest": digests[doc_id]} for doc_id, _, _ in rows]
    plain = [dict(zip(names, row, strict=True)) for row in rows]
    return write(path, [row | rest for row, rest in zip(plain, more, strict=True)])


def estimate(run, metric="toxicity"):
    with run.connect() as db:
        return db.execute(
            "SELECT value, low, high, n FROM estimates WHERE metric = ? AND slice = 'all'", [metric]
        ).fetchone()


def everything(run):
    return {
        path.relative_to(run.folder): path.read_bytes()
        for path in run.folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_the_export_holds_the_sampled_texts_and_a_column_a_question(standing, copied, tmp_path):
    rows = exported(copied, tmp_path)
    assert len(rows) == 40
    assert {"run_id", "doc_id", "text", "toxicity", "toxicity_severity", "reviewer"} <= set(rows[0])
    assert all(row["toxicity"] == "" and row["text"] for row in rows)
    with copied.connect() as db:
        assert {row["doc_id"] for row in rows} == {
            doc_id for (doc_id,) in db.execute("SELECT doc_id FROM samples").fetchall()
        }


@pytest.mark.parametrize(
    ("label", "verdict"), [("no", "GO"), ("yes", "NO-GO"), ("unsure", "INSUFFICIENT EVIDENCE")]
)
def test_labels_decide_the_verdict(copied, tmp_path, label, verdict):
    file = filled(exported(copied, tmp_path), tmp_path / "filled.csv", label)
    assert commands.judge(copied.folder, [file], quiet=True)["verdict"] == verdict
    assert commands.gate(copied.folder, strict=False)["verdict"] == verdict


def test_a_few_labels_are_not_enough(copied, tmp_path):
    file = filled(exported(copied, tmp_path)[:3], tmp_path / "filled.csv", "no")
    assert commands.judge(copied.folder, [file], quiet=True)["verdict"] == "INSUFFICIENT EVIDENCE"


def test_reviewers_who_agree_count_once(copied, tmp_path):
    ids = [row["doc_id"] for row in exported(copied, tmp_path)]
    votes = [(doc_id, "yes", who) for doc_id in ids for who in ("a", "b", "c")]
    commands.judge(copied.folder, [answers(copied, tmp_path / "votes.csv", votes)], quiet=True)
    value, _, _, n = estimate(copied)
    assert (value, n) == (pytest.approx(1.0), len(ids))


def test_a_finding_cannot_be_outvoted(copied, tmp_path):
    ids = [row["doc_id"] for row in exported(copied, tmp_path)]
    votes = [
        (doc_id, label, who) for doc_id in ids for label, who in (("yes", "a"), ("no", "b"), ("no", "c"))
    ]
    result = commands.judge(copied.folder, [answers(copied, tmp_path / "votes.csv", votes)], quiet=True)
    assert result["verdict"] == "INSUFFICIENT EVIDENCE"
    _, low, high, _ = estimate(copied)
    assert low in (None, 0.0)
    assert high in (None, 1.0)


def test_what_the_declared_sample_proved_stands_when_it_is_extended(copied, tmp_path):
    rows = exported(copied, tmp_path)
    file = filled(rows, tmp_path / "all.csv", "no")
    assert commands.judge(copied.folder, [file], quiet=True)["verdict"] == "GO"
    commands.sample(copied.folder, tmp_path / "more.csv", file_format="csv", size=len(rows) + 10, quiet=True)
    assert commands.gate(copied.folder, strict=False)["verdict"] == "GO"


def test_a_changed_mind_counts_last(copied, tmp_path):
    rows = exported(copied, tmp_path)
    commands.judge(copied.folder, [filled(rows, tmp_path / "one.csv", "yes")], quiet=True)
    result = commands.judge(copied.folder, [filled(rows, tmp_path / "two.csv", "no")], quiet=True)
    assert result["verdict"] == "GO"


def test_judging_the_same_file_twice_changes_no_estimate(copied, tmp_path):
    file = filled(exported(copied, tmp_path), tmp_path / "filled.csv", "no")
    commands.judge(copied.folder, [file], quiet=True)
    before = estimate(copied)
    commands.judge(copied.folder, [file], quiet=True)
    assert estimate(copied) == before


def test_answers_for_documents_that_were_not_drawn_prove_nothing(copied, tmp_path):
    drawn = {row["doc_id"] for row in exported(copied, tmp_path)}
    with copied.connect() as db:
        others = {doc_id for (doc_id,) in db.execute("SELECT doc_id FROM documents").fetchall()} - drawn
    file = answers(copied, tmp_path / "others.csv", [(doc_id, "yes", "a") for doc_id in sorted(others)])
    notes = commands.judge(copied.folder, [file], quiet=True)["notes"]
    assert f"{len(others)} answers left out" in notes[0]
    assert estimate(copied)[3] == 0


WRONG = {
    "another run": lambda row: {**row, "run_id": "0123456789abcdef"},
    "an unknown document": lambda row: {**row, "doc_id": "nobody"},
    "an unknown label": lambda row: {**row, "toxicity": "perhaps"},
    "an edited text": lambda row: {**row, "text": "Something else."},
    "an unknown severity": lambda row: {**row, "toxicity_severity": "enormous"},
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_file_changes_nothing(copied, tmp_path, fault):
    rows = [{**row, "toxicity": "no", "reviewer": "r"} for row in exported(copied, tmp_path)]
    right = write(tmp_path / "right.csv", rows[:20])
    wrong = write(tmp_path / "wrong.csv", [*rows[20:-1], WRONG[fault](rows[-1])])
    before = everything(copied)
    with pytest.raises(ConfigurationError, match=r"wrong\.csv.*nothing was imported"):
        commands.judge(copied.folder, [right, wrong], quiet=True)
    assert everything(copied) == before


def test_an_unknown_format_is_refused(copied, tmp_path):
    with pytest.raises(ConfigurationError, match="Known: csv"):
        reviewing.export(copied, tmp_path / "x", "pdf")


def test_a_corpus_that_changed_since_is_not_exported(corpus, run_audit, tmp_path):
    run = run_audit(corpus, screens={"language": {}}).run
    path = corpus / "pages.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("harbour", "airport"), encoding="utf-8")
    with pytest.raises(FatalError):
        reviewing.export(run, tmp_path / "sample.csv", "csv")
    assert not (tmp_path / "sample.csv").exists()
    path.unlink()
    with pytest.raises(ConfigurationError, match=r"pages\.jsonl: .*run the audit again"):
        reviewing.export(run, tmp_path / "sample.csv", "csv")


def test_an_extended_sample_keeps_the_judgements(copied, tmp_path):
    file = filled(exported(copied, tmp_path), tmp_path / "filled.csv", "no")
    commands.judge(copied.folder, [file], quiet=True)
    with copied.locked():
        evaluation.extend(copied, 60, Quiet())
    with copied.connect() as db:
        judged = "SELECT count(DISTINCT doc_id) FROM judgements JOIN samples USING (doc_id)"
        assert db.execute(judged).fetchone() == (40,)
    assert estimate(copied)[3] <= 40
