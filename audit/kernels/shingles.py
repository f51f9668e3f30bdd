"""Sets of shingles (runs of consecutive words) and MinHash signatures of them.

Source: A. Z. Broder, "On the resemblance and containment of documents", SEQUENCES 1997. The permutations
are x -> a x + b mod 2**32 with odd a, over shingle hashes that are already well mixed; the least value is
mixed and cut to 16 bits (P. Li, C. Koenig, "b-Bit minwise hashing", WWW 2010): two different least values
then agree with probability 2**-16, which biases a Jaccard estimate by less than 2e-5.

A text with fewer words than a shingle holds is one shingle of all its words; one without words has none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.buffers import Bytes, Offsets, string_buffers
from audit.kernels.fast_similarity import KEPT, finish, throw_first
from audit.kernels.folding import LONGEST_WORD, FoldingTables, folding_tables
from audit.kernels.words import SCRATCH, WORDS, WordHashes, next_words

U = np.uint64
U32 = np.uint32
Signatures = npt.NDArray[np.uint32]
ShingleHashes = npt.NDArray[np.uint64]

_STEP = U(0x9E3779B97F4A7C15)
_MIX = U(0xD6E8FEB86659FD93)
_NONE = U32(0xFFFFFFFF)
_EMPTY = U(0xFFFFFFFFFFFFFFFF)


def permutations(count: int, seed: int) -> tuple[Signatures, Signatures]:
    """Return the coefficients (a, b) of ``count`` permutations of 32-bit values, drawn from ``seed``."""
    random = np.random.Generator(np.random.PCG64(seed))
    factors = random.integers(0, 2**31, count, dtype=np.uint32) * U32(2) + U32(1)
    return factors, random.integers(0, 2**32, count, dtype=np.uint32)


@njit(nogil=True, cache=True, inline="always")
def _mixed(x: U) -> U:
    return (x ^ (x >> U(32))) * _MIX


@njit(nogil=True, cache=True, error_model="numpy")
def _shingle(words: WordHashes, n: int, size: int, out: npt.NDArray[U]) -> None:
    """Write the hashes of the n - size + 1 runs of ``size`` words."""
    if size == 5:
        for i in range(n - 4):
            x = (((words[i] * _STEP + words[i + 1]) * _STEP + words[i + 2]) * _STEP + words[i + 3]) * _STEP
            out[i] = _mixed((x + words[i + 4]) * _STEP)
        return
    for i in range(n - size + 1):
        x = U(0)
        for k in range(size):
            x = (x + words[i + k]) * _STEP
        out[i] = _mixed(x)


@njit(nogil=True, cache=True, error_model="numpy")
def _lower(
    shingles: ShingleHashes, n: int, narrow: Signatures, a: Signatures, b: Signatures, least: Signatures
) -> None:
    """Lower each permutation's least value by ``n`` shingles: permutations outside, shingles inside."""
    for i in range(n):
        narrow[i] = U32(shingles[i] >> U(32))
    for j in range(len(a)):
        factor, shift, low = a[j], b[j], least[j]
        for i in range(n):
            low = min(low, U32(U32(narrow[i] * factor) + shift))
        least[j] = low


@njit(nogil=True, cache=True)
def _signatures(
    data: Bytes,
    offsets: Offsets,
    size: int,
    a: Signatures,
    b: Signatures,
    tables: FoldingTables,
    least: Signatures,
    counts: npt.NDArray[np.int32],
    bits: npt.NDArray[np.uint8],
) -> None:
    words = np.empty(WORDS + size, np.uint64)
    shingles = np.empty(WORDS + size, np.uint64)
    narrow = np.empty(WORDS + size, np.uint32)
    scratch = np.zeros(SCRATCH, np.uint8)
    carry = np.empty(LONGEST_WORD, np.uint8)
    bins = np.empty(8 * bits.shape[1], np.uint64)
    kept = np.empty(KEPT + 1 if len(bins) else 1, np.uint64)
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        carried = inside = n = total = held = 0
        empty = len(bins)
        bins[:] = _EMPTY
        least[row, :] = _NONE
        while at < stop:
            at, carried, inside, n = next_words(
                data, at, stop, carried, inside, scratch, carry, words, n, tables
            )
            runs = n - size + 1
            if runs > 0:
                _shingle(words, n, size, shingles)
                _lower(shingles, runs, narrow, a, b, least[row])
                if len(bins):
                    empty, held = throw_first(shingles, runs, bins, empty, kept, held)
                total += runs
                for k in range(size - 1):
                    words[k] = words[runs + k]
                n = size - 1
        if total == 0 and n > 0:
            _shingle(words, n, n, shingles)
            _lower(shingles, 1, narrow, a, b, least[row])
            if len(bins):
                empty, held = throw_first(shingles, 1, bins, empty, kept, held)
            total = 1
        counts[row] = total
        finish(bins, empty, kept, held, bits[row])


