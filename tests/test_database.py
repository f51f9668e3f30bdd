"""The tables and views that users query, from anywhere."""

import json
import subprocess
import sys

import duckdb
import pytest

from audit import database
from audit.workers import memory

CONTRACT = {
    "shards": "shard, uri, bytes, digest, documents, rejected, status",
    "rejects": "shard, position, reason, detail",
    "documents": "doc_id, shard, position, url, domain, source, timestamp, language, language_score, "
    "n_chars, n_words, n_tokens, text_digest, toxicity_score, pii_findings",
    "findings": "doc_id, screen, kind, start, end, score, severity, preview, value_hash",
    "duplicates": "doc_id, cluster_id, representative, jaccard, exact",
    "evaluations": "shard, screen, evaluated, skipped, failed, reason",
    "strata": "phase, stratum, design, documents, tokens, drawn",
    "samples": "doc_id, phase, stratum, inclusion_probability, draw",
    "judgements": "doc_id, question, label, severity, reviewer, seconds, at",
    "estimates": "metric, slice, value, low, high, n, confidence, method",
    "gates": "gate, metric, slice, limit, severity, outcome, reason",
}


@pytest.mark.parametrize("table", CONTRACT)
def test_tables_have_the_columns_that_users_hold_on_to(standing, table):
    with standing.connect() as db:
        found = [row[0] for row in db.execute(f"DESCRIBE {table}").fetchall()]
    assert set(CONTRACT[table].split(", ")) <= set(found)


def test_views_answer_from_another_working_directory(standing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with standing.connect() as db:
        assert db.execute("SELECT count(*) FROM documents").fetchone() == (72,)
        assert db.execute("SELECT count(*) FROM findings").fetchone()[0] > 0


def test_views_answer_in_duckdb_started_in_the_run_folder(standing):
    code = """
import duckdb, json
db = duckdb.connect("audit.duckdb", read_only=True)
names = ("documents", "findings", "duplicates", "rejects", "slices", "cells")
print(json.dumps({name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=standing.folder, capture_output=True, text=True, check=True
    )
    counts = json.loads(done.stdout)
    assert counts["documents"] == counts["slices"] == 72
    assert counts["duplicates"] == 2
    assert counts["rejects"] == 0


def test_every_finding_sample_and_copy_belongs_to_a_document(standing):
    with standing.connect() as db:
        for table in ("findings", "samples", "duplicates"):
            strays = f"SELECT count(*) FROM {table} WHERE doc_id NOT IN (SELECT doc_id FROM documents)"
            assert db.execute(strays).fetchone() == (0,), table


def test_a_run_answers_read_only(standing):
    with standing.connect() as db, pytest.raises(duckdb.InvalidInputException, match="read-only"):
        db.execute("DELETE FROM samples")


def test_a_database_holds_what_the_run_may_take_and_no_more(standing, tmp_path):
    def limit(db):
        return db.execute("SELECT current_setting('memory_limit')").fetchone()[0]

    with database.connect(standing.folder) as db:
        assert limit(db) == "1.0 GiB"
    with database.connect(standing.folder, memory.parse_size("1GiB")) as db:
        assert limit(db) == "512.0 MiB"
    with database.workbench(tmp_path / "scratch", memory.parse_size("8GiB")) as db:
        assert limit(db) == "256.0 MiB"
        assert db.execute("SELECT count(*) FROM slice_counts").fetchone() == (0,)
        # more than it may hold, so that it has to go to files
        grouped = "SELECT md5(i::VARCHAR) AS a, md5((i + 1)::VARCHAR) AS b FROM range(3_000_000) AS t(i)"
        counted = f"SELECT count(*) FROM (SELECT a, any_value(b) FROM ({grouped}) GROUP BY a)"
        assert db.execute(counted).fetchone() == (3_000_000,)
    assert list((tmp_path / "scratch").iterdir()) == []
