"""The probe phase of a run: draw the documents, measure them in the workers, keep what came out."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from audit import facts, sampled_rows
from audit.current_pass import Pass
from audit.drawing import load_seed
from audit.duplicates.exchange import Runner
from audit.errors import ConfigurationError
from audit.partindex import Catalogue
from audit.probe_phase import probe_sample, probe_size, probe_tasks
from audit.probe_phase.probe_sample import ProbeRecord
from audit.probe_phase.probe_size import Document, Inspected, Inspection, Trial, explained, pilot
from audit.probe_phase.probe_tasks import BLOCK, Done, ProbeTask, grouped
from audit.probes import Probe
from audit.progress import Stage
from audit.storage.store import Part, Store, read_metadata
from audit.tasks import ShardReport
from audit.workers.stage_times import Timing

#: Event of the journal that tells what a probe took.
PROBED = "probed"
_MIB = 1 << 20


@dataclass(frozen=True)
class Probed:
    """Parts that the probes filled, and the models that they used, by ``probe.name``."""

    parts: tuple[Part, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbePhase:
    """What every step of the phase needs: a pass whose shards are screened and sliced.

    Attributes:
        reports: Of the shards.
        parts: Of the families ``documents``, ``slices`` and ``cells``.
        inspected: What each probe finds where it runs, by name.
    """

    current: Pass
    reports: Sequence[ShardReport]
    parts: Sequence[Part]
    inspected: Mapping[str, Inspected] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """The run's parts."""
        return self.current.run.store

    @property
    def facts(self) -> dict[str, Part]:
        """The part with the facts of each shard's documents."""
        standing = {r.shard.shard: r for r in self.reports if r.keys}
        return {shard: Part(facts.FAMILY, shard, r.keys[facts.FAMILY]) for shard, r in standing.items()}

    def task(self, probe: Probe, documents: Sequence[Document]) -> ProbeTask:
        """A task over these documents."""
        s = self.current.screening
        found = self.inspected[probe.name]
        texts = None if s.texts is None else s.texts.folder
        chosen = grouped(documents)
        return ProbeTask(
            s.store,
            probe,
            found.settings,
            s.columns,
            s.limits,
            chosen,
            s.hmac_key,
            texts,
            probe_tasks.documents_at_once(found.status.resources),
        )

    def inspect(self, probe: Probe) -> Inspected:
        """What a probe finds where the engine would run it."""
        return probe_size.inspect_by(self.current.engine, Inspection(probe, self.current.screening.key_id))

    def trial(self) -> Trial:
        """A try-out on documents of the corpus."""
        seed = load_seed(self.current.run.sample)
        shards = {r.shard.shard: r.shard for r in self.reports}
        return Trial(self.current.engine, self.task, lambda: pilot(self.store, self.facts, shards, seed))


def probe(phase: ProbePhase) -> Probed:
    """Bring the probes' results up to date.

    A probe that cannot run is told of, and recorded: gates on it then lack evidence.

    Raises:
        ConfigurationError: Sampled documents cannot be read again.
        FatalError: The corpus changed since it was screened.
    """
    current = phase.current
    chosen = current.config.build_probes()
    if not chosen:
        shutil.rmtree(probe_sample.folder(current.run.sample), ignore_errors=True)
        return Probed()
    documents = sum(report.documents for report in phase.reports)
    phase = dataclasses.replace(phase, inspected={member.name: phase.inspect(member) for member in chosen})
    members = [phase.inspected[member.name].status for member in chosen]
    record = probe_size.decide(current.config, chosen, members, documents, current.run.journal, phase.trial())
    if record.minutes is not None:
        told = probe_size.speeds(record.probes)
        current.report.note(f"probes: {record.minutes:g} minutes allow {record.size:,} documents ({told})")
    record, parts = _measure_all(phase, chosen, record)
    for each in record.probes:
        if each.missing is not None:
            current.report.note(f"probe {each.name} did not run: {each.missing}")
    probe_sample.save(current.run.sample, record)
    models = {f"{each.name}.{name}": v for each in record.probes for name, v in each.resources.items()}
    return Probed(tuple(parts), models)


def _measure_all(
    phase: ProbePhase, chosen: Sequence[Probe], record: ProbeRecord
) -> tuple[ProbeRecord, list[Part]]:
    """Measure the sample by every probe that can run; the record tells which could not after all."""
    if not record.size:
        return record, []
    parts = Catalogue.of(phase.parts)
    current, runner = phase.current, phase.current.over_files("draw")
    sample, size = current.run.sample, record.size
    drawing = probe_sample.draw(sample, phase.store, current.config, parts, size, runner)
    sampled = _sampled(phase, drawing.draws, runner)
    statuses, found = [], []
    for member, status in zip(chosen, record.probes, strict=True):
        if status.missing is None:
            try:
                found += _measure(phase, member, sampled)
            except ConfigurationError as error:
                status = dataclasses.replace(status, missing=explained(error))
        statuses.append(status)
    return dataclasses.replace(record, probes=tuple(statuses)), found


