"""The index of parts: which files make up a run, with digests and the counts that footers hold.

A line a file: a part, or a pack of many small ones (``audit.packs``) and the pack's list. It spares readers
the footers of a hundred thousand files, it is what the views are bound to, and what ``audit verify`` holds
the files against.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from audit.errors import ConfigurationError, FatalError
from audit.object_stores import ObjectFolder
from audit.packs import LISTS, Pack
from audit.part_files import LocalFiles, fetch
from audit.store import Part, Receipt, Store, digest_file, write_atomically

FILE = "index.jsonl"
_FOLDER = "parts/"


@dataclass(frozen=True)
class Entry:
    """A part as it stood when the index was written; of one in a pack, ``sha256`` is the pack's."""

    part: Part
    size: int
    sha256: str
    metadata: Mapping[str, Any]

    def line(self) -> str:
        """Canonical JSON."""
        return _canonical(
            {
                "path": f"{_FOLDER}{self.part.relative}",
                "family": self.part.family,
                "shard": self.part.shard,
                "key": self.part.key,
                "bytes": self.size,
                "sha256": self.sha256,
                "metadata": self.metadata,
            }
        )


class Catalogue:
    """The parts of a run by family, looked up when they are asked for."""

    def __init__(self, find: Callable[[str], Sequence[Part]]) -> None:
        self._find, self._known = find, dict[str, Sequence[Part]]()

    @classmethod
    def of(cls, parts: Iterable[Part]) -> Catalogue:
        """Of these parts."""
        families: dict[str, list[Part]] = {}
        for part in parts:
            families.setdefault(part.family, []).append(part)
        return cls(lambda family: families.get(family, ()))

    @classmethod
    def recorded(cls, store: Store) -> Catalogue:
        """Of the parts that the index lists."""
        return cls(lambda family: [entry.part for entry in read(store, lambda name: name == family)])

    def family(self, name: str) -> Sequence[Part]:
        """The parts of a family, in the index' order; none where it has none."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]


def write(
    store: Store,
    parts: Iterable[Part],
    receipts: Iterable[Receipt] = (),
    replaced: Collection[Pack] = (),
) -> None:
    """Write the index of these parts, sorted by path.

    A file that the last index lists keeps the digest it was listed with: a part never changes under
    its name, and a changed byte must be found, not signed again.

    Args:
        store: Holds them.
        parts: That make up the run.
        receipts: Of parts that were committed since; others are read.
        replaced: Packs that are about to go.

    Raises:
        FatalError: A pack holds other parts than these.
    """
    known = {line["path"]: line for line in _lines(store)}
    lines: dict[str, str] = {}
    used: dict[Pack, int] = {}
    unlisted: list[Part] = []
    committed = {each.part: Entry(each.part, each.size, each.sha256, each.metadata) for each in receipts}
    for part in parts:
        if (member := store.packed(part, replaced)) is not None:
            used[member.pack] = used.get(member.pack, 0) + 1
            continue
        path = f"{_FOLDER}{part.relative}"
        listed = known.get(path)
        same = listed is not None and listed.get("key") == part.key
        if listed is not None and same:
            lines[path] = _canonical(listed)
        elif part in committed:
            lines[path] = committed[part].line()
        else:
            unlisted.append(part)
    for entry in store.files.each(partial(_inspect, store), unlisted):
        lines[f"{_FOLDER}{entry.part.relative}"] = entry.line()
    for pack, count in used.items():
        lines |= _pack_lines(pack, count, known)
    _save(store, lines)


def add(store: Store, parts: Iterable[Part]) -> None:
    """Add parts to the index, but those that it lists."""
    lines = {line["path"]: _canonical(line) for line in _lines(store)}
    for part in parts:
        path = f"{_FOLDER}{part.relative}"
        if path not in lines:
            lines[path] = _inspect(store, part).line()
    _save(store, lines)


def _save(store: Store, lines: Mapping[str, str]) -> None:
    text = "".join(f"{lines[path]}\n" for path in sorted(lines))
    write_atomically(store.folder / FILE, text.encode())


def read(store: Store, wanted: Callable[[str], bool] = bool) -> Iterator[Entry]:
    """Entries of the index by path, members of packs one by one; none when there is no index yet.

    Args:
        store: The run's parts.
        wanted: Whether a family is asked for; by default all are.
    """
    for line in _lines(store, wanted):
        if line["family"] == LISTS:
            continue
        if "pack" not in line:
            part = Part(line["family"], line["shard"], line["key"])
            yield Entry(part, line["bytes"], line["sha256"], line["metadata"])
            continue
        if store.remote is not None:
            raise ConfigurationError(
                "this run was packed while it was a folder, and packs are not read on a store",
                file=store.remote.address,
                remedy="Copy it into a folder again, or audit into another address",
            )
        for member in Pack(store.folder, line["family"], line["pack"]).members():
            part = Part(line["family"], member.shard, member.key)
            yield Entry(part, member.bytes, line["sha256"], member.told())


@dataclass(frozen=True)
class File:
    """A file of the index: path below the run, family, bytes and digest."""

    path: str
    family: str
    bytes: int
    sha256: str


def files(store: Store) -> list[File]:
    """The files that the index lists, by path; lists of packs have the family ``packs``."""
    return [File(line["path"], line["family"], line["bytes"], line["sha256"]) for line in _lines(store)]


def stage(store: Store, wanted: Callable[[str], bool]) -> None:
    """Bring parts that lie on an object store into the folder, as the index has them.

    Args:
        store: Of a run that has an index.
        wanted: Whether a family is.

    Raises:
        FatalError: A part is missing, or not what the index says.
    """
    if store.remote is not None:
        store.files.each(partial(_stage, store, store.remote), list(read(store, wanted)))


def prune(store: Store) -> None:
    """Take parts that the index does not list out of the folder that stages them."""
    if store.remote is not None:
        listed = {file.path.removeprefix(_FOLDER) for file in files(store)}
        for name in set(LocalFiles(store.folder).names()).difference(listed):
            (store.folder / name).unlink()


def _stage(store: Store, remote: ObjectFolder, entry: Entry) -> None:
    path, name = store.path(entry.part), entry.part.relative
    if path.exists() and path.stat().st_size == entry.size:
        return
    info = remote.head(name)
    if info is None or fetch(remote, info, store.folder) != entry.sha256:
        path.unlink(missing_ok=True)
        raise FatalError(f"{name} in {remote.address} is not what the index says; see `audit verify`")


def _lines(store: Store, wanted: Callable[[str], bool] = bool) -> Iterator[dict[str, Any]]:
    path = store.folder / FILE
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            # A parser would look at every character of a million lines that nobody asked for.
            family = line.partition(b'"family":"')[2].partition(b'"')[0].decode()
            if wanted(family):
                yield json.loads(line)


def _canonical(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _inspect(store: Store, part: Part) -> Entry:
    size, digest = store.files.inspect(part.relative)
    return Entry(part, size, digest, store.metadata(part))


def _pack_lines(pack: Pack, used: int, known: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Lines of a pack and its list, whose bytes tell the pack's members."""
    members = len(pack.table())
    if members != used:
        raise FatalError(
            f"{pack.relative} holds parts that are not of this run; give the command that made it again"
        )
    told = {pack.relative: {"family": pack.family, "pack": pack.id, "parts": members}}
    told |= {pack.relative_list: {"family": LISTS}}
    lines = {}
    for relative, plain in told.items():
        path = f"{_FOLDER}{relative}"
        file = pack.folder / relative
        listed = known.get(path)
        fresh = {} if listed else {"bytes": file.stat().st_size, "sha256": digest_file(file)}
        lines[path] = _canonical(listed or {"path": path, **plain, **fresh})
    return lines
