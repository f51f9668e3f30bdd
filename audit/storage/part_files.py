"""Where the parts of a run lie: in a folder, or on an object store, with a folder that stages them.

Files go by their path below ``parts/``: ``family/name.parquet``, and ``.retired/family/name.parquet`` for
those of other settings.
"""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import pyarrow as pa

from audit.errors import FatalError
from audit.objects.object_stores import ObjectExists, ObjectFolder, ObjectInfo, ObjectMissing
from audit.storage.durable_files import digest_file, disk_errors, write_atomically

#: What Parquet is read from.
Source: TypeAlias = Path | pa.NativeFile
Item = TypeVar("Item")
Result = TypeVar("Result")

#: An object of at most this size is read in one request.
WHOLE_BYTES = 1 << 20
#: Bytes of a larger one that are asked for at once.
RANGE_BYTES = 16 << 20
#: From this size on a part is put in many requests, which takes no memory and knows no condition …
MANY_REQUESTS_BYTES = 256 << 20
#: … and from this size on S3 copies none.
COPY_BYTES = 5_000_000_000
#: Requests in flight: an object store answers slowly, and many at once.
_REQUESTS = 16
#: From so many names of one family on, a listing is cheaper than a request for each.
_LIST_FROM = 8


class PartFiles(Protocol):
    """The files of a run's parts."""

    def names(self, below: str = "", family: str = "*") -> Iterator[str]:
        """Parquet files of a family, or of all; ``below`` is empty or ``.retired/``. Sorted."""
        ...

    def present(self, names: Iterable[str]) -> set[str]:
        """Those that exist."""
        ...

    def source(self, name: str) -> Source:
        """What a file is read from, in part or as a whole."""
        ...

    def local(self, name: str) -> Path:
        """Where the file lies on this machine, once it was fetched."""
        ...

    def place(self, temporary: Path, name: str) -> bool:
        """Put a finished file in its place, in one step; returns whether it is the one that stands there."""
        ...

    def move(self, name: str, to: str) -> None:
        """Rename a file."""
        ...

    def remove(self, name: str) -> None:
        """Delete a file."""
        ...

    def inspect(self, name: str) -> tuple[int, str]:
        """Size in bytes, and SHA-256."""
        ...

    def load(self, name: str) -> bytes | None:
        """Content of a small file; None when there is none."""
        ...

    def save(self, name: str, data: bytes) -> None:
        """Replace a small file in one step."""
        ...

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Call a function for each item, as many at once as suits where the files lie."""
        ...


def _by_family(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by the folder that they lie in."""
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.rpartition("/")[0], []).append(name)
    return families


