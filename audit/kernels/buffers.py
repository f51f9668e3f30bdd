"""Arrow string columns as the two plain arrays that kernels read."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bytes: TypeAlias = npt.NDArray[np.uint8]
Offsets: TypeAlias = npt.NDArray[np.int64]

_NARROW = (pa.string(), pa.binary())
_WIDE = (pa.large_string(), pa.large_binary())


def string_buffers(array: pa.Array) -> tuple[Bytes, Offsets]:
    """Return the bytes and the offsets of a string or binary array, without copying the bytes.

    Slices are honoured: value ``i`` is ``data[offsets[i]:offsets[i + 1]]`` for ``i`` in the slice.
    Nulls read as empty.

    Args:
        array: ``string``, ``binary``, ``large_string`` or ``large_binary``; n values.

    Returns:
        The whole data buffer (uint8) and n + 1 absolute offsets into it (int64).

    Raises:
        TypeError: The array holds something else.
    """
    if array.type not in _NARROW + _WIDE:
        raise TypeError(f"string or binary array expected, got {array.type}")
    if array.null_count:
        empty = "" if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) else b""
        array = pc.fill_null(array, pa.scalar(empty, array.type))
    _, offsets, data = array.buffers()
    if offsets is None or len(array) == 0:
        return np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    width = np.int32 if array.type in _NARROW else np.int64
    window = np.frombuffer(offsets, width)[array.offset : array.offset + len(array) + 1]
    bytes_ = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return bytes_, window.astype(np.int64)


def string_bytes(array: pa.Array) -> int:
    """Return the bytes of all values of a string or binary array."""
    _, offsets = string_buffers(array)
    return int(offsets[-1] - offsets[0])


def longest(offsets: Offsets) -> int:
    """Return the length of the longest value, in bytes; 0 when there is none."""
    return int(np.diff(offsets).max(initial=0))


def fixed_size_binary(rows: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return an (n, k) array as n fixed-size binary values, little-endian, null where not ``valid``."""
    rows = np.ascontiguousarray(rows)
    width = rows.shape[1] * rows.dtype.itemsize
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [mask, pa.py_buffer(rows)])


def fixed_size_rows(array: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    """Return n fixed-size binary values as an (n, k) array; what null rows hold is undefined."""
    width = array.type.byte_width
    data = array.buffers()[1]
    if data is None or len(array) == 0:
        return np.zeros((len(array), width // np.dtype(dtype).itemsize), dtype)
    window = np.frombuffer(data, np.uint8)[array.offset * width : (array.offset + len(array)) * width]
    return window.view(dtype).reshape(len(array), -1)
