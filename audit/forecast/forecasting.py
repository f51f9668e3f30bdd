"""What a run will cost, before it starts: blocks of the corpus are audited in a temporary folder.

    plan -> draw blocks -> read them -> audit them three ways -> terms -> the whole

Nothing is written into the user's folders, and the user's key is not used.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.config import AuditConfig
from audit.errors import ConfigurationError
from audit.forecast import forecast_blocks, forecast_terms, forecast_trials
from audit.forecast.forecast_kinds import CONFIDENCE, Range
from audit.forecast.forecast_terms import Cluster, Forecast
from audit.forecast.forecast_trials import Trials, TrialTask
from audit.stages.request import Request, plan
from audit.workers.memory import MIB

#: Text that is sampled at most, as a share of the corpus; of a small one, at least ``_LEAST_BLOCKS`` blocks.
_LARGEST_SHARE, _LEAST_BLOCKS, _MOST_BLOCKS = 0.25, 8, 512
#: Share of a corpus that the private cache of texts takes at most (see ``text_cache``).
_TEXTS_SHARE = 0.05
_SEED = 20_261_122


@dataclass(frozen=True)
class Options:
    """What was asked.

    Attributes:
        cores: Of a node; None: those of this machine, or ``run.workers``.
        nodes: Machines.
        price: Of a core-hour.
        seconds: For the sampling.
    """

    cores: int | None = None
    nodes: int = 1
    price: float | None = None
    seconds: float = 60.0


def forecast(request: Request, options: Options) -> dict[str, Any]:
    """Sample, and predict; plain data.

    Raises:
        ConfigurationError: Nothing to read, or inputs that do not tell their size.
        InputError: No document could be read.
    """
    planned = plan(request).shards
    shards = [shard for shard in planned if shard.size]
    if not shards:
        raise ConfigurationError(
            "the inputs do not tell their size, or are empty",
            key="corpus.inputs",
            remedy="Name files; the forecast goes by their bytes",
        )
    size = sum(shard.size for shard in shards)
    cluster = _cluster(request.config, options)
    count = int(min(_MOST_BLOCKS, max(_LEAST_BLOCKS, _LARGEST_SHARE * size / forecast_blocks.BLOCK_BYTES)))
    with tempfile.TemporaryDirectory(prefix="audit-forecast-") as name:
        folder = Path(name)
        limits = request.config.read_limits()
        blocks = forecast_blocks.tasks(
            shards, request.config.corpus.columns, limits, folder / "blocks", count, _SEED
        )
        workers = min(cluster.workers, os.cpu_count() or 1)
        trials = forecast_trials.measure(TrialTask(request, tuple(blocks), folder, workers, options.seconds))
    texts = min(request.config.run.text_cache_mib * MIB, int(_TEXTS_SHARE * size))
    found = forecast_terms.predict(
        shards, trials, cluster, texts=texts, probe_seconds=_probe_seconds(request.config)
    )
    notes = _notes(request.config, trials, options.nodes)
    if unsized := len(planned) - len(shards):
        notes.append(f"{unsized} shards are empty or do not tell their size, and are not in it")
    return described(found, trials, cluster, notes)


def _cluster(config: AuditConfig, options: Options) -> Cluster:
    here = config.run.workers or os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Cluster(
        options.nodes,
        options.cores or here,
        options.price,
        config.run.memory_bytes or memory,
        shutil.disk_usage(Path.cwd()).free,
        options.nodes == 1 and (options.cores or here) <= (os.cpu_count() or 1),
    )


def _probe_seconds(config: AuditConfig) -> float:
    return 60 * (config.sampling.probe.minutes or 0.0) if config.probes else 0.0


def _notes(config: AuditConfig, trials: Trials, nodes: int = 1) -> list[str]:
    """What the forecast leaves out, and what it takes for granted."""
    found = []
    if nodes > 1:
        found.append(
            "all nodes are taken to see the run folder; for a run on an object store the driver's threads "
            "do what exchanges files (duplicates, counts, the draw)"
        )
    if trials.failed:
        found.append(f"{trials.failed} of the drawn blocks could not be read")
    if config.probes and config.sampling.probe.minutes is None:
        found.append("probes are not in it: sampling.probe.minutes would tell their time")
    if any("references" in parameters for parameters in (config.screens or {}).values()):
        found.append("the comparison with references is not in it")
    return found


def described(found: Forecast, trials: Trials, cluster: Cluster, notes: list[str]) -> dict[str, Any]:
    """The forecast as plain data."""
    return {
        "corpus": {
            "shards": found.shards,
            "bytes": found.size,
            "documents": _range(found.documents),
            "text_bytes": found.text_bytes,
            "kinds": [dataclasses.asdict(kind) for kind in found.kinds],
        },
        "cluster": {"nodes": cluster.nodes, "cores": cluster.cores, "price": cluster.price},
        "seconds": _range(found.wall),
        "stages": dict(found.stages),
        "core_hours": _range(found.core_seconds.times(1 / 3600)),
        "cost": None if found.cost is None else _range(found.cost),
        "worker_bytes": found.worker_bytes,
        "driver_bytes": found.driver_bytes,
        "disk_bytes": _range(found.disk_bytes),
        "disk": dict(found.disk),
        "limits": [{"what": what, "documents": documents} for what, documents in found.limits],
        "sample": {
            "blocks": len(trials.blocks),
            "documents": trials.all.documents,
            "text_bytes": trials.all.text_bytes,
            "busy": found.busy,
        },
        "confidence": CONFIDENCE,
        "notes": notes,
    }


def _range(found: Range) -> dict[str, float]:
    return dataclasses.asdict(found)
