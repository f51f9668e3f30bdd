"""What the configured probes cost on this machine and corpus, before a run starts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from audit import sources
from audit.config import AuditConfig
from audit.engines.local import LocalEngine
from audit.facts import text_digests
from audit.model import Shard
from audit.probe_phase.probe_size import Document, Trial, status
from audit.probe_phase.probe_tasks import ProbeTask, grouped
from audit.probes import Probe, Throughput, together
from audit.storage.store import Store

#: Documents of a try-out, and shards that they come from at most.
_TRIES, _SHARDS = 33, 8


@dataclass(frozen=True)
class Cost:
    """A configured probe: its models and what it costs, or why it does not work."""

    name: str
    models: str
    cost: Throughput | str


def costs(config: AuditConfig, base: Path) -> list[Cost]:
    """Try every configured probe on the first documents of a few shards, in a worker process.

    Args:
        config: With inputs.
        base: Where relative inputs start.

    Raises:
        AuditError: The inputs cannot be read.
    """
    documents: list[Document] = []
    trial = Trial(LocalEngine(workers(config)), lambda p, d: _task(config, p, d), lambda: documents)
    found = []
    for probe in config.build_probes():
        told = status(probe)
        models = ", ".join(f"{name} {value[:16]}" for name, value in sorted(told.resources.items()))
        if told.missing is None and not documents:
            documents += _first(config, base)
        found.append(Cost(probe.name, models, told.missing or trial.run(probe)))
    return found


def workers(config: AuditConfig) -> int:
    """Processes that a run of this configuration takes."""
    return config.run.workers or os.cpu_count() or 1


def size(config: AuditConfig, found: Sequence[Cost]) -> int | None:
    """Documents that the budget allows all probes that work; None where no budget or no probe decides it."""
    seen = [each.cost for each in found if isinstance(each.cost, Throughput)]
    if config.sampling.probe.minutes is None or not seen:
        return None
    return together(seen).sample_size(60 * config.sampling.probe.minutes, workers(config))


def _task(config: AuditConfig, probe: Probe, documents: Sequence[Document]) -> ProbeTask:
    columns, limits = config.corpus.columns, config.read_limits()
    return ProbeTask(Store(Path()), probe, "", columns, limits, grouped(documents), secrets.token_bytes(32))


def _first(config: AuditConfig, base: Path) -> list[Document]:
    """The first documents of the first shards."""
    shards = sources.plan(
        config.corpus.inputs, format=config.corpus.format, shard_bytes=config.run.shard_bytes, base=base
    )[:_SHARDS]
    each = -(-_TRIES // max(len(shards), 1))
    return [document for shard in shards for document in islice(_documents(config, shard), each)]


def _documents(config: AuditConfig, shard: Shard) -> Iterator[Document]:
    for batch in sources.read(shard, config.corpus.columns, config.read_limits()):
        positions = batch.documents.column("position").to_pylist()
        digests = text_digests(batch.documents.column("text")).to_pylist()
        yield from ((shard, position, digest) for position, digest in zip(positions, digests, strict=True))
