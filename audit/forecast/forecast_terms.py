"""From trials to a forecast: what a byte, a document and a shard cost, and what the whole then costs.

Reading and screening go by the bytes of each kind of file (``forecast_kinds``), all later stages and sizes on
disk by shards and documents (``forecast_stages``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.duplicates.duplicate_groups import MOST
from audit.forecast.forecast_blocks import kind_of, kinds
from audit.forecast.forecast_kinds import Kind, Range, estimate, per_shard, total
from audit.forecast.forecast_stages import SCREEN, At, makespan, wall_times
from audit.forecast.forecast_trials import Trials
from audit.model import Shard
from audit.storage.store import ROW_GROUP_ROWS

#: Driver's memory for a document while it looks for near duplicates (docs/forecast.md).
DRIVER_BYTES = 25
#: What it holds there, whatever the documents, is less than what an evaluation takes, by so much.
EVALUATION_BYTES = 140_000_000
#: Files of the duplicate search at its largest, for a document (docs/near_duplicates.md:
#: 3.5 GB for ten million).
SCRATCH_BYTES = 346
#: Memory of rows that wait until a row group is full.
PENDING_BYTES = 4000
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
        worker_bytes, driver_bytes: Memory at its peak.
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
    busy, point = _busy(trials, cluster), At(len(shards), documents.value, trials)
    costs = _costs(shards, found, trials, busy)
    stages = wall_times(costs, point, cluster.workers, busy, probe_seconds)
    wall = Range.around(sum(stages.values()), stages[SCREEN] * error / max(screening, 1e-9))
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
        Range.around(screening + point.working(cluster.workers), error),
        None if cluster.price is None else wall.times(cluster.price * cluster.workers / _HOUR),
        _worker_bytes(trials, found, shards),
        _driver_bytes(trials, documents.value),
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
    return max(1.0, trials.all.screen_wall / makespan(trials.all.screened, trials.pool))


def _worker_bytes(trials: Trials, found: Sequence[Kind], shards: Sequence[Shard]) -> float:
    """Peak of a worker: as in the trial, and the rows of a longer shard that wait to be written."""
    of = {kind.name: kind for kind in found}
    longest = max((shard.size * of[kind_of(shard)].documents for shard in shards), default=0.0)
    seen = sum(block.documents for block in trials.blocks if block.copy in trials.joined)
    rows = max(0.0, min(float(ROW_GROUP_ROWS), longest) - max(seen, 1))
    return trials.all.worker_peak + PENDING_BYTES * rows


def _driver_bytes(trials: Trials, documents: float) -> float:
    """Peak of the driver: while it evaluates, or looks for duplicates."""
    return max(float(trials.all.driver_peak), _searching_bytes(trials) + DRIVER_BYTES * documents)


def _searching_bytes(trials: Trials) -> float:
    """What the driver holds while it looks for duplicates among next to none."""
    return max(0.0, float(trials.all.driver_peak) - EVALUATION_BYTES)


def _limits(trials: Trials, cluster: Cluster, disk: float) -> list[tuple[str, float]]:
    """Documents at which something breaks, the first first."""
    memory = max(0.0, cluster.memory - _searching_bytes(trials)) / DRIVER_BYTES
    found = [
        ("the driver's memory", memory),
        ("the disk of the run folder", cluster.disk / max(1.0, disk + SCRATCH_BYTES)),
        ("documents of a run are numbered in 32 bits", float(MOST)),
    ]
    return sorted(found, key=lambda limit: limit[1])
