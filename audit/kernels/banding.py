"""Locality-sensitive hashing of signatures: band keys, and the pairs that share a bucket."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

U = np.uint64
Rows = npt.NDArray[np.uint8]
Keys = npt.NDArray[np.uint64]
Nodes = npt.NDArray[np.uint32]

#: A key's high bits are its bucket; the rest orders a bucket's members by their next band, so that in a
#: large bucket the more similar ones stand side by side.
BUCKET_SHIFT = 24
_STEP = U(0x9E3779B97F4A7C15)
_MIX = U(0xD6E8FEB86659FD93)


@njit(nogil=True, cache=True, inline="always")
def _band_hash(row: Rows, start: int, rows: int, salt: U) -> U:
    x = (salt + U(1)) * _MIX
    for k in range(start, start + rows):
        x = (x ^ U(row[k])) * _STEP
        x ^= x >> U(29)
    return (x ^ (x >> U(32))) * _MIX


@njit(nogil=True, cache=True)
def band_keys(signatures: Rows, band: int, bands: int, rows: int, out: Keys) -> None:
    """Write each signature's key in one band: 40 bits of the band's hash, 24 of the next band's."""
    after = (band + 1) % bands
    for i in range(len(signatures)):
        bucket = _band_hash(signatures[i], band * rows, rows, U(band)) >> U(BUCKET_SHIFT)
        order = _band_hash(signatures[i], after * rows, rows, U(after)) >> U(64 - BUCKET_SHIFT)
        out[i] = bucket << U(BUCKET_SHIFT) | order


@njit(nogil=True, cache=True)
def matching(left: Rows, right: Rows) -> int:
    """Return at how many places two signatures agree."""
    agree = 0
    for k in range(len(left)):
        agree += left[k] == right[k]
    return agree


@njit(nogil=True, cache=True)
def _meets_earlier(left: Rows, right: Rows, band: int, rows: int) -> bool:
    for earlier in range(band):
        equal = True
        for k in range(earlier * rows, (earlier + 1) * rows):
            if left[k] != right[k]:
                equal = False
                break
        if equal:
            return True
    return False


@njit(nogil=True, cache=True)
def bucket_edges(
    signatures: Rows,
    nodes: Nodes,
    keys: Keys,
    band: int,
    rows: int,
    window: int,
    keep: int,
    near: int,
    degrees: npt.NDArray[np.uint16],
    near_misses: npt.NDArray[np.bool_],
) -> tuple[Keys, int]:
    """Compare the members of each bucket of one band, each with a bounded number of others.

    A member is compared with the ``window`` before it and with the first one of its bucket.

    Args:
        signatures: uint8 (m, k): of ``nodes``.
        nodes, keys: m nodes sorted by key, and their keys.
        band, rows: The band, and the values in one.
        window: Bound of the comparisons, and of the pairs that are kept for a node.
        keep: Agreements at which a pair is kept.
        near: Agreements at which a pair that is not kept is still within the estimate's error.
        degrees: uint16 (m,): pairs kept for each of ``nodes``; raised.
        near_misses: bool (m,): set for both nodes of a pair between ``near`` and ``keep``.

    Returns:
        The pairs kept, as ``low node << 32 | high node``, and how many pairs were compared that share no
        earlier band.
    """
    edges = np.empty(1024, np.uint64)
    kept = compared = 0
    start = 0
    for p in range(1, len(nodes)):
        if keys[p] >> U(BUCKET_SHIFT) != keys[start] >> U(BUCKET_SHIFT):
            start = p
            continue
        first = max(start, p - window)
        for q in range(first - (first > start), p):
            other = start if q < first else q
            u, v = min(nodes[p], nodes[other]), max(nodes[p], nodes[other])
            compared += not _meets_earlier(signatures[p], signatures[other], band, rows)
            agree = matching(signatures[p], signatures[other])
            if agree >= keep:
                if min(degrees[p], degrees[other]) < window:
                    edges = room(edges, kept)
                    edges[kept] = U(u) << U(32) | U(v)
                    kept += 1
                    degrees[p] = _raised(degrees[p])
                    degrees[other] = _raised(degrees[other])
            elif agree >= near:
                near_misses[p] = near_misses[other] = True
    return edges[:kept].copy(), compared


@njit(nogil=True, cache=True)
def room(values: Keys, used: int) -> Keys:
    """Return ``values``, or a copy with room for more when ``used`` of them are."""
    if used < len(values):
        return values
    grown = np.empty(2 * used, np.uint64)
    grown[:used] = values
    return grown


@njit(nogil=True, cache=True, inline="always")
def _raised(degree: int) -> int:
    return min(degree + 1, 0xFFFF)


@njit(nogil=True, cache=True)
def raise_degrees(pairs: Keys, degrees: npt.NDArray[np.uint16]) -> None:
    """Count the pairs of each node, up to 65,535."""
    for pair in pairs:
        low, high = pair >> U(32), pair & U(0xFFFFFFFF)
        degrees[low] = _raised(degrees[low])
        degrees[high] = _raised(degrees[high])
