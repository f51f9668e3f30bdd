"""What a worker does for a probe: fetch the texts of some sampled documents, measure, commit the part.

A block holds documents of any shards, in the order of the sample; it is read shard by shard and measured
in small batches of like length, since models pad a batch to its longest text. No text leaves the worker.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit import text_cache, workkeys
from audit.config import digest_json
from audit.errors import ConfigurationError, FatalError, InputError
from audit.facts import text_digests
from audit.identifiers import mask_identifier
from audit.measuring import NOT_INSTALLED, Detector, measure, part_schema
from audit.model import ScreenResult, Shard
from audit.probes import Probe, Throughput, try_out
from audit.screens import ScreenContext
from audit.sources import ColumnMapping, ReadLimits
from audit.storage.store import Part, Store
from audit.workers import meter
from audit.workers.stage_times import peak_memory

#: Documents of a block, which a kill costs at most, and of a batch that a model sees at once; a GPU is shown
#: the whole block.
BLOCK, BATCH = 128, 16
#: Crash guard: a batch that takes longer is taken apart until the document at fault stands alone.
GUARD_SECONDS = 300.0
_NAME = "sample"


@dataclass(frozen=True)
class Sampled:
    """Documents of one shard, as they were screened.

    Attributes:
        shard: Where they lie.
        positions: Ascending.
        digests: Of their texts (``documents.text_digest``), 16 bytes each.
    """

    shard: Shard
    positions: tuple[int, ...]
    digests: tuple[bytes, ...]


@dataclass(frozen=True)
class ProbeTask:
    """A block of documents to probe.

    Attributes:
        store: Of the run.
        settings: Work key of the probe itself (``settings_key``).
        documents: By shard.
        hmac_key: For probes that hash personal values.
        batch: Documents that the probe is shown at once (``documents_at_once``).
        texts: Folder of the texts that the pass kept; None where it kept none.
    """

    store: Store
    probe: Probe
    settings: str
    columns: ColumnMapping
    limits: ReadLimits
    documents: tuple[Sampled, ...]
    hmac_key: bytes | None = field(repr=False, default=None)
    texts: Path | None = None
    batch: int = BATCH

    @property
    def part(self) -> Part:
        """The part that it fills."""
        named = [[s.shard.shard, p, d.hex()] for s, p, d in self.rows()]
        return named_part(self.probe.name, digest_json([self.settings, named]))

    def rows(self) -> Iterator[tuple[Sampled, int, bytes]]:
        """Every document: where it lies, position and digest."""
        for some in self.documents:
            for position, digest in zip(some.positions, some.digests, strict=True):
                yield some, position, digest

    def context(self) -> ScreenContext:
        """What the probe may use."""
        return ScreenContext({}, self.hmac_key if self.probe.uses_key else None)


@dataclass(frozen=True)
class Done:
    """What a block cost: documents, seconds of work, and the worker's peak of memory in bytes."""

    documents: int
    seconds: float
    memory_bytes: int


def named_part(probe: str, key: str) -> Part:
    """The part of a probe with that work key."""
    return Part(family(probe), _NAME, key)


def family(probe: str) -> str:
    """The family of parts that a probe fills."""
    return f"probe_{probe}"


def settings_key(probe: Probe, key_id: str) -> str:
    """Digest of all that a document's result depends on, but for the document.

    Raises:
        ConfigurationError: Its model is missing.
    """
    resources = dict(probe.resources())
    return digest_json(
        {
            "family": family(probe.name),
            "version": probe.version,
            "parameters": dataclasses.asdict(probe),  # type: ignore[call-overload]
            "resources": resources,
            "code": workkeys.code_digest(type(probe).__module__),
            "batches": [BLOCK, documents_at_once(resources)],
            "runtime": workkeys.runtime(),
            "hmac_key": key_id if probe.uses_key else None,
        }
    )


def documents_at_once(resources: Mapping[str, str]) -> int:
    """Documents of a batch, by the device that a probe found."""
    return BLOCK if resources.get("device") == "cuda" else BATCH


def schema(probe: Probe) -> pa.Schema:
    """Columns of a probe's part: those of a screen's, and the digest of the text."""
    return part_schema(probe).append(pa.field("text_digest", pa.binary(16)))


def probe_block(task: ProbeTask) -> Done:
    """Measure a block and commit its part.

    Raises:
        ConfigurationError: The probe cannot work.
        FatalError: The corpus is not as it was screened.
    """
    began = time.perf_counter()
    table = _fetch(task)
    lengths = np.asarray(pc.utf8_length(table.column("text")))
    order = np.argsort(lengths, kind="stable")
    guarded, rows = _Guarded(task.probe), []
    for start in range(0, len(order), task.batch):
        chosen = order[start : start + task.batch]
        batch = table.take(pa.array(chosen)).combine_chunks().to_batches()[0]
        rows.append(measure(guarded, batch, task.context(), "").rows)
        meter.advance(len(batch), int(lengths[chosen].sum()))
    measured = pa.Table.from_batches(rows).take(pa.array(np.argsort(order)))
    _commit(task, measured)
    return Done(len(table), time.perf_counter() - began, peak_memory())


