"""From trials to a forecast: what a byte, a document and a shard cost, and what the whole then costs.

Reading and screening go by the bytes of each kind of file (``forecast_kinds``). Stages of the driver, and
sizes on disk, are a fixed part, a part for a shard and a part for a document, which the three trials tell
apart (least squares without negative terms).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from audit.duplicate_groups import MOST
from audit.forecast_blocks import kind_of, kinds
from audit.forecast_kinds import Kind, Range, estimate, first_use, per_shard, total
from audit.forecast_trials import BESIDE, Trial, Trials
from audit.model import Shard
from audit.stage_times import START_UP
from audit.store import ROW_GROUP_ROWS

#: Share of the resolving of near duplicates that its threads share out (docs/near_duplicates.md: 154.8 s
#: of CPU time took 98.9 s on two cores).
RESOLVE_PARALLEL = 0.72
#: Driver's memory for a document: its own, and pages of mapped files that the system can drop
#: (docs/near_duplicates.md: 36 and 228 MB a million).
DRIVER_BYTES, MAPPED_BYTES = 36, 228
#: Its working memory for each of the first documents, until the partitions of the duplicate search are full
#: (docs/forecast.md).
RAMP_BYTES, RAMP_DOCUMENTS = 1150, 262_144
#: Files of the duplicate search at its largest, for a document (docs/near_duplicates.md:
#: 3.5 GB for ten million).
SCRATCH_BYTES = 346
#: Memory of rows that wait until a row group is full.
PENDING_BYTES = 1500
_DUPLICATES = "resolve near_duplicates"
_HOUR = 3600.0


@dataclass(frozen=True)
class Cluster:
    """What the run gets.

    Attributes:
        nodes: Machines.
        cores: Of each; a worker each.
        price: Of a core-hour; None: not told.
        memory, disk: Bytes of the driver's machine, and free where the run folder will be.
        ours: It is the machine of the forecast: how busy that is counts.
    """

    nodes: int
    cores: int
    price: float | None
    memory: int
    disk: int
    ours: bool

    @property
    def workers(self) -> int:
        """Workers at once."""
        return self.nodes * self.cores


@dataclass(frozen=True)
class Forecast:
    """What the whole will cost.

    Attributes:
        shards, size: Of the corpus.
        documents, text_bytes: In it.
        stages: Stage -> seconds of wall time.
        wall, core_seconds: Seconds; core seconds are those that work, the price is of all cores all the time.
        cost: None without a price.
        worker_bytes, driver_bytes, driver_mapped_bytes: Memory at its peak.
        disk: Family of parts, file, ``scratch`` or ``texts`` -> bytes.
        disk_bytes: Of the finished run folder.
        busy: Wall seconds of a core for a second of its CPU time, as the machine was.
        limits: What breaks, and at how many documents, the first first.
    """

    shards: int
    size: int
    documents: Range
    text_bytes: float
    kinds: Sequence[Kind]
    stages: Mapping[str, float]
    wall: Range
    core_seconds: Range
    cost: Range | None
    worker_bytes: float
    driver_bytes: float
    driver_mapped_bytes: float
    disk: Mapping[str, float]
    disk_bytes: Range
    busy: float
    limits: Sequence[tuple[str, float]]


def predict(
    shards: Sequence[Shard], trials: Trials, cluster: Cluster, *, texts: int, probe_seconds: float
) -> Forecast:
    """Put the terms together.

    Args:
        shards: The whole corpus.
        trials: What was measured.
        cluster: Where the run will be.
        texts: Bytes that the private cache of texts may take.
        probe_seconds: The probes' budget.
    """
    found = [estimate(number, name, shards, trials) for number, name in enumerate(kinds(shards))]
    documents = Range.around(*total(found, lambda kind: (kind.documents, kind.documents_error)))
    screening, error = total(found, lambda kind: (kind.seconds, kind.seconds_error))
    busy, point = _busy(trials, cluster), _At(len(shards), documents.value, trials)
    stages = _stages(_costs(shards, found, trials, busy), point, cluster, busy, probe_seconds)
    wall = Range.around(sum(stages.values()), stages["screen"] * error / max(screening, 1e-9))
    disk = point.disk()
    per_document = sum(disk.values()) / max(1.0, documents.value)
    scratch = {"scratch (while resolving)": SCRATCH_BYTES * documents.value, "texts (private cache)": texts}
    return Forecast(
        len(shards),
        sum(shard.size for shard in shards),
        documents,
        sum(kind.size * kind.text for kind in found),
        found,
        stages,
        wall,
        Range.around(screening + point.working(cluster), error),
        None if cluster.price is None else wall.times(cluster.price * cluster.workers / _HOUR),
        _worker_bytes(trials, found, shards),
        _driver_bytes(trials, documents.value),
        MAPPED_BYTES * documents.value,
        disk | scratch,
        documents.times(per_document),
        busy,
        _limits(trials, cluster, per_document),
    )


def _costs(shards: Sequence[Shard], found: Sequence[Kind], trials: Trials, busy: float) -> list[float]:
    """Wall seconds of a worker for each shard."""
    fixed, of = per_shard(trials), {kind.name: kind for kind in found}
    return [
        busy * (fixed + shard.size * of[kind_of(shard)].seconds) + shard.size * of[kind_of(shard)].waiting
        for shard in shards
    ]


def _busy(trials: Trials, cluster: Cluster) -> float:
    """Wall time of a worker for its CPU time; 1 for another machine, which is taken to be idle."""
    if not cluster.ours:
        return 1.0
    spent = sum(seconds for stage, seconds in trials.all.workers.items() if stage not in (START_UP, "slice"))
    start = trials.all.workers.get(START_UP, 0.0)
    pool = min(trials.pool, trials.all.shards)
    return max(1.0, trials.all.screen_wall * pool / (spent + start))


@dataclass(frozen=True)
class _At:
    """The terms of the trials at a number of shards and documents."""

    shards: int
    documents: float
    trials: Trials

    def of(self, values: Callable[[Trial], float]) -> float:
        """A value of the trials: a fixed part, one for a shard, one for a document."""
        trials = (self.trials.one, self.trials.tiny, self.trials.all)
        terms = np.array([[1.0, trial.shards, trial.documents] for trial in trials])
        scale = terms.max(axis=0)
        found, _ = nnls(terms / scale, np.array([values(trial) for trial in trials]))
        return float(found / scale @ np.array([1.0, self.shards, self.documents]))

    def workers(self, stage: str) -> float:
        return self.of(lambda trial: trial.workers.get(stage, 0.0))

    def driver_stages(self) -> dict[str, float]:
        return {stage: self.of(_driver(stage)) for stage in self.trials.all.driver}

    def start_up(self) -> float:
        """CPU seconds of a worker until it works."""
        pool = min(self.trials.pool, self.trials.all.shards)
        return self.trials.all.workers.get(START_UP, 0.0) / pool + first_use(self.trials)

    def working(self, cluster: Cluster) -> float:
        """CPU seconds of everything but what goes by the bytes."""
        pool = min(cluster.workers, self.shards)
        fixed = self.shards * per_shard(self.trials) + self.start_up() * pool
        return fixed + self.workers("slice") + sum(self.driver_stages().values())

    def disk(self) -> dict[str, float]:
        """Bytes by family and file; what lies beside the parts grows more slowly than the documents."""
        return {
            name: self.power(_family(name)) if name.startswith(BESIDE) else self.of(_family(name))
            for name in self.trials.all.disk
        }

    def power(self, values: Callable[[Trial], float]) -> float:
        """A value that grows by a power of the documents, at most by the first."""
        one, everything = self.trials.one, self.trials.all
        low, high = values(one), values(everything)
        if low <= 0 or high <= low or everything.documents <= one.documents:
            return high
        exponent = min(1.0, np.log(high / low) / np.log(everything.documents / one.documents))
        return float(high * (max(self.documents, 1.0) / everything.documents) ** exponent)


def _driver(stage: str) -> Callable[[Trial], float]:
    return lambda trial: trial.driver.get(stage, 0.0)


def _family(name: str) -> Callable[[Trial], float]:
    return lambda trial: float(trial.disk.get(name, 0))


def _stages(
    costs: Sequence[float], point: _At, cluster: Cluster, busy: float, probe_seconds: float
) -> dict[str, float]:
    """Wall seconds by stage, in the order of the run."""
    driver = point.driver_stages()
    if _DUPLICATES in driver:
        driver[_DUPLICATES] *= 1 - RESOLVE_PARALLEL * (1 - 1 / cluster.cores)
    driver.pop("screen", None)  # while the workers screen
    screen = _makespan(costs, cluster.workers) + busy * point.start_up()
    slicing = busy * point.workers("slice") / cluster.workers
    rest = {stage: busy * seconds for stage, seconds in driver.items()}
    rest["slice"] = rest.get("slice", 0.0) + slicing
    rest["probe"] = rest.get("probe", 0.0) + probe_seconds
    return {"start": busy * point.trials.start, "screen": screen, **rest}


def _makespan(costs: Sequence[float], workers: int) -> float:
    """When the last of the workers is done, each taking the next shard when it is free."""
    free = [0.0] * max(1, min(workers, len(costs)))
    for cost in costs:
        heapq.heapreplace(free, free[0] + cost)
    return max(free)


def _worker_bytes(trials: Trials, found: Sequence[Kind], shards: Sequence[Shard]) -> float:
    """Peak of a worker: as in the trial, and the rows of a longer shard that wait to be written."""
    of = {kind.name: kind for kind in found}
    longest = max((shard.size * of[kind_of(shard)].documents for shard in shards), default=0.0)
    seen = sum(block.documents for block in trials.blocks if block.copy in trials.joined)
    rows = max(0.0, min(float(ROW_GROUP_ROWS), longest) - max(seen, 1))
    return trials.all.worker_peak + PENDING_BYTES * rows


def _driver_bytes(trials: Trials, documents: float) -> float:
    ramp = min(documents, RAMP_DOCUMENTS) - min(trials.all.documents, RAMP_DOCUMENTS)
    return trials.all.driver_peak + RAMP_BYTES * max(0.0, ramp) + DRIVER_BYTES * documents


def _limits(trials: Trials, cluster: Cluster, disk: float) -> list[tuple[str, float]]:
    """Documents at which something breaks, the first first."""
    memory = max(0.0, cluster.memory - _driver_bytes(trials, RAMP_DOCUMENTS)) / DRIVER_BYTES
    found = [
        ("the driver's memory", memory),
        ("the disk of the run folder", cluster.disk / max(1.0, disk + SCRATCH_BYTES)),
        ("documents of a run are numbered in 32 bits", float(MOST)),
    ]
    return sorted(found, key=lambda limit: limit[1])
