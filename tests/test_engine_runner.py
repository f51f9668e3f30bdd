"""Stages over the whole corpus on the workers of an engine."""

from __future__ import annotations

import multiprocessing
import os
import signal

from hypothesis import given
from hypothesis import strategies as st

from audit.engine_runner import EngineRunner, grouped
from audit.engines.local import LocalEngine
from audit.workers.stage_times import Ledger


def _squared(value: int) -> tuple[int, int]:
    return value * value, os.getpid()


def _deadly(number: int) -> int:
    if number == 1 and multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_the_tasks_order_from_workers() -> None:
    ledger = Ledger()
    found = list(EngineRunner(LocalEngine(2), ledger, "count")(_squared, list(range(20))))
    assert [value for value, _ in found] == [value * value for value in range(20)]
    assert os.getpid() not in {process for _, process in found}
    assert ledger.workers["count"] >= 0


def test_a_task_that_kills_every_worker_runs_in_the_driver() -> None:
    assert list(EngineRunner(LocalEngine(1), Ledger(), "count")(_deadly, [0, 1, 2])) == [0, 1, 2]


@given(st.integers(0, 40_000), st.integers(1, 256))
def test_groups_are_neighbours_and_none_is_large(count: int, workers: int) -> None:
    groups = grouped(range(count), workers)
    assert [item for group in groups for item in group] == list(range(count))
    assert all(1 <= len(group) <= 64 for group in groups)
    assert len(groups) >= min(count, workers * 4)
