"""Near-duplicate clusters: candidates, then checked pairs, then clusters around a representative.

Groups of exact copies are the nodes. A pair is accepted on its signatures' agreement where that is clear,
and on the exact Jaccard similarity of its shingle sets where it is in doubt. A node joins a cluster through
an accepted pair with a member, and only when it is similar to the leader, too, at the cohesion c or more.
Jaccard distance is a metric (A. Lipkus, J. Math. Chem. 26, 1999), so two members are similar at 2c - 1 or
more, and no chain of pairs can join unlike documents. A c of (1 + t / 2) / 2 keeps all members within half
of the threshold t of each other.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from audit.array_files import new_mapped, read_array, write_array
from audit.exchange import STRETCH, Matrix, Runner, mapped, threads
from audit.kernels.banding import agreements
from audit.kernels.leaders import lead, least_agreement, neighbours_of
from audit.lsh import Banding, Candidates, candidate_pairs, similarities
from audit.pair_files import Pairs, split_pairs

Similarities = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.uint32]
Settled = tuple[Pairs, Similarities]

#: Standard normal quantile of the two-sided 99% error band of an estimated similarity.
ERROR_QUANTILE = 2.576
#: Times that clusters are formed anew after doubtful pairs were settled; what is left goes by estimate.
_ROUNDS = 8
#: Members that each member of a large cluster is compared with, for the diameter.
_DIAMETER_SAMPLE = 64


class Exact(Protocol):
    """Exact Jaccard similarity of pairs of nodes (``ShingleStore``)."""

    def prepare(self, nodes: npt.NDArray[np.bool_]) -> None:
        """Make ready for pairs of these nodes (bool, (n,))."""
        ...

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
        return max(1, _first_from(limit - self.margin, values))

    def accept_from(self, values: int) -> int:
        """Agreements from which a pair is accepted on its signatures."""
        return _first_from(self.threshold + self.margin, values)

    def near_from(self, values: int) -> int:
        """Agreements from which the threshold is within the estimate's 99% error band."""
        estimates = similarities(values).astype(np.float64)
        upper = estimates + ERROR_QUANTILE * np.sqrt(estimates * (1 - estimates) / values)
        within = np.flatnonzero(upper >= self.threshold)
        return int(within[0]) if len(within) else values

    def banding(self, values: int) -> Banding:
        """How candidates of signatures of ``values`` values are found."""
        keep = self.refuse_under(self.threshold, values)
        return Banding(self.bands, self.rows, self.window, keep, self.near_from(values))


def _first_from(limit: float, values: int) -> int:
    return int(np.searchsorted(similarities(values), np.float32(limit - 1e-6)))


@dataclass(frozen=True)
class Clusters:
    """The outcome over all nodes.

    Attributes:
        pairs, similarities: Accepted pairs (``low << 32 | high``, sorted) and their Jaccard similarity,
            exact where the pair was in doubt, else estimated; in mapped files. A node keeps a bounded
            number of them.
        leader: uint32 (n,): each node's leader, the first node of its cluster.
        similarity: float32 (n,): Jaccard similarity with the leader.
        diameter: float32 (n,): at each leader, the largest estimated distance (1 - Jaccard) of two
            members; 0 elsewhere.
        settled: Two lists of pairs that were settled exactly, and their similarity.
        near_misses: bool (n,): nodes with a pair that was dropped within the estimate's error.
        counts: Of candidates and pairs.
    """

    pairs: Pairs
    similarities: Similarities
    leader: Numbers
    similarity: Similarities
    diameter: Similarities
    settled: tuple[Settled, Settled]
    near_misses: npt.NDArray[np.bool_]
    counts: Mapping[str, float]


def find_clusters(
    signatures: Matrix, rules: Rules, exact: Exact, folder: Path, runner: Runner = threads
) -> Clusters:
    """Find the clusters among groups of exact copies.

    Memory: some 30 bytes a node, and what the partitions at work hold; pairs stay in files.

    Args:
        signatures: File of uint8 (n, k): of the first document of each group.
        rules: Banding and thresholds.
        exact: Settles doubtful pairs.
        folder: Exists; for the exchange and the pairs.
        runner: Runs the tasks.
    """
    banding = rules.banding(signatures.width)
    found = candidate_pairs(signatures, banding, folder, runner)
    accepted, settled = _verified(found, signatures, rules, exact, folder, runner)
    formed = _form(signatures, accepted[0], rules, exact, settled, folder)
    kept = sum(path.stat().st_size for path in found.files) // 8
    counts = {
        "candidates": float(found.compared),
        "kept": float(kept),
        "accepted": float(len(accepted[0])),
        "rejected": float(found.compared - len(accepted[0])),
        "settled_exactly": float(len(settled[0]) + len(formed.later[0])),
        "left_to_estimate": float(formed.left),
    }
    return Clusters(
        *accepted,
        formed.leader,
        formed.similarity,
        _diameters(signatures, formed.leader),
        (settled, formed.later),
        found.near_misses,
        counts,
    )


def _verified(
    found: Candidates, signatures: Matrix, rules: Rules, exact: Exact, folder: Path, runner: Runner
) -> tuple[Settled, Settled]:
    """Return the accepted pairs, and those that were settled exactly, with their similarities."""
    doubtful = np.zeros(signatures.count, np.bool_)
    for path in runner(partial(_doubt, signatures, rules), found.files):
        for node in split_pairs(mapped(path, np.uint64)):
            doubtful[node] = True
    exact.prepare(doubtful)
    outcomes = list(runner(partial(_settle, signatures, rules, exact), found.files))
    accepted = _joined([files[0] for files in outcomes], folder / "accepted")
    return accepted, _joined([files[1] for files in outcomes], folder / "settled")


