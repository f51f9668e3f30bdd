"""Near-duplicate clusters: candidates, then checked pairs, then clusters around a representative.

Groups of exact copies are the nodes. A pair is accepted on its signatures' agreement where that is clear,
and on the exact Jaccard similarity of its shingle sets where it is in doubt. A node joins a cluster through
an accepted pair with a member, and only when it is similar to the leader, too, at the cohesion c or more.
Jaccard distance is a metric (A. Lipkus, J. Math. Chem. 26, 1999), so two members are similar at 2c - 1 or
more, and no chain of pairs can join unlike documents. A c of (1 + t / 2) / 2 keeps all members within half
of the threshold t of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from audit.duplicates.array_files import (
    join_files,
    look_up,
    read_array,
    stretches,
    write_array,
)
from audit.duplicates.cluster_diameters import diameters
from audit.duplicates.exchange import STRETCH, Matrix, Runner, mapped, stretch_of, threads
from audit.duplicates.leading import Limits, Settled, form
from audit.duplicates.lsh import Banding, Candidates, candidate_pairs, similarities
from audit.duplicates.pair_files import Pairs, split_pairs

Similarities = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.uint32]

#: Standard normal quantile of the two-sided 99% error band of an estimated similarity.
ERROR_QUANTILE = 2.576


#: Pairs whose signatures are held at once.
_TOGETHER = 1 << 15


class Exact(Protocol):
    """Exact Jaccard similarity of pairs of nodes (``ShingleSets``); can be pickled."""

    def jaccard(self, pairs: Pairs) -> Similarities:
        """Return the similarity of each pair (``low << 32 | high``)."""
        ...


class Texts(Protocol):
    """What nodes stand for (``ShingleStore``)."""

    def prepare(self, nodes: npt.NDArray[np.bool_]) -> Exact:
        """Make ready for pairs of these nodes (bool, (n,))."""
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

    def of_members(self, values: int) -> Limits:
        """What makes a member of a leader's cluster, for signatures of so many values."""
        return Limits(self.refuse_under(self.cohesion, values), self.accept_from(values), self.cohesion)

    def banding(self, signatures: Matrix) -> Banding:
        """How candidates of signatures are found."""
        values, stretch = signatures.width, stretch_of(signatures.count)
        keep, near = self.refuse_under(self.threshold, values), self.near_from(values)
        return Banding(self.bands, self.rows, self.window, keep, near, stretch, stretch // 2)


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
    signatures: Matrix, rules: Rules, texts: Texts, folder: Path, runner: Runner = threads
) -> Clusters:
    """Find the clusters among groups of exact copies.

    Memory: some 30 bytes a node, of which 20 in mapped files, and what the partitions at work hold; pairs
    stay in files.

    Args:
        signatures: File of uint8 (n, k): of the first document of each group.
        rules: Banding and thresholds.
        texts: Settle doubtful pairs.
        folder: Exists; for the exchange and the pairs.
        runner: Runs the tasks.
    """
    found = candidate_pairs(signatures, rules.banding(signatures), folder, runner)
    exact = _prepared(found, signatures, rules, texts, runner)
    accepted, settled = _verified(found, signatures, rules, exact, folder, runner)
    formed = form(signatures, accepted[0], settled, rules.of_members(signatures.width), exact.jaccard, folder)
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
        diameters(signatures, formed.leader, folder, runner),
        (settled, formed.later),
        found.near_misses,
        counts,
    )


def _prepared(found: Candidates, signatures: Matrix, rules: Rules, texts: Texts, runner: Runner) -> Exact:
    """Have the texts read, once, of all nodes that a doubtful pair can come to hold.

    Those are the nodes of the pairs that the signatures leave in doubt; and, since a leader is compared with
    what it reaches in two steps or more, both nodes of a pair of which one has another pair.
    """
    wanted = np.zeros(signatures.count, np.bool_)
    for path in runner(partial(_doubt, signatures, rules, found.degrees), found.files):
        wanted[read_array(path, np.uint32)] = True
        path.unlink()
    return texts.prepare(wanted)


def _verified(
    found: Candidates, signatures: Matrix, rules: Rules, exact: Exact, folder: Path, runner: Runner
) -> tuple[Settled, Settled]:
    """Return the accepted pairs, and those that were settled exactly, with their similarities."""
    outcomes = list(runner(partial(_settle, signatures, rules, exact), found.files))
    accepted = _joined([files[0] for files in outcomes], folder / "accepted")
    return accepted, _joined([files[1] for files in outcomes], folder / "settled")


def _doubt(signatures: Matrix, rules: Rules, degrees: Matrix, file: Path) -> Path:
    """Write the nodes of a file of pairs whose texts are to be read; return where."""
    pairs = mapped(file, np.uint64)
    known = degrees.map()[:, 0]
    nodes = [np.empty(0, np.uint32)]
    for some in stretches(len(pairs), STRETCH, pairs):
        low, high = split_pairs(pairs[some])
        asked = _agreements(signatures, pairs[some]) < rules.accept_from(signatures.width)
        asked |= (look_up(known, low) > 1) | (look_up(known, high) > 1)
        nodes.append(np.unique(np.concatenate((low[asked], high[asked]))).astype(np.uint32))
    out = file.with_name(f"doubt-{file.name}")
    write_array(out, np.unique(np.concatenate(nodes)))
    return out


def _settle(signatures: Matrix, rules: Rules, exact: Exact, file: Path) -> tuple[Path, Path]:
    """Write the pairs of a file that are accepted, and those settled exactly; return where."""
    pairs = mapped(file, np.uint64)
    agree = _agreements(signatures, pairs)
    values = similarities(signatures.width)[agree]
    doubtful = np.flatnonzero(agree < rules.accept_from(signatures.width))
    settled = pairs[doubtful]
    exactly = exact.jaccard(settled)
    values[doubtful] = exactly
    accepted = values >= rules.threshold
    return (
        _write(file.with_name(f"accepted-{file.name}"), pairs[accepted], values[accepted]),
        _write(file.with_name(f"settled-{file.name}"), settled, exactly),
    )


def _agreements(signatures: Matrix, pairs: Pairs) -> npt.NDArray[np.int32]:
    """Return at how many places the signatures of each pair agree."""
    agree = np.empty(len(pairs), np.int32)
    for some in stretches(len(pairs), _TOGETHER):
        low, high = (signatures.take(node) for node in split_pairs(pairs[some]))
        agree[some] = np.count_nonzero(low == high, axis=1)
    return agree


def _write(path: Path, pairs: Pairs, values: Similarities) -> Path:
    write_array(path, pairs)
    write_array(_values(path), values)
    return path


def _values(path: Path) -> Path:
    return path.with_name(f"{path.name}.f4")


def _joined(files: Sequence[Path], path: Path) -> Settled:
    """Join files of pairs and their similarities, in order, and map them."""
    join_files(files, path)
    join_files(map(_values, files), _values(path))
    return mapped(path, np.uint64), mapped(_values(path), np.float32)
