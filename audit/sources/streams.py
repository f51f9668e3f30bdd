"""Bytes of a shard: read once, digested on the way, decompressed, watched for change."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import zstandard
from isal import igzip_lib

from audit.errors import AuditError, InputError
from audit.sources.shard_bytes import announce, open_shard_bytes
from audit.workers import meter

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from audit.model import Shard

_BLOCK: Final = 1 << 16  # compressed bytes at a time
_OUT: Final = 1 << 20  # decompressed bytes at a time
_ZSTD_PIECE: Final = 1 << 14  # zstd has no output limit: small input bounds what one call can return
_ZSTD_WINDOW: Final = 1 << 31  # frames of `zstd --long=31` are common in published dumps
_GZIP_DAMAGE: Final[type[Exception]] = igzip_lib.error  # type: ignore[assignment]  # stubs: an instance
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16)))


class ContentDigest:
    """SHA-256 of the bytes of a shard, fed while they are read."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes."""
        self._sha256.update(data)
        meter.beat()  # of a file that is only digested there is no other sign of life

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._sha256.hexdigest()


class ShardFile(io.RawIOBase):
    """The bytes that a shard owns: the whole file, or the lines that begin in its byte range.

    Reading feeds the digest. When the ``with`` block ends, normally or by InputError, the rest is
    drained, so that the digest is complete whatever stopped the parsing.

    Args:
        shard: With a cut, ``start`` and ``stop`` are a byte range of lines.
        digest: Fed with every byte read; None to save the work.

    Raises:
        OSError: The file cannot be opened or read.
        InputError: The object cannot be read, or has changed; from reading too.
        RetryableError: The store does not answer; from reading too.
    """

    def __init__(self, shard: Shard, digest: ContentDigest | None = None) -> None:
        self._digest = digest
        self._file = open_shard_bytes(shard.uri, shard.etag, shard.file_size)
        self._left: int | None = None
        self.taken = 0  # bytes read so far
        if shard.start is not None and shard.stop is not None:
            try:
                begin, end = owned_range(self._file, shard.start, shard.stop)
            except BaseException:
                self._file.close()
                raise
            self._left = end - begin
            self._file.seek(begin)
            announce(self._file, begin, end)
        else:
            announce(self._file, 0, shard.file_size)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read at most a buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if self._left is not None:
            view = view[: self._left]
        count = (self._file.readinto(view) if view else 0) or 0
        if self._left is not None:
            self._left -= count
        self.taken += count
        if self._digest is not None:
            self._digest.update(view[:count])
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._digest is not None and (error is None or isinstance(error, InputError)):
            while self.read(_OUT):
                pass
        self.close()


def digest_file(shard: Shard, digest: ContentDigest) -> None:
    """Feed the bytes that a shard owns to a digest."""
    with ShardFile(shard, digest):
        pass


def owned_range(file: io.RawIOBase, start: int, stop: int) -> tuple[int, int]:
    """The bytes of the lines that begin in ``[start, stop)``: a range too, perhaps empty."""
    begin = _line_start(file, start, stop)
    if begin >= stop:
        return stop, stop  # a longer line runs through the whole cut
    return begin, _line_start(file, stop, None)


def _line_start(file: io.RawIOBase, offset: int, limit: int | None) -> int:
    """Where the first line at or after an offset begins; looks no further than ``limit``."""
    if offset == 0:
        return 0
    position = file.seek(offset - 1)
    while block := file.read(_BLOCK):
        if (newline := block.find(b"\n")) >= 0:
            return position + newline + 1
        position += len(block)
        if limit is not None and position >= limit:
            return limit
    return position


def blocks(file: io.RawIOBase) -> Iterator[bytes]:
    """Decompressed content in pieces. Gzip and zstd are told by their first bytes, not by the name.

    Raises:
        InputError: ``truncated`` or ``corrupt``, after all that could be decompressed.
    """
    head = file.read(_BLOCK) or b""
    chunks = _chunks(head, file)
    if head.startswith(_GZIP):
        yield from _gunzip(chunks)
    elif head.startswith(_ZSTD):
        yield from _unzstd(chunks)
    else:
        yield from chunks


def _chunks(head: bytes, file: io.RawIOBase) -> Iterator[bytes]:
    chunk: bytes | None = head
    while chunk:
        yield chunk
        chunk = file.read(_BLOCK)


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    decoder = None
    for chunk in chunks:
        while True:
            if decoder is None:
                chunk = chunk.lstrip(b"\0")  # padding between members
                if not chunk:
                    break
                decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            try:
                out = decoder.decompress(chunk, _OUT)
            except _GZIP_DAMAGE as error:
                raise InputError("corrupt", "the gzip data are damaged") from error
            if out:
                yield out
            chunk = b""
            if decoder.eof:
                chunk, decoder = decoder.unused_data, None
            elif decoder.needs_input:
                break
    if decoder is not None:
        raise InputError("truncated", "the gzip data end in the middle")


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    decoder = None
    for chunk in chunks:
        for at in range(0, len(chunk), _ZSTD_PIECE):
            piece = chunk[at : at + _ZSTD_PIECE]
            while piece:
                decoder = decoder or context.decompressobj()
                try:
                    out = decoder.decompress(piece)
                except zstandard.ZstdError as error:
                    raise InputError("corrupt", "the zstd data are damaged") from error
                if out:
                    yield out
                piece = b""
                if decoder.eof:
                    piece, decoder = decoder.unused_data, None
    if decoder is not None:
        raise InputError("truncated", "the zstd data end in the middle")


def is_compressed(path: str | os.PathLike[str]) -> bool:
    """Whether a file, or an object, begins as gzip or zstd.

    Raises:
        OSError: It cannot be read; for an object as ``open_shard_bytes``.
    """
    with open_shard_bytes(os.fspath(path)) as file:
        return (file.read(4) or b"").startswith((_GZIP, *_ZSTD))


class BlockReader(io.RawIOBase):
    """Decompressed content as a file, for parsers that want one.

    A parser in native code may not pass an exception on, so a failure looks like the end of the file to
    it, and is kept in ``failure`` for the caller to raise.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest, self._position = pieces, b"", 0
        self.tail = b""  # the last bytes that were read, up to four
        self.failure: AuditError | None = None

    def readable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes read so far."""
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read at most a buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if not self._rest:
            self._rest = self._next()
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self.tail = (self.tail + self._rest[max(0, count - 4) : count])[-4:]
        self._rest = self._rest[count:]
        self._position += count
        return count

    def _next(self) -> bytes:
        if self.failure is not None:
            return b""
        try:
            return next(self._pieces, b"")
        except AuditError as failure:
            self.failure = failure
            return b""
