"""A run: one audit of one corpus under one configuration, as a folder or on an object store."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

import duckdb

from audit import config as configuration
from audit import database, lease, partindex
from audit.config import AuditConfig
from audit.errors import AuditError, ConfigurationError, FatalError
from audit.lease import Lease
from audit.lineage import manifest
from audit.lineage.journal import Journal
from audit.mirror import Mirror
from audit.objects.object_stores import ObjectFolder, is_object_address
from audit.storage import staging
from audit.storage.store import Store

MANIFEST = "manifest.json"
#: Growth of the list of inputs that were read from which the object store is told.
_WORTH_TELLING = 1.1


class Run:
    """A run folder. Moving it breaks nothing: every path inside is relative.

    A run on an object store has a folder on this machine, too, with its small files and those of its parts
    that were asked for; the store is the truth.

    Args:
        folder: The run, or its copy on this machine.
        remote: The run on an object store.
    """

    def __init__(self, folder: Path, remote: ObjectFolder | None = None) -> None:
        self.folder, self.remote = folder, remote
        parts = None if remote is None else ObjectFolder(remote.address_of("parts"))
        self.store = Store(folder / "parts", parts)
        self.sample = folder / "sample"
        self.judgements = folder / "judgements"
        self.cache = folder / "cache"
        self._held: tuple[Lease, Mirror] | None = None

    @classmethod
    def at(cls, place: str | Path) -> Run:
        """The run in a folder or at an address, whether there is one yet or not.

        Raises:
            ConfigurationError: The address carries credentials or lacks its bucket.
        """
        if isinstance(place, Path) or not is_object_address(place):
            return cls(Path(place))
        remote = ObjectFolder(place)
        return cls(staging.folder(remote.address), remote)

    @classmethod
    def existing(cls, place: str | Path) -> Run:
        """A run that has been completed at least once; of one on an object store, as it stands there now.

        Raises:
            ConfigurationError: There is none in that folder or at that address.
            RetryableError: The store does not answer.
        """
        run = cls.at(place)
        run.refresh()
        if not (run.folder / MANIFEST).is_file():
            raise ConfigurationError(
                "there is no completed run here",
                file=run.place,
                remedy="Give the folder that `audit run … --out` wrote, or run it to its end",
            )
        return run

    @property
    def place(self) -> str:
        """The folder, or the address."""
        return str(self.folder) if self.remote is None else self.remote.address

    @property
    def journal(self) -> Journal:
        """The run's journal, its tail checked; each line that is appended reaches the object store, too."""
        return Journal(self.folder / "journal.jsonl", None if self.remote is None else self.publish)

    def manifest(self) -> dict[str, Any]:
        """The manifest of the last completed pass; not to be changed."""
        path = self.folder / MANIFEST
        status = path.stat()
        return _parsed(path, (status.st_ino, status.st_size, status.st_mtime_ns))

    def header(self) -> dict[str, Any]:
        """The manifest but for its inputs, which name every shard; not to be changed."""
        path = self.folder / MANIFEST
        status = path.stat()
        return _header(path, (status.st_ino, status.st_size, status.st_mtime_ns))

    def scorecard(self) -> dict[str, Any]:
        """The scorecard as it was last rendered.

        Raises:
            ConfigurationError: The run never came that far.
        """
        loaded: dict[str, Any] = json.loads(self._evaluated("scorecard.json").read_bytes())
        return loaded

    def config(self) -> AuditConfig:
        """The configuration that the last pass ran under."""
        return configuration.parse(self.header()["configuration"], file=str(self.folder / MANIFEST))

    def connect(self, names: Collection[str] | None = None) -> duckdb.DuckDBPyConnection:
        """Open ``audit.duckdb`` read-only, from any working directory.

        Args:
            names: Tables and views that will be read; None: all. Of a run on an object store the parts behind
                these views are fetched now, those that are not on this machine yet.

        Raises:
            ConfigurationError: The run never came that far.
            FatalError: A part on the object store is not what the index says.
        """
        db = database.connect(self._evaluated(database.FILE).parent, self.config().run.memory_bytes)
        partindex.stage(self.store, database.families(db, names).__contains__)
        return db

    def refresh(self) -> None:
        """Bring the copy of a run on an object store up to date, unless a command is at work with it."""
        if self.remote is not None:
            with self._lock_file(".pull") as pulling:
                fcntl.flock(pulling, fcntl.LOCK_EX)
                if not self._is_at_work():
                    self._mirrored(self.remote)

    def publish(self) -> None:
        """Bring the object store up to date with what was written into the folder.

        Raises:
            FatalError: The lock was lost, or somebody else wrote there.
        """
        if self._held is not None:
            lock, mirror = self._held
            lock.confirm()
            mirror.push()
        elif self.remote is not None:
            raise FatalError(f"{self.remote.address} is written while it is not locked")

    def confirm_lock(self) -> None:
        """Make sure that the run is still locked, before what cannot be taken back.

        Raises:
            FatalError: The lock was lost.
        """
        if self._held is not None:
            self._held[0].confirm()

    def _evaluated(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise ConfigurationError(
                f"the run has no {name} yet",
                file=self.place,
                remedy="Give the command that made the run again: it resumes and completes it",
            )
        return path

    @contextmanager
    def locked(self, note: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keep every other writer out; of a run on an object store, on all machines.

        Args:
            note: Is told when it has to wait.

        Raises:
            ConfigurationError: It cannot be made or written.
            FatalError: Another process works in it, or took it over.
        """
        with self._local_lock():
            if self.remote is None:
                yield
            else:
                with self._leased(self.remote, note):
                    yield

    @contextmanager
    def _leased(self, remote: ObjectFolder, note: Callable[[str], None] | None) -> Iterator[None]:
        lock = Lease(remote, lease.length(), self._tell_hints)
        lock.acquire(note)
        with lock.kept():
            with self._lock_file(".pull") as pulling:
                fcntl.flock(pulling, fcntl.LOCK_EX)
                self._held = lock, self._mirrored(remote)
            try:
                yield
                self.publish()
                self._held[1].push_hints()
            except BaseException:
                if not lock.lost:
                    with suppress(AuditError):  # the first error is the one to tell
                        self._held[1].push_hints()
                raise
            finally:
                self._held = None

    def _mirrored(self, remote: ObjectFolder) -> Mirror:
        mirror = Mirror(self.folder, remote)
        mirror.pull()
        self.store.folder.mkdir(exist_ok=True)
        partindex.prune(self.store)
        return mirror

    def _tell_hints(self) -> None:
        if self._held is not None:
            self._held[1].push_hints(_WORTH_TELLING)

    def _is_at_work(self) -> bool:
        with self._lock_file() as handle:
            return not _locked_now(handle)

    @contextmanager
    def _local_lock(self) -> Iterator[None]:
        with self._lock_file() as handle:
            if not _locked_now(handle):
                raise FatalError(
                    f"another process works in {self.place}; wait for it, or choose another --out"
                )
            yield

    def _lock_file(self, name: str = ".lock") -> TextIO:
        if self.remote is not None:
            staging.make(self.folder)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Neither follow a link nor truncate what it leads to.
            flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.fdopen(os.open(self.folder / name, flags, 0o600), "r+")
        except OSError as error:
            raise ConfigurationError(
                f"the run folder cannot be written ({error.strerror})",
                file=str(self.folder),
                remedy="Choose another --out, or allow writing there",
            ) from error


def _locked_now(handle: TextIO) -> bool:
    """Lock a file until it is closed, or tell that another process has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@lru_cache(maxsize=2)
def _parsed(path: Path, stamp: tuple[int, int, int]) -> dict[str, Any]:
    """A manifest; ``stamp`` changes with the file."""
    del stamp
    loaded: dict[str, Any] = json.loads(path.read_bytes())
    return loaded


@lru_cache(maxsize=2)
def _header(path: Path, stamp: tuple[int, int, int]) -> dict[str, Any]:
    """A manifest but for its inputs; ``stamp`` changes with the file."""
    del stamp
    return manifest.read(path)
