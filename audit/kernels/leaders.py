"""Clusters around leaders: every member is similar to its leader, so that no chain can form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.banding import Keys, Rows, matching

U = np.uint64
Nodes = npt.NDArray[np.int64]
Similarities = npt.NDArray[np.float32]


@njit(nogil=True, cache=True)
def _known(pairs: Keys, similarities: Similarities, pair: U) -> np.float32:
    """Return the settled similarity of a pair, or -1."""
    low, high = 0, len(pairs)
    while low < high:
        middle = (low + high) // 2
        if pairs[middle] < pair:
            low = middle + 1
        else:
            high = middle
    return similarities[low] if low < len(pairs) and pairs[low] == pair else np.float32(-1.0)


@njit(nogil=True, cache=True)
def lead(
    bounds: Nodes,
    neighbours: Nodes,
    signatures: Rows,
    refuse: int,
    accept: int,
    cohesion: float,
    pairs: Keys,
    similarities: Similarities,
    leader: Nodes,
    similarity: Similarities,
) -> Keys:
    """Assign nodes to leaders: in order, a free node leads what it reaches and resembles.

    A leader's reach grows along accepted pairs, but only through nodes that were found similar to the
    leader itself. The work is linear in the pairs. (Leader algorithm: J. Hartigan, "Clustering
    Algorithms", 1975, ch. 3, restricted to a graph.)

    Args:
        bounds, neighbours: Accepted pairs in both directions; node i's are
            ``neighbours[bounds[i]:bounds[i + 1]]``.
        signatures: uint16 (n, k).
        refuse, accept: Agreements under which, and from which, an estimate stands; between, it is in doubt.
        cohesion: Similarity with the leader that members need.
        pairs, similarities: Settled pairs (``low << 32 | high``, sorted) and their similarity.
        leader, similarity: int64 and float32 (n,): filled; a node that nobody leads leads itself.

    Returns:
        The pairs in doubt that were met and are not settled.
    """
    n, values = len(leader), signatures.shape[1]
    tried = np.full(n, -1, np.int64)
    queue = np.empty(n, np.int64)
    doubtful = np.empty(64, np.uint64)
    doubts = 0
    leader[:] = -1
    for top in range(n):
        if leader[top] >= 0:
            continue
        leader[top], similarity[top], queue[0] = top, 1.0, top
        head, tail = 0, 1
        while head < tail:
            node = queue[head]
            head += 1
            for k in range(bounds[node], bounds[node + 1]):
                other = neighbours[k]
                if leader[other] >= 0 or tried[other] == top:
                    continue
                tried[other] = top
                pair = U(top) << U(32) | U(other)
                value = _known(pairs, similarities, pair)
                if value < 0:
                    agree = matching(signatures[top], signatures[other])
                    value = np.float32(agree / values)
                    if refuse <= agree < accept:
                        if doubts == len(doubtful):
                            grown = np.empty(2 * doubts, np.uint64)
                            grown[:doubts] = doubtful
                            doubtful = grown
                        doubtful[doubts] = pair
                        doubts += 1
                if value >= cohesion:
                    leader[other], similarity[other], queue[tail] = top, value, other
                    tail += 1
    return doubtful[:doubts].copy()


@njit(nogil=True, cache=True)
def least_similarity(signatures: Rows, members: Nodes, bounds: Nodes, most: int, out: Similarities) -> None:
    """Write each cluster's least estimated similarity of two members.

    A cluster of up to ``most`` nodes is compared in full; of a larger one, every member with ``most``
    others spread over it.
    """
    for cluster in range(len(bounds) - 1):
        start, size = bounds[cluster], bounds[cluster + 1] - bounds[cluster]
        step = max(1, size // most)
        least = signatures.shape[1]
        for i in range(size):
            for j in range(0, size, step):
                if j != i:
                    least = min(
                        least, matching(signatures[members[start + i]], signatures[members[start + j]])
                    )
        out[cluster] = least / signatures.shape[1]
