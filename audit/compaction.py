"""Compaction: the many small parts of a family become a few packs (``packs``), once the pass is over.

Which parts share a pack follows from the parts and the packs that stand when the pass ends, whoever computed
them and however often it was killed. Steps, each of which a kill may be the last to see:

1. Packs are written beside the parts, by the engine's workers, their lists under a preliminary name.
2. The plan is put in place in one step: from here on the compaction is done, and is only carried out.
3. Lists get their names; the index of parts is written; what the packs replace is removed; the plan, too.

A run that finds a plan carries it out; without one it removes what step 1 left. Nothing is lost either way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from audit import partindex
from audit.engines import Engine
from audit.errors import FatalError
from audit.storage import packs
from audit.storage.durable_files import sync_files
from audit.storage.packs import LIST_SCHEMA, LISTS, PREFIX, SUFFIX, Pack
from audit.storage.store import (
    ROW_GROUP_ROWS,
    Part,
    Receipt,
    Store,
    digest_file,
    disk_errors,
    sync_folder,
    write_atomically,
)

#: Fewer small files than these are left as they are.
LEAST_FILES = 64
#: A row group takes whole parts until it holds so many rows: who wants one part reads little more.
_GROUP_ROWS = 8192
#: A part of a larger share of a pack than this is no small one.
_SMALL = 8
_PLAN, _NEW = "plan.json", ".new"


@dataclass(frozen=True)
class PackTask:
    """A pack to be written from parts that stand, in shard order."""

    store: Store
    pack: Pack
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class _Source:
    """A part that is to be packed, how large it was by itself, and what holds it now."""

    part: Part
    bytes: int
    pack: Pack | None


def recover(store: Store) -> None:
    """Bring a compaction that was interrupted to an end, or undo what it began; under the run's lock."""
    lists = store.folder / LISTS
    if (lists / _PLAN).exists():
        plan = json.loads((lists / _PLAN).read_bytes())
        _name_lists(store, plan)
        _clean_up(store, plan)
    for path in [*lists.glob(f"*{SUFFIX}{_NEW}"), *lists.glob(f".{_PLAN}.*")]:
        path.unlink()
    named = {pack.path for pack in packs.standing(store.folder)}
    for path in store.folder.glob(f"*/{PREFIX}*.parquet"):
        if not path.parent.name.startswith(".") and path not in named:
            path.unlink()
    packs.forget()


def compact(
    store: Store,
    parts: Sequence[Part],
    families: Iterable[str],
    engine: Engine,
    target: int,
    known: Mapping[str, str],
    receipts: Sequence[Receipt] = (),
) -> None:
    """Pack small parts, and write the index of all parts; on an object store nothing is packed.

    Args:
        store: The run's parts; those of other settings are retired.
        parts: All parts of the run.
        families: Those with a part a shard; of them small parts are packed.
        engine: Its workers write the packs.
        target: Bytes of parts that make a pack full; 0: nothing is packed, and only packs that hold parts of
            other settings are written anew.
        known: Digests by path below ``parts``, as an index listed them before this pass.
        receipts: Of parts that this pass committed.
    """
    if store.remote is not None:
        partindex.write(store, parts, receipts)
        return
    by_family: dict[str, list[Part]] = {family: [] for family in families}
    for part in parts:
        if part.family in by_family:
            by_family[part.family].append(part)
    tasks: list[PackTask] = []
    replaced: list[str] = []
    for family, members in sorted(by_family.items()):
        planned, gone = _plan(store, family, members, known, target)
        tasks += planned
        replaced += gone
    if tasks or replaced:
        _write_all(engine, tasks)
        _commit(store, [task.pack for task in tasks], replaced, parts, receipts)
    else:
        partindex.write(store, parts, receipts)


def _plan(
    store: Store, family: str, parts: Sequence[Part], known: Mapping[str, str], target: int
) -> tuple[list[PackTask], list[str]]:
    """Packs to write, and relative paths of what they replace.

    Raises:
        FatalError: A pack that has to be written anew is not what the index says.
    """
    current = {(part.shard, part.key) for part in parts}
    standing = packs.standing(store.folder, family)
    held = {pack: pack.sizes() for pack in standing}
    stale = {pack for pack, members in held.items() if any(m[:2] not in current for m in members)}
    small = {p for p in standing if p not in stale and sum(m[2] for m in held[p]) < target}
    loose, doubled = _loose(
        store, parts, {m[:2] for members in held.values() for m in members}, known, target
    )
    if not stale and len(loose) + len(small) < LEAST_FILES:
        return [], doubled
    if changed := sorted(pack.relative for pack in stale if not _is_as_listed(pack, known)):
        raise FatalError(
            f"{changed[0]} is not what the index of parts says, and {len(changed)} such packs hold parts "
            "that are kept: see `audit verify`. Remove those packs and lists, then give the same command: "
            "what they held is computed again"
        )
    small = {pack for pack in small if _is_as_listed(pack, known)}
    sources = [_Source(part, size, None) for part, size in loose]
    for pack in (*stale, *small):
        kept = [m for m in held[pack] if m[:2] in current]
        sources += [_Source(Part(family, shard, key), size, pack) for shard, key, size in kept]
    tasks = [_task(store, family, group) for group in _groups(sources, target)]
    written = {task.pack for task in tasks}
    gone = [part.relative for part, _ in loose] + doubled
    for pack in (*stale, *small):
        if pack not in written:
            gone += [pack.relative, pack.relative_list]
    return [task for task in tasks if task.pack not in small], gone


def _is_as_listed(pack: Pack, known: Mapping[str, str]) -> bool:
    """Whether rows and list of a pack are what the index says; otherwise nobody may sign them again."""
    files = {pack.relative: pack.path, pack.relative_list: pack.list_path}
    return all(known[name] == digest_file(path) for name, path in files.items() if name in known)


