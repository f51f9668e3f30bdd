"""What a run spends where: laps, sums and the table."""

from __future__ import annotations

import json
import pickle
import time

import pytest

from audit import reports
from audit.engines.local import LocalEngine
from audit.workers import stage_times
from audit.workers.stage_times import START_UP, Ledger, StageClock, Timing


def burn(seconds):
    """Use so much CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return seconds


def test_a_lap_goes_to_the_stage_that_it_ends():
    clock = StageClock()
    burn(0.02)
    clock.lap("read")
    burn(0.01)
    clock.lap("screen")
    clock.lap("read")
    assert set(clock.seconds) == {"read", "screen"}
    assert clock.seconds["read"] >= 0.02
    assert 0.01 <= clock.seconds["screen"] < 1


def test_sleep_costs_nothing():
    clock = StageClock()
    time.sleep(0.05)
    clock.lap("sleep")
    assert clock.seconds["sleep"] < 0.04


def test_the_first_clock_of_a_process_counts_its_start():
    stage_times.begin_with_process()
    first, second = StageClock(), StageClock()
    assert first.seconds[START_UP] > 0.1  # this process imported much
    assert not second.seconds


def test_a_worker_tells_its_start_up_once_and_its_memory():
    timing = Timing("burn", burn)
    assert pickle.loads(pickle.dumps(timing)) == timing  # noqa: S301 - our own
    outcomes = list(LocalEngine(1).map(timing, [0.01, 0.02], lambda documents, size: None))
    results = [outcome.result for outcome in outcomes]
    assert sorted(result.result for result in results) == [0.01, 0.02]
    assert all(result.seconds["burn"] >= result.result for result in results)
    assert sum(START_UP in result.seconds for result in results) == 1
    assert all(result.peak_bytes > 10_000_000 for result in results)


def test_rows_add_up():
    ledger = Ledger()
    ledger.take({START_UP: 1.0, "read": 2.0, "pii": 5.0}, text_bytes=4_000_000, peak_bytes=7)
    ledger.take({"read": 2.0}, text_bytes=6_000_000, peak_bytes=5)
    ledger.lap("plan")
    entry = json.loads(json.dumps(ledger.entry()))
    rows = {(row.where, row.stage): row for row in stage_times.table(entry)}
    assert [stage for where, stage in rows if where == "worker"] == [START_UP, "pii", "read"]
    assert rows["worker", "read"].megabytes_per_second == pytest.approx(10 / 4)
    assert rows["worker", "pii"].hours_per_terabyte == pytest.approx(5 / 3600 / 10e6 * 1e12)
    assert rows["all", "all"].seconds == pytest.approx(10.0, abs=0.1)
    assert sum(row.share for row in rows.values()) == pytest.approx(2)
    assert entry["worker_peak_bytes"] == 7
    assert any("worker: read" in line for line in stage_times.lines(entry))


def test_without_text_there_are_no_rates():
    ledger = Ledger()
    ledger.lap("plan")
    assert all(row.hours_per_terabyte is None for row in stage_times.table(ledger.entry()))
    assert stage_times.lines(ledger.entry())


def test_a_run_tells_its_stages_and_keeps_them_out_of_the_results(standing):
    told = [entry.data for entry in standing.journal.read() if entry.event == "spent"][-1]
    assert {"read", "facts", "write", "canaries", "slice", "language"} <= set(told["workers"])
    assert {"plan", "screen", "evaluate"} <= set(told["driver"])
    assert told["text_bytes"] > 0
    kept = (standing.folder / "parts" / reports.FILE).read_text()
    assert "seconds" not in kept
    assert "text_bytes" not in kept
