"""Comparing the documents of a corpus with those of another that share a bucket."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.banding import BUCKET_SHIFT, Keys, Nodes, Rows, matching
from audit.kernels.fast_similarity import bit_agreements

U = np.uint64
Similarities = npt.NDArray[np.float32]


@njit(nogil=True, cache=True)
def cross_bucket_matches(
    signatures: Rows,
    seconds: Rows,
    nodes: Nodes,
    keys: Keys,
    asks: npt.NDArray[np.bool_],
    answers: npt.NDArray[np.bool_],
    window: int,
    keep: int,
    accept: int,
    threshold: float,
    pooled: npt.NDArray[np.float64],
    matches: Nodes,
    similarity: Similarities,
) -> tuple[int, int]:
    """Find, for each node that asks, the most similar node of its bucket that answers.

    A node is compared with the ``window`` answers nearest to it in the bucket's order, which puts the more
    similar ones side by side.

    Args:
        signatures, seconds: uint8 (m, k) and uint8 (m, bits / 8): of ``nodes``.
        nodes, keys: m nodes sorted by key, and their keys.
        asks, answers: bool (m,).
        window: Bound of the comparisons.
        keep: Agreements of signatures under which a pair is refused.
        accept: Agreements from which it is accepted; between, the pooled estimate decides.
        threshold: Pooled similarity that decides.
        pooled: Intercept and the two slopes of the pooled estimate, by agreements.
        matches, similarity: uint32 and float32 (m,): filled for the nodes with a match; the others keep what
            they hold, a similarity under 0.

    Returns:
        How many pairs were compared, and how many of them the pooled estimate decided.
    """
    compared = settled = 0
    places = np.empty(len(nodes), np.int64)
    start = 0
    while start < len(nodes):
        stop = start + 1
        while stop < len(nodes) and keys[stop] >> U(BUCKET_SHIFT) == keys[start] >> U(BUCKET_SHIFT):
            stop += 1
        count = 0
        for p in range(start, stop):
            if answers[p]:
                places[count] = p
                count += 1
        at = 0
        for p in range(start, stop):
            while at < count and places[at] < p:
                at += 1
            if count == 0 or not asks[p]:
                continue
            first = max(0, min(at - window // 2, count - window))
            for q in range(first, min(first + window, count)):
                there = places[q]
                other = nodes[there]
                compared += 1
                agree = matching(signatures[p], signatures[there])
                if agree < keep:
                    continue
                bits = bit_agreements(seconds[p], seconds[there])
                value = np.float32(min(1.0, max(0.0, pooled[0] + pooled[1] * agree + pooled[2] * bits)))
                settled += agree < accept
                if agree < accept and value < threshold:
                    continue
                if value > similarity[p] or (value == similarity[p] and other < matches[p]):
                    matches[p], similarity[p] = other, value
        start = stop
    return compared, settled