def _doubt(signatures: Matrix, rules: Rules, file: Path) -> Path:
    """Write the pairs of a file that the signatures leave in doubt; return where."""
    pairs = mapped(file, np.uint64)
    agree = _agreements(signatures, pairs)
    out = file.with_name(f"doubt-{file.name}")
    write_array(out, pairs[agree < rules.accept_from(signatures.width)])
    return out


def _settle(signatures: Matrix, rules: Rules, exact: Exact, file: Path) -> tuple[Path, Path]:
    """Write the pairs of a file that are accepted, and those settled exactly; return where."""
    pairs = mapped(file, np.uint64)
    doubt = file.with_name(f"doubt-{file.name}")
    settled = read_array(doubt, np.uint64)
    values = similarities(signatures.width)[_agreements(signatures, pairs)]
    exactly = exact.jaccard(settled)
    values[np.searchsorted(pairs, settled)] = exactly
    accepted = values >= rules.threshold
    doubt.unlink()
    return (
        _write(file.with_name(f"accepted-{file.name}"), pairs[accepted], values[accepted]),
        _write(file.with_name(f"settled-{file.name}"), settled, exactly),
    )


def _agreements(signatures: Matrix, pairs: Pairs) -> npt.NDArray[np.int32]:
    agree = np.empty(len(pairs), np.int32)
    agreements(signatures.map(), pairs, agree)
    return agree


def _write(path: Path, pairs: Pairs, values: Similarities) -> Path:
    write_array(path, pairs)
    write_array(_values(path), values)
    return path


def _values(path: Path) -> Path:
    return path.with_name(f"{path.name}.f4")


def _joined(files: Sequence[Path], path: Path) -> Settled:
    """Join files of pairs and their similarities, in order, and map them."""
    for out, parts in ((path, files), (_values(path), [_values(file) for file in files])):
        with out.open("wb") as whole:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, whole, 1 << 22)
                part.unlink()
    return mapped(path, np.uint64), mapped(_values(path), np.float32)


@dataclass(frozen=True)
class _Formed:
    leader: Numbers
    similarity: Similarities
    later: Settled
    left: int


def _form(
    signatures: Matrix, pairs: Pairs, rules: Rules, exact: Exact, settled: Settled, folder: Path
) -> _Formed:
    """Form clusters; settle the doubtful pairs of leader and member that come up, and form them again."""
    values = signatures.width
    bounds, neighbours = _adjacency(pairs, signatures.count, folder / "neighbours.u32")
    leader, similarity = np.empty(signatures.count, np.uint32), np.ones(signatures.count, np.float32)
    later: Settled = (np.empty(0, np.uint64), np.empty(0, np.float32))
    for _ in range(_ROUNDS):
        doubtful = np.unique(
            lead(
                bounds,
                neighbours,
                signatures.map(),
                similarities(values),
                rules.refuse_under(rules.cohesion, values),
                rules.accept_from(values),
                rules.cohesion,
                settled,
                later,
                leader,
                similarity,
            )
        )
        if not len(doubtful):
            break
        later = _settled_too(later, doubtful, exact, signatures.count)
    return _Formed(leader, similarity, later, len(doubtful))


def _settled_too(later: Settled, pairs: Pairs, exact: Exact, nodes: int) -> Settled:
    wanted = np.zeros(nodes, np.bool_)
    for node in split_pairs(pairs):
        wanted[node] = True
    exact.prepare(wanted)
    both = np.concatenate((later[0], pairs))
    order = np.argsort(both, kind="stable")
    return both[order], np.concatenate((later[1], exact.jaccard(pairs)))[order]


def _adjacency(pairs: Pairs, n: int, file: Path) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Return pairs in both directions as bounds (n + 1,) and neighbours, ascending within a node."""
    bounds = np.zeros(n + 1, np.int64)
    for start in range(0, len(pairs), STRETCH):
        for node in split_pairs(pairs[start : start + STRETCH]):
            np.add.at(bounds, node + 1, 1)
    np.cumsum(bounds, out=bounds)
    if not len(pairs):
        return bounds, np.empty(0, np.uint32)
    neighbours = new_mapped(file, np.uint32, (2 * len(pairs),))
    neighbours_of(pairs, bounds, np.asarray(neighbours))
    neighbours.flush()
    return bounds, np.asarray(neighbours)


def _diameters(signatures: Matrix, leader: Numbers) -> Similarities:
    """Return the largest estimated distance of two members, at each leader."""
    nodes = np.bincount(leader, minlength=len(leader)).astype(np.uint32)
    leads = np.flatnonzero(nodes > 1)
    members = np.flatnonzero(nodes[leader] > 1).astype(np.uint32)
    members = members[np.argsort(leader[members], kind="stable")]
    bounds = np.concatenate(([0], np.cumsum(nodes[leads], dtype=np.int64)))
    least = np.empty(len(leads), np.int32)
    least_agreement(signatures.map(), members, bounds, _DIAMETER_SAMPLE, least)
    diameters = np.zeros(len(leader), np.float32)
    diameters[leads] = 1 - similarities(signatures.width)[least]
    return diameters
