"""Input addresses -> shards."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from audit.errors import ConfigurationError
from audit.model import Shard
from audit.objects.object_addresses import is_object_address
from audit.sources.contracts import AddressSource, Cut, FileSource, Source
from audit.sources.finding import KEY, Finder, InputFile, known_formats
from audit.sources.objects import find_objects

_ADDRESS = re.compile(r"([a-z][a-z0-9+.\-]*)://", re.IGNORECASE)
_THREADS = 16
_MOST_AT_ONCE = 64


@dataclass(frozen=True)
class InputPlan:
    """What the inputs come to.

    Attributes:
        shards: In order of name and cut.
        skipped: Paths in folders and globs that are hidden or of no known suffix, sorted.
        skipped_bytes: Of the skipped, those on object stores, with their sizes.
    """

    shards: tuple[Shard, ...]
    skipped: tuple[str, ...]
    skipped_bytes: Mapping[str, int] = field(default_factory=dict)


def make_plan(
    inputs: Sequence[str], sources: Mapping[str, Source], *, format: str, shard_bytes: int, base: Path
) -> InputPlan:
    """See ``audit.sources.plan``."""
    finder = Finder(sources, format)
    files: dict[str, InputFile] = {}
    streamed: dict[str, Shard] = {}
    for address in inputs:
        scheme = _ADDRESS.match(address)
        if scheme and not is_object_address(address):
            streamed |= {s.uri + s.name: s for s in _by_scheme(sources, scheme[1]).shards(address, base)}
            continue
        found = list(finder.objects(address) if scheme else finder.find(address, base))
        if not found:
            raise ConfigurationError(
                f"{address!r} holds no file of a known format", key=KEY, remedy=known_formats(sources)
            )
        for file in found:
            # Through two roots: the longer name, whatever the order of the inputs.
            files[file.uri] = max(files.get(file.uri, file), file, key=lambda f: (len(f.name), f.name))
    names = _unique_names(list(files.values()))
    with ThreadPoolExecutor(_THREADS) as pool:  # looking into objects is waiting

        def cut(some: Sequence[InputFile]) -> list[Shard]:
            return [s for f in some for s in _shards(f, names[f.uri], finder.source(f.uri), shard_bytes)]

        shards = [shard for some in pool.map(cut, _grouped(list(files.values()))) for shard in some]
    shards += _unique_streams(streamed.values(), {s.name for s in shards})
    shards.sort(key=_order)
    skipped = {uri: size for uri, size in finder.skipped.items() if uri not in files}
    sizes = {uri: size for uri, size in skipped.items() if is_object_address(uri)}
    return InputPlan(tuple(shards), tuple(sorted(skipped)), sizes)


def _grouped(files: Sequence[InputFile]) -> list[Sequence[InputFile]]:
    """Files of a task: a task each costs more than looking into a hundred thousand small ones."""
    size = max(1, min(len(files) // (4 * _THREADS), _MOST_AT_ONCE))
    return [files[start : start + size] for start in range(0, len(files), size)]


def arrivals(
    inputs: Sequence[str], sources: Mapping[str, Source], planned: InputPlan, *, format: str
) -> dict[str, int]:
    """See ``audit.sources.arrivals``."""
    finder = Finder(sources, format)
    now: dict[str, int] = {}
    for address in filter(is_object_address, inputs):
        now |= {file.uri: file.info.size for file in finder.taken(find_objects(address)) if file.info}
    known = {shard.uri for shard in planned.shards}.union(planned.skipped)
    return {uri: size for uri, size in sorted({**finder.skipped, **now}.items()) if uri not in known}


def _order(shard: Shard) -> tuple[str, int]:
    """By name and cut: the cuts of a file in the order of the file."""
    whole = shard.name if shard.start is None else shard.name.rpartition(":")[0]
    return whole, shard.start or 0


def _by_scheme(sources: Mapping[str, Source], scheme: str) -> AddressSource:
    for source in sources.values():
        if isinstance(source, AddressSource) and source.scheme == scheme.lower():
            return source
    # Unquoted: an address may be signed.
    raise ConfigurationError(
        f"{scheme}:// addresses are not supported", key=KEY, remedy=known_formats(sources)
    )


def _unique_names(files: Sequence[InputFile]) -> dict[str, str]:
    """Names below the roots; where two are the same, with as much of the root as tells them apart."""
    names = {file.uri: file.name for file in files}
    depth = 0
    while shared := {name for name, count in Counter(names.values()).items() if count > 1}:
        depth += 1
        names |= {f.uri: _with_root(f, depth) for f in files if names[f.uri] in shared}
    return names


def _with_root(file: InputFile, depth: int) -> str:
    return "/".join([*file.root[max(0, len(file.root) - depth) :], file.name])


def _unique_streams(streamed: Iterable[Shard], taken: set[str]) -> Iterator[Shard]:
    """Streamed shards; those whose name is taken get their address for a name."""
    shards = list(streamed)
    counts = Counter(shard.name for shard in shards)
    for shard in shards:
        if counts[shard.name] > 1 or shard.name in taken:
            name = f"{shard.uri}:{shard.start}"
            shard = dataclasses.replace(shard, name=name, shard=shard_id(name))
        yield shard


def _shards(file: InputFile, name: str, source: FileSource, shard_bytes: int) -> list[Shard]:
    size, mtime, ctime = _status(file)
    etag = file.info.etag if file.info else None
    cuts = source.cut(file.uri, size, shard_bytes) if size else [Cut(None, None, 0)]
    found = []
    for start, stop, part_size in cuts:
        part = name if start is None else f"{name}:{start}-{stop}"
        state = (size, mtime, ctime, etag)
        found.append(Shard(shard_id(part), file.uri, part, source.name, part_size, start, stop, *state))
    return found


def _status(file: InputFile) -> tuple[int, int, int]:
    """Size and times; an object's version is told by its etag, where it has one, not by a time."""
    if file.info is not None:
        return file.info.size, 0 if file.info.etag else file.info.modified_ns, 0
    try:
        status = Path(file.uri).stat()
    except OSError:
        return 0, 0, 0  # a broken link: reading it reports why
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def shard_id(name: str) -> str:
    """16 hex digits of a shard's name, which holds the cut."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]
