"""The command line as a user meets it: help, JSON, exit codes, one clear line for an error."""

import csv
import json
import re
import sys

import pytest
import yaml
from typer.testing import CliRunner

from audit.cli import app
from audit.renderers import RENDERERS

COMMANDS = ("run", "forecast", "init", "doctor", "screens", "sample", "judge", "scorecard", "gate", "verify")


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def as_json(*arguments):
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def complaint(result, code=2):
    """The one line that an error leaves."""
    assert result.exit_code == code
    assert "Traceback" not in result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def label(run, tmp_path, answer):
    """Export the sample, fill it in, import it."""
    file = tmp_path / "sample.csv"
    assert call("sample", run.folder, "--out", file, "--quiet").exit_code == 0
    with file.open(newline="", encoding="utf-8") as handle:
        rows = [{**row, "toxicity": answer} for row in csv.DictReader(handle)]
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return call("judge", run.folder, file, "--quiet")


@pytest.fixture
def config(tmp_path, corpus):
    path = tmp_path / "audit.yaml"
    data = {
        "corpus": {"name": "test", "inputs": ["corpus"]},
        "screens": {"language": {}, "pii": {}},
        "sampling": {"size": 10},
    }
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Example:\s+`?audit {command}", result.stdout)


def test_help_and_version():
    assert "Example:" in call("--help").stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", call("--version").stdout)
    assert call("no-such-command").exit_code == 2


def test_a_run_from_the_command_line(config, tmp_path):
    result = call("run", config, "--out", tmp_path / "run", "--workers", 1)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("INSUFFICIENT EVIDENCE: ")
    assert "screen: done, 72 documents" in result.stderr
    again = call("run", config, "--out", tmp_path / "run", "--workers", 1, "--quiet", "--json")
    assert json.loads(again.stdout)["accounting"]["screened"] == 72
    assert again.stderr == ""
    assert call("gate", tmp_path / "run").exit_code == 11


@pytest.mark.parametrize(("answer", "code"), [("no", 0), ("yes", 10), ("unsure", 11)])
def test_gate_exits_with_the_verdict(copied, tmp_path, answer, code):
    assert label(copied, tmp_path, answer).exit_code == 0
    result = call("gate", copied.folder)
    assert result.exit_code == code
    verdict = {0: "GO", 10: "NO-GO", 11: "INSUFFICIENT EVIDENCE"}[code]
    assert result.stdout.startswith(f"{verdict}: ")
    assert json.loads(call("gate", copied.folder, "--json").stdout)["verdict"] == verdict


def test_results_as_json(standing, copied, tmp_path):
    assert {"name", "state", "found", "cost"} <= set(as_json("doctor")[0])
    assert {row["name"] for row in as_json("screens")["screens"]} >= {"pii", "toxicity", "language"}
    assert as_json("screens", "pii")["parameters"]
    assert as_json("sample", copied.folder, "--out", tmp_path / "s.csv", "--size", 50)["documents"] == 50
    assert as_json("scorecard", copied.folder)["verdict"] == "INSUFFICIENT EVIDENCE"
    assert as_json("verify", standing.folder)["problems"] == []


@pytest.mark.parametrize("command", ["scorecard", "sample", "judge"])
def test_quiet_prints_no_progress(copied, tmp_path, command):
    more = {"sample": ["--out", tmp_path / "s.csv", "--size", 45], "judge": [tmp_path / "judged.csv"]}
    header = "doc_id,text_digest,question,label"
    with copied.connect() as db:
        row = db.execute("SELECT doc_id, text_digest FROM samples JOIN documents USING (doc_id)").fetchone()
    (tmp_path / "judged.csv").write_text(f"{header}\n{row[0]},{row[1]},toxicity,no\n")
    result = call(command, copied.folder, *more.get(command, []), "--quiet")
    assert result.exit_code == 0
    assert result.stderr == ""


def test_the_scorecard_goes_where_it_is_asked(copied, tmp_path):
    result = call("scorecard", copied.folder, "--format", "md,json", "--out", tmp_path / "card", "--quiet")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == ["scorecard.json", "scorecard.md"]
    assert set(RENDERERS) >= {"html", "md", "json"}


def test_verify_exits_1_and_names_what_changed(copied):
    with (copied.folder / "scorecard.md").open("a") as handle:
        handle.write(" ")
    result = call("verify", copied.folder)
    assert result.exit_code == 1
    assert "PROBLEM scorecard.md: changed" in result.stdout
    head = json.loads(call("verify", copied.folder, "--json").stdout)["head"]
    assert re.fullmatch(r"[0-9a-f]{64}", head)
    result = call("verify", copied.folder, "--head", "0" * 64)
    assert "cut back or rewritten" in result.stdout


BROKEN = {
    "corpus: {name: x, inputs: [corpus]}\nsampling: {sise: 3}": ("sampling.sise", "Did you mean 'size'"),
    "corpus: {name: x, inputs: [corpus]}\nscreens: {toxicty: {}}": ("screens.toxicty", "'toxicity'"),
    "corpus: {name: x, inputs: [corpus]}\nscreens: {pii: {contry: [us]}}": (
        "screens.pii.contry",
        "countries",
    ),
    "corpus: {name: x, inputs: [corpus]}\nsampling: {size: many}": ("sampling.size", "integer"),
    "corpus: {name: x, inputs: [corpus]}\nsampling: {questions: []}": ("sampling.questions", ""),
    "corpus: {name: x, inputs: [corpus]}\nsampling: {questions: [Is it]}": ("sampling.questions", "pattern"),
    "corpus: {name: x, inputs: [corpus]}\nsampling: {questions: [text]}": ("sampling", "is taken"),
    "corpus: {name: x, inputs: [corpus]}\nsampling: {questions: [pii.flagged]}": ("sampling", "is taken"),
    "corpus: {name: x, inputs: [corpus]}\nscreens: {pii: {}, toxicity: {}}": (
        "screens",
        "Add `language: {}`",
    ),
    "corpus: {name: x, inputs: [corpus]}\nrun: {workers: 0}": ("run.workers", "greater"),
    "corpus: {name: x, inputs: [nowhere/*.jsonl]}": ("corpus.inputs", "matches nothing"),
    "corpus: {name: x, inputs: [corpus]}\npolicy: {gates: [{name: g, metric: m, limit: 0.1, slice: nope}]}": (
        "policy",
        "joined by &",
    ),
    "corpus: {name: x, inputs: [corpus]}\npolicy: {gates: [{name: g, metric: m, limit: 0.1, slice: a=b}]}": (
        "policy",
        "unknown dimension",
    ),
    "corpus: {name: x, inputs: [corpus]}\npolicy:\n  gates:\n"
    "    - {name: g, metric: m, limit: 0.1}\n    - {name: g, metric: n, limit: 0}": (
        "policy",
        "two gates are named 'g'",
    ),
    "corpus: {name: x}": ("corpus.inputs", "List files"),
    "corpus: [": ("", "not valid YAML"),
    "just text": ("", "expected a mapping"),
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_wrong_configuration_gets_one_line_with_key_and_remedy(tmp_path, corpus, text):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    line = complaint(call("run", path, "--out", tmp_path / "run", "--quiet"))
    key, remedy = BROKEN[text]
    assert key in line
    assert remedy in line
    assert "wrong.yaml" in line


def test_wrong_arguments_get_one_line(config, standing, tmp_path):
    assert "nothing.yaml" in complaint(call("run", tmp_path / "nothing.yaml", "--out", tmp_path / "run"))
    assert "--engine" in complaint(call("run", config, "--out", tmp_path / "run", "--engine", "spark"))
    assert "no completed run" in complaint(call("gate", tmp_path))
    assert "no completed run" in complaint(call("sample", tmp_path, "--out", tmp_path / "s.csv"))
    assert "no such run folder" in complaint(call("verify", tmp_path / "nowhere"))
    assert "Known: html" in complaint(call("scorecard", standing.folder, "--format", "pdf"))
    assert "Known: csv" in complaint(
        call("sample", standing.folder, "--format", "pdf", "--out", tmp_path / "s")
    )
    assert "unknown screen" in complaint(call("screens", "nothing"))
    assert "Known: " in complaint(call("init", "--profile", "nothing", "--out", tmp_path / "a.yaml"))
    assert "missing.csv" in complaint(call("judge", standing.folder, tmp_path / "missing.csv"))


def test_init_writes_a_configuration_that_loads_and_never_writes_over_one(tmp_path):
    path = tmp_path / "audit.yaml"
    assert call("init", "--out", path).exit_code == 0
    assert path.read_text().startswith("# yaml-language-server: $schema=audit.schema.json\n")
    json.loads((tmp_path / "audit.schema.json").read_text())
    line = complaint(call("init", "--out", path))
    assert "the file exists" in line
    assert "chatbot_finetune" in call("init", "--profile", "list").stdout


def test_what_is_unforeseen_is_one_line_without_text(standing, monkeypatch):
    from audit import commands

    def fail(*_: object, **__: object) -> None:
        raise KeyError("text of a document")

    monkeypatch.setattr(commands, "gate", fail)
    line = complaint(call("gate", standing.folder), 1)
    assert "KeyError" in line
    assert "text of a document" not in line


def test_an_interruption_is_one_line(standing, monkeypatch):
    from audit import commands

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "gate", interrupt)
    assert "the same command goes on" in complaint(call("gate", standing.folder), 130)


def test_nothing_heavy_is_imported_for_help():
    import subprocess

    code = "import sys, audit.cli; print([m for m in ('pyarrow', 'duckdb', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
