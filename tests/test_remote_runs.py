"""A run on a real S3 server is the run that a folder holds, whatever dies, comes second or is lost."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from audit import cli, commands, pipeline
from audit import config as configuration
from audit.engines.local import LocalEngine
from audit.errors import ConfigurationError, FatalError
from audit.lease import ENVIRONMENT_VARIABLE as LEASE
from audit.lease import KEY
from audit.mirror import JOURNAL
from audit.objects.object_stores import ObjectFolder
from audit.progress import Quiet
from audit.run import Run
from audit.stages.request import Request
from audit.storage import staging
from tests.conftest import key_file, page
from tests.faulty_proxy import BUSY, CUT, DONE_THEN_RESET, RESET, Faults, faulty, without
from tests.object_server import ACCESS_KEY, SECRET_KEY
from tests.test_pipeline import parts, tables

SETTINGS = {
    "corpus": {"name": "test"},
    "screens": {"language": {}, "exact_duplicates": {}},
    "sampling": {"size": 12},
    "policy": {"gates": [{"name": "toxic", "metric": "toxicity", "limit": 0.5}]},
}
SHARDS, ROWS = 6, 20


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Small shards, one of them twice."""
    folder = tmp_path_factory.mktemp("remote") / "corpus"
    folder.mkdir()
    for shard in range(SHARDS - 1):
        rows = [{"id": f"{shard}-{n}", "text": page(shard * ROWS + n)} for n in range(ROWS)]
        (folder / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "copy.jsonl").write_bytes((folder / "3.jsonl").read_bytes())
    return folder


def audited(place, corpus, **more):
    run = Run.at(place)
    request = Request(configuration.parse({**SETTINGS, **more}), corpus.parent, (str(corpus),))
    pipeline.audit(request, run, LocalEngine(1), Quiet())
    return run


@pytest.fixture(scope="module")
def local(corpus, tmp_path_factory):
    """The run in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIT_HMAC_KEY_FILE", key_file(tmp_path_factory))
        return audited(corpus.parent / "local", corpus)


@pytest.fixture(scope="module")
def address(corpus, object_server, tmp_path_factory):
    """A finished run on the server; its staging folder is gone."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in object_server.environment().items():
            patch.setenv(name, value)
        patch.setenv("AUDIT_HMAC_KEY_FILE", key_file(tmp_path_factory))
        patch.setenv(staging.ENVIRONMENT_VARIABLE, str(corpus.parent / "first"))
        return audited(f"s3://{object_server.make_bucket()}/runs/one", corpus).place


@pytest.fixture(autouse=True)
def machine(object_server, tmp_path, monkeypatch):
    """A machine that knows the server and has staged nothing; leases are short."""
    for name, value in object_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(staging.ENVIRONMENT_VARIABLE, str(tmp_path / "staging"))
    monkeypatch.setenv(LEASE, "2")
    return tmp_path


@pytest.fixture
def place(address):
    """An address of the same bucket that only this test uses."""
    return f"{address.rpartition('/')[0]}/{uuid.uuid4().hex}"


@pytest.fixture
def copied(address, place):
    """The run of ``address``, copied object by object, for tests that change it."""
    there, here = ObjectFolder(address), ObjectFolder(place)
    for info in there.list():
        here.put(info.key, there.get(info.key))
    return here.address


def stored(address):
    """Objects by key."""
    folder = ObjectFolder(address)
    return {info.key: info.etag for info in folder.list()}


def test_it_holds_what_a_folder_holds(local, address):
    run = Run.existing(address)
    tables_there = tables(run)  # stages what the views read
    folder = ObjectFolder(address)
    for name in [path for path in parts(local) if not path.startswith("packs/")]:
        assert folder.get(f"parts/{name}") == (local.store.folder / name).read_bytes(), name
    assert tables_there == tables(local)
    for name in ("scorecard.json", "scorecard.html", "parts/index.jsonl", "sample/draws.parquet"):
        assert folder.get(name) == (local.folder / name).read_bytes(), name
    ours = {path.relative_to(local.folder).as_posix() for path in local.folder.rglob("*") if path.is_file()}
    assert set(stored(address)) - ours == {KEY}
    assert ours - set(stored(address)) == {".lock"}


