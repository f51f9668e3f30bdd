"""Clusters around leaders, formed of the nodes that have an accepted pair.

Most documents have none: without them the arrays that are looked at all over are small, and what is left of
them is mapped from files whose pages are let go of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from audit.duplicates.array_files import map_numbers, map_zeros, release, stretches, write_array
from audit.duplicates.exchange import STRETCH, Matrix, mapped
from audit.duplicates.lsh import similarities
from audit.duplicates.pair_files import Pairs, join_pairs, split_pairs
from audit.kernels.leaders import FREE, lead, place_neighbours

Similarities = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.uint32]
#: Pairs (``low << 32 | high``, sorted) and their similarity.
Settled: TypeAlias = tuple[Pairs, Similarities]

#: Neighbours of leaders that are looked at between two releases of the pages of mapped files.
_LED = 1 << 11
#: Times that clusters are formed anew after doubtful pairs were settled; what is left goes by estimate.
_ROUNDS = 8


@dataclass(frozen=True)
class Limits:
    """What makes a member.

    Attributes:
        refuse, accept: Agreements with the leader under which, and from which, the estimate stands; between
            them it is in doubt.
        cohesion: Similarity with the leader that members need.
    """

    refuse: int
    accept: int
    cohesion: float


@dataclass(frozen=True)
class Formed:
    """Which node leads each one, and what was settled for it.

    Attributes:
        leader, similarity: uint32 and float32 (n,): in mapped files; who leads itself has similarity 1.
        later: Pairs of leader and member that were settled exactly.
        left: Pairs that went by their estimate though it was in doubt.
    """

    leader: Numbers
    similarity: Similarities
    later: Settled
    left: int


def form(
    signatures: Matrix,
    accepted: Pairs,
    settled: Settled,
    limits: Limits,
    settle: Callable[[Pairs], Similarities],
    folder: Path,
) -> Formed:
    """Form clusters; settle the doubtful pairs of leader and member that come up, and form them again.

    Args:
        signatures: File of uint8 (n, k).
        accepted: Pairs of nodes, sorted; a mapped file.
        settled: What is known exactly already.
        limits: Of members.
        settle: Exact similarity of pairs.
        folder: For files: some 30 bytes and a signature a node with a pair, 12 a pair, and 8 a node.
    """
    nodes = _paired(accepted, signatures.count, folder)
    graph = _Graph(signatures, accepted, settled, nodes, folder)
    later: Settled = (np.empty(0, np.uint64), np.empty(0, np.float32))
    doubtful = np.empty(0, np.uint64)
    for _ in range(_ROUNDS):
        doubtful = graph.lead(limits, later)
        if not len(doubtful):
            break
        both = np.concatenate((later[0], doubtful))
        order = np.argsort(both, kind="stable")
        values = np.concatenate((later[1], settle(_renamed(doubtful, nodes))))
        later = both[order], values[order]
    leader, similarity = _over_all(signatures.count, nodes, graph, folder)
    return Formed(leader, similarity, (_renamed(later[0], nodes), later[1]), len(doubtful))


def _paired(pairs: Pairs, n: int, folder: Path) -> Numbers:
    """Return the nodes that have a pair, ascending."""
    found = np.zeros(n, np.bool_)
    for some in stretches(len(pairs), STRETCH, pairs):
        for node in split_pairs(pairs[some]):
            found[node] = True
    nodes = map_zeros(folder / "paired.u32", np.uint32, int(found.sum()))
    end = 0
    for some in stretches(n, STRETCH, nodes):
        inside = np.flatnonzero(found[some]) + some.start
        nodes[end : end + len(inside)] = inside
        end += len(inside)
    return nodes


def _renamed(pairs: Pairs, nodes: Numbers) -> Pairs:
    """Return pairs of places among the nodes as pairs of nodes."""
    low, high = split_pairs(pairs)
    return join_pairs(nodes[low], nodes[high])


class _Graph:
    """The nodes with a pair, numbered by themselves in the same order, and who leads them.

    Attributes:
        leader, similarity: uint32 and float32 (nodes,).
    """

    def __init__(
        self, signatures: Matrix, accepted: Pairs, settled: Settled, nodes: Numbers, folder: Path
    ) -> None:
        n = len(nodes)
        self._rows = _rows_of(signatures, nodes, folder)
        self._settled = _settled_among(settled, nodes, folder)
        self._bounds, self._neighbours = _adjacency(accepted, nodes, folder)
        self.leader = map_zeros(folder / "led.u32", np.uint32, n)
        self.similarity = map_zeros(folder / "led.f4", np.float32, n)
        self._tried = map_zeros(folder / "tried.u32", np.uint32, n)
        self._queue = np.empty(n, np.uint32)  # as much of it becomes resident as a cluster has nodes

    def lead(self, limits: Limits, later: Settled) -> Pairs:
        """Assign every node to a leader; return the pairs in doubt that were met and are not settled."""
        for some in stretches(len(self.leader), STRETCH, self.leader, self._tried):
            self.leader[some] = self._tried[some] = FREE
        fixed = (self._bounds, self._neighbours, self._rows, *self._settled)
        mappings = (*fixed, self.leader, self.similarity, self._tried)
        found, state = [np.empty(0, np.uint64)], np.zeros(4, np.int64)
        estimates = similarities(self._rows.shape[1])
        while state[0] < len(self.leader):
            doubtful = lead(
                self._bounds,
                self._neighbours,
                self._rows,
                estimates,
                limits.refuse,
                limits.accept,
                limits.cohesion,
                self._settled,
                later,
                self.leader,
                self.similarity,
                self._tried,
                self._queue,
                state,
                _LED,
            )
            if len(doubtful):
                found.append(doubtful)
            for mapping in mappings:
                release(mapping)
        return np.unique(np.concatenate(found))


def _rows_of(signatures: Matrix, nodes: Numbers, folder: Path) -> npt.NDArray[np.uint8]:
    """Return the signatures of nodes, in a mapped file of their own."""
    shape = (len(nodes), signatures.width)
    rows = map_zeros(folder / "paired.u8", np.uint8, len(nodes) * signatures.width).reshape(shape)
    for some in stretches(len(nodes), STRETCH // 8, rows, nodes):
        rows[some] = signatures.take(nodes[some])
    return rows


def _settled_among(settled: Settled, nodes: Numbers, folder: Path) -> Settled:
    """Return the settled pairs of which both nodes are among these, by their places there."""
    paths = folder / "known.u64", folder / "known.f4"
    with paths[0].open("wb") as pairs, paths[1].open("wb") as values:
        for some in stretches(len(settled[0]), STRETCH, *settled):
            places = [_places(node, nodes) for node in split_pairs(settled[0][some])]
            inside = (places[0] >= 0) & (places[1] >= 0)
            write_array(pairs, join_pairs(*(place[inside] for place in places)))
            write_array(values, settled[1][some][inside])
    return mapped(paths[0], np.uint64), mapped(paths[1], np.float32)


def _places(wanted: npt.NDArray[np.int64], nodes: Numbers) -> npt.NDArray[np.int64]:
    """Return where numbers stand among the nodes; -1 for others."""
    if not len(nodes):
        return np.full(len(wanted), -1)
    places = np.minimum(np.searchsorted(nodes, wanted.astype(np.uint32)), len(nodes) - 1)
    return np.where(nodes[places] == wanted, places, -1)


def _adjacency(pairs: Pairs, nodes: Numbers, folder: Path) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Return pairs in both directions as bounds (nodes + 1,) and neighbours, ascending within a node."""
    n = len(nodes)
    own = map_zeros(folder / "edges.u64", np.uint64, len(pairs))
    ends = map_zeros(folder / "bounds.i64", np.int64, n + 2)
    for some in stretches(len(pairs), STRETCH, pairs, own, ends, nodes):
        low, high = (_places(node, nodes) for node in split_pairs(pairs[some]))
        own[some] = join_pairs(low, high)
        np.add.at(ends, low + 2, 1)
        np.add.at(ends, high + 2, 1)
    total = 0
    for some in stretches(n + 2, STRETCH, ends):
        ends[some] = np.cumsum(ends[some]) + total
        total = ends[some.stop - 1]
    neighbours = map_zeros(folder / "neighbours.u32", np.uint32, 2 * len(pairs))
    for some in stretches(len(pairs), STRETCH, own, ends, neighbours):
        # A node's own end, one place on, becomes where the next node's neighbours start.
        place_neighbours(own[some], ends[1:], neighbours)
    return ends[:-1], neighbours


def _over_all(n: int, nodes: Numbers, graph: _Graph, folder: Path) -> tuple[Numbers, Similarities]:
    """Return leaders and similarities of all nodes: those without a pair lead themselves."""
    leader = map_numbers(folder / "leaders.u32", n)
    similarity = map_zeros(folder / "similarity.f4", np.float32, n)
    for some in stretches(n, STRETCH, similarity):
        similarity[some] = 1
    mappings = (leader, similarity, nodes, graph.leader, graph.similarity)
    for some in stretches(len(nodes), STRETCH, *mappings):
        leader[nodes[some]] = nodes[graph.leader[some]]
        similarity[nodes[some]] = graph.similarity[some]
    return leader, similarity
