"""Sources: everything that turns input addresses into shards, and shards into Arrow batches.

Adding a format is one file in ``audit/sources/formats``: a class with the members of ``Source`` and
``FileSource`` or ``AddressSource``. What formats share lies beside this file; they do not import each
other.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import pyarrow as pa

from audit.errors import ConfigurationError, InputError
from audit.model import Batch, Shard
from audit.objects.object_addresses import is_object_address
from audit.objects.object_stores import ObjectFolder
from audit.sources import formats, planning
from audit.sources.columns import ColumnMapping
from audit.sources.contracts import MIB, AddressSource, FileSource, ReadLimits, Source
from audit.sources.planning import InputPlan, make_plan
from audit.sources.streams import ContentDigest

__all__ = [
    "AddressSource",
    "ColumnMapping",
    "ContentDigest",
    "FileSource",
    "InputPlan",
    "ReadLimits",
    "Source",
    "arrivals",
    "available",
    "content_digest",
    "documents_at",
    "fingerprint",
    "inspect_inputs",
    "plan",
    "read",
    "texts",
]

ENTRY_POINT_GROUP = "audit.sources"
#: Lists objects, and decides nothing of what a document becomes; see ``audit.workkeys.TRANSPORT``.
_TRANSPORT = ("objects.py",)


@cache
def available() -> Mapping[str, Source]:
    """All sources by format: those of this package and those of installed plug-ins.

    Raises:
        ImportError: A source's module cannot be imported.
        ValueError: Two sources claim one format.
    """
    modules = [
        importlib.import_module(f"{formats.__name__}.{m.name}")
        for m in pkgutil.iter_modules(formats.__path__)
    ]
    candidates: list[Any] = [
        member
        for module in modules
        for member in vars(module).values()
        if inspect.isclass(member) and member.__module__ == module.__name__ and _is_source(member)
    ]
    candidates += [point.load() for point in entry_points(group=ENTRY_POINT_GROUP)]
    found: dict[str, Source] = {}
    for source in candidates:
        if source.name in found:
            raise ValueError(f"two sources read {source.name!r}")
        found[source.name] = source()
    return found


def _is_source(member: type) -> bool:
    """Whether a class has what ``Source`` asks for."""
    return all(hasattr(member, part) for part in ("name", "version", "libraries", "read", "digest"))


def plan(
    inputs: Sequence[str], *, format: str = "auto", shard_bytes: int = 256 * MIB, base: Path | None = None
) -> list[Shard]:
    """Turn input addresses into shards, sorted by name and cut; the same file listed twice appears once.

    An input is a file, a folder (all below it of known suffixes, hidden ones left out), a glob (``**``
    too), the same on an object store (``s3://``, ``gs://``, ``az://``), an ``hf://`` address, or a folder
    that ``datasets.save_to_disk`` wrote. A shard's name is the
    path below the folder, below the part of a glob that is fixed, or below the file's own folder, so that
    a corpus that was moved keeps its shards; names that would be the same get as much of their root in
    front as tells them apart. Cuts depend on the files and ``shard_bytes`` only. An empty file is a shard
    without documents; a file that cannot be looked into is one whole shard, and reading it reports why.

    Args:
        inputs: Addresses; relative ones start at ``base``.
        format: Name of a source, or ``auto`` for telling it by suffix. With a name, files and globs are
            taken whatever their suffix, folders still by suffix.
        shard_bytes: Size above which a file is cut, and the size of a cut: bytes of plain JSONL,
            compressed bytes of Parquet row groups. Other files stay whole.
        base: Where relative inputs start; the working directory by default.

    Raises:
        ConfigurationError: An input matches nothing, or its format or scheme is unknown.
        RetryableError: The hub or the store cannot be reached, or a store's listing keeps changing.
    """
    return list(inspect_inputs(inputs, format=format, shard_bytes=shard_bytes, base=base).shards)


def inspect_inputs(
    inputs: Sequence[str], *, format: str = "auto", shard_bytes: int = 256 * MIB, base: Path | None = None
) -> InputPlan:
    """The same as ``plan``, together with the paths that were skipped."""
    if shard_bytes < 1:
        raise ConfigurationError("shard_bytes is not positive", key="run.shard_bytes")
    start = Path.cwd() if base is None else base.absolute()
    return make_plan(inputs, available(), format=format, shard_bytes=shard_bytes, base=start)


def arrivals(inputs: Sequence[str], planned: InputPlan, *, format: str = "auto") -> Mapping[str, int]:
    """Objects of the inputs that were not there when the plan was made: address -> bytes.

    A store may list late, and others may write while a corpus is read; local folders are not looked at again.

    Raises:
        RetryableError: The store does not answer.
    """
    return planning.arrivals(inputs, available(), planned, format=format)


def read(
    shard: Shard, columns: ColumnMapping, limits: ReadLimits, digest: ContentDigest | None = None
) -> Iterator[Batch]:
    """Yield the shard's documents and rejects in batches, in order.

    Args:
        shard: What to read.
        columns: Where the fields of a document are.
        limits: Bounds of a batch and of a document.
        digest: Complete when the iterator ends, or raises InputError: equal to ``content_digest``.

    Raises:
        InputError: ``unreadable``, ``truncated`` or ``corrupt`` (after all documents before the damage),
            ``no_such_column``, ``no_text_column``, ``changed_while_reading``.
        RetryableError: A connection broke.
    """
    source = _source(shard)
    before = _state(source, shard)
    try:
        yield from source.read(shard, columns, limits, digest, None)
    except OSError as error:
        raise _unreadable(error) from error
    except InputError as error:
        if _state(source, shard) != before:
            raise _changed() from error
        raise
    if _state(source, shard) != before:
        raise _changed()


def content_digest(shard: Shard) -> str:
    """SHA-256 of exactly the shard's bytes, without parsing them.

    That is the file as it is stored (compressed, where it is); for a cut of JSONL the lines that begin in
    it; for a cut of Parquet its row groups and the footer; for a streamed data set its records as JSON.

    Raises:
        InputError: It cannot be read, or changed meanwhile.
    """
    source, digest = _source(shard), ContentDigest()
    before = _state(source, shard)
    try:
        source.digest(shard, digest)
    except OSError as error:
        raise _unreadable(error) from error
    if _state(source, shard) != before:
        raise _changed()
    return digest.hexdigest()


def texts(
    shard: Shard, columns: ColumnMapping, limits: ReadLimits, positions: Collection[int]
) -> Iterator[tuple[int, str, str]]:
    """Yield (position, doc_id, text) of some documents, in order, reading no more than needed.

    Positions that were rejected, or that the shard does not have, are left out.

    Raises:
        InputError: As ``read``, when it happens before the last position.
    """
    for documents in documents_at(shard, columns, limits, positions):
        rows = [documents.column(name).to_pylist() for name in ("position", "doc_id", "text")]
        yield from zip(*rows, strict=True)


def documents_at(
    shard: Shard, columns: ColumnMapping, limits: ReadLimits, positions: Collection[int]
) -> Iterator[pa.RecordBatch]:
    """Yield batches (``DOCUMENT_SCHEMA``) of some documents; see ``texts``."""
    wanted = frozenset(positions)
    if not wanted:
        return
    try:
        for batch in _source(shard).read(shard, columns, limits, None, wanted):
            yield batch.documents
    except OSError as error:
        raise _unreadable(error) from error


def fingerprint(format: str) -> Mapping[str, str]:
    """What the text of a document depends on besides its bytes: the reader's code, and libraries.

    Returns:
        ``version`` and ``code`` (SHA-256 of the source's module and of what sources share), and the
        version of each library; ``absent`` for one that is not installed.
    """
    source = _by_format(format)
    return {
        "version": source.version,
        "code": code_of(type(source)),
        **{name: _version(name) for name in source.libraries},
    }


@cache
def code_of(source: type[Source]) -> str:
    """SHA-256 of a source's module and of what sources share."""
    shared = (path for path in sorted(Path(__file__).parent.glob("*.py")) if path.name not in _TRANSPORT)
    files = [*shared, Path(inspect.getfile(source))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


@cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


def _source(shard: Shard) -> Source:
    return _by_format(shard.format)


def _by_format(format: str) -> Source:
    try:
        return available()[format]
    except KeyError:
        known = ", ".join(sorted(available()))
        raise ConfigurationError(
            f"no source reads {format!r}", key="corpus.format", remedy=f"Known are {known}"
        ) from None


def _state(source: Source, shard: Shard) -> tuple[int, int] | None:
    """Size and modification time; None for what is no file, or is read by its version."""
    if not isinstance(source, FileSource) or shard.etag is not None:
        return None
    if is_object_address(shard.uri):
        found = ObjectFolder(shard.uri).head("")
        return (-1, 0) if found is None else (found.size, found.modified_ns)
    try:
        status = Path(shard.uri).stat()
    except OSError as error:
        raise _unreadable(error) from error
    return status.st_size, status.st_mtime_ns


def _unreadable(error: OSError) -> InputError:
    return InputError("unreadable", error.strerror or type(error).__name__)


def _changed() -> InputError:
    return InputError("changed_while_reading", "size or modification time changed during the reading")