def test_no_secret_reaches_it(address, corpus):
    folder, key = ObjectFolder(address), Path(os.environ["AUDIT_HMAC_KEY_FILE"]).read_text().strip()
    private = (SECRET_KEY, ACCESS_KEY, key, str(corpus.parent / "first"), os.environ["AWS_ENDPOINT_URL"])
    secrets = [bytes.fromhex(key), *(text.encode() for text in private)]
    for info in folder.list():
        content = folder.get(info.key)
        assert not any(secret in content for secret in secrets), info.key


def test_every_command_takes_the_address(copied, tmp_path):
    def told(*arguments, code=0):
        result = CliRunner().invoke(cli.app, [*arguments])
        assert result.exit_code == code, result.output
        return result.output

    assert "INSUFFICIENT EVIDENCE" in told("gate", copied, code=11)
    assert not list(Run.at(copied).folder.glob("parts/*/*"))  # a verdict needs no part
    assert "verified" in told("verify", copied)
    told("explain", copied, "toxic")
    told("sample", copied, "--out", str(tmp_path / "sample.csv"), "-q")
    told("scorecard", copied, "--format", "md", "--out", str(tmp_path / "card"), "-q")
    assert (tmp_path / "card" / "scorecard.md").exists()
    assert "verified" in told("verify", copied)


def filled(sample, answers):
    with sample.open(newline="", encoding="utf-8") as handle:
        rows = [{**row, "toxicity": "no", "reviewer": "r1"} for row in csv.DictReader(handle)]
    with answers.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return answers


def test_judgements_count_on_every_machine(copied, tmp_path, monkeypatch):
    commands.sample(copied, tmp_path / "sample.csv", file_format="csv", size=None, quiet=True)
    answers = filled(tmp_path / "sample.csv", tmp_path / "answers.csv")
    verdict = commands.judge(copied, [answers], quiet=True)["verdict"]
    assert any(key.startswith("judgements/") for key in stored(copied))
    monkeypatch.setenv(staging.ENVIRONMENT_VARIABLE, str(tmp_path / "elsewhere"))
    assert commands.gate(copied, strict=False)["verdict"] == verdict == "GO"
    with Run.existing(copied).connect(["judgements"]) as db:
        assert db.execute("SELECT count(*) FROM judgements").fetchone() == (12,)


def test_a_lost_staging_folder_costs_a_fetch(copied, corpus):
    before = stored(copied)
    audited(copied, corpus)
    after = stored(copied)
    changed = {key for key in after if key.startswith("parts/") and before.get(key) != after[key]}
    assert changed == set()
    assert commands.verify(copied, None)["problems"] == []


def test_another_setting_retires_parts_and_brings_them_back(copied, corpus):
    before = {key for key in stored(copied) if key.startswith("parts/language/")}
    audited(copied, corpus, screens={"exact_duplicates": {}})
    assert not {key for key in stored(copied) if key.startswith("parts/language/")}
    retired = ObjectFolder(f"{copied}/parts/.retired/language")
    damaged = next(iter(retired.list()))
    retired.put(damaged.key, b"changed while it was retired")
    shutil.rmtree(Run.at(copied).folder)
    audited(copied, corpus)
    assert {key for key in stored(copied) if key.startswith("parts/language/")} == before
    assert commands.verify(copied, None)["problems"] == []


def test_a_changed_byte_is_found_and_not_read(copied):
    folder = ObjectFolder(copied)
    name = next(key for key in stored(copied) if key.startswith("parts/language/"))
    content = bytearray(folder.get(name))
    content[40] ^= 1
    folder.put(name, bytes(content))
    folder.put("note.txt", b"nobody's")
    problems = commands.verify(copied, None)["problems"]
    assert len(problems) == 2
    assert problems[0].startswith("note.txt: unaccounted")
    assert problems[1].startswith(f"{name}: changed")
    with pytest.raises(FatalError, match="not what the index says"):
        Run.existing(copied).connect()


