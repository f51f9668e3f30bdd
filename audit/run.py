"""A run: one audit of one corpus under one configuration, as a folder."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import duckdb

from audit import config as configuration
from audit import database
from audit.config import AuditConfig
from audit.errors import ConfigurationError, FatalError
from audit.lineage.journal import Journal
from audit.store import Store

MANIFEST = "manifest.json"
SCORECARDS = ("scorecard.json", "scorecard.md", "scorecard.html")


class Run:
    """A run folder. Moving it breaks nothing: every path inside is relative."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "parts")
        self.sample = folder / "sample"
        self.judgements = folder / "judgements"
        self.cache = folder / "cache"

    @classmethod
    def existing(cls, folder: Path) -> Run:
        """A run that has been completed at least once.

        Raises:
            ConfigurationError: There is none in that folder.
        """
        if not (folder / MANIFEST).is_file():
            raise ConfigurationError(
                "there is no completed run here",
                file=str(folder),
                remedy="Give the folder that `audit run … --out` wrote, or run it to its end",
            )
        return cls(folder)

    @property
    def journal(self) -> Journal:
        """The run's journal, its tail checked."""
        return Journal(self.folder / "journal.jsonl")

    def manifest(self) -> dict[str, Any]:
        """The manifest of the last completed pass."""
        loaded: dict[str, Any] = json.loads((self.folder / MANIFEST).read_bytes())
        return loaded

    def scorecard(self) -> dict[str, Any]:
        """The scorecard as it was last rendered.

        Raises:
            ConfigurationError: The run never came that far.
        """
        loaded: dict[str, Any] = json.loads(self._evaluated("scorecard.json").read_bytes())
        return loaded

    def config(self) -> AuditConfig:
        """The configuration that the last pass ran under."""
        return configuration.parse(self.manifest()["configuration"], file=str(self.folder / MANIFEST))

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open ``audit.duckdb`` read-only, from any working directory.

        Raises:
            ConfigurationError: The run never came that far.
        """
        return database.connect(self._evaluated(database.FILE).parent)

    def _evaluated(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise ConfigurationError(
                f"the run has no {name} yet",
                file=str(self.folder),
                remedy="Give the command that made the run again: it resumes and completes it",
            )
        return path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other writer out of the folder.

        Raises:
            ConfigurationError: It cannot be made or written.
            FatalError: Another process works in it.
        """
        with self._lock_file() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FatalError(
                    f"another process works in {self.folder}; wait for it, or choose another --out"
                ) from None
            yield

    def _lock_file(self) -> TextIO:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Neither follow a link nor truncate what it leads to.
            flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.fdopen(os.open(self.folder / ".lock", flags, 0o600), "r+")
        except OSError as error:
            raise ConfigurationError(
                f"the run folder cannot be written ({error.strerror})",
                file=str(self.folder),
                remedy="Choose another --out, or allow writing there",
            ) from error
