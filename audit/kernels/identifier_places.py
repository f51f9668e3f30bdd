"""Which bytes of a text are looked at for identifiers: a vectorised pass that leaves few of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes

#: Bytes before and after a place that decide whether it is looked at.
_LOOK_BACK, _LOOK_AHEAD = 1, 5


def _leads() -> npt.NDArray[np.bool_]:
    leads = np.zeros(256, np.bool_)
    leads[list({chr(point).encode()[0] for point in range(0x80, 0x20000) if chr(point).isdecimal()})] = True
    return leads


#: Which bytes begin a decimal digit outside ASCII.
LEADS = _leads()
_FIRST_LEAD = int(np.flatnonzero(LEADS)[0])


@njit(nogil=True, cache=True)
def flag_places(data: Bytes) -> npt.NDArray[np.uint8]:
    """Flag the places to look at; comparisons only, so that the loop is vectorised.

    They are the first digit of a run, ``@``, a hyphen or dot that comes again where the next group of a MAC
    address would end, a colon before a hex digit or another, and bytes from the first lead of a digit on.
    """
    n = len(data)
    flags = np.zeros((n + 7) // 8 * 8, np.uint8)
    for k in range(_LOOK_BACK, n - _LOOK_AHEAD):
        byte, before, after = data[k], data[k - 1], data[k + 1]
        digit = (byte >= 48) & (byte <= 57) & ((before < 48) | (before > 57))
        lower = after | 32
        hexadecimal = ((after >= 48) & (after <= 58)) | ((lower >= 97) & (lower <= 102))
        again = ((byte == 45) & (data[k + 3] == 45)) | ((byte == 46) & (data[k + 5] == 46))
        sign = again & (before != 45) & (before != 46)
        flags[k] = digit | sign | (byte == 64) | ((byte == 58) & hexadecimal) | (byte >= _FIRST_LEAD)
    flags[:_LOOK_BACK] = 1
    flags[max(0, n - _LOOK_AHEAD) : n] = 1
    return flags


@njit(nogil=True, cache=True)
def next_flag(flags: npt.NDArray[np.uint8], words: npt.NDArray[np.uint64], at: int, last: int) -> int:
    """Return the next flagged place from ``at`` on; ``last`` when there is none before it."""
    while at < last and at & 7:
        if flags[at]:
            return at
        at += 1
    while at < last and words[at >> 3] == 0:
        at += 8
    while at < last and flags[at] == 0:
        at += 1
    return min(at, last)
