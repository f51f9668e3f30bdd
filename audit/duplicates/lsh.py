"""Banded locality-sensitive hashing: which pairs are looked at, and with what probability.

Source: A. Rajaraman, J. Ullman, "Mining of Massive Datasets", ch. 3.4. With b bands of r values, a pair of
Jaccard similarity J becomes a candidate with probability 1 - (1 - J**r)**b. Values are cut to 8 bits, by
which two different ones agree once in 256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.duplicates.array_files import read_array, release, write_array
from audit.duplicates.exchange import (
    STRETCH,
    FileList,
    Keys,
    Matrix,
    Numbers,
    Runner,
    partition_bits,
    read_partition,
    spill,
    threads,
)
from audit.duplicates.pair_files import RANGE, PairFiles
from audit.kernels.banding import BUCKET_SHIFT, band_keys, bucket_edges

#: Jaccard similarities that a printed S-curve shows.
CURVE = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
#: Probability that two different values agree.
CHANCE = 1 / 256


def candidate_probability(jaccard: npt.ArrayLike, bands: int, rows: int) -> npt.NDArray[np.float64]:
    """Return the probability that pairs of these similarities share a band."""
    return 1.0 - (1.0 - np.asarray(jaccard, np.float64) ** rows) ** bands


def s_curve(bands: int, rows: int, jaccards: Sequence[float] = CURVE) -> list[tuple[float, float]]:
    """Return (Jaccard similarity, probability of becoming a candidate), for printing."""
    return [
        (float(j), float(p))
        for j, p in zip(jaccards, candidate_probability(jaccards, bands, rows), strict=True)
    ]


def similarities(values: int) -> npt.NDArray[np.float32]:
    """Return the similarity that agreement at 0, 1 … ``values`` places stands for, free of chance."""
    agreeing = np.arange(values + 1) / values
    return np.clip((agreeing - CHANCE) / (1 - CHANCE), 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Banding:
    """How pairs become candidates, and which of them are kept.

    Attributes:
        bands, rows: The banding.
        window: Members of its bucket that a node is compared with, and pairs kept for it, at most.
        keep, near: Agreements at which a pair is kept, and at which a dropped one counts as a near miss.
        stretch: Nodes of a stretch and, on average, of a partition.
        range: Low nodes of a file of pairs.
    """

    bands: int
    rows: int
    window: int
    keep: int
    near: int
    stretch: int = STRETCH
    range: int = RANGE


@dataclass(frozen=True)
class Candidates:
    """What banding and the signatures made of a corpus.

    Attributes:
        files: Pairs that were kept (``low node << 32 | high node``), distinct; sorted over all files.
        degrees: File of the pairs that each node has, uint16 (n, 1).
        compared: Pairs whose signatures were compared.
        near_misses: bool (n,): nodes with a pair that was dropped within the estimate's error.
    """

    files: Sequence[Path]
    degrees: Matrix
    compared: int
    near_misses: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Spill:
    """Write the band keys of one stretch of nodes, for all partitions."""

    signatures: Matrix
    banding: Banding
    band: int
    start: int
    out: Path


def spill_band(task: Spill) -> None:
    """Write the file of a spill; a function of the signatures' file."""
    rows = task.signatures.map()[task.start : task.start + task.banding.stretch]
    keys = np.empty(len(rows), np.uint64)
    band_keys(rows, task.band, task.banding.bands, task.banding.rows, keys)
    release(rows)
    spill(task.out, keys, np.arange(task.start, task.start + len(rows), dtype=np.uint32))


@dataclass(frozen=True)
class Join:
    """Compare what shares a bucket in one partition of one band.

    Attributes:
        degrees: File of the pairs that each node has from earlier bands, uint16 (n, 1).
        pairs, near: Files to write: pairs kept, sorted, and nodes with a near miss.
    """

    signatures: Matrix
    banding: Banding
    band: int
    spills: FileList
    partition: int
    bits: int
    degrees: Matrix
    pairs: Path
    near: Path


