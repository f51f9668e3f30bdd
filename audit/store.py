"""Parts: Parquet sidecars of the corpus, one per shard and family, written atomically.

A part's file name holds its shard and its work key, so that a part either is what the present
configuration, code and content would give, or is not looked at. Parts that stopped being current are
retired, not deleted: going back to an earlier setting costs a rename.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audit import packs, staging
from audit.durable_files import digest_file, disk_errors, locked_folder, sync_folder, write_atomically
from audit.object_stores import ObjectFolder
from audit.part_files import LocalFiles, PartFiles, Source, StagedFiles

__all__ = [
    "ROW_GROUP_ROWS",
    "Part",
    "PartWriter",
    "Receipt",
    "Store",
    "digest_file",
    "disk_errors",
    "locked_folder",
    "read_metadata",
    "sync_folder",
    "write_atomically",
]

ROW_GROUP_ROWS = 65_536
_METADATA_KEY = b"audit"
_RETIRED = ".retired/"
_RETIRED_INDEX = f"{_RETIRED}index.json"


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


@dataclass(frozen=True)
class Receipt:
    """A part as it was committed; spares whoever makes the index of parts a reading.

    Attributes:
        size: Bytes.
        sha256: Of its bytes, hex.
        metadata: What was committed beside the rows.
    """

    part: Part
    size: int
    sha256: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Store:
    """The ``parts`` of a run; a value that travels to workers with their tasks.

    Attributes:
        folder: Holds them, or copies of some of them where ``remote`` is given.
        remote: The run's ``parts`` on an object store, which are the truth then.
        keep: Whether parts that are made here are kept in the folder, too.
    """

    folder: Path
    remote: ObjectFolder | None = None
    keep: bool = True

    def __reduce__(self) -> tuple[object, ...]:
        return (_arrived, (self.folder, self.remote))

    @property
    def files(self) -> PartFiles:
        """The files, wherever they lie."""
        if self.remote is None:
            return LocalFiles(self.folder)
        return StagedFiles(self.folder, self.remote, self.keep)

    def resolved(self) -> Store:
        """The same, to be used from any working directory."""
        return dataclasses.replace(self, folder=self.folder.resolve())

    def path(self, part: Part) -> Path:
        """Where the part lies in the folder, whether it exists there or not."""
        return self.folder / part.relative

    def local(self, part: Part) -> Path:
        """Where the part lies on this machine, fetched when it has to be."""
        return self.files.local(part.relative)

    def has(self, part: Part) -> bool:
        """Whether the part stands; a retired one is brought back."""
        return bool(self.standing([part]))

    def standing(self, parts: Iterable[Part]) -> set[Part]:
        """Those of the parts that stand; retired ones are brought back."""
        files, wanted = self.files, {part.relative: part for part in parts}
        found = files.present(wanted)
        found |= {name for name, part in wanted.items() if name not in found and self._in_pack(part)}
        retired = files.present(_RETIRED + name for name in wanted if name not in found)
        if retired:
            known = self._retired_digests()
            names = sorted(name.removeprefix(_RETIRED) for name in retired)
            back = files.each(lambda name: self._bring_back(name, known), names)
            found |= {name for name, came in zip(names, back, strict=True) if came}
        return {wanted[name] for name in found}

    def packed(self, part: Part, replaced: Collection[packs.Pack] = ()) -> packs.Member | None:
        """The member of a pack that is this part; None where no pack holds it. On object stores none does.

        Args:
            part: That is looked for.
            replaced: Packs that are about to go, and are not looked at.
        """
        if self.remote is not None:
            return None
        return packs.find(self.folder, part.family, part.shard, part.key, replaced)

    def _in_pack(self, part: Part) -> bool:
        """Whether a pack holds the part; a retired pack is brought back."""
        if self.remote is not None or self.packed(part) is not None:
            return self.remote is None
        retired = self.folder / _RETIRED
        member = packs.find(retired, part.family, part.shard, part.key)
        if member is None or not member.pack.path.exists():
            return False
        for relative in (member.pack.relative, member.pack.relative_list):
            (self.folder / relative).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # another worker was faster
                (retired / relative).replace(self.folder / relative)
        packs.forget()
        return self.packed(part) is not None

    def _bring_back(self, name: str, known: Mapping[str, str]) -> bool:
        # In a folder, ``drop_untrusted`` has looked at every retired part.
        if self.remote is not None and self.files.inspect(_RETIRED + name)[1] != known.get(name):
            self.files.remove(_RETIRED + name)
            return False
        self.files.move(_RETIRED + name, name)
        return True

    def writer(self, family: str, schema: pa.Schema) -> PartWriter:
        """A writer whose part gets its name when it is committed."""
        return PartWriter(self, family, schema)

    def write(self, part: Part, table: pa.Table, metadata: Mapping[str, Any]) -> Receipt | None:
        """Write a whole part at once; see ``PartWriter.commit``."""
        with self.writer(part.family, table.schema) as writer:
            writer.add(table)
            return writer.commit(part, metadata)

    def read(self, part: Part, columns: list[str] | None = None) -> pa.Table:
        """Read a part's columns."""
        if self._lies_in_pack(part) and (member := self.packed(part)) is not None:
            return member.read(columns)
        return pq.read_table(self.files.source(part.relative), columns=columns, partitioning=None)

    def metadata(self, part: Part) -> dict[str, Any]:
        """What was committed beside the rows."""
        if self._lies_in_pack(part) and (member := self.packed(part)) is not None:
            return member.told()
        return read_metadata(self.files.source(part.relative))

    def _lies_in_pack(self, part: Part) -> bool:
        return self.remote is None and not self.path(part).exists()

    def size(self, part: Part) -> int:
        """Bytes of the part's own file, whether it lies in a pack by now or not."""
        if self._lies_in_pack(part) and (member := self.packed(part)) is not None:
            return member.bytes
        return self.path(part).stat().st_size

    def retire(self, current: Iterable[Part], known: Mapping[str, str]) -> str | None:
        """Move every part that is not current out of the views' sight.

        A pack goes when none of its parts is current; of others compaction takes care.

        Args:
            current: Parts that stay.
            known: Relative path -> SHA-256 as the index of parts has it; others are digested now.

        Returns:
            SHA-256 of the index of retired parts, to be journaled; None when none was moved.
        """
        keep, files = {part.relative for part in current}, self.files

        def move(name: str) -> tuple[str, str]:
            digest = known.get(name) or files.inspect(name)[1]
            files.move(name, _RETIRED + name)
            return name, digest

        gone = [name for name in self.current() if name not in keep]
        for pack in packs.standing(self.folder):
            if not any(Part(pack.family, *member).relative in keep for member in pack.names()):
                gone += [pack.relative_list, pack.relative]  # without its list a pack is not looked at
        moved = dict(files.each(move, gone))
        packs.forget()
        if not moved:
            return None
        lines = json.dumps(self._retired_digests() | moved, sort_keys=True, indent=0).encode()
        files.save(_RETIRED_INDEX, lines)
        return hashlib.sha256(lines).hexdigest()

    def drop_untrusted(self, index: str | None) -> int:
        """Remove retired parts that are not what they were: they would be signed anew on coming back.

        Args:
            index: SHA-256 of the index of retired parts as journaled; None trusts none.

        Returns:
            How many were removed; they are computed again when they are wanted.
        """
        lines, files = self.files.load(_RETIRED_INDEX), self.files
        vouched = lines is not None and hashlib.sha256(lines).hexdigest() == index
        trusted = self._retired_digests() if vouched else {}
        lists = (self.folder / _RETIRED / packs.LISTS).glob(f"*{packs.SUFFIX}")
        stored = [*files.names(_RETIRED), *(path.relative_to(self.folder).as_posix() for path in lists)]
        names = [name for name in stored if not self._is_as_retired(name, trusted)]
        files.each(files.remove, names)
        packs.forget()
        return len(names)

    def _is_as_retired(self, name: str, trusted: Mapping[str, str]) -> bool:
        digest = trusted.get(name.removeprefix(_RETIRED))
        if self.remote is not None:
            return digest is not None  # its content is looked at when it comes back
        return not (self.folder / name).is_symlink() and digest == digest_file(self.folder / name)

    def _retired_digests(self) -> dict[str, str]:
        lines = self.files.load(_RETIRED_INDEX)
        digests: dict[str, str] = json.loads(lines) if lines is not None else {}
        return digests

    def current(self) -> Iterator[str]:
        """Relative paths of all parts that lie by themselves, sorted."""
        return (name for name in self.files.names() if not packs.is_pack(name))

    def members(self, family: str) -> list[str]:
        """Relative paths of a family's parts in place, sorted."""
        return [name for name in self.files.names(family=family) if not packs.is_pack(name)]

    def shards(self, family: str) -> set[str]:
        """Shards with a part of that family, retired ones included."""
        names = [*self.files.names(family=family), *self.files.names(_RETIRED, family)]
        loose = {name.rpartition("/")[2].split(".")[0] for name in names if not packs.is_pack(name)}
        found = [pack for each in ("", _RETIRED) for pack in packs.standing(self.folder / each, family)]
        return loose | {shard for pack in found for shard, _ in pack.names()}

    def clear_scratch(self) -> None:
        """Drop what a killed process left half-written. Only while holding the run's lock."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def scratch(self) -> Path:
        """Folder of half-written files, on the same file system as the parts."""
        return self.folder / ".tmp"


def _arrived(folder: Path, remote: ObjectFolder | None) -> Store:
    """The store as another process sees it; on another machine nothing is kept once it was put."""
    if remote is None or folder.parent.is_dir():
        return Store(folder, remote)
    return Store(staging.folder(remote.address) / "parts", remote, keep=False)


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

    def commit(self, part: Part, metadata: Mapping[str, Any]) -> Receipt | None:
        """Close, sync and move into place; None when another worker's part stands there already."""
        if self._rows:
            self._flush(pa.concat_tables(self._pending))
        told = {**metadata, "work_key": part.key}
        text = json.dumps(told, sort_keys=True, ensure_ascii=False)
        self._writer.add_key_value_metadata({_METADATA_KEY: text.encode()})
        with disk_errors():
            self._writer.close()
            with self._path.open("rb") as handle:
                os.fsync(handle.fileno())
            receipt = Receipt(part, self._path.stat().st_size, digest_file(self._path), told)
            return receipt if self._store.files.place(self._path, part.relative) else None

    def _flush(self, table: pa.Table) -> None:
        with disk_errors():
            # Chunk boundaries follow the batches; one chunk a column keeps the pages independent of them.
            self._writer.write_table(table.combine_chunks(), row_group_size=ROW_GROUP_ROWS)


def read_metadata(source: Source) -> dict[str, Any]:
    """What ``PartWriter.commit`` stored in a part's footer."""
    stored = pq.read_metadata(source).metadata[_METADATA_KEY]
    parsed: dict[str, Any] = json.loads(stored)
    return parsed
