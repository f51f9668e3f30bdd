"""Clusters around leaders: every member is similar to its leader, so that no chain can form."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.banding import Keys, Nodes, Rows, matching, room

U = np.uint64
Places = npt.NDArray[np.int64]
Similarities = npt.NDArray[np.float32]
#: Pairs (``low << 32 | high``, sorted) and their similarity.
Settled: TypeAlias = tuple[Keys, Similarities]

#: A node that nobody leads yet; no node has this number.
FREE = np.uint32(0xFFFFFFFF)
#: Nodes that a call of ``lead`` passes over at most, by neighbours that it looks at: they lie side by side.
_PASSED = 256


@njit(nogil=True, cache=True)
def _known(settled: Settled, pair: U) -> np.float32:
    """Return the settled similarity of a pair, or -1."""
    pairs, similarities = settled
    low, high = 0, len(pairs)
    while low < high:
        middle = (low + high) // 2
        if pairs[middle] < pair:
            low = middle + 1
        else:
            high = middle
    return similarities[low] if low < len(pairs) and pairs[low] == pair else np.float32(-1.0)


@njit(nogil=True, cache=True)
def place_neighbours(pairs: Keys, ends: Places, out: Nodes) -> None:
    """Write each node's neighbours behind those that earlier calls wrote.

    Args:
        pairs: ``low << 32 | high``, sorted, also from call to call: a node's lower neighbours are met before
            its higher ones, and all of them are written in ascending order.
        ends: int64 (n,): where the next neighbour of each node goes; moved on.
        out: uint32, twice as long as all pairs.
    """
    for pair in pairs:
        low, high = pair >> U(32), pair & U(0xFFFFFFFF)
        out[ends[low]] = high
        out[ends[high]] = low
        ends[low] += 1
        ends[high] += 1


@njit(nogil=True, cache=True)
def lead(
    bounds: Places,
    neighbours: Nodes,
    signatures: Rows,
    estimates: Similarities,
    refuse: int,
    accept: int,
    cohesion: float,
    settled: Settled,
    later: Settled,
    leader: Nodes,
    similarity: Similarities,
    tried: Nodes,
    queue: Nodes,
    state: Places,
    most: int,
) -> Keys:
    """Assign nodes to leaders: in order, a free node leads what it reaches and resembles.

    A leader's reach grows along accepted pairs, but only through nodes that were found similar to the
    leader itself. The work is linear in the pairs. (Leader algorithm: J. Hartigan, "Clustering
    Algorithms", 1975, ch. 3, restricted to a graph.)

    A call looks at ``most`` neighbours, or passes over 256 times as many nodes; the next one goes on from
    there, so that the caller can let go of mapped pages in between.

    Args:
        bounds, neighbours: Accepted pairs in both directions; node i's are
            ``neighbours[bounds[i]:bounds[i + 1]]``.
        signatures: uint8 (n, k).
        estimates: float32 (k + 1,): the similarity that agreement at so many places stands for.
        refuse, accept: Agreements under which, and from which, an estimate stands; between, it is in doubt.
        cohesion: Similarity with the leader that members need.
        settled, later: Two lists of settled pairs (``low << 32 | high``, sorted) and their similarity.
        leader, similarity: uint32 and float32 (n,): filled; a node that nobody leads leads itself.
            ``FREE`` before the first call.
        tried: uint32 (n,), ``FREE`` before the first call.
        queue: uint32 (n,), of no meaning.
        state: int64 (4,), zeros before the first call: the leader at work (n at the end), the place in the
            queue and its length, and the place among the neighbours.
        most: Neighbours.

    Returns:
        The pairs in doubt that were met in this call and are not settled.
    """
    doubtful = np.empty(64, np.uint64)
    doubts = seen = 0
    top, head, tail, at = state[0], state[1], state[2], state[3]
    last = min(len(leader), top + _PASSED * most)
    while top < last and seen < most:
        if tail == 0:
            if leader[top] != FREE:
                top += 1
                continue
            leader[top], similarity[top], queue[0] = top, 1.0, top
            head, tail, at = 0, 1, bounds[top]
        while head < tail and seen < most:
            stop = bounds[queue[head] + 1]
            while at < stop and seen < most:
                other = neighbours[at]
                at += 1
                seen += 1
                if leader[other] != FREE or tried[other] == top:
                    continue
                tried[other] = top
                pair = U(top) << U(32) | U(other)
                value = max(_known(settled, pair), _known(later, pair))
                if value < 0:
                    agree = matching(signatures[top], signatures[other])
                    value = estimates[agree]
                    if refuse <= agree < accept:
                        doubtful = room(doubtful, doubts)
                        doubtful[doubts] = pair
                        doubts += 1
                if value >= cohesion:
                    leader[other], similarity[other], queue[tail] = top, value, other
                    tail += 1
            if at == stop:
                head += 1
                if head < tail:
                    at = bounds[queue[head]]
        if head == tail:
            top += 1
            tail = 0
    state[0], state[1], state[2], state[3] = top, head, tail, at
    return doubtful[:doubts].copy()


@njit(nogil=True, cache=True)
def least_agreement(
    signatures: Rows, members: Nodes, bounds: Places, most: int, out: npt.NDArray[np.int32]
) -> None:
    """Write at how many places the least similar two members of each cluster agree.

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
                    agree = matching(signatures[members[start + i]], signatures[members[start + j]])
                    least = min(least, agree)
        out[cluster] = least
