"""Arrays in scratch files. What cannot be written or read whole is an error.

``ndarray.tofile`` buffers and ignores that the last block did not fit on the disk, and ``numpy.fromfile``
gives what there is: together they lose records of a full disk in silence, and with them duplicates.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from audit.errors import FatalError


def write_array(target: Path | BinaryIO, values: npt.NDArray[Any]) -> None:
    """Write an array's values to a new file, or append them to an open one.

    Raises:
        OSError: They do not fit; of an open file when it is closed at the latest.
    """
    if isinstance(target, Path):
        with target.open("wb") as file:
            write_array(file, values)
    elif values.size:
        target.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


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


def new_mapped(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Map a new file of zeros, to be written to; its blocks are taken now, not when a page is touched.

    Raises:
        OSError: They do not fit. Without its blocks, a write to a full disk would end the process.
    """
    new_zeros(path, math.prod(shape) * np.dtype(dtype).itemsize)
    return np.memmap(path, dtype, "r+", shape=shape)


def new_zeros(path: Path, size: int) -> None:
    """Make a file of so many zero bytes; see ``new_mapped``."""
    with path.open("wb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
