"""Arrays in scratch files. What cannot be written or read whole is an error.

``ndarray.tofile`` buffers and ignores that the last block did not fit on the disk, and ``numpy.fromfile``
gives what there is: together they lose records of a full disk in silence, and with them duplicates.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from audit.errors import FatalError

#: Bytes that are written at once. The system maps 64 KiB around a place of a file that is looked at; Linux
#: from 6.18 on the whole folio, which is as large as what was written there at once, 2 MiB at most.
_PIECE = 1 << 16
#: Rows that are looked up in a mapped file between two releases of its pages: 16 MiB at most.
_LOOK_UPS = 1 << 8
#: Bytes side by side that are looked at between two releases: as much as so many rows far apart.
_SPAN = _LOOK_UPS * _PIECE
#: Numbers that are written at once.
_NUMBERS = 1 << 18


def write_array(target: Path | BinaryIO, values: npt.NDArray[Any]) -> None:
    """Write an array's values to a new file (``appearing``), or append them to an open one.

    Raises:
        OSError: They do not fit; of an open file when it is closed at the latest.
    """
    if isinstance(target, Path):
        with appearing(target) as file:
            write_array(file, values)
    elif values.size:
        octets = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        for start in range(0, len(octets), _PIECE):
            target.write(octets[start : start + _PIECE])


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A new file that is seen under its name when it is whole.

    A task that is done twice, as by a worker that was taken for lost, so never empties what others read.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def join_files(parts: Iterable[Path], whole: Path) -> None:
    """Write files one after the other into one, removing each."""
    with appearing(whole) as out:
        for part in parts:
            move_into(out, part)


def move_into(target: BinaryIO, part: Path) -> None:
    """Write a file's bytes to an open one, and remove it."""
    with part.open("rb") as file:
        shutil.copyfileobj(file, target, _PIECE)
    part.unlink()


def read_array(
    source: Path | BinaryIO, dtype: npt.DTypeLike, count: int = -1, offset: int = 0
) -> npt.NDArray[Any]:
    """Read ``count`` values (-1: all there are), ``offset`` bytes further on.

    Raises:
        FatalError: There are fewer.
    """
    values = np.fromfile(source, dtype, count, offset=offset)
    if 0 <= count != len(values):
        raise FatalError("a scratch file is shorter than it was written; check the disk, then run again")
    return values


def release(values: npt.NDArray[Any]) -> None:
    """Let go of the pages of a mapped file that this process has touched; other arrays stay as they are.

    They stay in the system's cache as long as it has room, and are read again when they are touched. Without
    it the resident set of a process that looks up rows of a large file grows to the size of the file. What
    was written to a new file (``new_mapped``) stays written; not for a private copy (``exchange.mapped``)
    that was written to, which it would undo.
    """
    held: Any = values
    while isinstance(held, np.ndarray):
        held = held.base
    if isinstance(held, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)


def look_up(values: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of some rows of a mapped file, read in the file's order; its pages are let go."""
    taken = np.empty((len(rows), *values.shape[1:]), values.dtype)
    order = np.argsort(rows, kind="stable")
    ordered = rows[order].astype(np.int64, copy=False)
    for some in _bounded(ordered, _SPAN // max(1, taken.strides[0])):
        taken[order[some]] = values[ordered[some]]
        release(values)
    return taken


def _bounded(ordered: npt.NDArray[Any], span: int) -> Iterator[slice]:
    """Cut ascending rows where ``_LOOK_UPS`` of them, or those of so long a span, have been looked up."""
    start = 0
    while start < len(ordered):
        behind = int(np.searchsorted(ordered, int(ordered[start]) + span))
        stop = min(max(start + _LOOK_UPS, behind), len(ordered))
        yield slice(start, stop)
        start = stop


def stretches(count: int, size: int, *touched: npt.NDArray[Any]) -> Iterator[slice]:
    """Yield neighbouring stretches of so many values; after each, the pages of ``touched`` are let go."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
        for values in touched:
            release(values)


def new_mapped(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Map a new file of zeros, to be written to; its blocks are taken now, not when a page is touched.

    Raises:
        OSError: They do not fit. Without its blocks, a write to a full disk would end the process.
    """
    new_zeros(path, math.prod(shape) * np.dtype(dtype).itemsize)
    return np.memmap(path, dtype, "r+", shape=shape)


def map_zeros(path: Path, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
    """Return zeros in a new mapped file, which the system can write out and drop; see ``new_mapped``."""
    return np.asarray(new_mapped(path, dtype, (count,))) if count else np.empty(0, dtype)


def map_numbers(path: Path, count: int) -> npt.NDArray[np.uint32]:
    """Return 0, 1, … in a new mapped file; see ``new_mapped``."""
    numbers = map_zeros(path, np.uint32, count)
    for some in stretches(count, _NUMBERS, numbers):
        numbers[some] = np.arange(some.start, some.stop, dtype=np.uint32)
    return numbers


def new_zeros(path: Path, size: int) -> None:
    """Make a file of so many zero bytes; see ``new_mapped``."""
    with path.open("wb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def new_sparse(path: Path, size: int) -> None:
    """Make a file of so many zero bytes that takes no blocks until it is written to; never through a map."""
    with path.open("wb") as file:
        file.truncate(size)
