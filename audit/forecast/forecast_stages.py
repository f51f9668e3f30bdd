"""What stages cost at the size of the whole corpus, and how long they take on a cluster.

A stage over the whole corpus is partly the driver's, one thread, and partly tasks that it gives to the
workers: over groups of shards (``engine_runner.grouped``), or over partitions of the documents. Which, and
what it costs, the trials tell, for whatever stages there are: a value is a fixed part, a part for a shard
and a part for a document, which the three trials tell apart.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from audit.duplicates.exchange import partition_bits, stretch_of
from audit.engine_runner import grouped
from audit.forecast.forecast_kinds import first_use, per_shard
from audit.forecast.forecast_recording import BESIDE, Wave
from audit.forecast.forecast_trials import Trial, Trials

#: The driver's stage that waits for the workers to screen.
SCREEN = "screen"


class _Difference(NamedTuple):
    """How two trials differ."""

    shards: int
    documents: int
    value: float


@dataclass(frozen=True)
class At:
    """The terms of the trials at a number of shards and documents."""

    shards: int
    documents: float
    trials: Trials

    def of(self, values: Callable[[Trial], float]) -> float:
        """A value of the trials: a fixed part, one for a shard, one for a document."""
        one, tiny, everything = self.trials.one, self.trials.tiny, self.trials.all
        shard, document = _slopes(_beyond(one, tiny, values), _beyond(one, everything, values))
        fixed = max(0.0, values(one) - shard * one.shards - document * one.documents)
        return fixed + shard * self.shards + document * self.documents

    def power(self, values: Callable[[Trial], float]) -> float:
        """A value that grows by a power of the documents, at most by the first."""
        one, everything = self.trials.one, self.trials.all
        low, high = values(one), values(everything)
        if low <= 0 or high <= low or everything.documents <= one.documents:
            return high
        exponent = min(1.0, np.log(high / low) / np.log(everything.documents / one.documents))
        return float(high * (max(self.documents, 1.0) / everything.documents) ** exponent)

    def driver_stages(self) -> dict[str, float]:
        """CPU seconds of the driver by stage, with what it loads once."""
        loading = self.trials.loading
        return {stage: self.of(_driver(stage)) + loading.get(stage, 0.0) for stage in self.trials.all.driver}

    def worker_stages(self) -> dict[str, float]:
        """CPU seconds of the workers by stage over the whole corpus."""
        stages = dict.fromkeys(wave.stage for wave in self.trials.all.waves)
        return {stage: self.of(_spread(stage)) for stage in stages}

    def start_up(self) -> float:
        """CPU seconds of a worker until it works."""
        pool = min(self.trials.pool, self.trials.all.shards)
        return self.trials.all.start_up / pool + first_use(self.trials)

    def working(self, workers: int) -> float:
        """CPU seconds of everything but what goes by the bytes."""
        pool = min(workers, self.shards)
        fixed = self.trials.start + self.shards * per_shard(self.trials) + self.start_up() * pool
        return fixed + sum(self.worker_stages().values()) + sum(self.driver_stages().values())

    def disk(self) -> dict[str, float]:
        """Bytes by family and file; what lies beside the parts grows more slowly than the documents."""
        return {
            name: self.power(_family(name)) if name.startswith(BESIDE) else self.of(_family(name))
            for name in self.trials.all.disk
        }

    def rounds(self, stage: str, workers: int) -> float:
        """Wall seconds of a stage's tasks for a CPU second of them, when workers take one after the other."""
        waves = [wave for wave in self.trials.all.waves if wave.stage == stage]
        spent = sum(wave.seconds for wave in waves)
        if not spent:
            return 1.0
        partitions = partitions_of(self.trials.all.documents)
        shares = (_share(self._tasks(wave, partitions, workers), workers) * wave.seconds for wave in waves)
        return sum(shares) / spent

    def _tasks(self, wave: Wave, partitions: int, workers: int) -> int:
        """How many tasks a wave of the trial becomes: one a partition, or one a group of shards."""
        if wave.tasks <= partitions:
            return max(wave.tasks, partitions_of(self.documents))
        return max(1, len(grouped(range(self.shards), workers)))


def _beyond(one: Trial, other: Trial, values: Callable[[Trial], float]) -> _Difference:
    return _Difference(
        other.shards - one.shards, other.documents - one.documents, values(other) - values(one)
    )


def _slopes(tiny: _Difference, everything: _Difference) -> tuple[float, float]:
    """What a shard and a document cost, none less than nothing.

    Where a shard would cost less, the trial of many documents tells by itself what a document costs: what a
    few documents save (a smaller sample, say) does not grow with the corpus.
    """
    terms = np.array([[tiny.shards, tiny.documents], [everything.shards, everything.documents]])
    solved = everything.documents > 0 and np.linalg.matrix_rank(terms) == 2
    shard, document = np.linalg.solve(terms, [tiny.value, everything.value]) if solved else (0.0, -1.0)
    if document < 0:
        return max(0.0, tiny.value / tiny.shards), 0.0
    if shard < 0:
        return 0.0, max(0.0, everything.value / everything.documents)
    return float(shard), float(document)


def partitions_of(documents: float) -> int:
    """Partitions in which records of so many documents meet (``exchange``)."""
    count = int(documents)
    return 1 << partition_bits(count, stretch_of(count))


def _share(tasks: int, workers: int) -> float:
    return math.ceil(tasks / workers) / tasks


def _driver(stage: str) -> Callable[[Trial], float]:
    return lambda trial: trial.driver.get(stage, 0.0)


def _spread(stage: str) -> Callable[[Trial], float]:
    return lambda trial: sum(wave.seconds for wave in trial.waves if wave.stage == stage)


def _family(name: str) -> Callable[[Trial], float]:
    return lambda trial: float(trial.disk.get(name, 0))


def wall_times(
    costs: Sequence[float], point: At, workers: int, busy: float, probe_seconds: float
) -> dict[str, float]:
    """Wall seconds by stage, in the order of the run; what only workers do comes last.

    Args:
        costs: Wall seconds of a worker for the screening of each shard.
        point: The whole corpus.
        workers: At once.
        busy: Wall seconds for a CPU second.
        probe_seconds: The probes' budget.
    """
    found = {"start": busy * point.trials.start}
    found |= {stage: busy * seconds for stage, seconds in point.driver_stages().items()}
    for stage, seconds in point.worker_stages().items():
        found[stage] = found.get(stage, 0.0) + busy * seconds * point.rounds(stage, workers)
    found[SCREEN] = makespan(costs, workers) + busy * point.start_up()  # meanwhile the driver waits
    found["probe"] = found.get("probe", 0.0) + probe_seconds
    return found


def makespan(costs: Sequence[float], workers: int) -> float:
    """When the last of the workers is done, each taking the next task when it is free."""
    free = [0.0] * max(1, min(workers, len(costs)))
    for cost in costs:
        heapq.heapreplace(free, free[0] + cost)
    return max(free)
