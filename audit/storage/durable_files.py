"""Files that appear whole or not at all, outlive a power failure, and are known by their digest."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from audit.errors import FatalError

#: Files that are synced at once: their journal entries reach the disk together.
_SYNCING = 8


class disk_errors:  # noqa: N801 - reads as the context that it is
    """Turns a full disk into a FatalError that says what to do."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise FatalError(
                "no space left for the run folder; free some, then give the same command: finished parts stay"
            ) from error


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a small file in one step."""
    with written_atomically(path) as handle:
        handle.write(data)


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file that replaces ``path`` in one step when the block ends well."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with disk_errors():
        with temporary.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """A file for its owner alone (mode 600), which replaces ``path`` in one step when the block ends well."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with (
            disk_errors(),
            os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle,
        ):
            yield handle
            handle.flush()
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which needs no file and ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sync_files(paths: Sequence[Path]) -> None:
    """Make the content of files outlive a power failure: many at once cost the disk little more than one."""
    if len(paths) == 1:
        _sync(paths[0])
    else:
        list(_syncing().map(_sync, paths))


def _sync(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


@cache
def _syncing() -> ThreadPoolExecutor:
    """Threads that wait for the disk; they stay, since small files come by the thousand."""
    return ThreadPoolExecutor(_SYNCING, thread_name_prefix="sync")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
