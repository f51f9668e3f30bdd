"""Each kind of bad input gets a counted reject or a clear error, and nothing else is lost."""

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.errors import ConfigurationError
from tests.conftest import key_file, page


def lines(count: int, name: str) -> bytes:
    return b"".join(json.dumps({"id": f"{name}{n}", "text": page(n)}).encode() + b"\n" for n in range(count))


@pytest.fixture(scope="module")
def menagerie(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("menagerie")
    good = lines(5, "good")
    (folder / "truncated.jsonl.gz").write_bytes(gzip.compress(lines(400, "cut"), mtime=0)[:-200])
    records = [
        b'{"id": "broken", "text": ',
        b"[1, 2]",
        b'{"id": "no text"}',
        b'{"id": "number", "text": 7}',
        b'{"id": "bytes", "text": "caf\xe9"}',
        b'{"id": "lone", "text": "a \\ud800 surrogate"}',
        b'{"id": "nul", "text": "a \\u0000 byte in a sentence of its own"}',
        b'{"id": "empty", "text": ""}',
        b'{"id": "twice", "text": "The first page under this id."}',
        b'{"id": "twice", "text": "The second page under this id."}',
        json.dumps({"id": "emoji", "text": "\U0001f600" * 1_000_000}).encode(),
        json.dumps({"id": "huge", "text": ("A sentence of a very long page. " * 1_600_000)}).encode(),
    ]
    (folder / "records.jsonl").write_bytes(good + b"\n".join(records) + b"\n" + lines(3, "after"))
    (folder / "empty.jsonl").write_bytes(b"")
    pq.write_table(pa.table({"body_html": ["no text column"]}), folder / "other.parquet")
    (folder / "damaged.parquet").write_bytes(b"PAR1 not a Parquet file PAR1")
    return folder


@pytest.fixture(scope="module")
def outcome(menagerie, tmp_path_factory):
    from audit import config as configuration
    from audit import pipeline
    from audit.progress import Quiet
    from audit.run import Run
    from audit.stages.request import Request
    from tests.engine_here import EngineHere

    os.environ["AUDIT_HMAC_KEY_FILE"] = key_file(tmp_path_factory)
    gates = [{"name": "copies", "metric": "duplicates.documents", "limit": 1.0}]
    config = configuration.parse({"corpus": {"name": "menagerie"}, "policy": {"gates": gates}})
    run = Run(tmp_path_factory.mktemp("out") / "run")
    request = Request(config, menagerie, (str(menagerie),))
    return run, pipeline.audit(request, run, EngineHere(), Quiet())


def test_every_record_is_accounted_for(outcome):
    run, _ = outcome
    with run.connect() as db:
        rejects = dict(db.execute("SELECT reason, count(*) FROM rejects GROUP BY 1").fetchall())
        kept = {row[0] for row in db.execute("SELECT doc_id FROM documents").fetchall()}
        rows = db.execute("SELECT name, status, reason FROM shards").fetchall()
    shards = {name: (status, reason) for name, status, reason in rows}
    assert rejects == {
        "invalid_json": 1,
        "not_an_object": 1,
        "missing_text": 1,
        "text_not_string": 1,
        "invalid_utf8": 1,
        "lone_surrogate": 1,
        "empty": 1,
    }
    assert {"good0", "good4", "after0", "after2", "nul", "emoji", "huge", "twice"} <= kept
    assert sum(name.startswith("twice#") for name in kept) == 1
    assert shards["truncated.jsonl.gz"][0] == "truncated"
    assert shards["empty.jsonl"] == ("complete", None)
    assert shards["other.parquet"][0] == "failed"
    assert "body_html" in shards["other.parquet"][1]
    assert shards["damaged.parquet"][0] == "failed"
    assert sum(name.startswith("cut") for name in kept) > 100


def test_no_go_comes_out_of_a_corpus_that_was_not_read(outcome):
    _, verdict = outcome
    assert verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert "more than the 1% allowed" in verdict.reason


def test_what_a_screen_gave_up_on_is_not_clean(outcome):
    run, _ = outcome
    with run.connect() as db:
        rows = db.execute(
            "SELECT screen, sum(evaluated + skipped + failed) FROM evaluations GROUP BY screen"
        ).fetchall()
        documents = db.execute("SELECT sum(documents) FROM shards").fetchone()[0]
    assert rows
    assert {count for _, count in rows} == {documents}


def test_an_input_that_matches_nothing_is_named(run_audit, tmp_path):
    with pytest.raises(ConfigurationError, match=r"nothing-here"):
        run_audit([str(tmp_path / "nothing-here" / "*.jsonl")])


def test_an_unreadable_file_is_counted_and_the_rest_goes_on(run_audit, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(lines(3, "a"))
    # Unreadable even for root, who ignores file modes: a link into nowhere.
    (folder / "b.jsonl").symlink_to(tmp_path / "gone.jsonl")
    card = run_audit(folder).run.scorecard()
    assert card["accounting"]["screened"] == 3
    assert card["accounting"]["shards"]["failed"] == 1
