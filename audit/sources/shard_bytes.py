"""Where a shard's bytes come from: a file, or an object on a store."""

from __future__ import annotations

import errno
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from audit.errors import FatalError
from audit.objects.object_addresses import is_object_address
from audit.objects.object_bytes import ObjectBytes

_PIECE: Final = 1 << 20
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def open_shard_bytes(uri: str, etag: str | None = None, size: int | None = None) -> io.RawIOBase:
    """Open a path or an object's address for reading; it can be sought, and read from anywhere.

    Args:
        uri: A path, or ``s3://…``, ``gs://…``, ``az://…``.
        etag: Of an object: the version that is read; None for whatever stands there.
        size: Of an object, where it is known: spares a request.

    Raises:
        OSError: The file cannot be opened.
        InputError: There is no such object (``unreadable``), or it is another version
            (``changed_while_reading``); for objects also from every read.
        RetryableError: The store did not answer within its budget.
    """
    return ObjectBytes(uri, etag, size) if is_object_address(uri) else io.FileIO(uri)


def announce(file: io.RawIOBase, begin: int, end: int) -> None:
    """Say that a range is about to be read in order, which lets an object be read ahead."""
    if isinstance(file, ObjectBytes):
        file.read_ahead(begin, end)


def feed(file: io.RawIOBase, begin: int, end: int, take: Callable[[bytes], None]) -> None:
    """Hand a range of a file over in pieces, to a digest for instance."""
    for piece in _pieces(file, begin, end):
        take(piece)


@contextmanager
def spooled(
    file: io.RawIOBase, spans: Sequence[tuple[int, int]], size: int, take: Callable[[bytes], None]
) -> Iterator[io.RawIOBase]:
    """A local copy of some ranges of a file, each at its place, digested on the way in the order given.

    What a random-access format wants and a digest wants is thus fetched once. The copy has no name in the
    file system and ends with the process; it lies in the temporary folder (``TMPDIR``).

    Args:
        file: What is copied.
        spans: ``(begin, end)`` of each range; the rest reads as zeros.
        size: Bytes of the whole file.
        take: Gets the pieces of the ranges, in order.

    Raises:
        FatalError: The temporary folder is full.
    """
    with tempfile.TemporaryFile(buffering=0) as copy:
        assert isinstance(copy, io.RawIOBase)
        try:
            copy.truncate(size)
            for begin, end in spans:
                copy.seek(begin)
                for piece in _pieces(file, begin, end):
                    take(piece)
                    _write(copy, piece)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            raise FatalError(
                f"no space left in {tempfile.gettempdir()}, where objects are kept while they are read; "
                "free some, or set TMPDIR, then give the same command: finished parts stay"
            ) from error
        copy.seek(0)
        yield copy


def _pieces(file: io.RawIOBase, begin: int, end: int) -> Iterator[bytes]:
    announce(file, begin, end)
    file.seek(begin)
    while begin < end and (piece := file.read(min(_PIECE, end - begin))):
        yield piece
        begin += len(piece)


def _write(copy: io.RawIOBase, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[copy.write(rest) or 0 :]
