"""Pairs of nodes in sorted files, one a range of low nodes, that grow band by band."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from audit.duplicates.array_files import read_array, write_array
from audit.duplicates.exchange import STRETCH, FileList, Runner, mapped
from audit.kernels.banding import raise_degrees

#: ``low node << 32 | high node``.
Pairs: TypeAlias = npt.NDArray[np.uint64]

#: Nodes of a range: with tens of pairs a node, a range is tens of megabytes.
RANGE = STRETCH // 2


def split_pairs(pairs: Pairs) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the low and the high node of each pair."""
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def join_pairs(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Pairs:
    """Return pairs of nodes, integers of any type."""
    return low.astype(np.uint64) << np.uint64(32) | high.astype(np.uint64)


@dataclass(frozen=True)
class Merge:
    """Bring the pairs of one range of low nodes up to date.

    Attributes:
        found: Files of sorted pairs, of any nodes; one at least.
        low, high: The range.
        standing: Sorted pairs of the range so far; None at first.
        merged, fresh: Files to write: all pairs of the range, and those that are new.
    """

    found: FileList
    low: int
    high: int
    standing: Path | None
    merged: Path
    fresh: Path


def merge(task: Merge) -> None:
    """Write the files of a merge; a function of the files that it names."""
    limits = np.array([task.low, task.high], np.uint64) << np.uint64(32)
    parts = [_within(mapped(path, np.uint64), limits) for path, _ in task.found.members()]
    found = np.unique(np.concatenate(parts))
    standing = np.empty(0, np.uint64) if task.standing is None else read_array(task.standing, np.uint64)
    new = found[~contains(standing, found)]
    write_array(task.fresh, new)
    both = np.concatenate((standing, new))
    both.sort(kind="stable")
    write_array(task.merged, both)


def _within(pairs: Pairs, limits: Pairs) -> Pairs:
    start, stop = np.searchsorted(pairs, limits)
    return pairs[start:stop]


def contains(ordered: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return which values a sorted array holds."""
    if not len(ordered):
        return np.zeros(len(wanted), np.bool_)
    places = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.equal(ordered[places], wanted)


@dataclass
class PairFiles:
    """The distinct pairs found so far, and how many each node has.

    Attributes:
        folder: Where the files lie.
        nodes: Number of nodes.
        size: Low nodes of a range.
        files: A file a range, in order; together they are sorted.
        degrees: uint16 (nodes,): pairs of each node, up to 65,535.
    """

    folder: Path
    nodes: int
    size: int = RANGE
    files: list[Path] = field(default_factory=list)
    degrees: npt.NDArray[np.uint16] = field(init=False)

    def __post_init__(self) -> None:
        self.degrees = np.zeros(self.nodes, np.uint16)

    def add(self, found: FileList, turn: int, runner: Runner) -> None:
        """Add the pairs of files; ``turn`` names the files that come of it."""
        tasks = [
            Merge(
                found,
                start,
                start + self.size,
                self.files[number] if self.files else None,
                self.folder / f"pairs.{number}.{turn}",
                self.folder / f"fresh.{number}.{turn}",
            )
            for number, start in enumerate(range(0, self.nodes, self.size))
        ]
        for task, _ in zip(tasks, runner(merge, tasks), strict=True):
            raise_degrees(read_array(task.fresh, np.uint64), self.degrees)
            task.fresh.unlink()
        for path in self.files:
            path.unlink()
        self.files = [task.merged for task in tasks]
