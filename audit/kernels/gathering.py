"""Copying windows of many texts into one, so that a matcher is called once and not once a window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.buffers import Bytes, Offsets
from audit.kernels.candidates import Windows
from audit.kernels.utf8 import character_end, character_start

#: Between windows: a word's end, and what no text holds by itself.
SEPARATOR = "\n\0\n"


@njit(nogil=True, cache=True)
def gather(data: Bytes, offsets: Offsets, windows: Windows) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Copy n windows, a separator between them.

    Args:
        data, offsets: UTF-8 texts.
        windows: Cut at code points.

    Returns:
        The bytes, and each window's first code point in them.
    """
    size = 0
    for k in range(len(windows)):
        size += windows[k, 2] - windows[k, 1] + 3
    joined = np.empty(size, np.uint8)
    first_points = np.empty(len(windows), np.int64)
    end, points = 0, 0
    for k in range(len(windows)):
        first_points[k] = points
        base = offsets[windows[k, 0]]
        for at in range(base + windows[k, 1], base + windows[k, 2]):
            joined[end] = data[at]
            points += data[at] & 0xC0 != 0x80
            end += 1
        joined[end], joined[end + 1], joined[end + 2] = 10, 0, 10
        end += 3
        points += 3
    return joined, first_points


@njit(nogil=True, cache=True)
def windows_around(
    data: Bytes, offsets: Offsets, places: npt.NDArray[np.int64], before: int, after: int
) -> Windows:
    """Return windows from ``before`` bytes ahead of each place to ``after`` behind it, cut at code points.

    Args:
        data, offsets: UTF-8 texts.
        places: (n, 2 or more): row and byte in the row, sorted; windows that touch are merged.
    """
    windows, n = np.empty((len(places), 3), np.int64), 0
    for k in range(len(places)):
        row, at = places[k, 0], offsets[places[k, 0]] + places[k, 1]
        first, last = offsets[row], offsets[row + 1]
        start = character_start(data, max(first, at - before), first)
        stop = character_end(data, min(last, at + after), last)
        if n > 0 and windows[n - 1, 0] == row and start - first <= windows[n - 1, 2]:
            windows[n - 1, 2] = max(windows[n - 1, 2], stop - first)
        else:
            windows[n, 0], windows[n, 1], windows[n, 2] = row, start - first, stop - first
            n += 1
    return windows[:n].copy()
