"""Parts: Parquet sidecars of the corpus, one per shard and family, written atomically.

A part's file name holds its shard and its work key, so that a part either is what the present
configuration, code and content would give, or is not looked at. Parts that stopped being current are
retired, not deleted: going back to an earlier setting costs a rename.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit.errors import FatalError
from audit.objects.object_stores import ObjectFolder
from audit.storage import packs, staging
from audit.storage.durable_files import digest_file, disk_errors, locked_folder, sync_folder, write_atomically
from audit.storage.part_files import LocalFiles, PartFiles, Source, StagedFiles
from audit.storage.part_writer import METADATA_KEY, ROW_GROUP_ROWS, Part, PartWriter, Receipt, commit_all

__all__ = [
    "ROW_GROUP_ROWS",
    "SCRATCH",
    "Part",
    "PartWriter",
    "Receipt",
    "Store",
    "commit_all",
    "digest_file",
    "disk_errors",
    "locked_folder",
    "read_metadata",
    "sync_folder",
    "write_atomically",
]

#: Folder of half-written files below the parts; on an object store of what workers elsewhere tell the driver.
SCRATCH = ".tmp"
_RETIRED = ".retired/"
_RETIRED_INDEX = f"{_RETIRED}index.json"


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
        found |= self._in_packs([part for name, part in wanted.items() if name not in found])
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

    def locate(
        self, parts: Iterable[Part], replaced: Collection[packs.Pack] = ()
    ) -> Iterator[tuple[list[Part], packs.Located]]:
        """Yield the parts of each family, and where packs hold them; see ``packed``."""
        families: dict[str, list[Part]] = {}
        for part in parts:
            families.setdefault(part.family, []).append(part)
        for family, some in families.items():
            yield some, packs.locate(self.folder, family, [(part.shard, part.key) for part in some], replaced)

    def _in_packs(self, parts: Sequence[Part]) -> set[str]:
        """Relative paths of the parts that packs hold; retired packs are brought back."""
        if self.remote is not None:
            return set()
        found: set[str] = set()
        for some, located in self.locate(parts):
            missing = [part for part, number in zip(some, located.numbers, strict=True) if number < 0]
            if missing and self._bring_packs_back(missing):
                names = [(part.shard, part.key) for part in some]
                located = packs.locate(self.folder, some[0].family, names)
            held = zip(some, located.numbers.tolist(), strict=True)
            found |= {part.relative for part, number in held if number >= 0}
        return found

    def _bring_packs_back(self, parts: Sequence[Part]) -> bool:
        """Bring retired packs back that hold some of these parts of a family; whether there were any."""
        retired = self.folder / _RETIRED
        located = packs.locate(retired, parts[0].family, [(part.shard, part.key) for part in parts])
        back = [pack for pack in dict.fromkeys(located.packs()) if pack is not None and pack.path.exists()]
        for pack in back:
            for relative in (pack.relative, pack.relative_list):
                (self.folder / relative).parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # another worker was faster
                    (retired / relative).replace(self.folder / relative)
        if back:
            packs.forget()
        return bool(back)

    def _bring_back(self, name: str, known: Mapping[str, str]) -> bool:
        # In a folder, ``drop_untrusted`` has looked at every retired part.
        if self.remote is not None and self.files.inspect(_RETIRED + name)[1] != known.get(name):
            self.files.remove(_RETIRED + name)
            return False
        self.files.move(_RETIRED + name, name)
        return True

    def writer(self, family: str, schema: pa.Schema, group_rows: int = ROW_GROUP_ROWS) -> PartWriter:
        """A writer whose part gets its name when it is committed; see ``PartWriter``."""
        return PartWriter(self.scratch, family, schema, self.files.place, group_rows)

    def write(self, part: Part, table: pa.Table, metadata: Mapping[str, Any]) -> Receipt | None:
        """Write a whole part at once; see ``PartWriter.commit``."""
        return self.write_all([(part, table)], metadata)[0]

    def write_all(
        self, tables: Sequence[tuple[Part, pa.Table]], metadata: Mapping[str, Any]
    ) -> list[Receipt | None]:
        """Write whole parts at once; see ``commit_all``."""
        with ExitStack() as stack:
            finished = []
            for part, table in tables:
                writer = stack.enter_context(self.writer(part.family, table.schema))
                writer.add(table)
                finished.append((writer, part, metadata))
            return commit_all(finished)

    def read(self, part: Part, columns: list[str] | None = None) -> pa.Table:
        """Read a part's columns."""
        if self._lies_in_pack(part) and (member := self.packed(part)) is not None:
            return member.read(columns)
        with pq.ParquetFile(self.files.source(part.relative), pre_buffer=True) as file:
            return _rows(file, columns)

    def rows(self, part: Part, positions: pa.Array, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the rows at some positions, in their order: ``position``, and all or some columns.

        Of a part's own file, row groups that hold none of them are not read.

        Raises:
            FatalError: The part has no such row.
        """
        wanted = None if columns is None else ["position", *columns]
        if self._lies_in_pack(part) and (member := self.packed(part)) is not None:
            table = member.read(wanted)
        else:
            table = _row_groups_at(self.files.source(part.relative), positions, wanted)
        at = pc.index_in(positions, value_set=table.column("position").combine_chunks())
        if at.null_count:
            raise FatalError(f"{part.relative} lacks documents that the run has; see `audit verify`")
        return table.take(at).combine_chunks()

    def metadata(self, part: Part) -> dict[str, Any]:
        """What was committed beside the rows."""
        if self._lies_in_pack(part) and (member := self.packed(part)) is not None:
            return member.told()
        return read_metadata(self.files.source(part.relative))

    def told(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        """What was committed beside the rows of many parts that stand, in their order; see ``metadata``."""
        found: dict[Part, dict[str, Any]] = {}
        loose = parts
        if self.remote is None:
            present = self.files.present(part.relative for part in parts)
            loose = [part for part in parts if part.relative in present]
            for some, located in self.locate(part for part in parts if part.relative not in present):
                held = [part for part, number in zip(some, located.numbers, strict=True) if number >= 0]
                found |= zip(held, located.told(), strict=True)
                loose += [part for part in some if part not in found]
        found |= zip(loose, self.files.each(self.metadata, loose), strict=True)
        return [found[part] for part in parts]

    def whole(self, part: Part) -> tuple[pa.Table, dict[str, Any], int]:
        """Its rows, what was committed beside them, and ``size``, in one go."""
        if self.remote is not None or self._lies_in_pack(part):
            return self.read(part), self.metadata(part), self.size(part)
        with pq.ParquetFile(self.path(part)) as file:
            told: dict[str, Any] = json.loads(file.metadata.metadata[METADATA_KEY])
            return _rows(file, None), told, self.path(part).stat().st_size

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
        stay, files = list(current), self.files

        def move(name: str) -> tuple[str, str]:
            digest = known.get(name) or files.inspect(name)[1]
            files.move(name, _RETIRED + name)
            return name, digest

        gone = dict.fromkeys(self.current())
        for part in stay:
            gone.pop(part.relative, None)
        used = {pack for _, located in self.locate(stay) for pack in set(located.packs())}
        for pack in packs.standing(self.folder):
            if pack not in used:
                gone |= dict.fromkeys(
                    (pack.relative_list, pack.relative)
                )  # the list first: without it no pack
        moved = dict(files.each(move, list(gone)))
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
        if self.remote is not None:
            self.files.each(self.files.remove, [info.key for info in self.remote.list(f"{SCRATCH}/")])

    @property
    def scratch(self) -> Path:
        """Folder of half-written files, on the same file system as the parts."""
        return self.folder / SCRATCH


def _arrived(folder: Path, remote: ObjectFolder | None) -> Store:
    """The store as another process sees it; on another machine nothing is kept once it was put."""
    if remote is None or folder.parent.is_dir():
        return Store(folder, remote)
    return Store(staging.folder(remote.address) / "parts", remote, keep=False)


def _row_groups_at(source: Source, positions: pa.Array, columns: list[str] | None) -> pa.Table:
    """The row groups of a part that may hold a row at one of the positions."""
    ordered = np.sort(np.asarray(positions))
    with pq.ParquetFile(source) as file:
        leaf = [file.schema.column(n).path for n in range(len(file.schema))].index("position")
        groups = []
        for group in range(file.num_row_groups):
            bounds = file.metadata.row_group(group).column(leaf).statistics
            first, behind = np.searchsorted(ordered, [bounds.min, bounds.max + 1])
            if first < behind:
                groups.append(group)
        return file.read_row_groups(groups, columns=columns)


def _rows(file: pq.ParquetFile, columns: list[str] | None) -> pa.Table:
    """A part's columns, in the order asked for."""
    rows = file.read(columns=columns).replace_schema_metadata(None)
    return rows if columns is None else rows.select(columns)


def read_metadata(source: Source) -> dict[str, Any]:
    """What ``PartWriter.commit`` stored in a part's footer."""
    stored = pq.read_metadata(source).metadata[METADATA_KEY]
    parsed: dict[str, Any] = json.loads(stored)
    return parsed
