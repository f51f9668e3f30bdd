"""Banded locality-sensitive hashing: which pairs are looked at, and with what probability.

Source: A. Rajaraman, J. Ullman, "Mining of Massive Datasets", ch. 3.4. With b bands of r values, a pair of
Jaccard similarity J becomes a candidate with probability 1 - (1 - J**r)**b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.kernels.banding import band_keys, bucket_edges

Pairs = npt.NDArray[np.uint64]

#: Jaccard similarities that a printed S-curve shows.
CURVE = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)


def candidate_probability(jaccard: npt.ArrayLike, bands: int, rows: int) -> npt.NDArray[np.float64]:
    """Return the probability that pairs of these similarities share a band."""
    return 1.0 - (1.0 - np.asarray(jaccard, np.float64) ** rows) ** bands


def s_curve(bands: int, rows: int, jaccards: Sequence[float] = CURVE) -> list[tuple[float, float]]:
    """Return (Jaccard similarity, probability of becoming a candidate), for printing."""
    return [
        (float(j), float(p))
        for j, p in zip(jaccards, candidate_probability(jaccards, bands, rows), strict=True)
    ]


@dataclass(frozen=True)
class Candidates:
    """What banding and the signatures made of a corpus.

    Attributes:
        pairs: Pairs that were kept, as ``low node << 32 | high node``; sorted, distinct.
        compared: Pairs whose signatures were compared.
        near_misses: bool (n,): nodes with a pair that was dropped within the estimate's error.
    """

    pairs: Pairs
    compared: int
    near_misses: npt.NDArray[np.bool_]


def candidate_pairs(
    signatures: npt.NDArray[np.uint16], *, bands: int, rows: int, window: int, keep: int, near: int
) -> Candidates:
    """Find the pairs that share a band and agree at ``keep`` places or more, one band at a time.

    Memory: one band's keys and their order (16 bytes a node, twice while sorting), and at most ``window``
    pairs a node.

    Args:
        signatures: uint16 (n, k), k >= bands * rows; may lie in a mapped file.
        bands, rows: The banding.
        window: Members of its bucket that a node is compared with, and pairs kept for it, at most.
        keep, near: Agreements at which a pair is kept, and at which a dropped one counts as a near miss.
    """
    n = len(signatures)
    degrees = np.zeros(n, np.int32)
    near_misses = np.zeros(n, np.bool_)
    pairs = np.empty(0, np.uint64)
    compared = 0
    for band in range(bands):
        keys = np.empty(n, np.uint64)
        band_keys(signatures, band, bands, rows, keys)
        order = np.argsort(keys, kind="stable")
        found, looked_at = bucket_edges(
            signatures, order, keys[order], band, rows, window, keep, near, degrees, near_misses
        )
        compared += looked_at
        if len(found):
            pairs = np.unique(np.concatenate((pairs, found)))
            degrees = _degrees(pairs, n)
    return Candidates(pairs, compared, near_misses)


def split_pairs(pairs: Pairs) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the low and the high node of each pair."""
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _degrees(pairs: Pairs, n: int) -> npt.NDArray[np.int32]:
    low, high = split_pairs(pairs)
    return (np.bincount(low, minlength=n) + np.bincount(high, minlength=n)).astype(np.int32)