def test_a_second_run_is_refused(copied, corpus, tmp_path, monkeypatch):
    with Run.at(copied).locked():
        monkeypatch.setenv(staging.ENVIRONMENT_VARIABLE, str(tmp_path / "elsewhere"))
        before = stored(copied)
        with pytest.raises(FatalError, match=f"another run works in {copied}"):
            audited(copied, corpus)
        assert {**stored(copied), KEY: ""} == {**before, KEY: ""}
        commands.gate(copied, strict=False)  # to read is free


def test_whoever_lost_the_lock_writes_nothing(copied):
    folder = ObjectFolder(copied)

    def work(run):
        with run.locked():
            folder.put(KEY, json.dumps({"owner": "other", "seconds": 60, "count": 1}).encode())
            time.sleep(1.1)  # interrupted when the next renewal fails, or refused below
            run.journal.append("noted", {})

    before = folder.get(JOURNAL)
    with pytest.raises(FatalError, match="was lost"):
        work(Run.at(copied))
    assert folder.get(JOURNAL) == before


def test_a_run_without_the_lock_writes_nothing(copied):
    run = Run.existing(copied)
    with pytest.raises(FatalError, match="not locked"):
        run.journal.append("noted", {})
    assert "noted" not in ObjectFolder(copied).get(JOURNAL).decode()


def test_a_killed_run_is_taken_up(local, place, corpus, tmp_path):
    config = tmp_path / "audit.yaml"
    config.write_text(json.dumps({**SETTINGS, "corpus": {"name": "test", "inputs": [str(corpus)]}}))
    command = [sys.executable, "-m", "audit.cli", "run", str(config), "--out", place, "--workers", "1", "-q"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    documents = ObjectFolder(f"{place}/parts/documents")
    deadline = time.monotonic() + 100
    while len(list(documents.list())) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    standing = {info.key: info.modified_ns for info in documents.list()}
    assert len(standing) < SHARDS
    run = audited(place, corpus)  # once the lease has run out
    assert tables(run) == tables(local)
    assert ObjectFolder(place).get("scorecard.json") == (local.folder / "scorecard.json").read_bytes()
    assert standing.items() <= {info.key: info.modified_ns for info in documents.list()}.items()
    assert commands.verify(place, None)["problems"] == []


def test_a_store_that_fails_now_and_then_changes_nothing(local, place, corpus, machine, monkeypatch):
    def fault(method, path, number):
        of = {"GET": {3: CUT, 7: BUSY}, "PUT": {2: DONE_THEN_RESET, 6: BUSY, 9: RESET}, "HEAD": {4: BUSY}}
        return of.get(method, {}).get(number % 10)

    def lag(content, number):
        return without(without(content, JOURNAL), "manifest.json") if number % 2 else content

    with faulty(os.environ["AWS_ENDPOINT_URL"], Faults(fault, lag)) as faults:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faults.endpoint)
        audited(place, corpus)
        shutil.rmtree(machine / "staging")
        assert tables(Run.existing(place)) == tables(local)
        assert {faults.count(method) > 20 for method in ("GET", "PUT", "HEAD")} == {True}
    assert ObjectFolder(place).get("scorecard.json") == (local.folder / "scorecard.json").read_bytes()


def test_a_run_is_not_audited_into_its_own_corpus(place, corpus):
    ObjectFolder(place).put("a.jsonl", (corpus / "0.jsonl").read_bytes())
    run = Run.at(f"{place}/run")
    request = Request(configuration.parse(SETTINGS), corpus.parent, (place,))
    with pytest.raises(ConfigurationError, match="inside the corpus"):
        pipeline.audit(request, run, LocalEngine(1), Quiet())


@pytest.mark.parametrize("wrong", ["s3://user:secret@bucket/run", "s3:///run"])
def test_an_address_that_cannot_be_is_told_without_its_secret(wrong):
    with pytest.raises(ConfigurationError) as caught:
        Run.at(wrong)
    assert "secret@" not in str(caught.value)


def test_no_run_at_an_address(place):
    with pytest.raises(ConfigurationError, match="no completed run"):
        Run.existing(place)
    with pytest.raises(ConfigurationError, match="no such run"):
        commands.verify(place, None)