def join(task: Join) -> int:
    """Write the files of a join, a function of those that it names; return how many pairs were compared."""
    keys, nodes = in_crowds(*read_partition(task.spills, task.partition, task.bits))
    near = np.zeros(len(nodes), np.bool_)
    how = task.banding
    pairs, compared = bucket_edges(
        task.signatures.take(nodes),
        nodes,
        keys,
        task.band,
        how.rows,
        how.window,
        how.keep,
        how.near,
        task.degrees.take(nodes)[:, 0],
        near,
    )
    write_array(task.pairs, np.sort(pairs))
    write_array(task.near, nodes[near])
    return int(compared)


def in_crowds(keys: Keys, nodes: Numbers) -> tuple[Keys, Numbers]:
    """Return the records whose bucket holds another one."""
    buckets = keys >> np.uint64(BUCKET_SHIFT)
    same = np.zeros(len(keys) + 1, np.bool_)
    same[1:-1] = buckets[1:] == buckets[:-1]
    crowded = same[1:] | same[:-1]
    return keys[crowded], nodes[crowded]


def spill_all(signatures: Matrix, banding: Banding, band: int, folder: Path, runner: Runner) -> FileList:
    """Spill one band of all nodes."""
    spills = FileList(folder, f"band-{band}")
    tasks = [
        Spill(signatures, banding, band, start, spills.path(number))
        for number, start in enumerate(range(0, signatures.count, banding.stretch))
    ]
    for _ in runner(spill_band, tasks):
        pass
    spills.keep((task.out, 0) for task in tasks)
    return spills


def candidate_pairs(
    signatures: Matrix, banding: Banding, folder: Path, runner: Runner = threads
) -> Candidates:
    """Find the pairs that share a band and agree at ``keep`` places or more, one band at a time.

    Memory: 3 bytes a node, and what the partitions at work hold. The result does not depend on the size of
    stretches and ranges.

    Args:
        signatures: Their file, uint8 (n, k), k >= bands * rows.
        banding: What to look for.
        folder: Exists; holds 12 bytes a node of the band at work, 2 a node, and 8 a pair.
        runner: Runs the tasks.
    """
    pairs = PairFiles(folder, signatures.count, banding.range)
    near_misses = np.zeros(signatures.count, np.bool_)
    compared = 0
    for band in range(banding.bands if signatures.count else 0):
        degrees = _degrees(pairs, folder, band)
        spills = spill_all(signatures, banding, band, folder, runner)
        tasks = _joins(spills, signatures, banding, band, degrees)
        for task, count in zip(tasks, runner(join, tasks), strict=True):
            compared += count
            near_misses[read_array(task.near, np.uint32)] = True
            task.near.unlink()
        joined = FileList(folder, f"joined-{band}")
        joined.keep((task.pairs, 0) for task in tasks)
        pairs.add(joined, band, runner)
        spills.remove()
        joined.remove()
        degrees.path.unlink()
    return Candidates(pairs.files, _degrees(pairs, folder, banding.bands), compared, near_misses)


def _degrees(pairs: PairFiles, folder: Path, band: int) -> Matrix:
    """Write the pairs of each node for the tasks of a band."""
    path = folder / f"degrees.{band}"
    write_array(path, pairs.degrees)
    return Matrix(path, len(pairs.degrees), 1, "u2")


def _joins(spills: FileList, signatures: Matrix, banding: Banding, band: int, degrees: Matrix) -> list[Join]:
    folder, bits = spills.folder, partition_bits(signatures.count, banding.stretch)
    return [
        Join(
            signatures,
            banding,
            band,
            spills,
            partition,
            bits,
            degrees,
            folder / f"joined-{band}.{partition}",
            folder / f"near-{band}.{partition}",
        )
        for partition in range(1 << bits)
    ]
