import os
import signal
from dataclasses import dataclass

import pytest

from audit import meter
from audit.engines.local import LocalEngine
from audit.errors import ConfigurationError


@dataclass(frozen=True)
class Job:
    number: int


def square(job: Job) -> int:
    meter.advance(1, job.number)
    return job.number**2


def die_on_three(job: Job) -> int:
    if job.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return job.number


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