def minhash(
    texts: pa.Array, size: int, a: Signatures, b: Signatures
) -> tuple[Signatures, npt.NDArray[np.int32]]:
    """Return the MinHash signature of each text and the number of its shingles (repeats included).

    Args:
        texts: String column, n values.
        size: Words in a shingle, at least 1.
        a, b: Coefficients of k permutations.

    Returns:
        uint32 (n, k), all ones where a text has no word; and int32 (n,).
    """
    least, counts, _ = sketch(texts, size, a, b, 0)
    return least, counts


def sketch(
    texts: pa.Array, size: int, a: Signatures, b: Signatures, bins: int
) -> tuple[Signatures, npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return what ``minhash`` does, and a second sketch of one bit a bin (``kernels.fast_similarity``).

    Args:
        texts, size, a, b: As for ``minhash``.
        bins: Bins of the second sketch, a multiple of 8; 0 for none.

    Returns:
        uint32 (n, k), int32 (n,), and uint8 (n, bins / 8).
    """
    data, offsets = string_buffers(texts)
    least = np.empty((len(texts), len(a)), np.uint32)
    counts = np.empty(len(texts), np.int32)
    bits = np.empty((len(texts), bins // 8), np.uint8)
    _signatures(data, offsets, size, a, b, folding_tables(), least, counts, bits)
    return least, counts, bits


@njit(nogil=True, cache=True)
def _truncate(least: npt.NDArray[U32], out: npt.NDArray[np.uint16]) -> None:
    for i in range(least.size):
        x = least.flat[i]
        x = U32((x ^ (x >> U32(16))) * U32(0x85EBCA6B))
        x = U32((x ^ (x >> U32(13))) * U32(0xC2B2AE35))
        out.flat[i] = np.uint16(x >> U32(16))


def truncate(least: Signatures) -> npt.NDArray[np.uint16]:
    """Return signatures cut to 16 well-mixed bits a value; shape kept."""
    out = np.empty(least.shape, np.uint16)
    _truncate(np.ascontiguousarray(least), out)
    return out


def truncate_to_bytes(least: Signatures) -> npt.NDArray[np.uint8]:
    """Return signatures cut to 8 bits a value, the high ones of ``truncate``; shape kept.

    Two different least values then agree with probability 1/256: see ``lsh.similarities``.
    """
    return (truncate(least) >> 8).astype(np.uint8)


@njit(nogil=True, cache=True)
def _sets(
    data: Bytes,
    offsets: Offsets,
    size: int,
    tables: FoldingTables,
    flat: ShingleHashes,
    bounds: Offsets,
    longest: int,
) -> None:
    words = np.empty(longest // 2 + WORDS, np.uint64)
    scratch = np.zeros(SCRATCH, np.uint8)
    carry = np.empty(LONGEST_WORD, np.uint8)
    end = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        carried = inside = n = 0
        while at < stop:
            at, carried, inside, n = next_words(
                data, at, stop, carried, inside, scratch, carry, words, n, tables
            )
        if n > 0:
            width = min(size, n)
            runs = n - width + 1
            _shingle(words, n, width, flat[end:])
            flat[end : end + runs].sort()
            end = _unique(flat, end, end + runs)
        bounds[row + 1] = end


@njit(nogil=True, cache=True)
def _unique(values: ShingleHashes, start: int, stop: int) -> int:
    """Move the distinct values of a sorted, non-empty stretch to its front; return where they end."""
    end = start + 1
    for i in range(start + 1, stop):
        if values[i] != values[end - 1]:
            values[end] = values[i]
            end += 1
    return end


def shingle_sets(texts: pa.Array, size: int) -> tuple[ShingleHashes, Offsets]:
    """Return the set of 64-bit shingle hashes of each text, sorted.

    Returns:
        All sets one after another (uint64), and n + 1 bounds (int64): set ``i`` is
        ``flat[bounds[i]:bounds[i + 1]]``.
    """
    data, offsets = string_buffers(texts)
    lengths = np.diff(offsets)
    flat = np.empty(int(lengths.sum()) // 2 + len(texts) + 1, np.uint64)
    bounds = np.zeros(len(texts) + 1, np.int64)
    longest = int(lengths.max(initial=0))
    _sets(data, offsets, size, folding_tables(), flat, bounds, longest)
    return flat[: bounds[-1]].copy(), bounds


@njit(nogil=True, cache=True)
def jaccard_sorted(left: ShingleHashes, right: ShingleHashes) -> float:
    """Return the Jaccard similarity of two sorted sets; 0 when both are empty."""
    i = j = common = 0
    while i < len(left) and j < len(right):
        x, y = left[i], right[j]
        common += x == y
        i += x <= y
        j += y <= x
    union = len(left) + len(right) - common
    return common / union if union else 0.0
