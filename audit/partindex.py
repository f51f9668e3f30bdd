"""The index of parts: which parts make up a run, with digests and the counts that their footers hold.

It spares readers the footers of a hundred thousand files, and it is what ``audit verify`` holds the
files against.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.store import Part, Store, digest_file, read_metadata, write_atomically

FILE = "index.jsonl"


@dataclass(frozen=True)
class Entry:
    """A part as it stood when the index was written."""

    part: Part
    size: int
    sha256: str
    metadata: Mapping[str, Any]

    def line(self) -> str:
        """Canonical JSON."""
        plain = {
            "path": f"parts/{self.part.relative}",
            "family": self.part.family,
            "shard": self.part.shard,
            "key": self.part.key,
            "bytes": self.size,
            "sha256": self.sha256,
            "metadata": self.metadata,
        }
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def write(store: Store, parts: Iterable[Part]) -> None:
    """Write the index of these parts, sorted by path.

    A part that the last index lists keeps the digest it was listed with: a part never changes under
    its name, and a changed byte must be found, not signed again.
    """
    known = {entry.part: entry for entry in read(store)}
    ordered = sorted(parts, key=lambda part: part.relative)
    lines = [(known.get(part) or _inspect(store, part)).line() for part in ordered]
    write_atomically(store.folder / FILE, "".join(f"{line}\n" for line in lines).encode())


def read(store: Store) -> Iterator[Entry]:
    """Entries of the index, sorted by path; none when there is no index yet."""
    path: Path = store.folder / FILE
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            part = Part(row["family"], row["shard"], row["key"])
            yield Entry(part, row["bytes"], row["sha256"], row["metadata"])


def _inspect(store: Store, part: Part) -> Entry:
    path = store.path(part)
    return Entry(part, path.stat().st_size, digest_file(path), read_metadata(path))
