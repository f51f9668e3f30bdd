"""What a killed, starved or interrupted command leaves, and what the same command makes of it."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import key_file, page
from tests.test_pipeline import parts, tables

SHARDS = 16
#: Of each kind one: facts, a key in use, a corpus-wide screen.
SCREENS = "{language: {}, pii: {}, exact_duplicates: {}}"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A corpus of many small shards, so that a kill falls between some of them."""
    folder = tmp_path_factory.mktemp("resume") / "many"
    folder.mkdir()
    for shard in range(SHARDS - 1):
        rows = [{"id": f"{shard}-{n}", "text": page(shard * 60 + n)} for n in range(60)]
        (folder / f"{shard:02}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "copy.jsonl").write_bytes((folder / "03.jsonl").read_bytes())
    return folder


@pytest.fixture(scope="module")
def whole(many, tmp_path_factory):
    """The evidence of an undisturbed run."""
    environment = {**os.environ, "AUDIT_HMAC_KEY_FILE": key_file(tmp_path_factory)}
    out = many.with_name("whole")
    subprocess.run(command(many, out, workers=1), check=True, env=environment)
    return evidence(out)


def command(folder: Path, out: Path, workers: int = 2) -> list[str]:
    config = folder.with_name("audit.yaml")
    config.write_text(
        f"corpus: {{name: test, inputs: [{folder}]}}\nscreens: {SCREENS}\nsampling: {{size: 20}}\n"
    )
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


def committed(out: Path, family: str = "documents") -> int:
    return len(list(out.glob(f"parts/{family}/*.parquet")))


def evidence(out: Path):
    from audit.run import Run

    run = Run(out)
    return parts(run), tables(run), (out / "scorecard.json").read_bytes()


def wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.005)


def children(process: int) -> list[int]:
    """The living descendants of a process (Linux)."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(each) for each in text.split()]


def gone(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def interrupted(many, out, number, moment):
    """Start the command, end its driver when the moment comes; all that it started is gone."""
    driver = subprocess.Popen(command(many, out), start_new_session=True, stderr=subprocess.DEVNULL)
    wait_for(lambda: moment() or driver.poll() is not None)
    workers = children(driver.pid)
    driver.send_signal(number)
    assert driver.wait(20) == {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 128 + signal.SIGTERM}[number]
    assert workers
    wait_for(lambda: all(map(gone, workers)), 10.0)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for child processes in /proc")
def test_whenever_a_run_is_stopped_it_resumes_to_the_same_evidence(many, whole, tmp_path):
    """Killed at the beginning, terminated in the middle, killed once slicing has begun."""
    out = tmp_path / "run"
    interrupted(many, out, signal.SIGKILL, lambda: committed(out) >= 1)
    assert 1 <= committed(out) < SHARDS, "the kill came too late to prove anything"
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("parts/documents/*.parquet")}
    before = committed(out)
    interrupted(many, out, signal.SIGTERM, lambda: committed(out) > before)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    interrupted(many, out, signal.SIGKILL, lambda: committed(out, "slices") >= 1)
    assert committed(out) == SHARDS
    assert not (out / "scorecard.json").exists()
    subprocess.run(command(many, out), check=True)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert evidence(out) == whole


def test_a_full_disk_stops_the_run_and_loses_nothing(many, whole, tmp_path):
    out = tmp_path / "run"

    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    failed = subprocess.run(command(many, out), preexec_fn=no_large_files, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "no space left" in failed.stderr
    subprocess.run(command(many, out), check=True)
    assert evidence(out) == whole
