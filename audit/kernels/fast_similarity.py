"""Fast similarity sketches, one bit a bin: a second sketch, independent of the MinHash signature.

Round i throws every shingle into one of t bins; a bin keeps the least (round, value) that fell into it, and
rounds go on until no bin is empty. Two sketches hold the same element in a bin with probability J, whatever
the sizes of the sets (S. Dahlgaard, M. B. T. Knudsen, M. Thorup, "Fast Similarity Sketching", FOCS 2017,
algorithm 1). Of each value one bit is kept: two bins agree with probability (1 + J) / 2 (P. Li, C. Koenig,
"b-Bit minwise hashing", WWW 2010). A set of m shingles costs about max(m, t ln t) steps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

U = np.uint64
Hashes = npt.NDArray[np.uint64]

#: Shingles that are kept for further rounds; a set with more distinct ones has filled every bin.
KEPT = 16_384
_STEP = U(0x9E3779B97F4A7C15)
_MIX = U(0xD6E8FEB86659FD93)
_EMPTY = U(0xFFFFFFFFFFFFFFFF)


@njit(nogil=True, cache=True, inline="always")
def _scattered(shingle: U, turn: int) -> U:
    x = (shingle ^ (U(turn + 1) * _STEP)) * _MIX
    x = (x ^ (x >> U(32))) * _STEP
    return x ^ (x >> U(29))


@njit(nogil=True, cache=True)
def throw(shingles: Hashes, start: int, stop: int, turn: int, bins: Hashes) -> int:
    """Throw ``shingles[start:stop]`` in one round; return how many empty bins were filled."""
    t = U(len(bins))
    high = U(turn) << U(32)
    filled = 0
    for i in range(start, stop):
        x = _scattered(shingles[i], turn)
        place = ((x >> U(32)) * t) >> U(32) if turn < len(bins) else U(turn) - t
        value = high | (x & U(0xFFFFFFFF))
        filled += bins[place] == _EMPTY
        bins[place] = min(bins[place], value)
    return filled


@njit(nogil=True, cache=True)
def throw_first(
    shingles: Hashes, n: int, bins: Hashes, empty: int, kept: Hashes, held: int
) -> tuple[int, int]:
    """Throw a stretch of a text's shingles in round 0, and keep them while a bin is empty.

    Returns:
        How many bins are empty, and how many shingles ``kept`` (KEPT + 1,) holds.
    """
    empty -= throw(shingles, 0, n, 0, bins)
    for i in range(n):
        if empty == 0:
            return 0, 0
        if held == KEPT:
            held = _distinct(kept, held)
        if held < KEPT:
            kept[held] = shingles[i]
            held += 1
    return empty, held


@njit(nogil=True, cache=True)
def finish(bins: Hashes, empty: int, kept: Hashes, held: int, out: npt.NDArray[np.uint8]) -> None:
    """Fill the bins that are empty after round 0, and write one bit of each bin, 8 a byte."""
    turn = 1
    while empty > 0 and held > 0:
        empty -= throw(kept, 0, held, turn, bins)
        turn += 1
    for byte in range(len(out)):
        bits = U(0)
        for k in range(8):
            bits |= (bins[8 * byte + k] & U(1)) << U(k)
        out[byte] = np.uint8(bits)


@njit(nogil=True, cache=True)
def _distinct(kept: Hashes, held: int) -> int:
    kept[:held].sort()
    end = 0
    for i in range(held):
        if end == 0 or kept[i] != kept[end - 1]:
            kept[end] = kept[i]
            end += 1
    return end


@njit(nogil=True, cache=True)
def bit_agreements(left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> int:
    """Return at how many bits two rows agree."""
    differing = 0
    for k in range(len(left)):
        x = left[k] ^ right[k]
        x = x - ((x >> 1) & 0x55)
        x = (x & 0x33) + ((x >> 2) & 0x33)
        differing += (x + (x >> 4)) & 0x0F
    return 8 * len(left) - differing
