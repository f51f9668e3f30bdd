"""Where a worker is in its shard, told to a file, so that after its death one knows what it died on.

A trail holds the name of a screen and two row numbers, nothing of a document. It lies with the half-written
files of the run and goes with the task, unless the worker dies: then it stays, the next try goes through
those rows one by one, and the trail that is left after that names a document. Where workers share no folder
with the driver it is an object, for tasks that have lost their workers before; others need no trail.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from audit.measuring import Detector, Measured, measure, slice_context, unevaluated
from audit.objects.object_stores import ObjectFolder, ObjectMissing
from audit.screens import ScreenContext
from audit.storage.store import SCRATCH, Store
from audit.workers import meter

CRASHED = "failed: crashed its worker"
GIVEN_UP = "failed: given up in this shard, where it crashed its worker too often"
#: Steps that are no screen's.
READING, CANARIES, COMMITTING = "(reading)", "(canaries)", "(committing)"
_FOLDER = f"{SCRATCH}/trails"
_WIDTH = 256

#: Screen -> rows of the shard (documents, from 0) that it must not see again; None: any.
Spared = Mapping[str, tuple[int, ...] | None]


@dataclass(frozen=True)
class Step:
    """What a worker is at: a screen, or a step above, and the rows of the shard that it has before it."""

    at: str
    first: int = 0
    rows: int = 0

    def holds(self, screen: str, row: int) -> bool:
        """Whether the screen has that row before it."""
        return self.at == screen and self.first <= row < self.first + self.rows


class Trail:
    """A shard's trail, open while a worker is at it.

    Args:
        store: Of the run.
        shard: Its id.
        name: Of the object that is the trail; None: a file of this machine.

    Attributes:
        left: What an earlier try died on.
    """

    def __init__(self, store: Store, shard: str, name: str | None = None) -> None:
        self._place = _place(store, shard, name)
        self.left = left_behind(store, shard, name)

    def __enter__(self) -> Trail:
        self._place.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Out of memory, or SystemExit from a screen: the worker is about to die of it.
        self._place.close(
            remove=kind is None or (issubclass(kind, Exception) and not issubclass(kind, MemoryError))
        )

    def step(self, at: str, first: int = 0, rows: int = 0) -> None:
        """Tell what comes next; it outlives the process, and as an object the machine."""
        meter.beat()
        self._place.write(json.dumps(asdict(Step(at, first, rows))).encode())


def left_behind(store: Store, shard: str, name: str | None = None) -> Step | None:
    """What the last worker on a shard died on; None when none did, or told it to another machine."""
    try:
        return Step(**json.loads(_place(store, shard, name).read()))
    except (FileNotFoundError, ObjectMissing, json.JSONDecodeError):
        return None


def named(store: Store, shard: str) -> str | None:
    """Name of a trail that every machine sees; only this run's workers on this shard know it.

    None where there is no object store: workers then share the run folder.
    """
    return None if store.remote is None else f"{shard}.{uuid.uuid4().hex}"


def forget(store: Store, name: str | None) -> None:
    """Remove a trail that every machine sees, when nobody follows it any more."""
    if name is not None and store.remote is not None:
        store.remote.delete(f"{_FOLDER}/{name}")


def _place(store: Store, shard: str, name: str | None) -> _File | _Object:
    if name is None or store.remote is None:
        return _File(store.folder / _FOLDER / shard)
    return _Object(store.remote, f"{_FOLDER}/{name}")


class _File:
    """A trail that costs a system call a step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)

    def read(self) -> bytes:
        return self._path.read_bytes()

    def write(self, told: bytes) -> None:
        # Of one width, in one call: never half of it.
        os.pwrite(self._file, told.ljust(_WIDTH), 0)

    def close(self, *, remove: bool) -> None:
        os.close(self._file)
        if remove:
            self._path.unlink(missing_ok=True)


class _Object:
    """A trail that costs a request a step."""

    def __init__(self, remote: ObjectFolder, key: str) -> None:
        self._remote, self._key = remote, key

    def open(self) -> None:
        """There is nothing to open."""

    def read(self) -> bytes:
        return self._remote.get(self._key)

    def write(self, told: bytes) -> None:
        self._remote.put(self._key, told)

    def close(self, *, remove: bool) -> None:
        if remove:
            self._remote.delete(self._key)


@dataclass(frozen=True)
class Careful:
    """Measures a shard's batches around what crashed a worker before.

    Attributes:
        trail: Is told of every step.
        spared: Rows that no screen gets to see.
    """

    trail: Trail
    spared: Spared

    def measure(
        self, screen: Detector, batch: pa.RecordBatch, context: ScreenContext, shard: str, first: int
    ) -> Measured:
        """Measure a batch that begins at a row of the shard; see ``measuring.measure``."""
        pieces = list(self._pieces(screen, batch, context, shard, first))
        if len(pieces) == 1:
            return pieces[0]
        rows = pa.Table.from_batches([piece.rows for piece in pieces]).combine_chunks().to_batches()[0]
        return Measured(rows, sum((piece.states for piece in pieces), Counter()))

    def _pieces(
        self, screen: Detector, batch: pa.RecordBatch, context: ScreenContext, shard: str, first: int
    ) -> Iterator[Measured]:
        for start, stop in self._cuts(screen.name, first, first + len(batch)):
            piece = batch.slice(start - first, stop - start)
            if reason := self._spares(screen.name, start):
                yield unevaluated(screen, piece, shard, reason)
            else:
                self.trail.step(screen.name, start, stop - start)
                part = slice_context(context, start - first, stop - start)
                yield measure(screen, piece, part, shard)

    def _cuts(self, screen: str, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """Ranges of rows: what an earlier try died on row by row, what is spared on its own."""
        if self.spared.get(screen, ()) is None or not self._wary(screen):
            yield first, stop
            return
        begin = first
        for row in range(first, stop):
            if self._alone(screen, row):
                if begin < row:
                    yield begin, row
                yield row, row + 1
                begin = row + 1
        if begin < stop:
            yield begin, stop

    def _wary(self, screen: str) -> bool:
        left = self.trail.left
        return screen in self.spared or (left is not None and left.at == screen)

    def _alone(self, screen: str, row: int) -> bool:
        left = self.trail.left
        return row in (self.spared.get(screen) or ()) or (left is not None and left.holds(screen, row))

    def _spares(self, screen: str, row: int) -> str | None:
        spared = self.spared.get(screen, ())
        if spared is None:
            return GIVEN_UP
        return CRASHED if row in spared else None
