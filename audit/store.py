"""Parts: Parquet sidecars of the corpus, one per shard and family, written atomically.

A part's file name holds its shard and its work key, so that a part either is what the present
configuration, code and content would give, or is not looked at. Parts that stopped being current are
retired, not deleted: going back to an earlier setting costs a rename.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import FatalError

ROW_GROUP_ROWS = 65_536
_METADATA_KEY = b"audit"
_RETIRED_INDEX = "index.json"


@dataclass(frozen=True)
class Part:
    """Names a part; ``key`` is its work key (64 hex digits)."""

    family: str
    shard: str
    key: str

    @property
    def relative(self) -> str:
        """Path below ``parts/``."""
        return f"{self.family}/{self.shard}.{self.key[:16]}.parquet"


class Store:
    """The ``parts`` folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, part: Part) -> Path:
        """Where the part lies, whether it exists or not."""
        return self.folder / part.relative

    def has(self, part: Part) -> bool:
        """Whether the part stands; a retired one is brought back."""
        path, retired = self.path(part), self._retired / part.relative
        if not path.exists() and retired.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            retired.replace(path)
        return path.exists()

    def writer(self, family: str, schema: pa.Schema) -> PartWriter:
        """A writer whose part gets its name when it is committed."""
        return PartWriter(self, family, schema)

    def write(self, part: Part, table: pa.Table, metadata: Mapping[str, Any]) -> None:
        """Write a whole part at once."""
        with self.writer(part.family, table.schema) as writer:
            writer.add(table)
            writer.commit(part, metadata)

    def read(self, part: Part, columns: list[str] | None = None) -> pa.Table:
        """Read a part's columns."""
        return pq.read_table(self.path(part), columns=columns, partitioning=None)

    def metadata(self, part: Part) -> dict[str, Any]:
        """What was committed beside the rows."""
        return read_metadata(self.path(part))

    def retire(self, current: Iterable[Part], known: Mapping[str, str]) -> str | None:
        """Move every part that is not current out of the views' sight.

        Args:
            current: Parts that stay.
            known: Relative path -> SHA-256 as the index of parts has it; others are digested now.

        Returns:
            SHA-256 of the index of retired parts, to be journaled; None when none was moved.
        """
        keep = {part.relative for part in current}
        moved = {}
        for relative in [path for path in self.current() if path not in keep]:
            target = self._retired / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            moved[relative] = known.get(relative) or digest_file(self.folder / relative)
            (self.folder / relative).replace(target)
        if not moved:
            return None
        lines = json.dumps(self._retired_digests() | moved, sort_keys=True, indent=0)
        write_atomically(self._retired / _RETIRED_INDEX, lines.encode())
        return digest_file(self._retired / _RETIRED_INDEX)

    def drop_untrusted(self, index: str | None) -> int:
        """Remove retired parts that are not what they were: they would be signed anew on coming back.

        Args:
            index: SHA-256 of the index of retired parts as journaled; None trusts none.

        Returns:
            How many were removed; they are computed again when they are wanted.
        """
        path = self._retired / _RETIRED_INDEX
        trusted = self._retired_digests() if path.exists() and digest_file(path) == index else {}
        removed = 0
        for file in list(self._retired.glob("*/*.parquet")):
            relative = file.relative_to(self._retired).as_posix()
            if file.is_symlink() or trusted.get(relative) != digest_file(file):
                file.unlink()
                removed += 1
        return removed

    def _retired_digests(self) -> dict[str, str]:
        path = self._retired / _RETIRED_INDEX
        digests: dict[str, str] = json.loads(path.read_bytes()) if path.exists() else {}
        return digests

    def current(self) -> Iterator[str]:
        """Relative paths of all parts in place, sorted."""
        for path in sorted(self.folder.glob("*/*.parquet")):
            if not path.parent.name.startswith("."):
                yield path.relative_to(self.folder).as_posix()

    def shards(self, family: str) -> set[str]:
        """Shards with a part of that family, retired ones included."""
        folders = (self.folder / family, self._retired / family)
        return {path.name.split(".")[0] for folder in folders for path in folder.glob("*.parquet")}

    def clear_scratch(self) -> None:
        """Drop what a killed process left half-written. Only while holding the run's lock."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def scratch(self) -> Path:
        """Folder of half-written files, on the same file system as the parts."""
        return self.folder / ".tmp"

    @property
    def _retired(self) -> Path:
        return self.folder / ".retired"


class PartWriter:
    """Streams batches into a temporary file; ``commit`` names it and puts it in place in one step."""

    def __init__(self, store: Store, family: str, schema: pa.Schema) -> None:
        self._store, self._family = store, family
        store.scratch.mkdir(parents=True, exist_ok=True)
        self._path = store.scratch / f"{family}-{uuid.uuid4().hex}"
        self._pending: list[pa.Table] = []
        self._rows = 0
        self._schema = schema
        with disk_errors():
            self._writer = pq.ParquetWriter(
                self._path, schema, compression="zstd", compression_level=3, write_statistics=True
            )

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path.exists():
            self._writer.close()
            self._path.unlink()

    def add(self, table: pa.Table | pa.RecordBatch) -> None:
        """Append rows; row groups are cut by row count, so that the bytes depend on the rows alone."""
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        self._pending.append(table.cast(self._schema))
        self._rows += table.num_rows
        while self._rows >= ROW_GROUP_ROWS:
            whole = pa.concat_tables(self._pending)
            self._flush(whole.slice(0, ROW_GROUP_ROWS))
            self._pending = [whole.slice(ROW_GROUP_ROWS)]
            self._rows -= ROW_GROUP_ROWS

    def commit(self, part: Part, metadata: Mapping[str, Any]) -> None:
        """Close, sync and move into place."""
        if self._rows:
            self._flush(pa.concat_tables(self._pending))
        text = json.dumps({**metadata, "work_key": part.key}, sort_keys=True, ensure_ascii=False)
        self._writer.add_key_value_metadata({_METADATA_KEY: text.encode()})
        target = self._store.path(part)
        with disk_errors():
            self._writer.close()
            with self._path.open("rb") as handle:
                os.fsync(handle.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            self._path.replace(target)

    def _flush(self, table: pa.Table) -> None:
        with disk_errors():
            # Chunk boundaries follow the batches; one chunk a column keeps the pages independent of them.
            self._writer.write_table(table.combine_chunks(), row_group_size=ROW_GROUP_ROWS)


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


def read_metadata(path: Path) -> dict[str, Any]:
    """What ``PartWriter.commit`` stored in a part's footer."""
    stored = pq.read_metadata(path).metadata[_METADATA_KEY]
    parsed: dict[str, Any] = json.loads(stored)
    return parsed


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a small file in one step."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with disk_errors():
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which needs no file and ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
