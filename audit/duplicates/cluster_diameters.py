"""How far apart the members of each cluster are, by their signatures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.duplicates.array_files import map_zeros, read_array, release, stretches, write_array
from audit.duplicates.exchange import STRETCH, Matrix, Runner
from audit.duplicates.lsh import similarities
from audit.kernels.leaders import least_agreement

Numbers = npt.NDArray[np.uint32]

#: Members that each member of a large cluster is compared with.
_SAMPLE = 64
#: Members of a task.
_TASK = STRETCH // 8
#: Members whose signatures are held at once, but for those of one larger cluster.
_TOGETHER = 1 << 13


def diameters(signatures: Matrix, leader: Numbers, folder: Path, runner: Runner) -> npt.NDArray[np.float32]:
    """Return the largest estimated distance of two members, at each leader."""
    found = map_zeros(folder / "diameters.f4", np.float32, len(leader))
    sizes = np.zeros(len(leader), np.uint32)
    for some in stretches(len(leader), STRETCH, leader):
        np.add.at(sizes, leader[some], np.uint32(1))
    leads = np.flatnonzero(sizes > 1)
    if not len(leads):
        return found
    bounds = np.concatenate(([0], np.cumsum(sizes[leads], dtype=np.int64)))
    tasks = _member_tasks(signatures, _members(leader, sizes), bounds, folder)
    table = similarities(signatures.width)
    for task, _ in zip(tasks, runner(_least, tasks), strict=True):
        found[leads[task.start : task.stop]] = 1 - table[read_array(task.out, np.int32)]
        task.out.unlink()
        release(found)
    return found


@dataclass(frozen=True)
class _Members:
    """Clusters whose diameter is wanted.

    Attributes:
        members: File of the nodes of all clusters, one cluster after the other, uint32 (m, 1).
        bounds: File of where each one starts, and the end, int64 (clusters + 1, 1).
        start, stop: Those of this task.
        out: File to write: the least agreement of two members, int32.
    """

    signatures: Matrix
    members: Matrix
    bounds: Matrix
    start: int
    stop: int
    out: Path


def _members(leader: Numbers, sizes: Numbers) -> Numbers:
    """Return the nodes of clusters of two and more, by leader, ascending."""
    found = [np.empty(0, np.uint32)]
    for some in stretches(len(leader), STRETCH, leader):
        inside = np.flatnonzero(sizes[leader[some]] > 1)
        found.append((inside + some.start).astype(np.uint32))
    members = np.concatenate(found)
    return members[np.argsort(leader[members], kind="stable")]


def _member_tasks(
    signatures: Matrix, members: Numbers, bounds: npt.NDArray[np.int64], folder: Path
) -> list[_Members]:
    write_array(folder / "members.u32", members)
    write_array(folder / "clusters.i64", bounds)
    files = (
        Matrix(folder / "members.u32", len(members), 1, "u4"),
        Matrix(folder / "clusters.i64", len(bounds), 1, "i8"),
    )
    cuts = np.unique(np.searchsorted(bounds, np.arange(0, len(members), _TASK)))
    ends = np.append(cuts[1:], len(bounds) - 1)
    return [
        _Members(signatures, *files, int(start), int(stop), folder / f"least.{start}")
        for start, stop in zip(cuts, ends, strict=True)
        if start < stop
    ]


def _least(task: _Members) -> None:
    bounds = task.bounds.map()[task.start : task.stop + 1, 0]
    members = task.members.map()[bounds[0] : bounds[-1], 0]
    bounds = bounds - bounds[0]
    least = np.empty(len(bounds) - 1, np.int32)
    at = 0
    while at < len(least):
        last = max(at + 1, int(np.searchsorted(bounds, bounds[at] + _TOGETHER, side="right")) - 1)
        some = slice(bounds[at], bounds[last])
        rows = task.signatures.take(members[some])
        own = np.arange(len(rows), dtype=np.uint32)
        least_agreement(rows, own, bounds[at : last + 1] - bounds[at], _SAMPLE, least[at:last])
        at = last
    write_array(task.out, least)
