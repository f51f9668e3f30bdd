"""Matches across corpora: each document's most similar one in a reference, from sketches alone.

The reference's texts are not at hand. Pairs that the signatures leave in doubt are therefore settled by a
second sketch that is independent of them: the two estimates are pooled by their variance at the threshold,
J (1 - J) / k for the signature's k values and (1 - J**2) / b for the second one's b bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.duplicates.array_files import read_array, write_array
from audit.duplicates.clusters import Rules
from audit.duplicates.duplicate_groups import DigestGroups
from audit.duplicates.exchange import (
    STRETCH,
    FileList,
    Matrix,
    Runner,
    partition_bits,
    read_partition,
    threads,
)
from audit.duplicates.lsh import CHANCE, Banding, in_crowds, spill_all
from audit.kernels.cross import cross_bucket_matches
from audit.model import REFERENCE_MATCH_SCHEMA

Numbers = npt.NDArray[np.uint32]

#: No document has this number.
NONE = np.uint32(0xFFFFFFFF)
_FOUND = np.dtype([("node", "<u4"), ("match", "<u4"), ("similarity", "<f4")])


@dataclass(frozen=True)
class Corpora:
    """A corpus and a reference, numbered together, the corpus first.

    Attributes:
        groups: The documents of both, by digest.
        own_shards: Shards of the corpus.
        signatures, seconds: Files of both sketches of each group's first document.
    """

    groups: DigestGroups
    own_shards: int
    signatures: Matrix
    seconds: Matrix

    @cached_property
    def own_documents(self) -> int:
        """Documents of the corpus."""
        return int(self.groups.shard_bounds[self.own_shards])

    @cached_property
    def own_nodes(self) -> int:
        """Groups with a document of the corpus: they are numbered first."""
        return int(np.searchsorted(self.groups.first, self.own_documents))

    @cached_property
    def reference(self) -> Numbers:
        """The first document of the reference in each group, or ``NONE``; uint32 (groups,)."""
        found = np.full(len(self.groups.first), NONE, np.uint32)
        documents = np.arange(self.own_documents, len(self.groups.group), dtype=np.uint32)[::-1]
        found[self.groups.group[documents]] = documents
        return found


@dataclass(frozen=True)
class Matches:
    """Each own group's best match.

    Attributes:
        document: uint32 (own groups,): a document of the reference, or ``NONE``.
        similarity: float32 (own groups,): Jaccard similarity, estimated; 1 for the same text.
        same: bool (own groups,): whether the normalised texts are the same.
        compared, settled: Pairs compared, and those that the pooled estimate decided.
    """

    document: Numbers
    similarity: npt.NDArray[np.float32]
    same: npt.NDArray[np.bool_]
    compared: int
    settled: int

    def statistics(self) -> dict[str, float]:
        """Return counts, in distinct texts of the corpus."""
        return {
            "matched_texts": float((self.document != NONE).sum()),
            "same_texts": float(self.same.sum()),
            "compared_with_references": float(self.compared),
            "settled_by_second_sketch": float(self.settled),
        }


@dataclass(frozen=True)
class Match:
    """Compare the two corpora in one partition of one band.

    Attributes:
        roles: File of a byte a group, (groups, 1): 1 asks, 2 answers, 3 both.
        found: File to write: groups with a match, the group that it is, the similarity.
    """

    corpora: tuple[Matrix, Matrix]
    banding: Banding
    accept: int
    threshold: float
    spills: FileList
    partition: int
    bits: int
    roles: Matrix
    found: Path


def match(task: Match) -> tuple[int, int]:
    """Write the file of a match; return the pairs compared, and those that the pooled estimate decided."""
    keys, nodes = in_crowds(*read_partition(task.spills, task.partition, task.bits))
    roles = task.roles.take(nodes)[:, 0]
    found = np.zeros(len(nodes), _FOUND)
    matches, similarity = np.full(len(nodes), NONE, np.uint32), np.full(len(nodes), -1, np.float32)
    signatures, seconds = task.corpora
    counts = cross_bucket_matches(
        signatures.take(nodes),
        seconds.take(nodes),
        nodes,
        keys,
        (roles & 1).astype(np.bool_),
        (roles & 2).astype(np.bool_),
        task.banding.window,
        task.banding.keep,
        task.accept,
        task.threshold,
        pooled_estimate(signatures.width, 8 * seconds.width, task.threshold),
        matches,
        similarity,
    )
    found["node"], found["match"], found["similarity"] = nodes, matches, similarity
    write_array(task.found, found[matches != NONE])
    return int(counts[0]), int(counts[1])


def pooled_estimate(values: int, bits: int, similarity: float) -> npt.NDArray[np.float64]:
    """Return intercept and slopes (by agreeing values, by agreeing bits) of the pooled estimate.

    Args:
        values, bits: Of the two sketches.
        similarity: At which the weights are the inverse variances; 0 to 1.
    """
    inner = min(max(similarity, 0.05), 0.95)
    first, second = values / (inner * (1 - inner)), bits / (1 - inner**2)
    weight = first / (first + second)
    return np.array(
        [
            -weight * CHANCE / (1 - CHANCE) - (1 - weight),
            weight / (values * (1 - CHANCE)),
            (1 - weight) * 2 / bits,
        ]
    )


def find_matches(corpora: Corpora, rules: Rules, folder: Path, runner: Runner = threads) -> Matches:
    """Find each own group's best match in the reference, one band at a time.

    Memory: 14 bytes a group, and what the partitions at work hold.

    Args:
        corpora: The two corpora.
        rules: Banding and threshold.
        folder: Exists; holds 12 bytes a group of the band at work.
        runner: Runs the partitions.
    """
    best = np.full(corpora.own_nodes, -1, np.float32)
    partner = np.full(corpora.own_nodes, NONE, np.uint32)
    roles = _write_roles(corpora, folder / "roles.u8")
    signatures = corpora.signatures
    banding, accept = rules.banding(signatures), rules.accept_from(signatures.width)
    bits = partition_bits(signatures.count, banding.stretch)
    compared = settled = 0
    for band in range(banding.bands if signatures.count else 0):
        spills = spill_all(signatures, banding, band, folder, runner)
        tasks = [
            Match(
                (signatures, corpora.seconds),
                banding,
                accept,
                rules.threshold,
                spills,
                partition,
                bits,
                roles,
                folder / f"found-{band}.{partition}",
            )
            for partition in range(1 << bits)
        ]
        for task, counts in zip(tasks, runner(match, tasks), strict=True):
            compared, settled = compared + counts[0], settled + counts[1]
            _better(read_array(task.found, _FOUND), best, partner)
            task.found.unlink()
        spills.remove()
    return _with_same(corpora, best, partner, compared, settled)


def _write_roles(corpora: Corpora, path: Path) -> Matrix:
    """A group of both corpora is matched already; it may match others."""
    roles = np.where(corpora.reference != NONE, 2, 0).astype(np.uint8)
    roles[: corpora.own_nodes] += corpora.reference[: corpora.own_nodes] == NONE
    write_array(path, roles)
    return Matrix(path, len(roles), 1, "u1")


def _better(found: npt.NDArray[np.void], best: npt.NDArray[np.float32], partner: Numbers) -> None:
    """Keep the more similar match; of equal ones the first."""
    nodes, value, match_ = found["node"], found["similarity"], found["match"]
    chosen = (value > best[nodes]) | ((value == best[nodes]) & (match_ < partner[nodes]))
    best[nodes[chosen]], partner[nodes[chosen]] = value[chosen], match_[chosen]


def _with_same(
    corpora: Corpora, best: npt.NDArray[np.float32], partner: Numbers, compared: int, settled: int
) -> Matches:
    own = corpora.reference[: corpora.own_nodes]
    same = own != NONE
    document = np.where(partner != NONE, corpora.reference[np.where(partner != NONE, partner, 0)], NONE)
    return Matches(
        np.where(same, own, document).astype(np.uint32),
        np.where(same, 1, best).astype(np.float32),
        same,
        compared,
        settled,
    )


def match_tables(corpora: Corpora, matches: Matches, name: str) -> Iterator[pa.Table]:
    """Yield the documents with a match, a table a shard (``REFERENCE_MATCH_SCHEMA``)."""
    groups = corpora.groups
    shards = pa.array(groups.shards, pa.string())
    for start in range(0, corpora.own_documents, STRETCH):
        documents = np.arange(start, min(start + STRETCH, corpora.own_documents))
        documents = documents[matches.document[groups.group[documents]] != NONE]
        own = groups.group[documents]
        theirs = matches.document[own]
        columns = [
            shards.take(pa.array(groups.shard_of(documents))),
            pa.array(groups.positions[documents]),
            pa.array([name] * len(documents), pa.string()),
            shards.take(pa.array(groups.shard_of(theirs))),
            pa.array(groups.positions[theirs]),
            pa.array(matches.similarity[own]),
            pa.array(matches.same[own]),
        ]
        if len(documents):
            yield pa.Table.from_arrays(columns, schema=REFERENCE_MATCH_SCHEMA)
