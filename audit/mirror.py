"""Keeps the small files of a run on an object store and in a folder the same.

Small are all but the parts: manifest, journal, indices, samples, judgements, scorecards, the database. They
are pulled when the run is locked, and pushed after each line of the journal: first what changed, then the
journal, each only if it is still what was pulled. So the store goes through the states that a local
folder goes through, and a crash leaves one from which the same command goes on.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from audit.errors import FatalError
from audit.objects.object_stores import ObjectChanged, ObjectExists, ObjectFolder, ObjectInfo
from audit.storage.durable_files import write_atomically
from audit.storage.part_files import at_once, fetch

JOURNAL = "journal.jsonl"
#: Which content a file was when it was last read: only a hint, so both sides' lines are kept.
HINTS = "cache/inputs.jsonl"
_PARTS = "parts/"
_RECORD = ".mirror.json"


@dataclass(frozen=True)
class _Known:
    """A file that is the same on both sides: the object's entity tag; the file's size, time and inode."""

    etag: str
    size: int
    mtime_ns: int
    inode: int

    def is_as(self, path: Path) -> bool:
        """Whether the file has not been written since."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            return False
        return (stat.st_size, stat.st_mtime_ns, stat.st_ino) == (self.size, self.mtime_ns, self.inode)


class Mirror:
    """The small files of one run, here and there."""

    def __init__(self, folder: Path, remote: ObjectFolder) -> None:
        self._folder, self._remote = folder, remote
        self._known = self._load()
        self._hinted = 0

    def pull(self) -> None:
        """Make the folder's small files those of the store; what only the folder has goes."""
        infos = {info.key: info for info in self._remote_files()}
        infos |= {info.key: info for info in self._unlisted(infos)}
        for name in set(self._local_files()).difference(infos):
            (self._folder / name).unlink()
        self._known = {name: known for name, known in self._known.items() if name in infos}
        # The journal last: a reader who comes in the middle of a run sees that it has not ended.
        at_once(self._pull_one, [info for name, info in infos.items() if name != JOURNAL])
        if JOURNAL in infos:
            self._pull_one(infos[JOURNAL])
        self._pull_hints()
        self._save()

    def _unlisted(self, listed: Collection[str]) -> Iterator[ObjectInfo]:
        """What a listing that lags behind leaves out: the journal, and files that it speaks of."""
        journal = self._remote.head(JOURNAL)
        if journal is None:
            return
        yield journal
        missing = sorted(_told(self._remote.get(JOURNAL, etag=journal.etag)).difference(listed))
        yield from (info for info in at_once(self._remote.head, missing) if info is not None)

    def push(self) -> None:
        """Make the store's small files those of the folder, the journal last.

        Raises:
            FatalError: Somebody else wrote one of them since.
        """
        names = set(self._local_files())
        for name in sorted(names - {JOURNAL}):
            self._push_one(name)
        for name in sorted(set(self._known) - names):
            self._remote.delete(name)
            del self._known[name]
        if JOURNAL in names:
            self._push_one(JOURNAL)
        self._save()

    def push_hints(self, growth: float = 1.0) -> None:
        """Let the store know which inputs were read, so that a resume elsewhere need not read them again.

        Args:
            growth: How much larger than at the last push the file must be to be worth another.
        """
        path = self._folder / HINTS
        size = path.stat().st_size if path.exists() else 0
        if size > self._hinted * growth:
            self._remote.put(HINTS, path.read_bytes())
            self._hinted = size

    def _pull_one(self, info: ObjectInfo) -> None:
        path, known = self._folder / info.key, self._known.get(info.key)
        if known is not None and known.etag == info.etag and known.is_as(path):
            return
        fetch(self._remote, info, self._folder)
        self._note(info.key, info.etag)

    def _push_one(self, name: str) -> None:
        path, known = self._folder / name, self._known.get(name)
        if known is not None and known.is_as(path):
            return
        try:
            if known is None:
                etag = self._remote.put(name, path, create=True)
            else:
                etag = self._remote.put(name, path, etag=known.etag)
        except (ObjectExists, ObjectChanged):
            etag = self._settled(name, path.read_bytes())
        self._note(name, etag)

    def _settled(self, name: str, content: bytes) -> str | None:
        """The tag of an object that this push itself wrote, though the answer was lost."""
        info = self._remote.head(name)
        if info is None or self._remote.get(name, etag=info.etag) != content:
            raise FatalError(
                f"{name} in {self._remote.address} was changed by somebody else while this run was at work; "
                "give the command again once no other run is"
            )
        return info.etag

    def _note(self, name: str, etag: str | None) -> None:
        stat = (self._folder / name).stat()
        if etag is not None:
            self._known[name] = _Known(etag, stat.st_size, stat.st_mtime_ns, stat.st_ino)

    def _pull_hints(self) -> None:
        info, path = self._remote.head(HINTS), self._folder / HINTS
        if info is None:
            return
        theirs = self._remote.get(HINTS, etag=info.etag).splitlines(keepends=True)
        ours = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        added = set(ours).difference(theirs)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, b"".join([*theirs, *(line for line in ours if line in added)]))
        self._hinted = path.stat().st_size if not added else 0

    def _remote_files(self) -> Iterator[ObjectInfo]:
        objects, folders = self._remote.children("")
        yield from (info for info in objects if not info.key.startswith("."))
        for folder in folders:
            if folder == _PARTS:
                yield from self._remote.children(_PARTS)[0]
            elif not folder.startswith((".", "cache/")):
                yield from self._remote.list(folder)

    def _local_files(self) -> Iterator[str]:
        for parent, folders, files in os.walk(self._folder):
            below = Path(parent).relative_to(self._folder).as_posix()
            hidden = {name for name in folders if name.startswith(".") or f"{name}/" == "cache/"}
            folders[:] = [] if below == _PARTS.rstrip("/") else sorted(set(folders) - hidden)
            for name in sorted(files):
                if not name.startswith("."):
                    yield name if below == "." else f"{below}/{name}"

    def _load(self) -> dict[str, _Known]:
        path = self._folder / _RECORD
        if not path.exists():
            return {}
        rows: dict[str, dict[str, object]] = json.loads(path.read_bytes())
        return {name: _Known(**row) for name, row in rows.items()}  # type: ignore[arg-type]

    def _save(self) -> None:
        rows = {name: dataclasses.asdict(known) for name, known in sorted(self._known.items())}
        write_atomically(self._folder / _RECORD, json.dumps(rows).encode())


def _told(journal: bytes) -> set[str]:
    """Files that a journal speaks of; what is wrong with it is for those to say who read it."""
    names: set[str] = set()
    for line in journal.splitlines():
        try:
            files = json.loads(line)["data"].get("files", {})
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        names.update(name for name in files if isinstance(name, str))
    return names