def _listed(folder: Path) -> list[str]:
    """Names of what lies in a folder; none where there is no such folder."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - a hundred thousand names, and no need of paths
    except (FileNotFoundError, NotADirectoryError):
        return []


@dataclass(frozen=True)
class LocalFiles:
    """Parts in a folder."""

    folder: Path

    def names(self, below: str = "", family: str = "*") -> Iterator[str]:
        """See ``PartFiles.names``."""
        for each in sorted(_listed(self.folder / below)) if family == "*" else [family]:
            if not each.startswith("."):
                names = sorted(_listed(self.folder / below / each))
                yield from (f"{below}{each}/{name}" for name in names if name.endswith(".parquet"))

    def present(self, names: Iterable[str]) -> set[str]:
        """See ``PartFiles.present``."""
        found: set[str] = set()
        for family, wanted in _by_family(names).items():
            if len(wanted) < _LIST_FROM:
                found.update(name for name in wanted if (self.folder / name).exists())
            else:
                standing = set(_listed(self.folder / family))
                found.update(name for name in wanted if name.rpartition("/")[2] in standing)
        return found

    def source(self, name: str) -> Source:
        """See ``PartFiles.source``."""
        return self.folder / name

    def local(self, name: str) -> Path:
        """See ``PartFiles.local``."""
        return self.folder / name

    def place(self, temporary: Path, name: str) -> bool:
        """See ``PartFiles.place``."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(target)
        return True

    def move(self, name: str, to: str) -> None:
        """See ``PartFiles.move``."""
        self.place(self.folder / name, to)

    def remove(self, name: str) -> None:
        """See ``PartFiles.remove``."""
        (self.folder / name).unlink(missing_ok=True)

    def inspect(self, name: str) -> tuple[int, str]:
        """See ``PartFiles.inspect``."""
        path = self.folder / name
        return path.stat().st_size, digest_file(path)

    def load(self, name: str) -> bytes | None:
        """See ``PartFiles.load``."""
        path = self.folder / name
        return path.read_bytes() if path.exists() else None

    def save(self, name: str, data: bytes) -> None:
        """See ``PartFiles.save``."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / name, data)

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """See ``PartFiles.each``."""
        return [function(item) for item in items]


@dataclass(frozen=True)
class StagedFiles:
    """Parts on an object store, which is the truth, and copies of some of them in a folder.

    Attributes:
        folder: Holds the copies, under the same paths.
        remote: The run's ``parts``.
        keep: Whether parts that are made here stay here, too.
    """

    folder: Path
    remote: ObjectFolder
    keep: bool

    def names(self, below: str = "", family: str = "*") -> Iterator[str]:
        """See ``PartFiles.names``."""
        depth = 2 + below.count("/")
        for info in self.remote.list(below if family == "*" else f"{below}{family}/"):
            pieces = info.key.split("/")
            if len(pieces) == depth and info.key.endswith(".parquet") and not pieces[-2].startswith("."):
                yield info.key

    def present(self, names: Iterable[str]) -> set[str]:
        """See ``PartFiles.present``."""
        found: set[str] = set()
        for family, wanted in _by_family(names).items():
            if len(wanted) < _LIST_FROM:
                found.update(name for name in wanted if self.remote.head(name) is not None)
            else:
                found |= {info.key for info in self.remote.list(f"{family}/")}.intersection(wanted)
        return found

    def source(self, name: str) -> Source:
        """See ``PartFiles.source``."""
        if (self.folder / name).exists():
            return self.folder / name
        info = self._info(name)
        if info.size <= WHOLE_BYTES:
            return pa.BufferReader(self.remote.get(name, etag=info.etag))
        return pa.PythonFile(_RangedObject(self.remote, info), mode="r")

    def local(self, name: str) -> Path:
        """See ``PartFiles.local``."""
        if not (self.folder / name).exists():
            fetch(self.remote, self._info(name), self.folder)
        return self.folder / name

    def place(self, temporary: Path, name: str) -> bool:
        """See ``PartFiles.place``."""
        size, stands = temporary.stat().st_size, True
        try:
            if size < MANY_REQUESTS_BYTES:
                self.remote.put(name, temporary, create=True)
            elif not self.present([name]):
                self.remote.put(name, temporary)
        except ObjectExists:
            # Of two workers that did the same task the first wins, and what it wrote is what is read.
            stands = self._info(name).size == size
        if stands and self.keep:
            LocalFiles(self.folder).place(temporary, name)
        else:
            temporary.unlink()
        return stands

    def move(self, name: str, to: str) -> None:
        """See ``PartFiles.move``; what is too large to be copied goes, and is computed again when wanted."""
        if self._info(name).size < COPY_BYTES:
            self.remote.copy(name, to)
        self.remove(name)

    def remove(self, name: str) -> None:
        """See ``PartFiles.remove``."""
        self.remote.delete(name)
        (self.folder / name).unlink(missing_ok=True)

    def inspect(self, name: str) -> tuple[int, str]:
        """See ``PartFiles.inspect``."""
        if (self.folder / name).exists():
            return LocalFiles(self.folder).inspect(name)
        info = self._info(name)
        return info.size, digest_object(self.remote, info)

    def load(self, name: str) -> bytes | None:
        """See ``PartFiles.load``."""
        try:
            return self.remote.get(name)
        except ObjectMissing:
            return None

    def save(self, name: str, data: bytes) -> None:
        """See ``PartFiles.save``."""
        self.remote.put(name, data)

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """See ``PartFiles.each``."""
        return at_once(function, items)

    def _info(self, name: str) -> ObjectInfo:
        info = self.remote.head(name)
        if info is None:
            raise FatalError(
                f"{name} is missing in {self.remote.address}; `audit run` computes it again, `audit verify` "
                "tells what else is missing"
            )
        return info


def at_once(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call a function for each item, in threads that wait for an object store; results in order."""
    with ThreadPoolExecutor(_REQUESTS) as pool:
        return list(pool.map(function, items))


def stretches(remote: ObjectFolder, info: ObjectInfo) -> Iterator[bytes]:
    """Yield an object's content piece by piece, all of one version."""
    for start in range(0, info.size, RANGE_BYTES):
        stop = min(start + RANGE_BYTES, info.size)
        yield remote.get_range(info.key, start, stop, etag=info.etag)


def digest_object(remote: ObjectFolder, info: ObjectInfo) -> str:
    """SHA-256 of an object, hex."""
    digest = hashlib.sha256()
    for piece in stretches(remote, info):
        digest.update(piece)
    return digest.hexdigest()


def fetch(remote: ObjectFolder, info: ObjectInfo, folder: Path) -> str:
    """Copy an object into a folder under the same path, where it appears whole.

    Returns:
        SHA-256 of the content, hex.

    Raises:
        FatalError: Its key leads out of the folder.
    """
    if ".." in info.key.split("/"):
        raise FatalError(f"{remote.address} holds a key that leads out of the run; remove that object")
    path, digest = folder / info.key, hashlib.sha256()
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as handle:
                for piece in stretches(remote, info):
                    digest.update(piece)
                    handle.write(piece)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest.hexdigest()


class _RangedObject(io.RawIOBase):
    """An object as a file that is read where it is asked for; Arrow lets one thread in at a time."""

    def __init__(self, remote: ObjectFolder, info: ObjectInfo) -> None:
        super().__init__()
        self._remote, self._info, self._at = remote, info, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._info.size if size < 0 else min(self._at + size, self._info.size)
        if stop <= self._at:
            return b""
        piece = self._remote.get_range(self._info.key, self._at, stop, etag=self._info.etag)
        self._at = stop
        return piece
