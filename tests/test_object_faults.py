"""What a store does wrong changes no result: it is tried again, refused, or told in the accounting."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit import config as configuration
from audit import pipeline
from audit.engines import Outcome
from audit.engines.local import LocalEngine
from audit.errors import RetryableError
from audit.inputs import SeenInputs
from audit.objects.object_stores import ObjectExists, ObjectFolder
from audit.objects.retrying import RetryBudget, TransientError, with_retries
from audit.progress import Quiet
from audit.run import Run
from audit.sources import ColumnMapping, ContentDigest, ReadLimits, documents_at, plan, read
from audit.stages.request import Request
from tests.conftest import page
from tests.faulty_proxy import BUSY, CUT, DONE_THEN_RESET, RESET, Faults, faulty, with_another, without
from tests.test_object_inputs import arrow, parquet, warc
from tests.test_pipeline import parts, tables

SCREENS = {"language": {}, "exact_duplicates": {}}


@pytest.fixture
def flaky(object_server, bucket, monkeypatch):
    """A proxy before the server, in the environment; without faults until the test says which."""
    faults = Faults()
    with faulty(object_server.endpoint, faults):
        monkeypatch.setenv("AWS_ENDPOINT_URL", faults.endpoint)
        monkeypatch.setattr("audit.objects.retrying.random.uniform", lambda low, high: min(high, 0.01))
        yield faults


def every(step: int, fault: str, kind: str = "GET"):
    return lambda method, path, number: fault if method == kind and number % step == 1 else None


def lines(count: int, first: int = 0) -> bytes:
    return b"".join(
        json.dumps({"id": f"d{n}", "text": page(n)}).encode() + b"\n" for n in range(first, first + count)
    )


def content(shard):
    digest = ContentDigest()
    return [b.documents for b in read(shard, ColumnMapping(), ReadLimits(), digest)], digest.hexdigest()


@pytest.mark.parametrize("fault", [BUSY, CUT, RESET])
def test_reads_listings_and_writes_survive(bucket, flaky, fault, monkeypatch):
    monkeypatch.setattr("audit.objects.object_bytes.BLOCK", 20_000)
    folder = ObjectFolder(f"{bucket}/x")
    folder.put("a.jsonl", lines(200))
    undisturbed = content(plan([folder.address])[0])
    for kind in ("GET", "LIST", "HEAD", "PUT"):
        if (kind, fault) in {("HEAD", CUT), ("PUT", CUT)}:
            continue  # their answers have no body to cut
        flaky.fault = every(2, fault, kind)
        assert content(plan([folder.address + "/a.jsonl"])[0]) == undisturbed
        assert content(plan([folder.address])[0]) == undisturbed
        folder.put("b", b"1")
        assert folder.get("b") == b"1"


def test_a_conditional_write_whose_answer_was_lost_is_known_as_our_own(bucket, flaky):
    folder = ObjectFolder(bucket)
    flaky.fault = every(2, DONE_THEN_RESET, "PUT")
    etag = folder.put("lock", b"mine", create=True)
    assert folder.head("lock").etag == etag
    assert folder.put("lock", b"mine too", etag=etag) == folder.head("lock").etag
    with pytest.raises(ObjectExists):
        folder.put("lock", b"yours", create=True)


def test_a_store_that_stays_down_is_told_with_its_budget(bucket, flaky, monkeypatch):
    monkeypatch.setenv("AUDIT_STORE_ATTEMPTS", "4")
    flaky.fault = lambda kind, path, number: BUSY
    with pytest.raises(
        RetryableError, match=r"reading s3://.*/x: the store answered 503 SlowDown, 4 attempts"
    ):
        ObjectFolder(bucket).get("x")
    assert flaky.count("GET") == 4


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.csv", "x.wet.gz", "x.arrow", "x.parquet"])
def test_an_outage_in_the_middle_of_a_shard_never_looks_like_its_end(bucket, flaky, monkeypatch, name):
    monkeypatch.setenv("AUDIT_STORE_ATTEMPTS", "2")
    monkeypatch.setattr("audit.objects.object_bytes.BLOCK", 6000)
    content_of = {".csv": rows_as_csv, ".gz": warc, ".arrow": arrow, ".parquet": parquet}
    data = (
        gzip.compress(lines(300)) if name == "x.jsonl.gz" else content_of.get(Path(name).suffix, lines)(300)
    )
    assert len(data) > 12_000
    ObjectFolder(bucket).put(name, data)
    (shard,) = plan([f"{bucket}/{name}"])
    flaky.fault = lambda kind, path, number: BUSY if kind == "GET" and number > 1 else None
    with pytest.raises(RetryableError):
        content(shard)
    flaky.requests.clear()
    with pytest.raises(RetryableError):
        list(documents_at(shard, ColumnMapping(), ReadLimits(), {0, 290}))


def rows_as_csv(count: int) -> bytes:
    return b"id,text\n" + b"".join(f'{n},"{page(n)}"\n'.encode() for n in range(count))


def test_budgets_count_attempts_and_seconds():
    now, waits = [0.0], []

    def sleep(seconds):
        waits.append(seconds)
        now[0] += seconds

    def fail(failures):
        raise TransientError("busy")

    budget = RetryBudget(attempts=50, seconds=60, first_wait=1, longest_wait=8)
    with pytest.raises(RetryableError):
        with_retries(fail, "reading", budget, sleep=sleep, clock=lambda: now[0])
    assert sum(waits) <= 60
    assert 8 < len(waits) < 50
    assert all(wait <= min(8, 2**n) for n, wait in enumerate(waits))
    assert with_retries(lambda failures: failures, "reading", budget) == 0


def test_an_object_that_is_listed_late_is_read_when_the_listings_agree(bucket, flaky):
    folder = ObjectFolder(bucket)
    for name in ("a.jsonl", "b.jsonl"):
        folder.put(name, lines(2))
    flaky.listing = lambda xml, number: without(xml, "b.jsonl") if number == 1 else xml
    assert [shard.name for shard in plan([bucket])] == ["a.jsonl", "b.jsonl"]
    flaky.listing = lambda xml, number: without(xml, "b.jsonl") if number % 2 else xml
    with pytest.raises(RetryableError, match="keeps changing"):
        plan([bucket])


@dataclass(frozen=True)
class Here(LocalEngine):
    """Runs tasks in this process: what the store does is the same there, and nothing needs to start."""

    def map(self, function, tasks, advance, **asked):
        for task in tasks:
            yield Outcome(task, function(task))


def audited(folder: Path, inputs: str, engine: LocalEngine) -> Run:
    """A run below a folder, begun or gone on with."""
    config = configuration.parse({"corpus": {"name": "test"}, "sampling": {"size": 20}, "screens": SCREENS})
    run = Run(folder / "run")
    pipeline.audit(Request(config, folder, (inputs,)), run, engine, Quiet())
    return run


@pytest.fixture
def stored(bucket, tmp_path):
    """The same corpus on a disk and on the store."""
    folder = tmp_path / "here"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.jsonl").write_bytes(lines(30, number * 25))
        ObjectFolder(f"{bucket}/corpus").put(f"{number}.jsonl", folder / f"{number}.jsonl")
    return folder, f"{bucket}/corpus"


def without_place(found):
    """Tables, but for where a shard was read from."""
    return {**found, "shards": [(row[0], *row[2:]) for row in found["shards"]]}


def test_a_run_through_an_outage_and_faults_is_the_run_over_the_disk(stored, flaky, tmp_path, monkeypatch):
    folder, address = stored
    undisturbed = audited(tmp_path / "a", str(folder), Here(1))
    monkeypatch.setenv("AUDIT_STORE_ATTEMPTS", "3")
    flaky.fault = lambda kind, path, number: BUSY if kind == "GET" and "2.jsonl" in path else None
    with pytest.raises(RetryableError, match="the same command goes on"):
        audited(tmp_path / "b", address, LocalEngine(1))
    seen = SeenInputs(tmp_path / "b" / "run" / "cache" / "inputs.jsonl")
    done = [shard.name for shard in plan([address]) if seen.digest(shard)]
    assert "2.jsonl" not in done
    flaky.requests.clear()
    flaky.fault = lambda kind, path, number: {2: CUT, 0: RESET}.get(number % 3) if kind == "GET" else None
    disturbed = audited(tmp_path / "b", address, Here(1))
    assert parts(disturbed) == parts(undisturbed)
    assert without_place(tables(disturbed)) == without_place(tables(undisturbed))
    read_again = {path.rpartition("/")[2] for method, path in flaky.requests if method == "GET"}
    assert "2.jsonl" in read_again
    assert not read_again.intersection(done)
    for secret in (b"AKIAEXAMPLETESTS", b"example-secret-of-the-tests"):
        assert not any(secret in path.read_bytes() for path in disturbed.folder.rglob("*") if path.is_file())


def test_objects_that_come_late_or_are_gone_are_in_the_accounting(stored, flaky, tmp_path):
    _, address = stored
    flaky.listing = lambda xml, number: with_another(
        without(xml, "3.jsonl") if number <= 2 else xml, "1.jsonl", "gone.jsonl"
    )
    accounting = audited(tmp_path, address, Here(1)).scorecard()["accounting"]
    assert accounting["left_out"] == {"files": 1, "bytes": len(lines(30, 75)), "suffixes": {".jsonl": 1}}
    assert (accounting["documents_in"], accounting["shards"]["failed"]) == (90, 1)
    assert "3.jsonl" in [shard.name for shard in plan([address])]
