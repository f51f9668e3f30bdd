"""Remembers which content a file held when it was last read, to spare a resume the reading.

A hint, not evidence: an entry counts only while the path, size and times of the file are the same (of an
object: its address, size and etag), and losing it costs a second reading, never a wrong result.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from audit.model import Shard
from audit.objects.object_addresses import is_object_address

_Identity = tuple[str, str, int, int | str, int]


class SeenInputs:
    """Digests by shard, path, size and times or etag; appended to as shards are done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests = dict(self._load())

    def digest(self, shard: Shard) -> str | None:
        """The content's digest when the file looks as it did; an object without an etag never does."""
        if is_object_address(shard.uri) and shard.etag is None:
            return None
        return self._digests.get(_identity(shard))

    def saw(self, shard: Shard, digest: str) -> None:
        """Remember a digest."""
        identity = _identity(shard)
        if self._digests.get(identity) == digest:
            return
        self._digests[identity] = digest
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps([*identity, digest]) + "\n")

    def _load(self) -> Iterable[tuple[_Identity, str]]:
        if not self._path.exists():
            return
        for line in self._path.read_bytes().splitlines():
            try:
                *identity, digest = json.loads(line)
            except (ValueError, TypeError):  # a line that a crash tore; the shard is simply read again
                continue
            if isinstance(digest, str) and len(identity) == 5:
                yield (identity[0], identity[1], identity[2], identity[3], identity[4]), digest


def resolved(path: str) -> str:
    """The path without links; those of a folder are followed once for all the files in it."""
    folder, name = os.path.split(path)
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114 - for a hundred thousand paths
        return os.path.realpath(path)
    return os.path.join(_folder(folder), name)  # noqa: PTH118 - see above


@lru_cache(maxsize=1024)
def _folder(path: str) -> str:
    return os.path.realpath(path)


def _identity(shard: Shard) -> _Identity:
    # The path, since a shard's id is its name below the input root; the inode's time, since tar, cp -p
    # and reproducible dumps set the file's own.
    where = resolved(shard.uri) if "://" not in shard.uri else shard.uri
    # Digested, since a path may name a person.
    place = hashlib.sha256(where.encode(errors="surrogateescape")).hexdigest()[:16]
    version = shard.mtime_ns if shard.etag is None else shard.etag
    return shard.shard, place, shard.file_size, version, shard.ctime_ns
