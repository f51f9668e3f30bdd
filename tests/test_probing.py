"""Probes in a run: how many documents, which, what of them is kept, and what gates may say of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from audit import catalogue, commands, doctor, probes, sources
from audit.config import parse
from audit.errors import ConfigurationError, FatalError
from audit.facts import text_digests
from audit.lineage import verification
from audit.probe_phase import probe_tasks
from audit.probe_phase.probe_sample import joint_probability
from audit.probe_phase.probe_tasks import ProbeTask, grouped
from audit.probes.presidio_ner import PresidioNer
from audit.run import Run
from audit.sources import ColumnMapping
from audit.storage.store import Store
from tests.conftest import page
from tests.fake_probe import FakeProbe
from tests.test_pipeline import parts, tables

PLANTED = "jane.sample@example.com"
GATE = {"gates": [{"name": "g", "metric": "fake.flagged", "limit": 0.95}]}
SCREENS = {"language": {}}


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr(probes, "available", lambda: {"fake": FakeProbe})


@pytest.fixture
def probed(run_audit):
    """Run with the fake probe; settings of the probe sample and its parameters by name."""

    def run(
        inputs, name="run", *, workers=None, parameters=True, policy=GATE, size=20, fresh=False, **sample
    ):
        return run_audit(
            inputs,
            name,
            workers=workers,
            fresh=fresh,
            screens=SCREENS,
            probes={"fake": parameters},
            sampling={"size": size, "probe": sample or {"size": 30}},
            policy=policy,
        )

    return run


def corpus_of(folder: Path, *texts: str) -> Path:
    folder.mkdir()
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def query(run, sql):
    with run.connect() as db:
        return db.execute(sql).fetchall()


def drawn(run, phase):
    rows = query(run, f"SELECT shard, position FROM samples WHERE phase = '{phase}'")
    assert len(set(rows)) == len(rows)
    return set(rows)


def journaled(run, event):
    return [entry.data for entry in run.journal.read() if entry.event == event]


def test_a_probe_measures_a_probability_sample_and_its_share_is_an_estimate(corpus, probed):
    result = probed(corpus)
    run = result.run
    assert len(drawn(run, "probe")) == 30
    truth = query(run, "SELECT count(*) FROM probe_fake WHERE fake_flagged")[0][0]
    assert truth > 0
    ((value, low, high, n, method),) = query(
        run,
        "SELECT value, low, high, n, method FROM estimates WHERE metric = 'fake.flagged' AND slice = 'all'",
    )
    assert low < value < high
    assert n == 30
    assert "not what people would" in method
    by_slice = query(run, "SELECT DISTINCT slice FROM estimates WHERE metric = 'fake.flagged_tokens'")
    assert {("all",), ("source=pages",)} <= set(by_slice)
    assert result.verdict.verdict == "GO"
    assert query(run, "SELECT sum(evaluated), sum(failed) FROM evaluations WHERE screen = 'fake'") == [
        (30, 0)
    ]
    ((documents,),) = query(run, "SELECT sum(1 / inclusion_probability) FROM samples WHERE phase = 'probe'")
    assert documents == pytest.approx(72)
    assert verification.verify(run.folder).problems == ()


def test_measurements_and_findings_are_tables(corpus, probed):
    run = probed(corpus).run
    rows = query(run, "SELECT count(*), count(DISTINCT doc_id), sum(value) FROM probe_measurements")
    flagged = query(run, "SELECT count(*) FROM probe_fake WHERE fake_flagged")[0][0]
    assert rows == [(60, 30, 2 * flagged)]
    found = query(run, 'SELECT doc_id, probe, kind, start, "end", preview, value_hash FROM probe_findings')
    assert len(found) == flagged
    texts = {row["id"]: row["text"] for row in map(json.loads, (corpus / "pages.jsonl").open())}
    for doc_id, probe, kind, start, end, preview, _ in found:
        assert (probe, kind) == ("fake", "WORD")
        assert preview != "harbour"
        assert doc_id not in texts or texts[doc_id][start:end] == "harbour"
    assert len({row[-1] for row in found}) == 1


def test_one_and_two_workers_give_the_same_evidence(corpus, probed, monkeypatch):
    monkeypatch.setattr("audit.probe_phase.probing.BLOCK", 4)
    one, two = probed(corpus, "one", workers=1).run, probed(corpus, "two", workers=2).run
    assert len([name for name in parts(one) if name.startswith("probe_fake/")]) == 8
    assert parts(one) == parts(two)
    assert tables(one) == tables(two)
    assert (one.folder / "scorecard.json").read_bytes() == (two.folder / "scorecard.json").read_bytes()


def test_the_size_follows_from_a_budget_once(corpus, probed, monkeypatch):
    run = probed(corpus, minutes=0.1).run
    (frozen,) = journaled(run, "probe_sized")
    assert frozen["minutes"] == 0.1
    assert frozen["size"] > 0
    assert frozen["costs"]["fake"]["documents"] == 32
    before = drawn(run, "probe")
    assert len(before) == min(frozen["size"], 72)
    card = run.scorecard()["probes"]
    assert (card["minutes"], card["size"]) == (0.1, len(before))
    assert card["members"][0]["documents_per_second"] > 0
    again = probed(corpus, minutes=0.1, workers=2).run
    assert journaled(again, "probe_sized") == [frozen]
    assert drawn(again, "probe") == before
    assert again.scorecard()["probes"] == card


def test_a_budget_that_loads_no_model_is_no_evidence(corpus, probed, monkeypatch):
    result = probed(corpus, parameters={"pause": 0.2}, minutes=0.001)
    assert drawn(result.run, "probe") == set()
    assert result.verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert "time budget is too small" in result.run.scorecard()["gates"][0]["reason"]


def test_a_larger_sample_measures_only_what_is_new(corpus, run_audit):
    def run(size):
        sampling = {"size": 20, "probe": {"size": size, "nested": True}}
        return run_audit(corpus, screens=SCREENS, probes={"fake": True}, sampling=sampling).run

    small = run(30)
    first, kept = drawn(small, "probe"), parts(small)
    grown = run(50)
    assert first < drawn(grown, "probe")
    new = {name for name in parts(grown) if name.startswith("probe_fake/")} - set(kept)
    rows = [pq.read_metadata(grown.store.folder / name).num_rows for name in new]
    assert rows == [20]
    assert query(grown, "SELECT sum(evaluated) FROM evaluations WHERE screen = 'fake'") == [(50,)]
    assert drawn(run(30), "probe") == first


def test_nested_samples_lie_in_each_other_and_independent_ones_do_not(corpus, run_audit):
    def run(name, probe):
        return run_audit(
            corpus,
            name,
            screens=SCREENS,
            probes={"fake": True},
            sampling={"size": 20, "probe": probe},
        ).run

    nested = run("nested", {"size": 40, "nested": True})
    assert drawn(nested, "review") < drawn(nested, "probe")
    independent = run("independent", {"size": 40})
    assert drawn(independent, "review") == drawn(nested, "review")
    assert not drawn(independent, "review") <= drawn(independent, "probe")
    rows = query(nested, "SELECT probe_probability, review_probability, joint_probability FROM phases")
    assert len(rows) == 20
    assert all(joint == min(first, second) == second for first, second, joint in rows)
    rows = query(independent, "SELECT probe_probability, review_probability, joint_probability FROM phases")
    assert all(joint == pytest.approx(first * second) for first, second, joint in rows)
    small = run("small", {"size": 8, "nested": True})
    assert drawn(small, "probe") < drawn(small, "review")
    assert joint_probability(0.2, 0.5, nested=True) == 0.2
    assert joint_probability(0.2, 0.5, nested=False) == 0.1


def test_a_document_that_fails_is_counted_and_not_clean(tmp_path, probed):
    folder = corpus_of(tmp_path / "in", *(page(n) for n in range(20)), "POISON " + PLANTED, "x y")
    result = probed(folder, size=22)
    run = result.run
    states = query(run, "SELECT reason, evaluated + skipped + failed FROM evaluations WHERE screen = 'fake'")
    assert sorted(states, key=str) == [("failed: ValueError", 1), ("skipped: too short", 1), (None, 20)]
    ((low, high),) = query(
        run, "SELECT low, high FROM estimates WHERE metric = 'fake.flagged' AND slice = 'all'"
    )
    assert high - low == pytest.approx(2 / 22)
    member = run.scorecard()["probes"]["members"][0]
    assert (member["evaluated"], member["skipped"], member["failed"]) == (20, 1, 1)


def test_a_document_that_kills_its_worker_is_found(tmp_path, probed, monkeypatch):
    monkeypatch.setattr("audit.probe_phase.probing.BLOCK", 4)
    folder = corpus_of(tmp_path / "in", *(page(n) for n in range(5)), "CRASH " + page(9))
    run = probed(folder, size=6, workers=1).run
    ((reason,),) = query(run, "SELECT reason FROM evaluations WHERE screen = 'fake' AND failed > 0")
    assert "worker died" in reason
    assert query(run, "SELECT sum(evaluated) FROM evaluations WHERE screen = 'fake'") == [(5,)]
    stamps = {path: path.stat().st_mtime_ns for path in run.store.folder.glob("probe_fake/*")}
    again = probed(folder, size=6, workers=1).run
    assert {path: path.stat().st_mtime_ns for path in again.store.folder.glob("probe_fake/*")} == stamps


def test_a_missing_model_is_told_and_gates_on_it_lack_evidence(corpus, probed):
    result = probed(corpus, parameters={"model": "absent"})
    assert result.verdict.verdict == "INSUFFICIENT EVIDENCE"
    card = result.run.scorecard()
    assert "the model 'absent' is not installed" in card["gates"][0]["reason"]
    assert card["gates"][0]["outcome"] == "insufficient evidence"
    assert card["probes"]["members"][0]["missing"].startswith("the model 'absent'")
    assert any("absent" in step["text"] for step in card["next_steps"])
    for name in ("scorecard.md", "scorecard.html"):
        assert "absent" in (result.run.folder / name).read_text()
    assert probed(corpus).verdict.verdict == "GO"


def test_a_gate_that_requires_review_does_not_take_a_probe(corpus, probed):
    gate = {"name": "g", "metric": "fake.flagged", "limit": 0.95, "requires_review": True}
    assert probed(corpus, policy={"gates": [gate]}).verdict.verdict == "INSUFFICIENT EVIDENCE"


def test_taking_the_probe_out_takes_its_evidence_out(corpus, probed, run_audit):
    probed(corpus)
    run = run_audit(corpus, screens=SCREENS, policy=GATE).run
    assert run.scorecard()["probes"] is None
    assert drawn(run, "probe") == set()
    assert run.scorecard()["gates"][0]["outcome"] == "insufficient evidence"
    assert verification.verify(run.folder).problems == ()


def test_judgements_count_in_the_review_alone(corpus, probed, tmp_path):
    run = probed(corpus).run
    review = query(
        run,
        "SELECT doc_id, text_digest FROM documents SEMI JOIN "
        "(FROM samples WHERE phase = 'review') USING (shard, position)",
    )
    answers = tmp_path / "answers.csv"
    lines = [f"{doc_id},{digest},toxicity,no" for doc_id, digest in review]
    answers.write_text("\n".join(["doc_id,text_digest,question,label", *lines]) + "\n")
    commands.judge(run.folder, [answers], quiet=True)
    assert query(run, "SELECT n FROM estimates WHERE metric = 'toxicity' AND slice = 'all'") == [(20,)]
    assert query(run, "SELECT n FROM estimates WHERE metric = 'fake.flagged' AND slice = 'all'") == [(30,)]


def test_nothing_personal_leaks(tmp_path, probed):
    texts = [f"{page(n)} Write to {PLANTED} at the harbour. POISON" for n in range(6)]
    run = probed(corpus_of(tmp_path / "in", *texts, *(page(n) for n in range(30, 50))), minutes=0.05).run
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert b"jane.sample" not in path.read_bytes(), path.name


def test_a_document_that_changed_is_not_probed(corpus):
    (shard,) = sources.plan([str(corpus / "pages.jsonl")], format="auto", shard_bytes=1 << 28, base=corpus)
    documents = grouped([(shard, 0, b"0" * 16)])
    limits = parse({"corpus": {"name": "test"}}).read_limits()
    task = ProbeTask(Store(corpus), FakeProbe(), "", ColumnMapping(), limits, documents, bytes(32))
    with pytest.raises(FatalError, match="changed since it was screened"):
        probe_tasks.probe_block(task)


def test_a_document_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(probe_tasks, "GUARD_SECONDS", 0.2)
    folder = corpus_of(tmp_path / "in", page(1), "SLEEP " + page(2), page(3))
    (shard,) = sources.plan([str(folder)], format="auto", shard_bytes=1 << 28, base=tmp_path)
    limits = parse({"corpus": {"name": "test"}}).read_limits()
    (batch,) = sources.documents_at(shard, ColumnMapping(), limits, [0, 1, 2])
    digests = text_digests(batch.column("text")).to_pylist()
    documents = grouped((shard, n, digest) for n, digest in enumerate(digests))
    task = ProbeTask(Store(tmp_path), FakeProbe(), "", ColumnMapping(), limits, documents, bytes(32))
    probe_tasks.probe_block(task)
    states = pq.read_table(tmp_path / task.part.relative).column("state").to_pylist()
    assert states == [None, "failed: TimeoutError", None]


def test_persons_beside_identifiers_are_estimated_and_masked(tmp_path, run_audit, monkeypatch):
    monkeypatch.setattr(probes, "available", lambda: {"presidio_ner": PresidioNer})
    sensitive = f"Please write to John Smith at {PLANTED} before Friday."
    named = "Mary Johnson travelled from Paris to London with her sister."
    folder = corpus_of(tmp_path / "in", sensitive, named, *(page(n) for n in range(6)))
    sampling = {"size": 4, "probe": {"size": 8}}
    run = run_audit(folder, screens=SCREENS, probes={"presidio_ner": True}, sampling=sampling).run
    rows = query(
        run, "SELECT metric, value, n FROM estimates WHERE metric LIKE 'presidio%' AND slice = 'all'"
    )
    shares = {metric: (value, n) for metric, value, n in rows}
    assert shares["presidio_ner.flagged"] == (1 / 8, 8)
    assert shares["presidio_ner.persons"][0] >= 2 / 8
    kinds = query(run, "SELECT DISTINCT kind, severity FROM probe_findings WHERE doc_id = 'd0'")
    assert ("PERSON", "high") in kinds
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert not any(value in path.read_bytes() for value in (b"jane.sample", b"Smith", b"Johnson"))


def test_the_doctor_tries_the_configured_probes_on_the_corpus(corpus, tmp_path):
    def checks(**parameters):
        config = {"corpus": {"name": "x", "inputs": [str(corpus)]}, "screens": SCREENS, "run": {"workers": 2}}
        path = tmp_path / "audit.yaml"
        path.write_text(json.dumps({**config, "probes": {"fake": parameters}}))
        return {check.name: check for check in doctor.examine(path)}

    found = checks()
    assert found["probe fake"].state == "ok"
    assert "present 0000000000000000" in found["probe fake"].found
    assert "10 minutes with 2 workers allow" in found["probe sample"].found
    lacking = checks(model="absent")
    assert lacking["probe fake"].state == "lacks"
    assert "insufficient evidence" in lacking["probe fake"].cost
    assert "probe sample" not in lacking


def test_probes_are_listed_and_explained():
    assert [row["name"] for row in catalogue.describe(None)["probes"]] == ["fake"]
    described = catalogue.describe("fake")
    assert [row["name"] for row in described["parameters"]] == ["word", "model", "pause"]
    assert catalogue.lines(described)


def test_unknown_probes_parameters_and_budgets_are_refused():
    def refused(**sections):
        with pytest.raises(ConfigurationError) as error:
            parse({"corpus": {"name": "x"}, **sections})
        return str(error.value)

    assert "Did you mean 'fake'" in refused(probes={"fakee": True})
    assert "Did you mean 'word'" in refused(probes={"fake": {"wordd": "x"}})
    assert "not both" in refused(sampling={"probe": {"size": 3, "minutes": 1}})
    assert "Did you mean 'minutes'" in refused(sampling={"probe": {"minute": 1}})
    plain = parse({"corpus": {"name": "x"}, "probes": {"fake": True}}).resolved()
    defaults = {"size": None, "minutes": 10.0, "nested": False, "predicts": {}}
    assert plain["sampling"]["probe"] == defaults
    assert parse(plain).build_probes() == (FakeProbe(),)


SCRIPT = "from tests.fake_probe import register; register(); from audit.cli import main; main()"


def test_a_killed_run_resumes_between_blocks(tmp_path):
    folder = corpus_of(tmp_path / "in", *(page(n) for n in range(600)))
    config = tmp_path / "audit.yaml"
    config.write_text(
        f"corpus: {{name: test, inputs: [{folder}]}}\nscreens: {{language: {{}}}}\n"
        "probes: {fake: {pause: 0.05}}\nsampling: {size: 20, probe: {size: 560}}\n"
    )

    def command(out):
        return [sys.executable, "-c", SCRIPT, "run", str(config), "--out", str(out), "--workers", "1", "-q"]

    def blocks(out):
        return {path.name: path.stat().st_mtime_ns for path in out.glob("parts/probe_fake/*.parquet")}

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    started = subprocess.Popen(command(killed), start_new_session=True)
    deadline = time.monotonic() + 120
    while not blocks(killed) and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    standing = blocks(killed)
    assert 1 <= len(standing) < 5
    subprocess.run(command(killed), check=True)
    assert standing.items() <= blocks(killed).items()
    subprocess.run(command(whole), check=True)
    assert parts(Run(killed)) == parts(Run(whole))
    assert (killed / "scorecard.json").read_bytes() == (whole / "scorecard.json").read_bytes()
