"""SipHash-2-4 over Arrow columns: keyed hashes and content digests.

Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012, with the
128-bit output of the authors' reference code (github.com/veorq/SipHash).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.buffers import Bytes, Offsets, string_buffers

U = np.uint64

#: Key of digests that anybody can recompute: the ASCII bytes ``corpus-audit dig``, little-endian.
PUBLIC_KEY = (
    int.from_bytes(b"corpus-a", "little"),
    int.from_bytes(b"udit dig", "little"),
)

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


@njit(nogil=True, cache=True, inline="always")
def _round(v0: U, v1: U, v2: U, v3: U) -> tuple[U, U, U, U]:
    v0 += v1
    v1 = ((v1 << U(13)) | (v1 >> U(51))) ^ v0
    v0 = (v0 << U(32)) | (v0 >> U(32))
    v2 += v3
    v3 = ((v3 << U(16)) | (v3 >> U(48))) ^ v2
    v0 += v3
    v3 = ((v3 << U(21)) | (v3 >> U(43))) ^ v0
    v2 += v1
    v1 = ((v1 << U(17)) | (v1 >> U(47))) ^ v2
    v2 = (v2 << U(32)) | (v2 >> U(32))
    return v0, v1, v2, v3


@njit(nogil=True, cache=True, inline="always")
def _word(data: Bytes, at: int, size: int) -> U:
    word = U(0)
    for k in range(size):
        word |= U(data[at + k]) << U(8 * k)
    return word


@njit(nogil=True, cache=True)
def siphash128_bytes(data: Bytes, start: int, stop: int, k0: U, k1: U) -> tuple[U, U]:
    """Return the 128-bit SipHash-2-4 of ``data[start:stop]`` as (first, second) little-endian words."""
    v0, v1 = k0 ^ U(0x736F6D6570736575), k1 ^ U(0x646F72616E646F6D) ^ U(0xEE)
    v2, v3 = k0 ^ U(0x6C7967656E657261), k1 ^ U(0x7465646279746573)
    v0, v1, v2, v3 = _absorb(data, start, stop, v0, v1, v2, v3)
    v2 ^= U(0xEE)
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    first = v0 ^ v1 ^ v2 ^ v3
    v1 ^= U(0xDD)
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return first, v0 ^ v1 ^ v2 ^ v3


@njit(nogil=True, cache=True)
def siphash64_bytes(data: Bytes, start: int, stop: int, k0: U, k1: U) -> U:
    """Return the 64-bit SipHash-2-4 of ``data[start:stop]``."""
    v0, v1 = k0 ^ U(0x736F6D6570736575), k1 ^ U(0x646F72616E646F6D)
    v2, v3 = k0 ^ U(0x6C7967656E657261), k1 ^ U(0x7465646279746573)
    v0, v1, v2, v3 = _absorb(data, start, stop, v0, v1, v2, v3)
    v2 ^= U(0xFF)
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@njit(nogil=True, cache=True, inline="always")
def _absorb(data: Bytes, start: int, stop: int, v0: U, v1: U, v2: U, v3: U) -> tuple[U, U, U, U]:
    blocks = (stop - start) // 8
    for block in range(blocks):
        word = _word(data, start + 8 * block, 8)
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
    tail = start + 8 * blocks
    last = _word(data, tail, stop - tail) | (U((stop - start) & 0xFF) << U(56))
    v3 ^= last
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ last, v1, v2, v3


@njit(nogil=True, cache=True)
def _siphash128(data: Bytes, offsets: Offsets, k0: U, k1: U, out: npt.NDArray[U]) -> None:
    for i in range(len(offsets) - 1):
        out[i, 0], out[i, 1] = siphash128_bytes(data, offsets[i], offsets[i + 1], k0, k1)


@njit(nogil=True, cache=True)
def _siphash64(data: Bytes, offsets: Offsets, k0: U, k1: U, out: npt.NDArray[U]) -> None:
    for i in range(len(offsets) - 1):
        out[i] = siphash64_bytes(data, offsets[i], offsets[i + 1], k0, k1)


def siphash128(array: pa.Array, key: tuple[int, int]) -> npt.NDArray[np.uint64]:
    """Return the 128-bit SipHash-2-4 of each value's bytes, shape (n, 2).

    Row ``i`` holds the 16 digest bytes as two little-endian words. Nulls hash as empty.

    Args:
        array: String or binary column (also large, also sliced), n values.
        key: The 16 key bytes as two little-endian words.
    """
    data, offsets = string_buffers(array)
    out = np.empty((len(array), 2), np.uint64)
    _siphash128(data, offsets, U(key[0]), U(key[1]), out)
    return out


def siphash64(array: pa.Array, key: tuple[int, int]) -> npt.NDArray[np.uint64]:
    """Return the 64-bit SipHash-2-4 of each value's bytes, shape (n,). Nulls hash as empty."""
    data, offsets = string_buffers(array)
    out = np.empty(len(array), np.uint64)
    _siphash64(data, offsets, U(key[0]), U(key[1]), out)
    return out


def hex128(pairs: npt.NDArray[np.uint64]) -> pa.Array:
    """Return digests of shape (n, 2) as n strings of 32 hex digits, in the order of their bytes."""
    digests = np.ascontiguousarray(pairs, dtype="<u8").view(np.uint8).reshape(-1, 16)
    digits = np.empty((len(digests), 32), np.uint8)
    digits[:, 0::2] = _HEX[digests >> 4]
    digits[:, 1::2] = _HEX[digests & 15]
    return (
        pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(digits), [None, pa.py_buffer(digits)])
        .cast(pa.binary())
        .cast(pa.string())
    )