def _sampled(phase: ProbePhase, draws: pa.Table, runner: Runner) -> dict[Document, int]:
    """The drawn documents by shard and position, each with its characters."""
    shards = {r.shard.shard: r.shard for r in phase.reports}
    columns = {facts.FAMILY: ["n_chars", "text_digest"]}
    parts = {facts.FAMILY: list(phase.facts.values())}
    rows = sampled_rows.look_up(phase.store.resolved(), parts, draws, columns, runner)
    known = (rows.column(name).to_pylist() for name in ("shard", "position", "text_digest", "n_chars"))
    return {(shards[name], position, digest): n for name, position, digest, n in zip(*known, strict=True)}


def _measure(phase: ProbePhase, member: Probe, sampled: Mapping[Document, int]) -> list[Part]:
    """Measure what no part holds yet; returns the parts that hold the sample.

    Blocks are cut from the whole sample, whatever stands of it, so that a run that was killed ends with the
    same parts as one that was not.

    Raises:
        ConfigurationError: The probe cannot work.
    """
    standing = {} if phase.current.fresh else _standing(phase, member, sampled)
    tasks = list(_tasks(phase, member, sampled, set().union(*standing.values())))
    parts = list(standing) + [task.part for task in tasks]
    if not phase.current.fresh:
        tasks = [task for task in tasks if not phase.store.has(task.part)]
    if not tasks:
        return parts
    began, done = time.monotonic(), []
    total = sum(sampled[document] for task in tasks for document in _documents(task))
    with phase.current.report.stage(f"probe {member.name}", total) as stage:
        for task, result in _run(phase, member, tasks, stage):
            done.append(result)
            if task.part not in parts:
                parts.append(task.part)
    _tell(phase, member, done, time.monotonic() - began)
    # Of a block that was taken apart the pieces stand.
    return [part for part in parts if phase.store.has(part)]


def _standing(phase: ProbePhase, member: Probe, sampled: Mapping[Document, int]) -> dict[Part, set[Document]]:
    """Parts of the probe as it is now, each with the sampled documents that only it holds."""
    settings = phase.task(member, []).settings
    known = {
        (shard.shard, position, digest): (shard, position, digest) for shard, position, digest in sampled
    }
    found: dict[Part, set[Document]] = {}
    store = phase.store
    for name in store.members(probe_tasks.family(member.name)):
        stored = read_metadata(store.files.source(name))
        if stored["settings"] != settings:
            continue
        part = probe_tasks.named_part(member.name, stored["work_key"])
        table = phase.store.read(part, ["shard", "position", "text_digest"])
        rows = zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
        held = {known.pop(row) for row in rows if row in known}
        if held:
            found[part] = held
    return found


def _tasks(
    phase: ProbePhase, member: Probe, sampled: Mapping[Document, int], measured: set[Document]
) -> Iterator[ProbeTask]:
    ordered = list(sampled)
    for start in range(0, len(ordered), BLOCK):
        missing = [document for document in ordered[start : start + BLOCK] if document not in measured]
        if missing:
            yield phase.task(member, missing)


def _documents(task: ProbeTask) -> Iterator[Document]:
    return ((some.shard, position, digest) for some, position, digest in task.rows())


def _run(
    phase: ProbePhase, member: Probe, tasks: Sequence[ProbeTask], stage: Stage
) -> Iterator[tuple[ProbeTask, Done]]:
    """Run tasks; one whose worker is lost is taken apart until the document at fault stands alone."""
    waiting = list(tasks)
    while waiting:
        lost: list[ProbeTask] = []
        block = Timing(f"probe {member.name}", probe_tasks.probe_block)
        for outcome in phase.current.engine.map(block, waiting, stage.advance, probe_size.needs(member)):
            if outcome.result is not None:
                phase.current.ledger.take(outcome.result.seconds, peak_bytes=outcome.result.peak_bytes)
                yield outcome.task, outcome.result.result
            elif pieces := probe_tasks.halves(outcome.task):
                lost += pieces
            else:
                probe_tasks.give_up(outcome.task, outcome.lost or "its worker was lost")
                yield outcome.task, Done(1, 0.0, 0)
        waiting = lost


def _tell(phase: ProbePhase, member: Probe, done: Sequence[Done], seconds: float) -> None:
    """Say and journal what the probe took; no result depends on it."""
    documents, memory = sum(each.documents for each in done), max(each.memory_bytes for each in done)
    phase.current.report.note(
        f"probe {member.name}: {documents:,} documents, {documents / max(seconds, 1e-9):,.1f} a second, "
        f"{memory / _MIB:,.0f} MiB a worker at most"
    )
    took = {
        "probe": member.name,
        "documents": documents,
        "seconds": round(seconds, 3),
        "memory_bytes": memory,
    }
    phase.current.run.journal.append(PROBED, {**took, "workers": phase.current.engine.workers})
