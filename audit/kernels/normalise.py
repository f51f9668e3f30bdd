"""Digests of normalised text: what two documents must share to be exact duplicates.

Normalised text is case-folded in full (``str.casefold``), runs of white space are one space, the ends are
trimmed, and format characters (soft hyphen, joiners, byte-order mark) are dropped. Punctuation stays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.buffers import Bytes, Offsets, longest, string_buffers
from audit.kernels.folding import write_fold
from audit.kernels.hashing import siphash128_bytes
from audit.kernels.unicode_tables import IGNORED, SPACE, UnicodeTables, unicode_tables
from audit.kernels.utf8 import decode

U = np.uint64

#: Full case-folding makes at most three bytes of one.
GROWTH = 3


@njit(nogil=True, cache=True)
def normalise(data: Bytes, at: int, stop: int, tables: UnicodeTables, out: Bytes) -> int:
    """Write the normalised text of ``data[at:stop]``; return its length."""
    end = 0
    spaced = True
    while at < stop:
        point = int(np.int64(data[at]))
        size = 1
        if point >= 0x80:
            point, size = decode(data, at, stop)
        at += size
        kind = tables.classes[point]
        if kind == SPACE:
            out[end] = 0x20
            end += not spaced
            spaced = True
        elif point < 0x80:
            out[end] = np.uint8(tables.folds[point])
            end += 1
            spaced = False
        elif kind != IGNORED:
            end = write_fold(point, tables, out, end)
            spaced = False
    return end - 1 if spaced and end > 0 else end


@njit(nogil=True, cache=True)
def _digests(
    data: Bytes,
    offsets: Offsets,
    tables: UnicodeTables,
    key: npt.NDArray[U],
    scratch: Bytes,
    digests: npt.NDArray[U],
    lengths: npt.NDArray[np.int64],
) -> None:
    for row in range(len(lengths)):
        lengths[row] = normalise(data, offsets[row], offsets[row + 1], tables, scratch)
        digests[row, 0], digests[row, 1] = siphash128_bytes(scratch, 0, lengths[row], key[0], key[1])


def normalised_digests(
    texts: pa.Array, key: tuple[int, int]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return the 128-bit SipHash of each normalised text, (n, 2), and its length in bytes, (n,)."""
    data, offsets = string_buffers(texts)
    digests = np.empty((len(texts), 2), np.uint64)
    lengths = np.empty(len(texts), np.int64)
    scratch = np.empty(GROWTH * longest(offsets) + 8, np.uint8)
    _digests(data, offsets, unicode_tables(), np.array(key, np.uint64), scratch, digests, lengths)
    return digests, lengths
