"""Near-duplicate clusters: candidates, then checked pairs, then clusters around a representative.

Groups of exact copies are the nodes. A pair is accepted on its signatures' agreement where that is clear,
and on the exact Jaccard similarity of its shingle sets where it is in doubt. A node joins a cluster through
an accepted pair with a member, and only when it is similar to the leader, too, at the cohesion c or more.
Jaccard distance is a metric (A. Lipkus, J. Math. Chem. 26, 1999), so two members are similar at 2c - 1 or
more, and no chain of pairs can join unlike documents. A c of (1 + t / 2) / 2 keeps all members within half
of the threshold t of each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Protocol

import numpy as np
import numpy.typing as npt

from audit.duplicate_groups import DigestGroups
from audit.kernels.banding import agreements
from audit.kernels.leaders import lead, least_similarity
from audit.lsh import Candidates, Pairs, candidate_pairs, candidate_probability, split_pairs

Signatures = npt.NDArray[np.uint16]
Similarities = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

#: Standard normal quantile of the two-sided 99% error band of an estimated similarity.
ERROR_QUANTILE = 2.576
#: Times that clusters are formed anew after doubtful pairs were settled; what is left goes by estimate.
_ROUNDS = 8
#: Members that each member of a large cluster is compared with, for the diameter.
_DIAMETER_SAMPLE = 64


class Exact(Protocol):
    """Exact Jaccard similarity of pairs of nodes (``ShingleStore``)."""

    def jaccard(self, pairs: Pairs) -> Similarities:
        """Return the similarity of each pair (``low << 32 | high``)."""
        ...


@dataclass(frozen=True)
class Rules:
    """What makes a candidate and what makes a pair.

    Attributes:
        bands, rows: The banding.
        threshold: Jaccard similarity of a pair.
        cohesion: Jaccard similarity with the leader that members need; at most the threshold.
        margin: How far from a limit an estimate must lie to stand without an exact one.
        window: Bound of the comparisons per node and band.
    """

    bands: int
    rows: int
    threshold: float
    cohesion: float
    margin: float
    window: int

    def refuse_under(self, limit: float, values: int) -> int:
        """Agreements (of ``values``) that put an estimate no more than the margin under a limit."""
        return max(1, ceil((limit - self.margin) * values - 1e-9))

    def accept_from(self, values: int) -> int:
        """Agreements from which a pair is accepted on its signatures."""
        return ceil((self.threshold + self.margin) * values - 1e-9)

    def near_from(self, values: int) -> int:
        """Agreements from which the threshold is within the estimate's 99% error band."""
        within = (m for m in range(values) if self._upper(m / values, values) >= self.threshold)
        return next(within, values)

    def _upper(self, estimate: float, values: int) -> float:
        return estimate + ERROR_QUANTILE * sqrt(estimate * (1 - estimate) / values)


@dataclass(frozen=True)
class Clusters:
    """The outcome over all nodes.

    Attributes:
        pairs, similarities: Accepted pairs (``low << 32 | high``, sorted) and their Jaccard similarity,
            exact where the pair was in doubt, else estimated. A node keeps a bounded number of them.
        leader: int64 (n,): each node's leader, the first node of its cluster.
        similarity: float32 (n,): Jaccard similarity with the leader.
        statistics: Counts, for the scorecard.
    """

    pairs: Pairs
    similarities: Similarities
    leader: Indices
    similarity: Similarities
    statistics: Mapping[str, float]


def find_clusters(signatures: Signatures, groups: DigestGroups, rules: Rules, exact: Exact) -> Clusters:
    """Find the clusters among groups of exact copies.

    Args:
        signatures: uint16 (n, k): of the first document of each group; may lie in a mapped file.
        groups: The groups.
        rules: Banding and thresholds.
        exact: Settles doubtful pairs.
    """
    values = signatures.shape[1]
    found = candidate_pairs(
        signatures,
        bands=rules.bands,
        rows=rules.rows,
        window=rules.window,
        keep=rules.refuse_under(rules.threshold, values),
        near=rules.near_from(values),
    )
    estimates = _estimates(signatures, found.pairs)
    in_doubt = estimates * values < rules.accept_from(values) - 0.5
    settled = found.pairs[in_doubt]
    settled_values = exact.jaccard(settled)
    estimates[in_doubt] = settled_values
    accepted = estimates >= rules.threshold
    pairs, similarities = found.pairs[accepted], estimates[accepted]
    formed = _form(signatures, pairs, rules, exact, settled, settled_values)
    counts = {
        "candidates": float(found.compared),
        "kept": float(len(found.pairs)),
        "accepted": float(len(pairs)),
        "rejected": float(found.compared - len(pairs)),
        "settled_exactly": float(len(formed.settled)),
        "left_to_estimate": float(formed.left),
        **_cluster_counts(signatures, groups, formed.leader),
        **_removable(groups, rules, found, pairs, similarities, formed),
    }
    return Clusters(pairs, similarities, formed.leader, formed.similarity, counts)


