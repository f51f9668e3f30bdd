"""An object as a file: read by ranges of one version, the next block fetched while the last one is used."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Final

from audit.errors import AuditError, InputError
from audit.objects.object_addresses import split_address
from audit.objects.object_stores import ObjectArchived, ObjectChanged, ObjectFolder, ObjectMissing

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK: Final = 8 << 20  # bytes of a read in order
_PROBE: Final = 1 << 16  # the least that a read out of order fetches: a request costs more than its bytes
_LINGER_SECONDS: Final = 10.0


class ObjectBytes(io.RawIOBase):
    """The bytes of an object; every read is of the version that ``etag`` names.

    Two blocks are in memory at most. Reads fill the buffer, but at the end of the object.

    Args:
        address: Of the object.
        etag: The version; None reads whatever stands there.
        size: Bytes of that version; asked for when it is not known.

    Raises:
        InputError: ``unreadable`` (there is no such object, or it is archived) or ``changed_while_reading``;
            from here and from every read.
        RetryableError, ConfigurationError, FatalError: As ``ObjectFolder``.
    """

    def __init__(self, address: str, etag: str | None = None, size: int | None = None) -> None:
        scheme, bucket, self._key = split_address(address)
        self._folder, self._etag = ObjectFolder(f"{scheme}://{bucket}"), etag
        self._size = self._look_up() if size is None else size
        self._at = 0
        self._begin, self._block = 0, memoryview(b"")
        self._window = (0, 0)
        self._next: _Fetch | None = None

    def _look_up(self) -> int:
        info = self._folder.head(self._key)
        if info is None:
            raise _missing()
        if self._etag is not None and info.etag != self._etag:
            raise _changed()
        return info.size

    def read_ahead(self, begin: int, end: int) -> None:
        """Say that ``[begin, end)`` is about to be read in order: by large blocks, and not beyond."""
        self._window, self._next = (begin, min(end, self._size)), None

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; costs nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer; fewer bytes only at the end."""
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._at))
        done = 0
        while done < wanted:
            part = self._from_block(wanted - done)
            view[done : done + len(part)] = part
            done += len(part)
            self._at += len(part)
        return done

    def close(self) -> None:
        """Wait a little for a block under way: a process must not end while a thread is in native code."""
        if self._next is not None:
            self._next.wait(_LINGER_SECONDS)
            self._next = None
        super().close()

    def _from_block(self, wanted: int) -> memoryview:
        offset = self._at - self._begin
        if not 0 <= offset < len(self._block):
            self._begin, self._block = self._at, memoryview(self._fetch(wanted))
            offset = 0
        return self._block[offset : offset + wanted]

    def _fetch(self, wanted: int) -> bytes:
        begin, end = self._window
        if not begin <= self._at < end:
            return self._get(self._at, min(self._size, self._at + max(wanted, _PROBE)))
        stop = min(self._at + BLOCK, end)
        ready, self._next = self._next, None
        if ready is None or ready.span != (self._at, stop):
            ready = _Fetch(self, self._at, stop)
        data = ready.result()
        if stop < end:
            self._next = _Fetch(self, stop, min(stop + BLOCK, end))
            self._next.start()
        return data

    def _get(self, start: int, stop: int) -> bytes:
        try:
            return self._folder.get_range(self._key, start, stop, etag=self._etag)
        except ObjectMissing:
            failure = _missing()
        except ObjectChanged:
            failure = _changed()
        except ObjectArchived:
            failure = InputError("unreadable", "the object is archived; restore it first")
        raise failure


class _Fetch:
    """A block under way, or to be fetched when it is asked for.

    The thread ends with the process whatever the store does: nothing waits for a block that nobody reads.
    """

    def __init__(self, file: ObjectBytes, start: int, stop: int) -> None:
        self.span = (start, stop)
        self._file = file
        self._thread: threading.Thread | None = None
        self._outcome: bytes | AuditError | None = None

    def start(self) -> None:
        """Fetch in a thread."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for the thread, if there is one."""
        if self._thread is not None:
            self._thread.join(seconds)

    def result(self) -> bytes:
        """The bytes, when they are there."""
        if self._thread is None:
            self._run()
        else:
            self._thread.join()
        if isinstance(self._outcome, bytes):
            return self._outcome
        if self._outcome is None:
            raise RuntimeError("the thread that fetched a block failed")
        raise self._outcome

    def _run(self) -> None:
        try:
            self._outcome = self._file._get(*self.span)
        except AuditError as error:
            self._outcome = error


def _missing() -> InputError:
    return InputError("unreadable", "the object does not exist")


def _changed() -> InputError:
    return InputError("changed_while_reading", "the object is another version than when it was listed")
