"""The index of parts: which files make up a run, with digests and the counts that footers hold.

A line a file: a part, or a pack of many small ones (``packs``) and the pack's list. It spares readers
the footers of a hundred thousand files, it is what the views are bound to, and what ``audit verify`` holds
the files against.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from mmap import ACCESS_READ, mmap
from typing import Any

from audit.errors import ConfigurationError, FatalError
from audit.objects.object_stores import ObjectFolder
from audit.storage.packs import LISTS, Pack
from audit.storage.part_files import LocalFiles, fetch
from audit.storage.store import Part, Receipt, Store, digest_file, write_atomically

FILE = "index.jsonl"
_FOLDER = "parts/"
#: Bytes, family, path and digest of a canonical line, whatever the footer between them holds.
_FIELDS = re.compile(
    rb'\{"bytes":([0-9]+),"family":"([^"\\]+)".*"path":"([^"\\]+)","sha256":"([0-9a-f]+)"', re.DOTALL
)


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
        return cls(lambda family: list(_recorded(store, family)))

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
    known = _raw(store)
    lines: dict[str, bytes] = {}
    used, loose = _apart(store, parts, replaced)
    unlisted: list[Part] = []
    committed = {each.part: Entry(each.part, each.size, each.sha256, each.metadata) for each in receipts}
    for part in loose:
        path = f"{_FOLDER}{part.relative}"
        listed = known.get(path)
        if listed is not None and f'"key":"{part.key}"'.encode() in listed:
            lines[path] = listed
        elif part in committed:
            lines[path] = committed[part].line().encode()
        else:
            unlisted.append(part)
    for entry in store.files.each(partial(_inspect, store), unlisted):
        lines[f"{_FOLDER}{entry.part.relative}"] = entry.line().encode()
    for pack, count in used.items():
        lines |= _pack_lines(pack, count, known)
    _save(store, lines)


def _apart(
    store: Store, parts: Iterable[Part], replaced: Collection[Pack]
) -> tuple[Counter[Pack], Iterable[Part]]:
    """How many of the parts each pack holds, and the parts that lie by themselves."""
    if store.remote is not None:
        return Counter(), parts
    used, loose = Counter[Pack](), list[Part]()
    for some, located in store.locate(parts, replaced):
        for part, pack in zip(some, located.packs(), strict=True):
            if pack is None:
                loose.append(part)
            else:
                used[pack] += 1
    return used, loose


def add(store: Store, parts: Iterable[Part]) -> None:
    """Add parts to the index, but those that it lists."""
    lines = _raw(store)
    for part in parts:
        path = f"{_FOLDER}{part.relative}"
        if path not in lines:
            lines[path] = _inspect(store, part).line().encode()
    _save(store, lines)


def _save(store: Store, lines: Mapping[str, bytes]) -> None:
    write_atomically(store.folder / FILE, b"".join(lines[path] + b"\n" for path in sorted(lines)))


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
        for member in _pack(store, line).members():
            part = Part(line["family"], member.shard, member.key)
            yield Entry(part, member.bytes, line["sha256"], member.told())


def _recorded(store: Store, family: str) -> Iterator[Part]:
    """Parts of a family that the index lists, as ``read`` orders them; footers are not looked at."""
    for line in _lines(store, lambda name: name == family and name != LISTS):
        if "pack" in line:
            yield from (Part(family, *name) for name in _pack(store, line).names())
        else:
            yield Part(family, line["shard"], line["key"])


def _pack(store: Store, line: Mapping[str, Any]) -> Pack:
    """The pack that a line speaks of.

    Raises:
        ConfigurationError: Of a run on an object store.
    """
    if store.remote is not None:
        raise ConfigurationError(
            "this run was packed while it was a folder, and packs are not read on a store",
            file=store.remote.address,
            remedy="Copy it into a folder again, or audit into another address",
        )
    return Pack(store.folder, line["family"], line["pack"])


@dataclass(frozen=True)
class File:
    """A file of the index: path below the run, family, bytes and digest."""

    path: str
    family: str
    bytes: int
    sha256: str


def files(store: Store) -> list[File]:
    """The files that the index lists, by path; lists of packs have the family ``packs``."""
    found = []
    for _, line in _scanned(store, bool):
        if (fields := _FIELDS.match(line)) is not None:
            size, family, path, digest = fields.groups()
            found.append(File(path.decode(), family.decode(), int(size), digest.decode()))
        else:
            plain = json.loads(line)
            found.append(File(plain["path"], plain["family"], plain["bytes"], plain["sha256"]))
    return found


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
    for _, line in _scanned(store, wanted):
        yield json.loads(line)


def _raw(store: Store) -> dict[str, bytes]:
    """Lines by path."""
    return {_path(line).decode(): line for _, line in _scanned(store, bool)}


def _scanned(store: Store, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Family and line of the families that are asked for.

    Lines are sorted by path, so that those of one family stand together: of others only the ends are looked
    for, and not at a million lines between them.
    """
    path = store.folder / FILE
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as handle, mmap(handle.fileno(), 0, access=ACCESS_READ) as content:
        at = 0
        while at < len(content):
            stop = _stop(content, at)
            line = content[at:stop]
            family = _family(line).decode()
            if wanted(family):
                yield family, line.removesuffix(b"\n")
                at = stop
            else:
                at = _behind(content, stop, _family(line))


def _behind(content: mmap, at: int, family: bytes) -> int:
    """Where the first line begins, at that place or later, that is of another family."""
    low, high = at, len(content)
    while low < high:
        middle = content.rfind(b"\n", low, (low + high) // 2) + 1 or low
        stop = _stop(content, middle)
        if _family(content[middle:stop]) == family:
            low = stop
        else:
            high = middle
    return low


def _stop(content: mmap, at: int) -> int:
    return content.find(b"\n", at) + 1 or len(content)


def _path(line: bytes) -> bytes:
    """Of a canonical line, in which the path comes after whatever a footer holds."""
    return line.rpartition(b'"path":"')[2].partition(b'"')[0]


def _family(line: bytes) -> bytes:
    """Of a canonical line, in which the family comes before whatever a footer holds."""
    return line.partition(b'"family":"')[2].partition(b'"')[0]


def _canonical(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _inspect(store: Store, part: Part) -> Entry:
    size, digest = store.files.inspect(part.relative)
    return Entry(part, size, digest, store.metadata(part))


def _pack_lines(pack: Pack, used: int, known: Mapping[str, bytes]) -> dict[str, bytes]:
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
        if (listed := known.get(path)) is None:
            fresh = {"bytes": file.stat().st_size, "sha256": digest_file(file)}
            listed = _canonical({"path": path, **plain, **fresh}).encode()
        lines[path] = listed
    return lines
