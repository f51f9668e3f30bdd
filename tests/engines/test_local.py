import os
import sys
import time

import pytest

from audit import meter
from audit.engines.local import LocalEngine
from audit.errors import ConfigurationError, FatalError
from audit.memory import MIB
from tests.engines.jobs import Job, die_on_three, square


def end(job: Job) -> int:
    """Ends, in a way of its own for each number, as what it calls may do."""
    if job.number == 1:
        time.sleep(60)
    if job.number == 2:
        raise MemoryError
    if job.number == 3:
        sys.exit(0)
    if job.number == 4:
        for _ in range(70):  # each step is short: only all of them together take their time
            meter.beat()
            time.sleep(0.05)
    return os.getpid()


def eat(job: Job) -> tuple[int, int]:
    """Holds so many MiB at once; a negative number never stops, but for the sake of the machine."""
    eaten = [b"x" * MIB for _ in range(job.number if job.number >= 0 else 4_000)]
    return os.getpid(), len(eaten)


def hoard(job: Job) -> int:
    _HOARD.append(b"x" * (job.number * MIB))
    return os.getpid()


_HOARD: list[bytes] = []


class Odd(Exception):
    """Cannot be read back from what it is written to."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)


def raise_odd(job: Job) -> int:
    raise Odd("one", "other")


def refuse(job: Job) -> int:
    raise ConfigurationError("no model", file="x.yaml", key="screens", remedy="Install it")


def test_every_task_has_an_outcome_and_progress_adds_up():
    seen = []
    outcomes = list(LocalEngine(2).map(square, [Job(n) for n in range(9)], lambda d, s: seen.append((d, s))))
    assert sorted(o.result for o in outcomes) == [n**2 for n in range(9)]
    assert sum(d for d, _ in seen) == 9
    assert sum(s for _, s in seen) == sum(range(9))


def test_a_worker_that_dies_costs_its_own_task_only():
    outcomes = {
        o.task.number: o
        for o in LocalEngine(2).map(die_on_three, [Job(n) for n in range(6)], lambda d, s: None)
    }
    assert sorted(outcomes) == list(range(6))
    assert outcomes[3].result is None
    assert "died" in outcomes[3].lost
    assert all(outcomes[n].result == n for n in (0, 1, 2, 4, 5))


def test_errors_of_the_library_reach_the_caller_whole():
    with pytest.raises(ConfigurationError) as caught:
        list(LocalEngine(1).map(refuse, [Job(1)], lambda d, s: None))
    assert caught.value.key == "screens"
    assert caught.value.exit_code == 2


def by_number(engine, function, numbers):
    outcomes = engine.map(function, [Job(n) for n in numbers], lambda d, s: None)
    return {outcome.task.number: outcome for outcome in outcomes}


def test_a_worker_that_hangs_or_ends_is_told_from_one_that_works():
    outcomes = by_number(LocalEngine(2, stall_seconds=3.0), end, range(5))
    assert [outcomes[n].result is None for n in range(5)] == [False, True, True, True, False]
    said = [outcomes[n].lost for n in (1, 2, 3)]
    assert said == [
        "its worker died twice (no progress in 3 s, run.stall_seconds)",
        "its worker died twice (out of memory, or killed)",
        "its worker died twice (exit status 0)",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_beyond_its_share_of_the_memory_is_ended():
    share = 200 * MIB
    outcomes = by_number(LocalEngine(2, share), eat, [10, -1, 20])
    assert outcomes[-1].result is None
    # On its own it could have had what both have together.
    assert outcomes[-1].lost == "its worker died twice (more than 400 MiB, its share of run.memory)"
    assert [outcomes[n].result[1] for n in (10, 20)] == [10, 20]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_grows_from_task_to_task_is_replaced_before_it_is_ended():
    outcomes = by_number(LocalEngine(1, 300 * MIB), hoard, range(20, 44))
    assert all(outcome.lost is None for outcome in outcomes.values())
    assert 3 <= len({outcome.result for outcome in outcomes.values()}) <= 12


def test_an_error_that_cannot_travel_says_so():
    with pytest.raises(FatalError, match=r"a worker failed \(Odd\)"):
        list(LocalEngine(1).map(raise_odd, [Job(1)], lambda d, s: None))


def test_no_worker_outlives_its_map():
    outcomes = LocalEngine(2).map(end, [Job(0), Job(1), Job(0)], lambda d, s: None)
    worker = next(iter(outcomes)).result
    assert worker is not None
    os.kill(worker, 0)
    outcomes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
