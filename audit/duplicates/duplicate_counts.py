"""What near-duplicate clusters come to, as counts, with bounds for what is not known for sure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audit.duplicates.array_files import stretches
from audit.duplicates.clusters import ERROR_QUANTILE, Clusters, Rules
from audit.duplicates.duplicate_groups import DigestGroups, cluster_sizes
from audit.duplicates.exchange import STRETCH
from audit.duplicates.lsh import candidate_probability
from audit.duplicates.pair_files import contains, join_pairs


def statistics(groups: DigestGroups, clusters: Clusters, rules: Rules, values: int) -> dict[str, float]:
    """Return the counts of a search: candidates, pairs, clusters, documents that can go.

    Args:
        groups: The documents.
        clusters: What was found among their groups.
        rules: What it was found by.
        values: Values of a signature.
    """
    return {
        **clusters.counts,
        **_cluster_counts(groups, clusters),
        **_removable(groups, clusters, rules, values),
    }


def _cluster_counts(groups: DigestGroups, clusters: Clusters) -> dict[str, float]:
    sizes = cluster_sizes(groups, clusters.leader)
    sizes = sizes[sizes > 1]
    return {
        "documents": float(len(groups.group)),
        "distinct": float(len(groups.first)),
        "clusters": float(len(sizes)),
        "largest_cluster": float(sizes.max(initial=0)),
        "duplicates": float(sizes.sum(dtype=np.int64) - len(sizes)),
        "max_diameter": float(clusters.diameter.max(initial=0)),
        **_diameter_counts(clusters),
    }


def _diameter_counts(clusters: Clusters) -> dict[str, float]:
    """Mean diameter of the clusters of two groups and more, and how many are wider than a pair may be."""
    chosen = clusters.diameter[clusters.leader[_led(clusters.leader)]]
    return {"mean_diameter_of_members": float(chosen.mean(dtype=np.float64)) if len(chosen) else 0.0}


def _led(leader: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Return the nodes that another one leads, ascending."""
    found = [np.empty(0, np.uint32)]
    for some in stretches(len(leader), STRETCH, leader):
        own = np.arange(some.start, some.stop, dtype=np.uint32)
        found.append(own[leader[some] != own])
    return np.concatenate(found)


def _removable(groups: DigestGroups, clusters: Clusters, rules: Rules, values: int) -> dict[str, float]:
    """Count the documents that can go, and bound the count by what is not known for sure.

    Removable are exact copies but one, and members similar to their representative at the threshold.
    Low: those whose similarity is an estimate with the threshold inside its 99% error band are not counted.
    High: counted as well are all other members, the nodes without a cluster that have a dropped pair within
    that error, and what banding is expected to have missed: for each pair found, at similarity J and
    probability P(J) of becoming a candidate, 1 / P(J) - 1 (Horvitz-Thompson), an upper bound because a
    document often has more than one pair.
    """
    copies = len(groups.group) - len(groups.first)
    members = reached = sure = 0
    for some in stretches(len(clusters.leader), STRETCH, clusters.leader, clusters.similarity):
        counts = _members(clusters, rules, values, some)
        members, reached, sure = members + counts[0], reached + counts[1], sure + counts[2]
    alone = np.ones(len(clusters.leader), np.bool_)
    led = _led(clusters.leader)
    alone[led] = alone[clusters.leader[led]] = False
    near = int((clusters.near_misses & alone).sum())
    missed = _expected_misses(clusters.similarities, rules)
    high = copies + members + near + missed
    return {
        "removable": float(copies + reached),
        "duplicates_low": float(copies + sure),
        "duplicates_high": float(min(high, max(0, len(groups.group) - 1))),
        "near_misses": float(near),
        "expected_misses": missed,
    }


def _members(clusters: Clusters, rules: Rules, values: int, some: slice) -> tuple[int, int, int]:
    """Count members among a stretch of nodes: all, those at the threshold, those surely at it."""
    leader, start = clusters.leader[some], some.start
    members = np.flatnonzero(leader != np.arange(start, some.stop, dtype=np.uint32))
    similar = clusters.similarity[start + members].astype(np.float64)
    pairs = join_pairs(leader[members], start + members)
    error = ERROR_QUANTILE * np.sqrt(similar * (1 - similar) / values)
    exactly = contains(clusters.settled[0][0], pairs) | contains(clusters.settled[1][0], pairs)
    reached = similar >= rules.threshold
    return (
        len(members),
        int(reached.sum()),
        int((reached & (exactly | (similar - error >= rules.threshold))).sum()),
    )


def _expected_misses(found: npt.NDArray[np.float32], rules: Rules) -> float:
    missed = 0.0
    for some in stretches(len(found), STRETCH, found):
        missed += float((1 / candidate_probability(found[some], rules.bands, rules.rows) - 1).sum())
    return missed