def give_up(task: ProbeTask, reason: str) -> None:
    """Commit a block whose documents cannot be evaluated at all."""
    count = sum(len(some.positions) for some in task.documents)
    columns = {
        name: pa.nulls(count, kind)
        for name, kind in zip(schema(task.probe).names, schema(task.probe).types, strict=True)
    }
    columns["position"] = pa.array([position for _, position, _ in task.rows()], pa.int64())
    columns["state"] = pa.array([f"failed: {reason}"] * count)
    findings = schema(task.probe).field("findings").type
    columns["findings"] = pa.array([[]] * count, findings)
    table = pa.table(columns).select(part_schema(task.probe).names)
    _commit(task, table)


def try_probe(task: ProbeTask) -> Throughput:
    """Measure what a probe costs on the documents of a task; nothing is committed.

    Raises:
        ConfigurationError: The probe cannot work.
        FatalError: The corpus is not as it was screened.
        ValueError: There are fewer than two documents.
    """
    batch = _fetch(task).combine_chunks().to_batches()[0]
    return try_out(_Tolerant(task.probe), batch, task.context())


def _fetch(task: ProbeTask) -> pa.Table:
    """The documents in the order of the task, read again and checked."""
    batches = [batch for some in task.documents for batch in _read(task, some)]
    table = pa.Table.from_batches(batches) if batches else pa.table({"text": pa.array([], pa.string())})
    found = [digest for batch in batches for digest in text_digests(batch.column("text")).to_pylist()]
    if found != [digest for _, _, digest in task.rows()]:
        raise FatalError("the corpus changed since it was screened; give the command again")
    return table


def _read(task: ProbeTask, some: Sampled) -> Iterator[pa.RecordBatch]:
    try:
        wanted = dict(zip(some.positions, some.digests, strict=True))
        yield from text_cache.documents_at(task.texts, some.shard, task.columns, task.limits, wanted)
    except InputError as error:
        raise FatalError(
            f"documents of {mask_identifier(some.shard.name)} cannot be read again ({error}); put the corpus "
            "back as it was, and give the command again"
        ) from error


def _commit(task: ProbeTask, measured: pa.Table) -> None:
    names = schema(task.probe)
    shards = pa.array([some.shard.shard for some, _, _ in task.rows()], pa.string()).dictionary_encode()
    digests = pa.array([digest for _, _, digest in task.rows()], pa.binary(16))
    at = measured.schema.get_field_index("shard")
    table = measured.set_column(at, names.field("shard"), shards).append_column("text_digest", digests)
    task.store.write(task.part, table.cast(names), {"settings": task.settings})


@dataclass(frozen=True)
class _Guarded:
    """A probe that gives up a batch after ``GUARD_SECONDS``; a crash guard, far above any honest batch."""

    probe: Probe

    @property
    def name(self) -> str:
        return self.probe.name

    @property
    def measures(self) -> Mapping[str, pa.DataType]:
        return self.probe.measures

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        meter.beat()
        with _time_limit(GUARD_SECONDS):
            try:
                return self.probe.measure(batch, context)
            except NOT_INSTALLED as error:
                raise ConfigurationError(
                    f"probe {self.name} cannot work on this machine ({type(error).__name__})",
                    key="probes",
                    remedy="`audit doctor` tells what is missing",
                ) from error


@dataclass(frozen=True)
class _Tolerant:
    """A probe that does not stop at a document that it cannot evaluate."""

    probe: Probe

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> object:
        guarded: Detector = _Guarded(self.probe)
        return measure(guarded, batch, context, "")


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` in the code inside; only on the main thread, where signals come."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def halves(task: ProbeTask) -> tuple[ProbeTask, ...]:
    """Two tasks with half of the documents each; none where there is one document only."""
    rows = list(task.rows())
    if len(rows) < 2:
        return ()
    middle = len(rows) // 2
    return tuple(
        dataclasses.replace(task, documents=grouped((s.shard, p, d) for s, p, d in some))
        for some in (rows[:middle], rows[middle:])
    )


def grouped(rows: Iterable[tuple[Shard, int, bytes]]) -> tuple[Sampled, ...]:
    """Documents (shard, position, digest), ordered by shard and position, shard by shard."""
    shards: dict[str, tuple[Shard, list[int], list[bytes]]] = {}
    for shard, position, digest in rows:
        _, positions, digests = shards.setdefault(shard.shard, (shard, [], []))
        positions.append(position)
        digests.append(digest)
    return tuple(Sampled(shard, tuple(p), tuple(d)) for shard, p, d in shards.values())
