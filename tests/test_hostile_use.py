"""Odd uses and odd corpora: a clear line or a true answer, never a trace, never a wrong verdict."""

import json
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit import commands, evaluation, pipeline
from audit.engines.local import LocalEngine
from audit.errors import ConfigurationError
from audit.lineage import verification
from audit.progress import Quiet
from audit.run import Run
from audit.stages.request import Request
from tests.conftest import page

SCREENS = {"language": {}, "pii": {}}


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pages(count):
    return [{"id": f"d{n}", "text": page(n)} for n in range(count)]


def test_a_corpus_without_a_document_has_no_verdict(tmp_path, run_audit):
    empty = pa.table({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())})
    (tmp_path / "in").mkdir()
    pq.write_table(empty, tmp_path / "in" / "zero.parquet")
    result = run_audit(tmp_path / "in")
    assert result.verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert "no document was screened" in result.verdict.reason.lower()
    assert verification.verify(result.run.folder).intact
    assert commands.gate(result.run.folder, strict=True)["verdict"] == "INSUFFICIENT EVIDENCE"
    assert (
        commands.sample(result.run.folder, tmp_path / "s.csv", file_format="csv", size=None, quiet=True)[
            "documents"
        ]
        == 0
    )


@pytest.mark.parametrize("inside", ["corpus", "corpus/reports/run"])
def test_a_run_folder_inside_the_corpus_is_refused_before_anything_is_written(corpus, run_audit, inside):
    before = sorted(corpus.rglob("*"))
    with pytest.raises(ConfigurationError, match="lies inside the corpus"):
        run_audit(corpus, inside)
    assert sorted(corpus.rglob("*")) == before


def test_a_glob_may_stand_beside_the_run_folder(tmp_path, run_audit):
    write(tmp_path / "corpus" / "a.jsonl", pages(3))
    for _ in range(2):
        run = run_audit([str(tmp_path / "corpus" / "*.jsonl")], "corpus/run", screens=SCREENS).run
        assert run.scorecard()["accounting"]["documents_in"] == 3
    with pytest.raises(ConfigurationError, match="lies inside the corpus"):
        run_audit([str(tmp_path / "corpus" / "**" / "*.jsonl")], "corpus/run", screens=SCREENS)


def test_an_out_that_cannot_be_a_folder_is_named(tmp_path, corpus, run_audit):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"file: the run folder cannot be written"):
        run_audit(corpus, "file")
    with pytest.raises(ConfigurationError, match=r"the run folder cannot be written"):
        run_audit(corpus, "file/run")


def test_a_wrong_input_leaves_the_parts_of_a_fresh_run_in_place(copied):
    request = Request(copied.config(), copied.folder, ("nowhere-at-all",))
    with pytest.raises(ConfigurationError, match="matches nothing"):
        pipeline.audit(request, copied, LocalEngine(1), Quiet(), fresh=True)
    assert verification.verify(copied.folder).intact


def test_a_run_that_was_never_evaluated_says_so(copied, tmp_path):
    for name in ("scorecard.json", "audit.duckdb"):
        (copied.folder / name).unlink()
    for call in (
        lambda: commands.gate(copied.folder, strict=False),
        lambda: commands.sample(copied.folder, tmp_path / "s", file_format="csv", size=None, quiet=True),
        lambda: commands.judge(copied.folder, [tmp_path / "s"], quiet=True),
    ):
        with pytest.raises(ConfigurationError, match="run again: it resumes"):
            call()
    with copied.locked():
        evaluation.evaluate(copied, Quiet())
    assert verification.verify(copied.folder).intact


def test_names_may_hold_anything_that_a_file_system_allows(tmp_path, run_audit):
    folder = tmp_path / "odd é'\"; %20 folder"
    write(folder / "a b'c.jsonl", pages(3))
    write(folder / "sub" / "ünï — 日本.jsonl", [{"id": "u", "text": page(9)}])
    (folder / "sub" / "loop").symlink_to("..")
    (folder / "notes.txt").write_text("of no known format")
    run = run_audit([str(folder), str(folder / "a b'c.jsonl")], "out é'\" x", screens=SCREENS).run
    assert run.scorecard()["accounting"]["documents_in"] == 4
    assert verification.verify(run.folder).intact
    moved = Run(run.folder.rename(tmp_path / "moved '\" é"))
    with moved.connect() as db:
        assert db.execute("SELECT count(*) FROM documents").fetchone() == (4,)


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_stopped_run_ends_at_once_with_one_line_and_goes_on(tmp_path, number, word):
    write(tmp_path / "in" / "a.jsonl", [{"id": f"d{n}", "text": page(n) * 30} for n in range(3_000)])
    (tmp_path / "c.yaml").write_text("corpus: {name: x, inputs: [in]}\nscreens: {language: {}, pii: {}}\n")
    command = [sys.executable, "-m", "audit.cli", "run", "c.yaml", "--out", "run", "--workers", "1"]
    driver = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    scratch = tmp_path / "run" / "parts" / ".tmp"
    deadline = time.monotonic() + 60
    while not (scratch.is_dir() and any(scratch.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    driver.send_signal(number)
    said = driver.communicate(timeout=10)[1].splitlines()
    assert driver.returncode == 128 + number
    assert said[-1] == f"audit: {word}; the same command goes on from here"
    assert not list((tmp_path / "run" / "parts").glob("[a-z]*/*.parquet"))
    report = verification.verify(tmp_path / "run")
    assert [problem.what for problem in report.problems] == ["no completed audit is journaled"]


def test_no_personal_value_of_an_identifier_is_kept(tmp_path, run_audit):
    folder = tmp_path / "corpus"
    rows = [
        {"id": "one.sample@example.com", "text": page(1)},
        {"id": "two.sample@example.com", "text": page(2), "source": "three.sample@example.com"},
        {
            "id": "a",
            "text": page(3),
            "url": "https://example.com/u?mail=four.sample%40example.com&tel=+12025550143",
        },
        {
            "id": "b",
            "text": page(4),
            "url": "https://five.sample:5550143@www.example.com/",
            "lang": "six.sample@example.com",
        },
        {"id": "c", "text": {"from": "seven.sample@example.com"}},
        {
            "id": "d",
            "text": page(5),
            "date": "eight.sample@example.com",
            "meta": {"by": "nine.sample@example.com"},
        },
    ]
    write(folder / "pages.jsonl", rows)
    write(folder / "ten.sample@example.com.jsonl", pages(2))
    run = run_audit(folder).run
    with run.connect() as db:
        assert db.execute("SELECT count(DISTINCT doc_id) FROM documents").fetchone() == (7,)
        assert db.execute("SELECT domain FROM documents WHERE doc_id = 'b'").fetchone() == ("example.com",)
    # How the corpus is found again; nothing else may hold a path as it is.
    where = run.store.folder / "shards.jsonl"
    for path in run.folder.rglob("*"):
        if path.is_file() and path != where:
            data = path.read_bytes()
            assert b"sample@" not in data, path.name
            assert b"sample%40" not in data, path.name
            assert b"5550143" not in data, path.name
