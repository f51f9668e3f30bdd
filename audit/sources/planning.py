"""Input addresses -> shards."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.errors import ConfigurationError
from audit.model import Shard
from audit.sources.contracts import AddressSource, Cut, FileSource, Source

_ADDRESS = re.compile(r"([a-z][a-z0-9+.\-]*)://", re.IGNORECASE)
_SAVED = ("state.json", "dataset_info.json")
_KEY = "corpus.inputs"


@dataclass(frozen=True)
class InputPlan:
    """What the inputs come to.

    Attributes:
        shards: In order of name and cut.
        skipped: Paths in folders and globs that are hidden or of no known suffix, sorted.
    """

    shards: tuple[Shard, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    path: Path
    root: Path

    @property
    def name(self) -> str:
        return os.fsencode(self.path.relative_to(self.root)).decode("utf-8", "replace")


def make_plan(
    inputs: Sequence[str], sources: Mapping[str, Source], *, format: str, shard_bytes: int, base: Path
) -> InputPlan:
    """See ``audit.sources.plan``."""
    finder = _Finder(sources, format)
    files: dict[Path, _File] = {}
    streamed: dict[str, Shard] = {}
    for address in inputs:
        if scheme := _ADDRESS.match(address):
            streamed |= {
                s.uri + s.name: s for s in _by_scheme(sources, scheme[1], address).shards(address, base)
            }
            continue
        found = list(finder.find(address, base))
        if not found:
            raise ConfigurationError(
                f"{address!r} holds no file of a known format", key=_KEY, remedy=_known(sources)
            )
        for file in found:
            # Through two roots: the longer name, whatever the order of the inputs.
            files[file.path] = max(files.get(file.path, file), file, key=lambda f: (len(f.name), f.name))
    names = _unique_names(list(files.values()))
    shards = [
        s for f in files.values() for s in _shards(f.path, names[f.path], finder.source(f.path), shard_bytes)
    ]
    shards += _unique_streams(streamed.values(), {s.name for s in shards})
    shards.sort(key=_order)
    return InputPlan(tuple(shards), tuple(sorted(map(str, finder.skipped - files.keys()))))


def _order(shard: Shard) -> tuple[str, int]:
    """By name and cut: the cuts of a file in the order of the file."""
    whole = shard.name if shard.start is None else shard.name.rpartition(":")[0]
    return whole, shard.start or 0


def _by_scheme(sources: Mapping[str, Source], scheme: str, address: str) -> AddressSource:
    for source in sources.values():
        if isinstance(source, AddressSource) and source.scheme == scheme.lower():
            return source
    raise ConfigurationError(f"{scheme}:// in {address!r} is not supported", key=_KEY, remedy=_known(sources))


def _known(sources: Mapping[str, Source]) -> str:
    suffixes = sorted(
        {s for source in sources.values() if isinstance(source, FileSource) for s in source.suffixes}
    )
    return f"Known are {', '.join(suffixes)} and hf:// addresses; set corpus.format for files of another name"


class _Finder:
    """Finds the files of an input, and tells their source by suffix."""

    def __init__(self, sources: Mapping[str, Source], format: str) -> None:
        self._forced = None if format == "auto" else _file_source(sources, format)
        candidates = [self._forced] if self._forced else sources.values()
        self._by_suffix = {
            suffix: source
            for source in candidates
            if isinstance(source, FileSource)
            for suffix in source.suffixes
        }
        self.skipped: set[Path] = set()

    def source(self, path: Path) -> FileSource:
        """The source of a file that was found."""
        source = self._forced or self._of_suffix(path)
        assert source is not None
        return source

    def _of_suffix(self, path: Path) -> FileSource | None:
        name = path.name.lower()
        found = [suffix for suffix in self._by_suffix if name.endswith(suffix)]
        return self._by_suffix[max(found, key=len)] if found else None

    def find(self, address: str, base: Path) -> Iterator[_File]:
        """Files of a path or a glob.

        Raises:
            ConfigurationError: Nothing is there.
        """
        path = Path(os.path.normpath(base / address))
        if os.path.lexists(path):
            yield from self._take(path, path if path.is_dir() else path.parent)
            return
        # Not Path.glob: that one takes hidden files.
        found = glob.glob(_pattern(address, base), recursive=True)  # noqa: PTH207
        matches = sorted(map(Path, found))
        if not matches:
            raise ConfigurationError(
                f"{address!r} matches nothing", key=_KEY, remedy=f"Relative paths start at {base}"
            )
        root = _fixed_prefix(path)
        for match in matches:
            yield from self._take(match, root)

    def _take(self, path: Path, root: Path) -> Iterator[_File]:
        if path.is_dir():
            yield from self._walk(path, root, frozenset())
        elif self._forced or self._of_suffix(path):
            yield _File(path, root)
        else:
            self.skipped.add(path)

    def _walk(self, folder: Path, root: Path, above: frozenset[Path]) -> Iterator[_File]:
        real = folder.resolve()
        if real in above:
            return  # a link to a folder above
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise ConfigurationError(
                f"the folder {str(folder)!r} cannot be listed ({error.strerror})",
                key=_KEY,
                remedy="Allow reading it, or leave it out of the inputs",
            ) from error
        saved = _saved_files(folder, entries)
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                yield from self._walk(entry, root, above | {real})
            elif self._is_wanted(entry, saved):
                yield _File(entry, root)
            else:
                self.skipped.add(entry)

    def _is_wanted(self, entry: Path, saved: set[str] | None) -> bool:
        if entry.name.startswith(".") or self._of_suffix(entry) is None:
            return False
        return saved is None or entry.name in saved


def _file_source(sources: Mapping[str, Source], format: str) -> FileSource:
    source = sources.get(format)
    if not isinstance(source, FileSource):
        names = [name for name, known in sources.items() if isinstance(known, FileSource)]
        raise ConfigurationError(
            f"{format!r} is no file format",
            key="corpus.format",
            remedy=f"Use auto, {', '.join(sorted(names))}",
        )
    return source


def _saved_files(folder: Path, entries: Iterable[Path]) -> set[str] | None:
    """Data files of a folder that ``datasets.save_to_disk`` wrote; None for other folders.

    Such a folder may also hold cached intermediate results, which are no part of the data set.
    """
    names = {entry.name for entry in entries}
    if "dataset_dict.json" in names:
        return set()
    if not names.issuperset(_SAVED):
        return None
    try:
        state = json.loads((folder / "state.json").read_bytes())
        return {str(file["filename"]) for file in state["_data_files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {name for name in names if name.endswith(".arrow") and not name.startswith("cache-")}


def _pattern(address: str, base: Path) -> str:
    return address if Path(address).is_absolute() else str(Path(glob.escape(str(base))) / address)


def _fixed_prefix(pattern: Path) -> Path:
    fixed: list[str] = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _unique_names(files: Sequence[_File]) -> dict[Path, str]:
    """Names below the roots; where two are the same, with as much of the root as tells them apart."""
    names = {file.path: file.name for file in files}
    depth = 0
    while shared := {name for name, count in Counter(names.values()).items() if count > 1}:
        depth += 1
        names |= {f.path: _with_root(f, depth) for f in files if names[f.path] in shared}
    return names


def _with_root(file: _File, depth: int) -> str:
    parts = file.root.parts[1:]
    return "/".join([*parts[max(0, len(parts) - depth) :], file.name])


def _unique_streams(streamed: Iterable[Shard], taken: set[str]) -> Iterator[Shard]:
    """Streamed shards; those whose name is taken get their address for a name."""
    shards = list(streamed)
    counts = Counter(shard.name for shard in shards)
    for shard in shards:
        if counts[shard.name] > 1 or shard.name in taken:
            name = f"{shard.uri}:{shard.start}"
            shard = dataclasses.replace(shard, name=name, shard=shard_id(name))
        yield shard


def _shards(path: Path, name: str, source: FileSource, shard_bytes: int) -> Iterator[Shard]:
    try:
        status = path.stat()
        size, mtime, ctime = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    except OSError:
        size, mtime, ctime = 0, 0, 0  # a broken link: reading it reports why
    cuts = source.cut(path, size, shard_bytes) if size else [Cut(None, None, 0)]
    for start, stop, part_size in cuts:
        part = name if start is None else f"{name}:{start}-{stop}"
        yield Shard(shard_id(part), str(path), part, source.name, part_size, start, stop, size, mtime, ctime)


def shard_id(name: str) -> str:
    """16 hex digits of a shard's name, which holds the cut."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]
