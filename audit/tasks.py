"""The pass over one shard, as a worker does it: read, screen, commit the parts.

A task is safe to run twice: what it writes depends only on the shard's bytes, the configuration and
the code, and appears under its work key in one step.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from audit import canary_check, facts, sources
from audit.canaries import Flock
from audit.canary_recall import Recent
from audit.errors import FatalError, InputError
from audit.identifiers import mask_identifier, mask_identifiers
from audit.kernels.buffers import string_bytes
from audit.measuring import part_schema, rehearse
from audit.model import NO_DOCUMENT, Batch, Reject, Shard
from audit.screens import Screen, ScreenContext
from audit.shard_keys import Reading, ShardKeys
from audit.sources import ColumnMapping, ReadLimits
from audit.storage.store import Part, PartWriter, Receipt, Store, commit_all
from audit.text_cache import TextCache
from audit.trails import CANARIES, COMMITTING, READING, Careful, Spared, Trail
from audit.workers import meter
from audit.workers.stage_times import START_UP, StageClock, peak_memory

REJECTS = "rejects"
REJECT_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.dictionary(pa.int32(), pa.string())),
        pa.field("position", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)
_SCHEMAS = {facts.FAMILY: facts.SCHEMA, REJECTS: REJECT_SCHEMA, canary_check.FAMILY: canary_check.SCHEMA}
#: Screens that this process has used.
_warm: set[str] = set()
#: Shards whose parts are looked up at once, when a pass asks which stand: bounds memory.
_AT_ONCE = 1 << 14
#: Work keys of the pass that this process is at, by its serial.
_last_keys: dict[str, ShardKeys] = {}
#: Errors after which the documents read so far stand, since they depend on the content alone.
PARTIAL = ("truncated", "corrupt")


@dataclass(frozen=True)
class Screening:
    """What a worker must know of the run, the same for every shard.

    Attributes:
        serial: Of this pass: what a worker finds out once, and no shard changes, it keeps under it.
    """

    store: Store
    screens: tuple[Screen, ...]
    columns: ColumnMapping
    limits: ReadLimits
    key_id: str
    hmac_key: bytes = field(repr=False)
    flock: Flock = field(default_factory=Flock)
    texts: TextCache | None = None
    serial: str = field(init=False, default_factory=lambda: uuid.uuid4().hex, compare=False)


@dataclass(frozen=True)
class ShardTask:
    """A shard to screen.

    Attributes:
        known_digest: Of its content, when file size and time say that it has not changed.
        seen_before: An earlier part of this shard stands: digest first, it may spare the pass.
        spared: Documents that crashed a worker, by screen; in no work key (see ``isolating``).
        tries: That taught nothing of what the worker died on.
        trail: Name of the object that tells every machine where the worker is; None: a file tells this one.
    """

    screening: Screening
    shard: Shard
    known_digest: str | None = None
    seen_before: bool = False
    spared: Spared = field(default_factory=dict)
    tries: int = 0
    trail: str | None = None


@dataclass(frozen=True)
class ShardReport:
    """How a shard came out.

    Attributes:
        status: complete, truncated (documents up to the damage stand) or failed (none do).
        reason: Why it is not complete.
        digest: Of its content; None when it could not be read.
        documents, rejected: Records that were screened, and that were not.
        lost: Of the rejected, those that should have been documents (``NO_DOCUMENT`` names the others).
        keys: Family -> work key of its parts.
        computed: Families that this task computed; the others stood already.
        text_bytes: UTF-8 bytes of the documents that this task screened. Like the next three and ``computed``
            it tells of this pass, not of the shard, and is not kept.
        seconds: Stage -> CPU seconds of this task.
        peak_bytes: Most memory that the worker has held so far.
        receipts: Of the parts that this task committed.
    """

    shard: Shard
    status: str
    reason: str | None = None
    digest: str | None = None
    documents: int = 0
    rejected: int = 0
    lost: int = 0
    keys: Mapping[str, str] = field(default_factory=dict)
    computed: tuple[str, ...] = ()
    text_bytes: int = field(default=0, compare=False)
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    peak_bytes: int = field(default=0, compare=False)
    receipts: tuple[Receipt, ...] = field(default=(), compare=False)


def screen_shard(task: ShardTask) -> ShardReport:
    """Bring every part of a shard up to date.

    Raises:
        FatalError, ConfigurationError: The run cannot go on. Troubles of the input end in the report.
    """
    clock = StageClock()
    report = _screen_shard(task, clock)
    return dataclasses.replace(report, seconds=dict(clock.seconds), peak_bytes=peak_memory())


def _screen_shard(task: ShardTask, clock: StageClock) -> ShardReport:
    try:
        digest = task.known_digest
        if digest is None and task.seen_before:
            digest = sources.content_digest(task.shard)
        if digest is not None:
            standing = _standing(task, digest)
            missing = [family for family, part in standing.items() if not _store(task).has(part)]
            if not missing:
                return _recall(task, digest, ())
            if missing == [canary_check.FAMILY]:
                return _show_canaries(task, digest, standing[canary_check.FAMILY])
        else:
            missing = list(_families(task.screening))
        clock.lap("digest")
        return _Pass(task, digest, missing, clock).run()
    except InputError as error:
        return ShardReport(task.shard, "failed", reason=mask_identifier(f"{error.reason}: {error.detail}"))


def recall(tasks: Sequence[ShardTask]) -> list[ShardReport]:
    """The reports of shards whose content is known and whose parts all stand."""
    found: list[ShardReport] = []
    for start in range(0, len(tasks), _AT_ONCE):
        found += _recall_all(tasks[start : start + _AT_ONCE])
    return found


def _recall_all(tasks: Sequence[ShardTask]) -> list[ShardReport]:
    known = [(task, digest, _standing(task, digest)) for task in tasks if (digest := task.known_digest)]
    if not known:
        return []
    store = _store(known[0][0])
    standing = store.standing(part for *_, parts in known for part in parts.values())
    whole = [each for each in known if standing.issuperset(each[2].values())]
    told = store.told([parts[facts.FAMILY] for *_, parts in whole])
    return [
        _report(task, digest, parts, stored, ())
        for (task, digest, parts), stored in zip(whole, told, strict=True)
    ]


def work_keys(screening: Screening, shard: Shard, digest: str) -> dict[str, str]:
    """Family -> work key, for the facts, the rejects, every screen and the canaries."""
    return _shard_keys(screening).of(shard, digest)


def _shard_keys(screening: Screening) -> ShardKeys:
    """The keys of a screening; those of the last one that this process saw are kept."""
    if (held := _last_keys.get(screening.serial)) is not None:
        return held
    reading = Reading(screening.columns, screening.limits)
    keys = ShardKeys(screening.screens, reading, screening.key_id, screening.flock, REJECTS)
    _last_keys.clear()
    _last_keys[screening.serial] = keys
    return keys


class _Pass:
    """One reading of a shard that fills the families that are missing."""

    def __init__(
        self, task: ShardTask, expected: str | None, missing: Sequence[str], clock: StageClock
    ) -> None:
        self._clock = clock
        self._trail = Trail(_store(task), task.shard.shard, task.trail)
        self._careful = Careful(self._trail, task.spared)
        self._task, self._expected, self._missing = task, expected, tuple(missing)
        self._screens = [s for s in task.screening.screens if s.name in missing]
        self._standing = _StandingColumns(task, expected, self._screens)
        self._rejected = self._lost = 0
        self._rows = self._text_bytes = 0
        self._evaluations: dict[str, Counter[str]] = {s.name: Counter() for s in self._screens}
        cache = task.screening.texts
        self._texts = cache.keeper(task.shard) if cache and facts.FAMILY in missing else None

    def run(self) -> ShardReport:
        """Read, measure, commit."""
        with self._trail:
            return self._run()

    def _run(self) -> ShardReport:
        content = sources.ContentDigest()
        status, reason = "complete", None
        if canary_check.FAMILY in self._missing:
            self._trail.step(CANARIES)
            warm_up(self._task.screening)
            self._clock.lap(START_UP)
        with ExitStack() as stack:
            writers = {name: stack.enter_context(self._writer(name)) for name in self._missing}
            try:
                for batch in self._batches(content):
                    self._take(batch, writers)
            except InputError as error:
                if error.reason not in PARTIAL:
                    raise
                status, reason = "truncated", mask_identifier(f"{error.reason}: {error.detail}")
            if canary_check.FAMILY in writers:
                self._clock.lap("write")
                self._trail.step(CANARIES)
                writers[canary_check.FAMILY].add(_canaries(self._task, self._rows))
                self._clock.lap("canaries")
            digest = content.hexdigest()
            if self._expected is not None and digest != self._expected:
                raise InputError("changed_while_reading", "its content is not what it was when the run began")
            self._trail.step(COMMITTING)
            if self._texts is not None:
                self._texts.commit()
            receipts = self._commit(writers, digest, status, reason)
        self._clock.lap("write")
        report = _recall(self._task, digest, self._missing)
        return dataclasses.replace(report, text_bytes=self._text_bytes, receipts=receipts)

    def _batches(self, content: sources.ContentDigest) -> Iterator[Batch]:
        task = self._task
        self._trail.step(READING)
        for batch in sources.read(task.shard, task.screening.columns, task.screening.limits, content):
            self._clock.lap("read")
            yield batch
            meter.advance(len(batch.documents), batch.bytes_read)
            self._trail.step(READING)
        self._clock.lap("read")

    def _writer(self, name: str) -> PartWriter:
        screens = {screen.name: screen for screen in self._screens}
        schema = part_schema(screens[name]) if name in screens else _SCHEMAS[name]
        return _store(self._task).writer(name, schema)

    def _take(self, batch: Batch, writers: Mapping[str, PartWriter]) -> None:
        shard = self._task.shard.shard
        self._rejected += len(batch.rejects)
        self._lost += sum(reject.reason not in NO_DOCUMENT for reject in batch.rejects)
        if REJECTS in writers and batch.rejects:
            writers[REJECTS].add(_reject_table(shard, batch.rejects))
        rows = len(batch.documents)
        if rows == 0:
            return
        self._text_bytes += string_bytes(batch.documents.column("text"))
        if facts.FAMILY in writers:
            described = facts.describe(batch.documents, shard)
            self._clock.lap("facts")
            writers[facts.FAMILY].add(described)
            if self._texts is not None:
                self._texts.offer(batch.documents, described)
            self._clock.lap("write")
        upstream = self._standing.slice(self._rows, rows)
        for screen in self._screens:
            context = ScreenContext(
                {name: column for name, column in upstream.items() if name.startswith(_prefixes(screen))},
                self._task.screening.hmac_key if screen.uses_key else None,
            )
            measured = self._careful.measure(screen, batch.documents, context, shard, self._rows)
            upstream |= {name: measured.rows.column(name) for name in measured.rows.schema.names}
            self._evaluations[screen.name].update(measured.states)
            self._clock.lap(screen.name)
            writers[screen.name].add(measured.rows)
            self._clock.lap("write")
        self._rows += rows

    def _commit(
        self, writers: Mapping[str, PartWriter], digest: str, status: str, reason: str | None
    ) -> tuple[Receipt, ...]:
        shard = self._task.shard.shard
        keys = work_keys(self._task.screening, self._task.shard, digest)
        common = {
            "documents": self._rows,
            "rejected": self._rejected,
            "lost": self._lost,
            "status": status,
            "reason": reason,
        }
        finished = []
        for name, writer in writers.items():
            metadata = {**common, "evaluations": dict(self._evaluations.get(name, {})), "content": digest}
            told = {} if name == canary_check.FAMILY else metadata  # they are beside the shard
            finished.append((writer, Part(name, shard, keys[name]), told))
        receipts = commit_all(finished)
        return tuple(receipt for receipt in receipts if receipt is not None)


def _canaries(task: ShardTask, documents: int | None = None) -> pa.Table:
    """What screens make of the canaries, beside the shard: nothing of it is counted.

    Args:
        task: The shard.
        documents: That it has; None: the canaries are shown whatever was shown before.
    """
    how = task.screening
    given = (how.screens, how.flock, how.columns, how.limits, how.hmac_key, _store(task).scratch)
    recent = None if documents is None else Recent(how.serial, documents)
    return canary_check.check(task.shard, *given, recent)


def warm_up(screening: Screening) -> None:
    """Load models, kernels and digests of code, once a process, so that no shard's stages pay for it.

    Raises:
        FatalError: A screen cannot work on this machine.
    """
    screens = repr(screening.screens)
    if screens not in _warm:
        rehearse(screening.screens, screening.hmac_key)
        _canaries(ShardTask(screening, canary_check.STAND_IN))
        work_keys(screening, canary_check.STAND_IN, "")
        _warm.add(screens)


def _show_canaries(task: ShardTask, digest: str, part: Part) -> ShardReport:
    """Other canaries than before, and the same screens: the shard itself need not be read."""
    _store(task).write(part, _canaries(task), {})
    return _recall(task, digest, (part.family,))


class _StandingColumns:
    """Measurements that earlier passes left and that missing screens need."""

    def __init__(self, task: ShardTask, digest: str | None, screens: Sequence[Screen]) -> None:
        running = {screen.name for screen in screens}
        needed = {name for screen in screens for name in screen.needs} - running
        self._tables = []
        if digest is not None:
            keys = work_keys(task.screening, task.shard, digest)
            parts = [Part(name, task.shard.shard, keys[name]) for name in sorted(needed)]
            self._tables = [_store(task).read(part) for part in parts]

    def slice(self, start: int, rows: int) -> dict[str, pa.Array]:
        columns: dict[str, pa.Array] = {}
        for table in self._tables:
            part = table.slice(start, rows).combine_chunks()
            if part.num_rows != rows:
                raise FatalError("a part has fewer rows than its shard; run again with --fresh")
            columns |= {name: _one_array(part.column(name)) for name in part.column_names}
        return columns


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _prefixes(screen: Screen) -> tuple[str, ...]:
    return tuple(f"{name}_" for name in screen.needs)


def _families(screening: Screening) -> list[str]:
    canaries = [canary_check.FAMILY] if screening.flock.canaries else []
    return [facts.FAMILY, REJECTS, *(screen.name for screen in screening.screens), *canaries]


def _standing(task: ShardTask, digest: str) -> dict[str, Part]:
    keys = work_keys(task.screening, task.shard, digest)
    return {family: Part(family, task.shard.shard, key) for family, key in keys.items()}


def _recall(task: ShardTask, digest: str, computed: Sequence[str]) -> ShardReport:
    parts = _standing(task, digest)
    return _report(task, digest, parts, _store(task).metadata(parts[facts.FAMILY]), computed)


def _report(
    task: ShardTask,
    digest: str,
    parts: Mapping[str, Part],
    stored: Mapping[str, Any],
    computed: Sequence[str],
) -> ShardReport:
    """How a shard came out, as the footer of its facts tells it."""
    if not computed:
        meter.advance(stored["documents"], task.shard.size)
    return ShardReport(
        task.shard,
        stored["status"],
        stored["reason"],
        digest,
        stored["documents"],
        stored["rejected"],
        stored["lost"],
        {family: part.key for family, part in parts.items()},
        tuple(computed),
    )


def _store(task: ShardTask) -> Store:
    return task.screening.store


def _reject_table(shard: str, rejects: Sequence[Reject]) -> pa.Table:
    columns = [
        facts.constant(shard, len(rejects)),
        pa.array([r.position for r in rejects], pa.int64()),
        pa.array([r.reason for r in rejects], pa.string()),
        mask_identifiers(pa.array([r.detail for r in rejects], pa.string())),
    ]
    return pa.Table.from_arrays(columns, schema=REJECT_SCHEMA)
