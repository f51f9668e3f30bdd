"""Shows a shard's canaries to its screens, in the process that screened it and with the same objects."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from audit import canary_files
from audit.canaries import Canary, Flock, Outcome, Sighting, satisfies, words
from audit.canary_files import Imitation
from audit.canary_recall import Recent
from audit.duplicates.exchange import Result, Task
from audit.errors import InputError
from audit.measuring import EVALUATED, measure
from audit.model import Batch, Shard
from audit.screens import CorpusScreen, Screen, ScreenContext, finds_duplicates, is_corpus_wide
from audit.sources import ColumnMapping, ReadLimits

FAMILY = "canaries"
SCHEMA = pa.schema(
    [
        pa.field("shard", pa.string()),
        pa.field("screen", pa.string()),
        pa.field("canary", pa.string()),
        pa.field("control", pa.bool_()),
        pa.field("expected", pa.string()),
        pa.field("found", pa.string()),
        pa.field("outcome", pa.string()),
        pa.field("path", pa.string()),
    ]
)
#: Stands for a shard where screens are shown the canaries before there is any.
STAND_IN = Shard("stand-in", "stand-in.jsonl", "stand-in.jsonl", "jsonl", 0)
_SHARD = "canaries"
_NOT_READ = "not read"


def check(
    shard: Shard,
    screens: Sequence[Screen],
    flock: Flock,
    columns: ColumnMapping,
    limits: ReadLimits,
    hmac_key: bytes,
    scratch: Path,
    recent: Recent | None = None,
) -> pa.Table:
    """What every canary that applies came to, in ``SCHEMA``; nothing of it enters the corpus's counts.

    Args:
        shard: Whose way of decoding is taken.
        screens: Those of the run, each after those that it needs.
        flock: All canaries.
        columns, limits: As the shard is read with.
        hmac_key: For screens that hash personal values.
        scratch: A folder for temporary files, made where it is not there.
        recent: When what canaries came to behind another shard may stand for this one, too; None: never.
    """
    by_name = {screen.name: screen for screen in screens}
    chosen = [c for c in flock.of(by_name) if c.applies(by_name[c.screen])]
    documents = list(_documents(chosen))
    imitated, reason = _imitated(shard, documents, columns)
    if recent is not None and (stands := recent.stands(shard, imitated)) is not None:
        return _of_shard(stands, shard)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="canaries-", dir=scratch) as name:
        folder = Path(name)
        path, batches = shard.format, list[Batch]()
        if imitated is not None:
            try:
                path, batches = canary_files.batches(shard, imitated, documents, columns, limits, folder)
            except InputError as error:
                reason = f"{_NOT_READ}: {error.reason}"
        tables = [b.documents for b in batches if len(b.documents)]
        shown = pa.Table.from_batches(tables).combine_chunks().to_batches()[0] if tables else None
        rows = _measured(screens, shown, hmac_key) if shown is not None else {}
        workspace = folder / "resolve"
        seen = _Seen(rows, dict(_resolved(by_name, chosen, rows, shown, workspace)), reason)
    urls = set() if shown is None else set(_with_url(shown))
    sightings = [
        _sighting(canary, by_name[canary.screen], start, seen, path)
        for canary, start in zip(chosen, _starts(chosen), strict=True)
        # A shard without a column of addresses shows none to a screen.
        if canary.url is None or shown is None or start in urls
    ]
    table = pa.Table.from_pylist([sighting.row(shard.shard) for sighting in sightings], SCHEMA)
    if recent is not None:
        recent.keep(shard, imitated, table)
    return table


def _imitated(
    shard: Shard, documents: Sequence[canary_files.Document], columns: ColumnMapping
) -> tuple[Imitation | None, str]:
    """A file like the shard (None where none can be made), and why a canary not found there was not read."""
    try:
        return canary_files.imitate(shard, documents, columns), _NOT_READ
    except InputError as error:
        return None, f"{_NOT_READ}: {error.reason}"


def _of_shard(table: pa.Table, shard: Shard) -> pa.Table:
    return table.set_column(0, SCHEMA.field(0), pa.array([shard.shard] * len(table), pa.string()))


def _documents(chosen: Sequence[Canary]) -> Iterator[dict[str, str]]:
    number = 0
    for canary in chosen:
        for text in canary.texts:
            where = {} if canary.url is None else {"url": canary.url}
            yield {"id": f"canary-{number}", "text": text, **where}
            number += 1


def _with_url(documents: pa.RecordBatch) -> Iterator[int]:
    """Positions of documents that have an address."""
    pairs = zip(*(documents.column(name).to_pylist() for name in ("position", "url")), strict=True)
    yield from (position for position, url in pairs if url)


def _starts(chosen: Sequence[Canary]) -> list[int]:
    starts, total = [], 0
    for canary in chosen:
        starts.append(total)
        total += len(canary.texts)
    return starts


@dataclasses.dataclass(frozen=True)
class _Seen:
    """Rows that screens measured by position, and what corpus-wide ones resolved, by screen."""

    rows: Mapping[str, Mapping[int, dict[str, Any]]]
    resolved: Mapping[str, Mapping[int, Any]]
    reason: str


def _measured(
    screens: Sequence[Screen], batch: pa.RecordBatch, hmac_key: bytes
) -> dict[str, dict[int, dict[str, Any]]]:
    """Measures, state and kinds of findings of each canary document, by screen and position."""
    upstream: dict[str, pa.Array] = {}
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for screen in screens:
        needed = tuple(f"{name}_" for name in screen.needs)
        given = {name: column for name, column in upstream.items() if needed and name.startswith(needed)}
        rows = measure(
            screen, batch, ScreenContext(given, hmac_key if screen.uses_key else None), _SHARD
        ).rows
        upstream |= {name: rows.column(name) for name in rows.schema.names}
        found[screen.name] = {row["position"]: row for row in rows.to_pylist()}
    return found


@dataclasses.dataclass(frozen=True)
class _CanarySketches:
    """Sketches of the canaries alone; implements ``audit.screens.Sketches``."""

    table: pa.Table
    documents: pa.RecordBatch
    shards: Sequence[str] = (_SHARD,)

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """The one shard that there is."""
        yield _SHARD, self.table.select(["position", *columns])

    def texts(self, wanted: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, str]]:
        """Texts of positions."""
        positions = set(wanted.get(_SHARD, ()))
        pairs = zip(*(self.documents.column(n).to_pylist() for n in ("position", "text")), strict=True)
        yield from ((_SHARD, position, text) for position, text in pairs if position in positions)

    def split(self) -> Sequence[_CanarySketches]:
        """The one shard that there is."""
        return (self,)

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """A result a task, from this process."""
        return map(function, tasks)


def _resolved(
    screens: Mapping[str, Screen],
    chosen: Sequence[Canary],
    rows: Mapping[str, Mapping[int, dict[str, Any]]],
    documents: pa.RecordBatch | None,
    workspace: Path,
) -> Iterator[tuple[str, dict[int, Any]]]:
    """By position: the cluster, or the resolved measures, of corpus-wide screens that have canaries."""
    for name in dict.fromkeys(canary.screen for canary in chosen):
        screen = screens[name]
        if documents is None or not isinstance(screen, CorpusScreen) or not is_corpus_wide(screen):
            continue
        columns = dict(screen.measures)
        ordered = [rows[name][position] for position in sorted(rows[name])]
        arrays = [pa.array([row["position"] for row in ordered], pa.int64())]
        arrays += [pa.array([row[f"{name}_{m}"] for row in ordered], kind) for m, kind in columns.items()]
        table = pa.table(arrays, names=["position", *(f"{name}_{measure}" for measure in columns)])
        yield name, _resolve(screen, table, documents, workspace / name)


#: What corpus-wide screens resolved in this process, by their parameters and the bytes of the sketches:
#: equal sketches of equal texts resolve equally, and reading and sketching were done anew for each shard.
_RESOLVED: dict[tuple[str, bytes], dict[int, Any]] = {}


def _resolve(
    screen: CorpusScreen, table: pa.Table, documents: pa.RecordBatch, folder: Path
) -> dict[int, Any]:
    """By position: the cluster of a duplicate screen, or the resolved measures."""
    sink = pa.BufferOutputStream()
    texts = pa.table({"text": documents.column("text")})
    for part in (table, texts):
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part)
    key = (repr(screen), hashlib.sha256(sink.getvalue()).digest())
    if key not in _RESOLVED:
        folder.mkdir(parents=True)
        # A copy: the screen itself keeps the statistics of the corpus.
        copy = dataclasses.replace(screen)  # type: ignore[type-var]
        rows = (
            row
            for part in copy.resolve(_CanarySketches(table, documents), folder)
            for row in part.to_pylist()
        )
        _RESOLVED[key] = {
            row["position"]: row["cluster_id"] if finds_duplicates(screen) else row for row in rows
        }
    return _RESOLVED[key]


def _sighting(canary: Canary, screen: Screen, start: int, seen: _Seen, path: str) -> Sighting:
    key, condition = canary.expected
    positions = range(start, start + len(canary.texts))
    values = [_value(key, screen, position, seen) for position in positions]
    if key == "together" and not any(map(_unread, values)):
        clusters = {seen.resolved.get(screen.name, {}).get(position) for position in positions}
        values = [len(clusters) == 1 and None not in clusters]
    unread = any(map(_unread, values))
    outcome: Outcome = "fired" if canary.control and not unread else "missed"
    if not unread and all(_meets(key, value, condition) for value in values):
        outcome = "passed"
    found = ", ".join(dict.fromkeys(_shown(key, value) for value in values))
    expected = words(key, condition)
    return Sighting(canary.screen, canary.name, canary.control, expected, found, outcome, path)


@dataclasses.dataclass(frozen=True)
class _Unread:
    """Why a canary has no value."""

    reason: str


def _value(key: str, screen: Screen, position: int, seen: _Seen) -> Any:
    row = seen.rows.get(screen.name, {}).get(position)
    if row is None:
        return _Unread(seen.reason)
    if row["state"] not in (None, EVALUATED):
        return _Unread(row["state"])
    kinds = [finding["kind"] for finding in row["findings"]]
    if key in ("finds", "findings"):
        return tuple(sorted(set(kinds))) if key == "finds" else len(kinds)
    resolved = seen.resolved.get(screen.name, {}).get(position)
    if isinstance(resolved, dict) and key in resolved:
        return resolved[key]
    return row.get(f"{screen.name}_{key}")


def _unread(value: Any) -> bool:
    return isinstance(value, _Unread)


def _meets(key: str, value: Any, condition: Any) -> bool:
    return condition in value if key == "finds" else satisfies(value, condition)


def _shown(key: str, value: Any) -> str:
    """A value for people: numbers, labels and kinds of findings, never text of a document."""
    if isinstance(value, _Unread):
        return value.reason
    if key == "finds":
        return ", ".join(value) or "nothing"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
