"""How many documents the probes look at: a number, or what a time budget allows on this corpus and machine.

The size that a budget allows is the one number of a run that depends on the clock. It is decided once for a
budget and a set of probes, journaled, and recalled from the journal ever after.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.config import AuditConfig, digest_json
from audit.engines import Engine, Needs
from audit.errors import ConfigurationError
from audit.lineage.journal import Journal
from audit.model import Shard
from audit.probe_phase import probe_tasks
from audit.probe_phase.probe_sample import ProbeRecord, ProbeStatus
from audit.probe_phase.probe_tasks import ProbeTask
from audit.probes import Probe, Throughput, gpu_memory, together
from audit.storage.store import Part, Store

#: Event of the journal that freezes a size.
SIZED = "probe_sized"
#: Documents of a try-out, and shards that they come from at most.
_PILOT, _PILOT_SHARDS = 33, 8
_MIB = 1 << 20

#: Shard, position, digest of the text.
Document = tuple[Shard, int, bytes]
#: A task for a probe over these documents.
MakeTask = Callable[[Probe, Sequence[Document]], ProbeTask]


@dataclass(frozen=True)
class Trial:
    """How probes are tried: on which documents, by which engine."""

    engine: Engine
    task: MakeTask
    pilot: Callable[[], Sequence[Document]]

    def run(self, probe: Probe) -> Throughput | str:
        """What a probe costs in a worker of its own, or why it does not work."""
        try:
            tried = [self.task(probe, self.pilot())]
            outcomes = list(self.engine.map(probe_tasks.try_probe, tried, _ignore, needs(probe)))
        except ConfigurationError as error:
            return explained(error)
        return outcomes[0].result or f"it was tried, and {outcomes[0].lost}"

    def slowness(self, probe: Probe) -> float:
        """By which a probe takes longer than with all workers, since fewer of them have a GPU."""
        return self.engine.workers / self.engine.capacity(needs(probe))


@dataclass(frozen=True)
class Inspected:
    """What a probe finds where it is to run.

    Attributes:
        status: Whether it has what it needs.
        settings: Its work key (``probe_tasks.settings_key``); empty where it cannot run.
    """

    status: ProbeStatus
    settings: str = ""


@dataclass(frozen=True)
class Inspection:
    """A probe to be inspected, under the key of that id."""

    probe: Probe
    key_id: str


def inspect(task: Inspection) -> Inspected:
    """Look at a probe in this process: on a cluster, on the machines and devices of its workers."""
    found = status(task.probe)
    if found.missing is not None:
        return Inspected(found)
    return Inspected(found, probe_tasks.settings_key(task.probe, task.key_id))


def inspect_by(engine: Engine, task: Inspection) -> Inspected:
    """Look at a probe where the engine would run it."""
    if not engine.elsewhere:
        return inspect(task)
    outcome = next(iter(list(engine.map(inspect, [task], _ignore, needs(task.probe)))))
    if outcome.result is not None:
        return outcome.result
    probe = task.probe
    return Inspected(
        ProbeStatus(probe.name, probe.version, {}, missing=f"it was looked at, and {outcome.lost}")
    )


def needs(probe: Probe) -> Needs:
    """What a worker that runs a probe takes."""
    return Needs(gpu_memory(probe))


def status(probe: Probe) -> ProbeStatus:
    """Whether a probe has what it needs, and which models these are."""
    try:
        return ProbeStatus(probe.name, probe.version, dict(probe.resources()))
    except (ConfigurationError, ImportError) as error:
        return ProbeStatus(probe.name, probe.version, {}, missing=explained(error))


def explained(error: ConfigurationError | ImportError) -> str:
    """Why a probe does not work, and what to do about it."""
    if isinstance(error, ConfigurationError):
        return ". ".join(part for part in (error.message, error.remedy) if part)
    return f"the package {error.name or 'that it needs'} is not installed"


def decide(
    config: AuditConfig,
    probes: Sequence[Probe],
    members: Sequence[ProbeStatus],
    documents: int,
    journal: Journal,
    trial: Trial,
) -> ProbeRecord:
    """The size of the probe sample: as configured, as journaled, or by a try-out now.

    Args:
        config: Names size or budget.
        probes: All that are configured.
        members: Whether each of them has what it needs.
        documents: In the corpus; the sample is never larger.
        journal: Of the run; a size that follows from a budget is frozen there.
        trial: How to try the probes.
    """
    wanted = config.sampling.probe
    members = tuple(members)
    able = [p for p, s in zip(probes, members, strict=True) if s.missing is None]
    if not able or not documents:
        return ProbeRecord(0, None, None, wanted.nested, members)
    if wanted.minutes is None:
        return ProbeRecord(min(wanted.size or 0, documents), None, None, wanted.nested, members)
    key = _key(wanted.minutes, able)
    frozen = _recall(journal, key)
    if frozen is None:
        tried = {probe.name: trial.run(probe) for probe in able} if documents > 1 else {}
        members = tuple(_failed(member, tried.get(member.name)) for member in members)
        slowness = {probe.name: trial.slowness(probe) for probe in able}
        frozen = _freeze(journal, key, wanted.minutes, trial.engine.workers, tried, slowness)
    costs = {name: Throughput(**cost) for name, cost in frozen["costs"].items()}
    members = tuple(dataclasses.replace(member, cost=costs.get(member.name)) for member in members)
    # A corpus of one document cannot be tried, and needs no budget.
    size = min(frozen["size"], documents) if costs or documents > 1 else documents
    return ProbeRecord(size, wanted.minutes, frozen["workers"], wanted.nested, members)


def speeds(probes: Sequence[ProbeStatus]) -> str:
    """What the try-outs measured, in words."""
    return "; ".join(
        f"{each.name} {each.cost.per_second:,.1f} documents/s and"
        f" {each.cost.memory_bytes / _MIB:,.0f} MiB a worker"
        for each in probes
        if each.cost is not None
    )


def pilot(
    store: Store, parts: Mapping[str, Part], shards: Mapping[str, Shard], seed: bytes
) -> list[Document]:
    """Documents for a try-out: from a few shards, chosen by hashes, not by their place; ordered by place.

    Args:
        store: The run's parts.
        parts: The part with the facts of each shard's documents.
        shards: The shards.
        seed: Of the run's random numbers.
    """
    ranked = sorted(parts, key=lambda shard: hashlib.sha256(seed + shard.encode()).digest())
    found: list[tuple[bytes, Document]] = []
    for shard in ranked:
        if len(found) >= _PILOT:
            break
        table = store.read(parts[shard], ["position", "text_digest"])
        rows = zip(table.column("position").to_pylist(), table.column("text_digest").to_pylist(), strict=True)
        each = max(-(-_PILOT // min(len(ranked), _PILOT_SHARDS)), 1)
        first = sorted(rows, key=lambda row: hashlib.sha256(seed + row[1]).digest())[:each]
        found += [(digest, (shards[shard], position, digest)) for position, digest in first]
    ranked_documents = sorted(found, key=lambda pair: pair[0])[:_PILOT]
    chosen: list[Document] = [document for _, document in ranked_documents]
    return sorted(chosen, key=lambda document: (document[0].shard, document[1]))


def _key(minutes: float, able: Sequence[Probe]) -> str:
    """What a size is frozen for; a newer library or another number of workers does not change it."""
    return digest_json([minutes, [[probe.name, dataclasses.asdict(probe)] for probe in able]])  # type: ignore[call-overload]


def _recall(journal: Journal, key: str) -> Mapping[str, Any] | None:
    sizes = [e.data for e in journal.read() if e.event == SIZED and e.data["key"] == key]
    return sizes[-1] if sizes else None


def _failed(member: ProbeStatus, tried: Throughput | str | None) -> ProbeStatus:
    return dataclasses.replace(member, missing=tried) if isinstance(tried, str) else member


def _freeze(
    journal: Journal,
    key: str,
    minutes: float,
    workers: int,
    tried: Mapping[str, Throughput | str],
    slowness: Mapping[str, float],
) -> Mapping[str, Any]:
    costs = {name: cost for name, cost in tried.items() if isinstance(cost, Throughput)}
    shared = [dataclasses.replace(c, seconds=c.seconds * slowness[name]) for name, c in costs.items()]
    size = together(shared).sample_size(60 * minutes, workers) if costs else 0
    data = {
        "key": key,
        "minutes": minutes,
        "workers": workers,
        "size": size,
        "costs": {name: dataclasses.asdict(cost) for name, cost in costs.items()},
    }
    if costs:
        journal.append(SIZED, data)
    return data


def _ignore(documents: int, size: int) -> None:
    """Progress of a try-out is none."""
