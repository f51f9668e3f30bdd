"""The documents of a corpus, grouped by digest, and the rows that duplicate screens yield."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.kernels.buffers import fixed_size_rows
from audit.model import DUPLICATE_SCHEMA

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DigestGroups:
    """Documents with a digest, in (shard, position) order, and which of them share one.

    Attributes:
        shards: Shard ids.
        shard_bounds: int64 (shards + 1,): a shard's documents are those between its bounds.
        positions: int64 (n,): the documents' positions.
        group: int64 (n,): each document's group; groups are numbered by their first document.
        first: int64 (groups,): the first document of each group.
    """

    shards: Sequence[str]
    shard_bounds: Indices
    positions: Indices
    group: Indices
    first: Indices

    def shard_of(self, documents: Indices) -> Indices:
        """Return the shard number of documents."""
        return np.searchsorted(self.shard_bounds, documents, side="right") - 1


def group_by_digest(tables: Iterable[tuple[str, pa.Table]], column: str) -> DigestGroups:
    """Group the documents whose digest (16 bytes) is not null.

    Args:
        tables: (shard, table with ``position`` and the digest), in shard order.
        column: The digest's column.
    """
    shards: list[str] = []
    sizes, positions, digests = [0], [np.empty(0, np.int64)], [np.empty((0, 2), np.uint64)]
    for shard, table in tables:
        present = sketched(table, column)
        shards.append(shard)
        sizes.append(len(present))
        positions.append(present["position"].to_numpy())
        digests.append(
            fixed_size_rows(present[column].combine_chunks(), np.uint64).astype(np.uint64, copy=False)
        )
    group, first = _groups(np.concatenate(digests))
    return DigestGroups(tuple(shards), np.cumsum(sizes), np.concatenate(positions), group, first)


def sketched(table: pa.Table, column: str) -> pa.Table:
    """Return the rows that have a sketch, by position."""
    return table.filter(pc.is_valid(table[column])).sort_by("position")


def _groups(digests: npt.NDArray[np.generic]) -> tuple[Indices, Indices]:
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    # The sort is stable: the first of a run is the first of its group in the corpus.
    first = order[starts]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    group = np.empty(len(order), np.int64)
    group[order] = rank[np.cumsum(starts) - 1]
    return group, np.sort(first)


def duplicate_tables(
    groups: DigestGroups, leader: Indices, similarity: npt.NDArray[np.float32], prefix: str
) -> Iterator[pa.Table]:
    """Yield the members of clusters of two documents and more, a table a shard (``DUPLICATE_SCHEMA``).

    Args:
        groups: The documents.
        leader: int64 (groups,): the group that leads each one; a leader comes before its members.
        similarity: float32 (groups,): Jaccard similarity with the leader.
        prefix: Of cluster ids, which name the representative: ``prefix:shard:position``.
    """
    sizes = np.bincount(leader[groups.group], minlength=len(leader))
    for number, _ in enumerate(groups.shards):
        documents = np.arange(groups.shard_bounds[number], groups.shard_bounds[number + 1])
        leads = leader[groups.group[documents]]
        documents, leads = documents[sizes[leads] > 1], leads[sizes[leads] > 1]
        if len(documents):
            yield _rows(groups, documents, leads, similarity, prefix)


def _rows(
    groups: DigestGroups, documents: Indices, leads: Indices, similarity: npt.NDArray[np.float32], prefix: str
) -> pa.Table:
    names = pa.array(groups.shards, pa.string())
    representatives = groups.first[leads]
    shard = names.take(pa.array(groups.shard_of(representatives)))
    position = pa.array(groups.positions[representatives])
    cluster = pc.binary_join_element_wise(prefix, shard, position.cast(pa.string()), ":")
    own = groups.group[documents]
    columns = [
        names.take(pa.array(groups.shard_of(documents))),
        pa.array(groups.positions[documents]),
        cluster,
        shard,
        position,
        pa.array(similarity[own]),
        pa.array(own == leads),
    ]
    return pa.Table.from_arrays(columns, schema=DUPLICATE_SCHEMA)
