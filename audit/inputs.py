"""Remembers which content a file held when it was last read, to spare a resume the reading.

A hint, not evidence: an entry counts only while the file's size and modification time are the same,
and losing the file costs a second reading, never a wrong result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from audit.model import Shard


class SeenInputs:
    """Digests by shard, size and modification time; appended to as shards are done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests = dict(self._load())

    def digest(self, shard: Shard) -> str | None:
        """The content's digest when the file looks as it did."""
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

    def _load(self) -> Iterable[tuple[tuple[str, int, int], str]]:
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                shard, size, modified, digest = json.loads(line)
            except ValueError:  # the line that a crash tore; the shard is simply read again
                continue
            yield (shard, size, modified), digest


def _identity(shard: Shard) -> tuple[str, int, int]:
    return shard.shard, shard.file_size, shard.mtime_ns
