"""The journal: an append-only, hash-chained record of what was done in a run.

Each line is canonical JSON (sorted keys, no white space, ASCII) that carries the digest of the line
before it, so that no byte changes and no line goes missing unseen. A chain proves order and integrity
of what stands after its start; that nothing was cut off its end, or all of it written anew, only a head
digest that was kept elsewhere can prove.

Source: S. Haber, W. S. Stornetta, "How to time-stamp a digital document", J. Cryptology 3 (1991), §5.1.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.errors import FatalError
from audit.storage.store import disk_errors, locked_folder, sync_folder, write_atomically

#: What the first line carries as the digest of the line before it.
GENESIS = hashlib.sha256(b"corpus-audit journal 1").hexdigest()

#: Event that accounts for an incomplete last line: data {"file", "bytes", "digest"}.
RECOVERED = "recovered"

_FIELDS = {"seq": int, "at": str, "event": str, "data": dict, "previous": str, "digest": str}
_TORN = "the last line is incomplete, as a crash leaves it"
_BLOCK = 65_536


@dataclass(frozen=True)
class Entry:
    """One line. ``seq`` counts from 1 and alone gives the order; ``at`` is UTC, to the second."""

    seq: int
    at: str
    event: str
    data: Mapping[str, Any]
    previous: str
    digest: str


@dataclass(frozen=True)
class Problem:
    """Evidence that is not what it was: the file (relative to the run), what is wrong, what to do."""

    file: str
    what: str
    remedy: str


@dataclass(frozen=True)
class _Tail:
    """Where whole lines end, the last of them, and the bytes of an incomplete one after it."""

    size: int
    last: Entry | None
    torn: bytes


class Journal:
    """A run's ``journal.jsonl``. Reading never writes; the first ``append`` makes the file.

    Args:
        path: The file.
        appended: Called after each line.
    """

    def __init__(self, path: Path, appended: Callable[[], None] | None = None) -> None:
        self.path, self._appended = path, appended

    @property
    def head(self) -> str:
        """Digest of the last whole line, ``GENESIS`` when there is none.

        Raises:
            FatalError: That line is damaged.
        """
        last = self._tail().last
        return last.digest if last else GENESIS

    def append(self, event: str, data: Mapping[str, Any], at: datetime | None = None) -> str:
        """Write one line, synced to disk, and return its digest.

        An incomplete last line, as a crash leaves it, is moved aside first and journaled as
        ``recovered``.

        Args:
            event: What happened.
            data: Plain JSON data about it, without personal values.
            at: When, with a time zone; now by default.

        Raises:
            FatalError: The last whole line is damaged, or the disk is full.
            ValueError: ``at`` has no time zone, or ``data`` is not JSON.
        """
        stamp = _stamp(at)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked_folder(self.path.parent), disk_errors():
            tail = self._tail()
            if tail.torn:
                self._recover(tail, stamp)
                tail = self._tail()
            line, digest = _line(tail.last, stamp, event, data)
            self._write(line)
        if self._appended is not None:
            self._appended()
        return digest

    def read(self) -> Iterator[Entry]:
        """Yield the entries in order; an incomplete last line is none.

        Raises:
            FatalError: A line is damaged; ``verify`` tells all of it.
        """
        for item in self.scan():
            if isinstance(item, Entry):
                yield item
            elif item.what != _TORN:
                raise FatalError(f"{self.path}: {item.what}. {item.remedy}")

    def verify(self, expected_head: str | None = None) -> list[Problem]:
        """Check every byte of the chain.

        Args:
            expected_head: A head that was kept elsewhere. It must be an entry of the chain; entries
                after it are what was journaled since.
        """
        problems: list[Problem] = []
        digests: set[str] = set()
        for item in self.scan():
            if isinstance(item, Problem):
                problems.append(item)
            else:
                digests.add(item.digest)
        if not digests and not problems:
            problems.append(self._problem("the journal is missing or empty"))
        if expected_head is not None and expected_head not in digests:
            problems.append(self._problem("the expected head is not in the chain: cut back or rewritten"))
        return problems

    def scan(self) -> Iterator[Entry | Problem]:
        """Yield every readable entry, and what is wrong where it is; goes on after damage."""
        previous: Entry | None = None
        follows = True  # whether what came before is known
        if not self.path.exists():
            return
        with self.path.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                if not line.endswith(b"\n"):
                    yield Problem(self.path.name, _TORN, "Give the last command again: it moves it aside")
                    return
                try:
                    entry = _parse(line)
                except ValueError as error:
                    yield self._problem(f"line {number} {error}")
                    follows = False
                    continue
                if follows and not _follows(entry, previous):
                    yield self._problem(f"line {number} does not follow the line before it")
                previous, follows = entry, True
                yield entry

    def _problem(self, what: str) -> Problem:
        return Problem(self.path.name, what, "Restore the file from a copy, or audit into a new folder")

    def _tail(self) -> _Tail:
        if not self.path.exists():
            return _Tail(0, None, b"")
        with self.path.open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            tail, start = b"", size
            # Two line ends are needed to hold the last whole line, and one is enough at the very start.
            while start and tail.count(b"\n") < 2:
                step = min(_BLOCK, start)
                start -= step
                handle.seek(start)
                tail = handle.read(step) + tail
        whole, separator, torn = tail.rpartition(b"\n")
        if not separator:
            return _Tail(0, None, torn)
        try:
            last = _parse(whole.rpartition(b"\n")[2] + b"\n")
        except ValueError as error:
            problem = self._problem(f"the last line {error}")
            raise FatalError(f"{self.path}: {problem.what}. {problem.remedy}") from error
        return _Tail(size - len(torn), last, torn)

    def _recover(self, tail: _Tail, stamp: str) -> None:
        """Move the incomplete line aside and journal that, so that a crash here changes nothing."""
        digest = hashlib.sha256(tail.torn).hexdigest()
        seq = tail.last.seq + 1 if tail.last else 1
        aside = self.path.with_name(f"{self.path.stem}.incomplete-{seq:06d}-{digest[:16]}")
        write_atomically(aside, tail.torn)
        data = {"file": aside.name, "bytes": len(tail.torn), "digest": digest}
        line, _ = _line(tail.last, stamp, RECOVERED, data)
        with self.path.open("rb") as handle:
            whole = handle.read(tail.size)
        write_atomically(self.path, whole + line)
        sync_folder(self.path.parent)

    def _write(self, line: bytes) -> None:
        new = not self.path.exists()
        with self.path.open("ab") as handle:
            handle.write(line)
            handle.flush()
            os.fsync(handle.fileno())
        if new:
            sync_folder(self.path.parent)


def _line(last: Entry | None, stamp: str, event: str, data: Mapping[str, Any]) -> tuple[bytes, str]:
    content = {
        "seq": last.seq + 1 if last else 1,
        "at": stamp,
        "event": event,
        # As JSON gives it back: a key that is a number would sort in another order.
        "data": json.loads(json.dumps(dict(data), allow_nan=False)),
        "previous": last.digest if last else GENESIS,
    }
    digest = hashlib.sha256(_canonical(content)).hexdigest()
    return _canonical({**content, "digest": digest}) + b"\n", digest


def _follows(entry: Entry, previous: Entry | None) -> bool:
    if previous is None:
        return (entry.seq, entry.previous) == (1, GENESIS)
    return (entry.seq, entry.previous) == (previous.seq + 1, previous.digest)


def _parse(line: bytes) -> Entry:
    """Read one line.

    Raises:
        ValueError: It is not the canonical line that its digest speaks of.
    """
    try:
        content = json.loads(line)
        canonical = _canonical(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("is not JSON") from error
    if not isinstance(content, dict) or {k: type(v) for k, v in content.items()} != _FIELDS:
        raise ValueError("is not a journal entry")
    if canonical + b"\n" != line:
        raise ValueError("is not as it was written")
    digest = content.pop("digest")
    if hashlib.sha256(_canonical(content)).hexdigest() != digest:
        raise ValueError("does not match its digest")
    return Entry(**content, digest=digest)


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def _stamp(at: datetime | None) -> str:
    moment = datetime.now(UTC) if at is None else at
    if moment.tzinfo is None:
        raise ValueError("a journal time needs a time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