def _loose(
    store: Store,
    parts: Sequence[Part],
    packed: set[tuple[str, str]],
    known: Mapping[str, str],
    target: int,
) -> tuple[list[tuple[Part, int]], list[str]]:
    """Small parts that lie by themselves, with their bytes; and paths of those that a pack holds as well.

    One that is not what the index says stays where it is: ``audit verify`` must find it.
    """
    found, doubled = [], []
    present = store.files.present(part.relative for part in parts)
    for part in parts:
        if part.relative not in present:
            continue
        path = store.path(part)
        if (part.shard, part.key) in packed:
            doubled.append(part.relative)
        elif (size := path.stat().st_size) * _SMALL < target:
            listed = known.get(part.relative)
            if listed is None or listed == digest_file(path):
                found.append((part, size))
    return found, doubled


def _groups(sources: Sequence[_Source], target: int) -> Iterator[list[_Source]]:
    """Sources by shard, cut where a pack is full."""
    group: list[_Source] = []
    size = 0
    for source in sorted(sources, key=lambda source: (source.part.shard, source.part.key)):
        group.append(source)
        size += source.bytes
        if 0 < target <= size:
            yield group
            group, size = [], 0
    if group:
        yield group


def _task(store: Store, family: str, group: Sequence[_Source]) -> PackTask:
    named = "".join(f"{source.part.shard}.{source.part.key}\n" for source in group)
    pack = Pack(store.folder, family, hashlib.sha256(named.encode()).hexdigest()[:16])
    return PackTask(store, pack, tuple(source.part for source in group))


def _write_all(engine: Engine, tasks: Sequence[PackTask]) -> None:
    for outcome in engine.map(write_pack, tasks, _ignore):
        if outcome.result is None:
            write_pack(outcome.task)


def _ignore(documents: int, size: int) -> None:
    """Packing is no progress of the audit."""


def write_pack(task: PackTask) -> int:
    """Write a pack, and its list under a preliminary name; returns the pack's bytes."""
    store, pack = task.store, task.pack
    store.scratch.mkdir(parents=True, exist_ok=True)
    rows, listing = (store.scratch / f"{kind}-{pack.family}-{pack.id}" for kind in ("pack", "list"))
    with disk_errors():
        table = _write_rows(task, rows)
        with pa.OSFile(str(listing), "wb") as sink, pa.ipc.new_file(sink, LIST_SCHEMA) as writer:
            writer.write_table(table.combine_chunks())
        size = rows.stat().st_size
        sync_files([rows, listing])
        for target in (pack.path, pack.list_path):
            target.parent.mkdir(parents=True, exist_ok=True)
        rows.replace(pack.path)
        listing.replace(_preliminary(pack.list_path))
    return size


def _preliminary(path: Path) -> Path:
    return path.with_name(f"{path.name}{_NEW}")


def _write_rows(task: PackTask, path: Path) -> pa.Table:
    """Write the members' rows; returns the list."""
    schema = task.store.read(task.parts[0]).schema.remove_metadata()
    columns: dict[str, list[object]] = {name: [] for name in LIST_SCHEMA.names}
    start, pending, waiting = 0, list[pa.Table](), 0
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=3, write_statistics=True) as to:
        for part in task.parts:
            rows, metadata, size = task.store.whole(part)
            told = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
            values = (part.shard, part.key, start, len(rows), size, told)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
            start += len(rows)
            waiting += len(rows)
            pending.append(_plain(rows))
            if waiting >= _GROUP_ROWS:
                _flush(to, pending, schema)
                pending, waiting = [], 0
        if pending:
            _flush(to, pending, schema)
    return pa.table(columns, schema=LIST_SCHEMA)


def _plain(rows: pa.Table) -> pa.Table:
    """Rows without dictionaries, which differ with where they were read from."""
    kinds = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in rows.schema]
    return rows.cast(pa.schema(kinds))


def _flush(writer: pq.ParquetWriter, pending: Sequence[pa.Table], schema: pa.Schema) -> None:
    table = pa.concat_tables(pending).combine_chunks()
    if len(table):
        writer.write_table(table.cast(schema), row_group_size=ROW_GROUP_ROWS)


def _commit(
    store: Store,
    written: Sequence[Pack],
    replaced: Sequence[str],
    parts: Sequence[Part],
    receipts: Sequence[Receipt],
) -> None:
    """Put the plan in place, and carry it out."""
    for folder in {store.folder / LISTS, *(pack.path.parent for pack in written)}:
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder)
    plan = {"lists": [pack.relative_list for pack in written], "replaced": sorted(replaced)}
    write_atomically(store.folder / LISTS / _PLAN, json.dumps(plan).encode())
    sync_folder(store.folder / LISTS)
    _name_lists(store, plan)
    gone = {pack for pack in packs.standing(store.folder) if pack.relative_list in replaced}
    partindex.write(store, parts, receipts, gone)
    _clean_up(store, plan)


def _name_lists(store: Store, plan: Mapping[str, Sequence[str]]) -> None:
    for relative in plan["lists"]:
        path = store.folder / relative
        if _preliminary(path).exists():
            _preliminary(path).replace(path)
    packs.forget()


def _clean_up(store: Store, plan: Mapping[str, Sequence[str]]) -> None:
    """Remove what packs replace, lists first: a pack without one is not looked at."""
    for relative in sorted(plan["replaced"], key=lambda path: not path.startswith(f"{LISTS}/")):
        (store.folder / relative).unlink(missing_ok=True)
    (store.folder / LISTS / _PLAN).unlink()
    packs.forget()
