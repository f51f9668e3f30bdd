"""The documents of a corpus, grouped by digest, and the rows that duplicate screens yield."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.duplicates.array_files import look_up, release, stretches
from audit.duplicates.exchange import STRETCH, Matrix
from audit.model import DUPLICATE_SCHEMA

Numbers = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.signedinteger[Any] | np.unsignedinteger[Any]]

#: Documents are numbered in 32 bits.
MOST = (1 << 32) - 1


@dataclass(frozen=True)
class DigestGroups:
    """Documents with a digest, in (shard, position) order, and which of them share one.

    Attributes:
        shards: Shard ids.
        shard_bounds: int64 (shards + 1,): a shard's documents are those between its bounds.
        positions: int64 (n,): the documents' positions.
        group: uint32 (n,): each document's group; groups are numbered by their first document.
        first: uint32 (groups,): the first document of each group.
        folder: Holds the three arrays in files, which are mapped: ``positions.i64``, ``group.u32`` and
            ``first.u32``; those of none are missing.
    """

    shards: Sequence[str]
    shard_bounds: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    group: Numbers
    first: Numbers
    folder: Path

    @property
    def first_file(self) -> Matrix:
        """The first document of each group, for tasks; (groups, 1)."""
        return Matrix(self.folder / "first.u32", len(self.first), 1, "u4")

    @property
    def position_file(self) -> Matrix:
        """The documents' positions, for tasks; (documents, 1)."""
        return Matrix(self.folder / "positions.i64", len(self.group), 1, "i8")

    def shard_of(self, documents: Indices) -> npt.NDArray[np.int64]:
        """Return the shard number of documents."""
        return np.searchsorted(self.shard_bounds, documents, side="right") - 1


@dataclass(frozen=True)
class Leaders:
    """Which group leads each one, and how alike the members are.

    Attributes:
        leader: (groups,): the group that leads each one; a leader comes before its members.
        similarity: float32 (groups,): Jaccard similarity with the leader.
        diameter: float32 (groups,): at each leader, the largest distance of two members of its cluster.
    """

    leader: Indices
    similarity: npt.NDArray[np.float32]
    diameter: npt.NDArray[np.float32]


def duplicate_tables(groups: DigestGroups, leaders: Leaders, prefix: str) -> Iterator[pa.Table]:
    """Yield the members of clusters of two documents and more, a table a shard (``DUPLICATE_SCHEMA``).

    Args:
        groups: The documents.
        leaders: How their groups are clustered.
        prefix: Of cluster ids, which name the representative: ``prefix:shard:position``.
    """
    sizes = cluster_sizes(groups, leaders.leader)
    names = pa.array(groups.shards, pa.string())
    for number, _ in enumerate(groups.shards):
        documents = np.arange(groups.shard_bounds[number], groups.shard_bounds[number + 1])
        leads = look_up(leaders.leader, groups.group[documents])
        documents, leads = documents[sizes[leads] > 1], leads[sizes[leads] > 1]
        if len(documents):
            yield _rows(groups, names, documents, leads, leaders, prefix)
        release(groups.group)


def cluster_sizes(groups: DigestGroups, leader: Indices) -> Numbers:
    """Return the documents in the cluster that each group leads; 0 for those that lead none."""
    sizes = np.zeros(len(leader), np.uint32)
    for some in stretches(len(groups.group), STRETCH, groups.group, leader):
        np.add.at(sizes, leader[groups.group[some]], np.uint32(1))
    return sizes


def _rows(
    groups: DigestGroups,
    names: pa.Array,
    documents: npt.NDArray[np.int64],
    leads: Indices,
    leaders: Leaders,
    prefix: str,
) -> pa.Table:
    representatives = look_up(groups.first, leads)
    shard = names.take(pa.array(groups.shard_of(representatives)))
    position = pa.array(look_up(groups.positions, representatives))
    cluster = pc.binary_join_element_wise(prefix, shard, position.cast(pa.string()), ":")
    own = groups.group[documents]
    columns = [
        names.take(pa.array(groups.shard_of(documents))),
        pa.array(look_up(groups.positions, documents)),
        cluster,
        shard,
        position,
        pa.array(look_up(leaders.similarity, own)),
        pa.array(own == leads),
        pa.array(look_up(leaders.diameter, leads)),
    ]
    return pa.Table.from_arrays(columns, schema=DUPLICATE_SCHEMA)
