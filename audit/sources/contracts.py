"""What a source is, and the limits that it reads within."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from audit.errors import ConfigurationError
from audit.model import Batch, Shard
from audit.sources.columns import ColumnMapping
from audit.sources.streams import ContentDigest

MIB = 1 << 20
_ARROW_STRING_BYTES = 1 << 30  # half of what the 32-bit offsets of an Arrow string array reach


@dataclass(frozen=True)
class ReadLimits:
    """How much is in memory at once.

    A batch ends before the record that would take it over a limit, so its cut depends on the data and
    on these numbers only.

    Attributes:
        batch_rows: Records in a batch, rejects included.
        batch_bytes: Bytes of a batch: of the records as they are stored where a format reads whole
            records (lines, WARC), of the texts where it reads columns (Parquet, Arrow). One larger
            document makes a batch of its own.
        max_document_bytes: A record, or a text in UTF-8, over this is rejected (``too_large``).

    Raises:
        ConfigurationError: A limit is not positive, or beyond what an Arrow string array can hold.
    """

    batch_rows: int = 4096
    batch_bytes: int = 16 * MIB
    max_document_bytes: int = 128 * MIB

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic reads it from the class

    def __post_init__(self) -> None:
        for key in ("batch_rows", "batch_bytes", "max_document_bytes"):
            if not 1 <= getattr(self, key) <= _ARROW_STRING_BYTES:
                raise ConfigurationError(f"{key} is out of range", key=key, remedy="Use 1 to 1073741824")


class Cut(NamedTuple):
    """A part of a file: ``start`` and ``stop`` as in ``Shard``, and its bytes."""

    start: int | None
    stop: int | None
    size: int


@runtime_checkable
class Source(Protocol):
    """A reader of one format. Stateless; one file in ``audit/sources/formats``.

    Class variables:
        name: The format, as configurations and shards name it.
        version: Raised whenever the same bytes may give other documents.
        libraries: Distributions whose release may change the text (decoders, extractors).
    """

    name: ClassVar[str]
    version: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]

    def read(
        self,
        shard: Shard,
        columns: ColumnMapping,
        limits: ReadLimits,
        digest: ContentDigest | None,
        wanted: frozenset[int] | None,
    ) -> Iterator[Batch]:
        """Yield the shard's batches in order.

        Args:
            shard: What to read.
            columns: Where the fields of a document are.
            limits: Bounds of a batch and of a document.
            digest: Updated with the shard's bytes; complete when the iterator ends or raises InputError.
            wanted: Decode these positions only, and stop after the last; None for all.

        Raises:
            InputError: The shard cannot be read, or only in part; after all that could be read.
            OSError: The file cannot be opened or read.
        """
        ...

    def digest(self, shard: Shard, digest: ContentDigest) -> None:
        """Update the digest with the bytes that ``read`` would, without parsing."""
        ...


@runtime_checkable
class FileSource(Source, Protocol):
    """A source of files, found by suffix.

    Class variables:
        suffixes: In lower case, with the compression's (``.jsonl.gz``).
    """

    suffixes: ClassVar[tuple[str, ...]]

    def cut(self, uri: str, size: int, shard_bytes: int) -> Sequence[Cut]:
        """Split a file into shards of about ``shard_bytes``; one cut of (None, None, size) for the whole.

        A file that cannot be looked into stays whole: reading it reports why. ``uri`` is a path or an
        object's address (``shard_bytes.open_shard_bytes``).

        Raises:
            RetryableError: The store does not answer.
        """
        ...


@runtime_checkable
class AddressSource(Source, Protocol):
    """A source of addresses (``scheme://…``) that are no files.

    Class variables:
        scheme: What stands before ``://``.
    """

    scheme: ClassVar[str]

    def shards(self, address: str, base: Path) -> Sequence[Shard]:
        """The shards behind an address; relative paths in it are below ``base``.

        Raises:
            ConfigurationError: The address is malformed, or what it names does not exist.
        """
        ...
