"""What a killed, starved or interrupted run leaves, and what the same command makes of it."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import page
from tests.test_pipeline import parts, tables

SHARDS = 24


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A corpus of many small shards, so that a kill falls between some of them."""
    folder = tmp_path / "many"
    folder.mkdir()
    for shard in range(SHARDS):
        rows = [{"id": f"{shard}-{n}", "text": page(shard * 60 + n)} for n in range(60)]
        (folder / f"{shard:02}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "copy.jsonl").write_bytes((folder / "03.jsonl").read_bytes())
    return folder


def command(folder: Path, out: Path, workers: int = 2) -> list[str]:
    config = folder.with_name("audit.yaml")
    config.write_text(f"corpus: {{name: test, inputs: [{folder}]}}\nsampling: {{size: 20}}\n")
    return [
        sys.executable,
        "-m",
        "audit.cli",
        "run",
        str(config),
        "--out",
        str(out),
        "--workers",
        str(workers),
        "-q",
    ]


def committed(out: Path) -> int:
    return len(list(out.glob("parts/documents/*.parquet")))


def evidence(out: Path):
    from audit.run import Run

    run = Run(out)
    return parts(run), tables(run), (out / "scorecard.json").read_bytes()


def test_a_killed_run_resumes_to_the_same_evidence(many, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    started = subprocess.Popen(command(many, killed), start_new_session=True)
    deadline = time.monotonic() + 120
    while committed(killed) < 2 and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert 2 <= committed(killed) < SHARDS + 1, "the kill came too early or too late to prove anything"
    stamps = {path: path.stat().st_mtime_ns for path in killed.glob("parts/documents/*.parquet")}
    subprocess.run(command(many, killed), check=True)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    subprocess.run(command(many, whole, workers=1), check=True)
    assert evidence(killed) == evidence(whole)


def test_workers_die_with_their_driver(many, tmp_path):
    started = subprocess.Popen(command(many, tmp_path / "run"), start_new_session=True)
    deadline = time.monotonic() + 120
    while committed(tmp_path / "run") < 1 and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    time.sleep(0.5)
    before = committed(tmp_path / "run")
    time.sleep(1.0)
    assert committed(tmp_path / "run") == before


def test_a_full_disk_stops_the_run_and_loses_nothing(many, tmp_path):
    out = tmp_path / "run"

    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    failed = subprocess.run(command(many, out), preexec_fn=no_large_files, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "no space left" in failed.stderr
    subprocess.run(command(many, out), check=True)
    subprocess.run(command(many, tmp_path / "whole"), check=True)
    assert evidence(out) == evidence(tmp_path / "whole")
