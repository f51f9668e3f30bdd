"""Tasks that every engine is given; workers import them by name."""

import os
import signal
from dataclasses import dataclass

from audit.workers import meter


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


def map_within_a_map(engine) -> None:
    for _ in engine.map(square, [Job(1), Job(2)], lambda d, s: None):
        list(engine.map(square, [Job(1)], lambda d, s: None))
