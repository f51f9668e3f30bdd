import os
import signal
import sys
import time
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

import pytest

from audit.engines import CORES, Needs
from audit.engines.local import LocalEngine
from audit.errors import ConfigurationError, FatalError
from audit.workers import meter
from audit.workers.memory import MIB
from audit.workers.stage_times import START_UP, Timing
from audit.workers.worker_pool import Worker, first_worker
from tests.engines.jobs import Job, die_on_three, map_within_a_map, square


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


def process(job: Job) -> int:
    return os.getpid()


def loaded(job: Job) -> tuple[int, int]:
    return os.getpid(), len(_HOARD)


def load(mebibytes: int) -> None:
    _HOARD.append(b"x" * (mebibytes * MIB))


def fail() -> None:
    raise RuntimeError("nothing to load")


def alive(processes) -> set[int]:
    running = set()
    for number in processes:
        with suppress(ProcessLookupError):
            os.kill(number, 0)
            running.add(number)
    return running


def results(engine, function, numbers, needs=CORES):
    outcomes = engine.map(function, [Job(n) for n in numbers], lambda d, s: None, needs)
    return {outcome.result for outcome in outcomes}


def kill(number: int) -> None:
    """Kill a process, and wait until it has ended."""
    os.kill(number, signal.SIGKILL)
    while ") Z " not in Path(f"/proc/{number}/stat").read_text():
        time.sleep(0.01)


def test_workers_stay_for_the_next_map_and_none_outlives_the_context():
    seen = []
    with LocalEngine(1) as engine:
        first = results(engine, process, range(3))
        assert results(engine, process, range(3)) == first
        list(engine.map(square, [Job(n) for n in (2, 3)], lambda d, s: seen.append((d, s))))
        list(engine.map(square, [Job(n) for n in (4, 5)], lambda d, s: seen.append((d, s))))
        assert alive(first) == first
    assert not alive(first)
    assert (sum(d for d, _ in seen), sum(s for _, s in seen)) == (4, 14)


def test_a_process_tells_its_start_up_once_over_all_maps():
    with LocalEngine(1) as engine:
        told = [o.result.seconds for _ in range(2) for o in engine.map(TIMED, [Job(1)], lambda d, s: None)]
    assert [START_UP in seconds for seconds in told] == [True, False]


TIMED = Timing("square", square)


def test_idle_time_is_no_stall():
    with LocalEngine(1, stall_seconds=0.4) as engine:
        first = results(engine, process, [0])
        time.sleep(0.9)
        assert results(engine, process, [0]) == first


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_dies_idle_costs_no_task_a_try():
    with LocalEngine(1) as engine:
        (first,) = results(engine, process, [0])
        kill(first)
        (outcome,) = engine.map(process, [Job(0)], lambda d, s: None)
        assert outcome.result not in (None, first)


def test_what_a_given_up_map_was_at_ends_and_the_others_stay():
    with LocalEngine(2) as engine:
        outcomes = engine.map(end, [Job(0), Job(1)], lambda d, s: None)
        idle = next(outcomes).result
        outcomes.close()
        assert results(engine, process, [0]) == {idle}
        with pytest.raises(ConfigurationError):
            list(engine.map(refuse, [Job(1)], lambda d, s: None))
        assert results(engine, process, [0]) == {idle}


def test_a_death_leaves_an_engine_that_works():
    with LocalEngine(2) as engine:
        outcomes = {o.task.number: o for o in engine.map(die_on_three, [Job(3), Job(4)], lambda d, s: None)}
        assert "died twice" in outcomes[3].lost
        assert outcomes[4].result == 4
        processes = results(engine, process, range(4))
        assert alive(processes) == processes
    assert not alive(processes)


def test_no_worker_outlives_an_interrupted_context():
    with LocalEngine(2) as engine, suppress(KeyboardInterrupt):
        for outcome in engine.map(end, [Job(0), Job(1)], lambda d, s: None):
            worker = outcome.result
            raise KeyboardInterrupt
    assert not alive({worker})


@pytest.mark.parametrize("opened", [True, False])
def test_a_map_within_a_map_is_refused_and_the_next_is_not(opened):
    engine = LocalEngine(1)
    with engine if opened else nullcontext():
        with pytest.raises(FatalError, match="while another one"):
            map_within_a_map(engine)
        assert results(engine, square, [3]) == {9}
        # Tasks that come of another map are taken before there is a second one.
        tasks = (Job(o.result) for o in engine.map(square, [Job(2)], lambda d, s: None))
        assert [o.result for o in engine.map(square, tasks, lambda d, s: None)] == [16]


def test_workers_of_other_needs_are_let_go():
    with LocalEngine(1) as engine:
        first = results(engine, process, [0])
        other = results(engine, process, [0], Needs(gpu_memory=1))
        assert not first & other
        assert not alive(first)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_holds_half_its_share_is_replaced_before_the_next_map():
    with LocalEngine(1, 400 * MIB) as engine:
        (first,) = results(engine, hoard, [20])
        assert results(engine, hoard, [120]) == {first}
        assert results(engine, process, [0]) != {first}


def test_a_first_worker_prepares_itself_and_takes_tasks():
    before = dict(os.environ)
    with LocalEngine(2, first=first_worker(partial(load, 1))) as engine:
        assert dict(os.environ) == before
        ((number, held),) = results(engine, loaded, [0])
        assert (number, held) == (engine.first.process.pid, 1)
    assert not alive({number})


def test_a_preparation_that_fails_or_kills_costs_nothing():
    with LocalEngine(1, first=first_worker(fail)) as engine:
        assert results(engine, process, [0]) == {engine.first.process.pid}
    dead: Worker = first_worker(partial(os._exit, 3))
    dead.process.join(30)
    with LocalEngine(1, first=dead) as engine:
        (outcome,) = engine.map(process, [Job(0)], lambda d, s: None)
        assert outcome.lost is None
