"""Where a run's evidence lies, as verification reads it: in a folder, or on an object store."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from audit.lineage.journal import Problem
from audit.objects.object_stores import ObjectChanged, ObjectFolder, ObjectInfo
from audit.storage.durable_files import digest_file
from audit.storage.part_files import digest_object

RESTORE = "Restore it from a copy, or run the audit again into a new folder"


class Place(Protocol):
    """Files by relative path."""

    def names(self) -> list[str]:
        """All that lies there, sorted."""
        ...

    def content(self, name: str) -> bytes | None:
        """A small file; None when there is none."""
        ...

    def size(self, name: str) -> int | Problem:
        """Its bytes, or why there are none."""
        ...

    def digest(self, name: str) -> str | Problem:
        """SHA-256 of what ``size`` found, or why it cannot be told."""
        ...


@dataclass(frozen=True)
class Folder:
    """A run folder."""

    folder: Path

    def names(self) -> list[str]:
        """All files and links, links to folders included."""
        found = []
        for parent, folders, files in os.walk(self.folder):
            links = [name for name in folders if (Path(parent) / name).is_symlink()]
            found += [(Path(parent) / name).relative_to(self.folder).as_posix() for name in [*files, *links]]
        return sorted(found)

    def content(self, name: str) -> bytes | None:
        """See ``Place.content``."""
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    def size(self, name: str) -> int | Problem:
        """See ``Place.size``."""
        path = self.folder / name
        if path.is_symlink():
            return Problem(name, "a link, so what it leads to may change", RESTORE)
        return path.stat().st_size if path.is_file() else Problem(name, "missing", RESTORE)

    def digest(self, name: str) -> str | Problem:
        """See ``Place.digest``."""
        try:
            return digest_file(self.folder / name)
        except OSError as error:
            remedy = "Make it readable, then verify again"
            return Problem(name, f"cannot be read ({error.strerror})", remedy)


@dataclass(frozen=True)
class Objects:
    """A run on an object store."""

    remote: ObjectFolder
    _listed: dict[str, ObjectInfo] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_listed", {info.key: info for info in self.remote.list()})

    def names(self) -> list[str]:
        """See ``Place.names``."""
        return list(self._listed)

    def content(self, name: str) -> bytes | None:
        """See ``Place.content``."""
        info = self._info(name)
        return None if info is None else self.remote.get(name, etag=info.etag)

    def size(self, name: str) -> int | Problem:
        """See ``Place.size``."""
        info = self._info(name)
        return Problem(name, "missing", RESTORE) if info is None else info.size

    def digest(self, name: str) -> str | Problem:
        """See ``Place.digest``."""
        info = self._info(name)
        try:
            return Problem(name, "missing", RESTORE) if info is None else digest_object(self.remote, info)
        except ObjectChanged:
            return Problem(name, "written while it was read", "Verify again when no run is at work")

    def _info(self, name: str) -> ObjectInfo | None:
        return self._listed.get(name) or self.remote.head(name)  # a listing may lag behind