@dataclass(frozen=True)
class _Formed:
    leader: Indices
    similarity: Similarities
    settled: Pairs
    left: int
    values: int


def _form(
    signatures: Signatures, pairs: Pairs, rules: Rules, exact: Exact, settled: Pairs, known: Similarities
) -> _Formed:
    """Form clusters; settle the doubtful pairs of leader and member that come up, and form them again."""
    n, values = signatures.shape
    bounds, neighbours = _adjacency(pairs, n)
    leader, similarity = np.empty(n, np.int64), np.ones(n, np.float32)
    for _ in range(_ROUNDS):
        doubtful = np.unique(
            lead(
                bounds,
                neighbours,
                signatures,
                rules.refuse_under(rules.cohesion, values),
                rules.accept_from(values),
                rules.cohesion,
                settled,
                known,
                leader,
                similarity,
            )
        )
        if not len(doubtful):
            break
        order = np.argsort(np.concatenate((settled, doubtful)), kind="stable")
        known = np.concatenate((known, exact.jaccard(doubtful)))[order]
        settled = np.concatenate((settled, doubtful))[order]
    return _Formed(leader, similarity, settled, len(doubtful), values)


def _estimates(signatures: Signatures, pairs: Pairs) -> Similarities:
    agree = np.empty(len(pairs), np.int32)
    agreements(signatures, pairs, agree)
    estimates: Similarities = (agree / signatures.shape[1]).astype(np.float32)
    return estimates


def _adjacency(pairs: Pairs, n: int) -> tuple[Indices, Indices]:
    """Return pairs in both directions as bounds (n + 1,) and neighbours, ascending within a node."""
    low, high = split_pairs(pairs)
    source, target = np.concatenate((low, high)), np.concatenate((high, low))
    order = np.lexsort((target, source))
    bounds = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(source, minlength=n), out=bounds[1:])
    return bounds, target[order]


def _cluster_counts(signatures: Signatures, groups: DigestGroups, leader: Indices) -> dict[str, float]:
    sizes = np.bincount(leader[groups.group], minlength=len(leader))
    clusters = sizes > 1
    members = np.argsort(leader, kind="stable")
    nodes = np.bincount(leader, minlength=len(leader))
    chosen = nodes > 1
    bounds = np.concatenate(([0], np.cumsum(nodes[chosen])))
    least = np.empty(int(chosen.sum()), np.float32)
    least_similarity(signatures, members[chosen[leader[members]]], bounds, _DIAMETER_SAMPLE, least)
    return {
        "documents": float(len(groups.group)),
        "distinct": float(len(leader)),
        "clusters": float(clusters.sum()),
        "largest_cluster": float(sizes.max(initial=0)),
        "duplicates": float((sizes[clusters] - 1).sum()),
        "max_diameter": float(1 - least.min(initial=1)),
    }


def _removable(
    groups: DigestGroups,
    rules: Rules,
    found: Candidates,
    pairs: Pairs,
    similarities: Similarities,
    formed: _Formed,
) -> dict[str, float]:
    """Count the documents that can go, and bound the count by what is not known for sure.

    Removable are exact copies but one, and members similar to their representative at the threshold.
    Low: those whose similarity is an estimate with the threshold inside its 99% error band are not counted.
    High: counted as well are all other members, the nodes without a cluster that have a dropped pair within
    that error, and what banding is expected to have missed: for each pair found, at similarity J and
    probability P(J) of becoming a candidate, 1 / P(J) - 1 (Horvitz-Thompson), an upper bound because a
    document often has more than one pair.
    """
    leader = formed.leader
    members = np.flatnonzero(leader != np.arange(len(leader)))
    similar = formed.similarity[members].astype(np.float64)
    keys = leader[members].astype(np.uint64) << np.uint64(32) | members.astype(np.uint64)
    error = ERROR_QUANTILE * np.sqrt(similar * (1 - similar) / formed.values)
    sure = np.isin(keys, formed.settled) | (similar - error >= rules.threshold)
    reached = similar >= rules.threshold
    copies = len(groups.group) - len(leader)
    near = found.near_misses & (np.bincount(leader, minlength=len(leader))[leader] == 1)
    missed = (
        (1 / candidate_probability(similarities, rules.bands, rules.rows) - 1).sum() if len(pairs) else 0.0
    )
    high = copies + len(members) + int(near.sum()) + missed
    return {
        "removable": float(copies + reached.sum()),
        "duplicates_low": float(copies + (reached & sure).sum()),
        "duplicates_high": float(min(high, max(0, len(groups.group) - 1))),
        "near_misses": float(near.sum()),
        "expected_misses": float(missed),
    }
