"""The lock of a run on an object store: one small object, made, renewed and taken over by conditional puts.

Whoever makes the object holds the lock, and writes it anew while at work; each writing changes its entity
tag. Others never compare clocks: an observer takes the lock over only after it has itself seen the same tag
for the whole lease, on its own monotonic clock, and the put that takes it over succeeds only while the tag is
still that one. An owner that was suspended for longer finds the tag changed at its next renewal, and all that
it would write is conditional, too.

Source: C. Gray, D. Cheriton, "Leases: an efficient fault-tolerant mechanism for distributed file cache
consistency", SOSP 1989.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from audit.errors import AuditError, ConfigurationError, FatalError, RetryableError
from audit.objects.object_stores import ObjectChanged, ObjectExists, ObjectFolder

KEY = ".lease"
ENVIRONMENT_VARIABLE = "AUDIT_LEASE_SECONDS"
_SECONDS = 60.0
#: Renewals, and looks of an observer, per lease.
_BEATS = 4


#: Interrupts the main thread when the lease is lost. Not SIGINT, which background jobs of a script ignore.
_INTERRUPTION = signal.SIGUSR1


@dataclass(frozen=True)
class _Held:
    """The lease as it stands: its entity tag, its owner (None once it was given back), and how long it is."""

    etag: str | None
    owner: str | None
    seconds: float


def length() -> float:
    """Seconds of a lease: 60, or ``$AUDIT_LEASE_SECONDS``.

    Raises:
        ConfigurationError: That is not a number over 0.
    """
    given = os.environ.get(ENVIRONMENT_VARIABLE)
    if given is None:
        return _SECONDS
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(
            "the length of a lease is a number of seconds over 0",
            key=f"${ENVIRONMENT_VARIABLE}",
            remedy="Give a number, or unset it: 60 is the default",
        )
    return seconds


class Lease:
    """A lease that this process holds, under a random name.

    Args:
        remote: The run.
        seconds: How long it lasts without renewal.
        beat: Called after each renewal, in a thread; may raise RetryableError.
    """

    def __init__(self, remote: ObjectFolder, seconds: float, beat: Callable[[], None] | None = None) -> None:
        self._remote, self._seconds, self._beat = remote, seconds, beat
        self._owner = secrets.token_hex(16)
        self._etag: str | None = None
        self._renewed = 0.0
        self._count = 0
        self._lost = False
        self._guard = threading.Lock()

    @property
    def lost(self) -> bool:
        """Whether another run has taken it over, or may have."""
        return self._lost

    def confirm(self) -> None:
        """Make sure that nobody else can hold it for the next half of its length.

        Raises:
            FatalError: It was lost; nothing more may be written.
            RetryableError: The store does not answer.
        """
        with self._guard:
            if not self._lost and time.monotonic() - self._renewed > self._seconds / 2:
                self._renew()
            if self._lost:
                raise _lost(self._remote)

    def acquire(self, note: Callable[[str], None] | None = None) -> None:
        """Take it, at once or after watching it for its whole length.

        Args:
            note: Is told when that is to be waited for.

        Raises:
            ConfigurationError: The store gives no entity tags.
            FatalError: Another run holds it, and is at work.
        """
        asked = time.monotonic()
        try:
            etag = self._remote.put(KEY, self._content(self._owner), create=True)
        except ObjectExists:
            asked, etag = self._take_over(note)
        if etag is None:
            raise ConfigurationError(
                "the store gives its objects no entity tags, so runs cannot be kept apart",
                file=self._remote.address,
                remedy="Choose another store for the run, or a folder",
            )
        self._etag, self._renewed = etag, asked

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew it until the end of the context, then give it back.

        When it is lost, the main thread is interrupted, if it is the one that works here.
        """
        ended = threading.Event()
        interrupt = threading.current_thread() is threading.main_thread()
        keeper = threading.Thread(target=self._keep, args=(ended, interrupt), name="lease", daemon=True)
        before = signal.signal(_INTERRUPTION, _interrupted) if interrupt else None
        keeper.start()
        try:
            yield
        except KeyboardInterrupt:
            if self._lost:
                raise _lost(self._remote) from None
            raise
        finally:
            ended.set()
            keeper.join()
            if interrupt:
                signal.signal(_INTERRUPTION, before)
            self._give_back()

    def _take_over(self, note: Callable[[str], None] | None) -> tuple[float, str | None]:
        """Wait until the lease is free or has not been renewed for its length; then put ours in its place."""
        standing = self._read()
        began = time.monotonic()
        if note is not None and standing.owner not in (None, self._owner):
            note(
                f"locked by another run; watching for up to {standing.seconds:g} seconds whether it is alive"
            )
        while standing.owner not in (None, self._owner):
            if time.monotonic() - began >= standing.seconds:
                break
            time.sleep(standing.seconds / (2 * _BEATS))
            info = self._remote.head(KEY)
            if info is None or info.etag != standing.etag:
                raise _in_use(self._remote, standing.seconds)
        asked = time.monotonic()
        try:
            return asked, self._remote.put(KEY, self._content(self._owner), etag=standing.etag)
        except ObjectChanged:
            standing = self._read()
            if standing.owner == self._owner:  # the answer to our own put was lost
                return asked, standing.etag
            raise _in_use(self._remote, standing.seconds) from None

    def _read(self) -> _Held:
        info = self._remote.head(KEY)
        if info is None:
            return _Held(None, "removed", self._seconds)
        try:
            content: dict[str, Any] = json.loads(self._remote.get(KEY, etag=info.etag))
            return _Held(info.etag, content["owner"], float(content["seconds"]))
        except (ObjectChanged, ValueError, KeyError, TypeError):
            return _Held(info.etag, "unreadable", self._seconds)

    def _content(self, owner: str | None) -> bytes:
        self._count += 1  # each writing differs, so that its tag does, too
        return json.dumps({"owner": owner, "seconds": self._seconds, "count": self._count}).encode()

    def _keep(self, ended: threading.Event, interrupt: bool) -> None:
        while not ended.wait(self._seconds / _BEATS):
            try:
                with self._guard:
                    if not self._lost:
                        self._renew()
                if self._beat is not None and not self._lost:
                    self._beat()
            except AuditError:  # the store does not answer, or no longer lets this process in
                self._lost = time.monotonic() - self._renewed >= self._seconds
            if self._lost:
                if interrupt and not ended.is_set():
                    signal.pthread_kill(threading.main_thread().ident or 0, _INTERRUPTION)
                return

    def _renew(self) -> None:
        asked = time.monotonic()
        try:
            self._etag = self._remote.put(KEY, self._content(self._owner), etag=self._etag)
        except ObjectChanged:
            standing = self._read()
            self._lost = standing.owner != self._owner
            self._etag = standing.etag  # ours, where only the answer to the put was lost
        self._renewed = asked

    def _give_back(self) -> None:
        """Free the lease, unless somebody else has it; a store that is down frees it by time."""
        if self._lost:
            return
        try:
            self._remote.put(KEY, self._content(None), etag=self._etag)
        except (ObjectChanged, RetryableError):
            return


def _in_use(remote: ObjectFolder, seconds: float) -> FatalError:
    return FatalError(
        f"another run works in {remote.address}; wait for it, or choose another --out. One that was killed "
        f"is taken over {seconds:g} seconds later"
    )


def _lost(remote: ObjectFolder) -> FatalError:
    return FatalError(
        f"the lock of {remote.address} was lost: this process did not renew it in time, and another run may "
        "have taken over. Nothing more was written; give the command again once no other run is at work"
    )


def _interrupted(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt
