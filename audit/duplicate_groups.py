"""The documents of a corpus, grouped by digest, and the rows that duplicate screens yield."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.array_files import read_array, write_array
from audit.errors import FatalError
from audit.exchange import STRETCH, Runner, mapped, partition_bits, threads
from audit.kernels.buffers import fixed_size_rows
from audit.model import DUPLICATE_SCHEMA

Numbers = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.signedinteger[Any] | np.unsignedinteger[Any]]

#: Documents are numbered in 32 bits.
MOST = (1 << 32) - 1
#: A document's digest as two words, and its number.
_RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("document", "<u4")])


@dataclass(frozen=True)
class DigestGroups:
    """Documents with a digest, in (shard, position) order, and which of them share one.

    Attributes:
        shards: Shard ids.
        shard_bounds: int64 (shards + 1,): a shard's documents are those between its bounds.
        positions: int64 (n,): the documents' positions; lies in a mapped file.
        group: uint32 (n,): each document's group; groups are numbered by their first document.
        first: uint32 (groups,): the first document of each group.
    """

    shards: Sequence[str]
    shard_bounds: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    group: Numbers
    first: Numbers

    def shard_of(self, documents: Indices) -> npt.NDArray[np.int64]:
        """Return the shard number of documents."""
        return np.searchsorted(self.shard_bounds, documents, side="right") - 1


def group_by_digest(
    tables: Iterable[tuple[str, pa.Table]],
    column: str,
    workspace: Path,
    *,
    stretch: int = STRETCH,
    runner: Runner = threads,
) -> DigestGroups:
    """Group the documents whose digest (16 bytes) is not null.

    Memory: 16 bytes a document, and what the partitions at work hold.

    Args:
        tables: (shard, table with ``position`` and the digest), in shard order.
        column: The digest's column.
        workspace: An existing folder; keeps 8 bytes a document, and 20 more for a while.
        stretch: Documents a partition holds on average.
        runner: Runs the partitions.

    Raises:
        FatalError: More documents than 32 bits can number.
    """
    records = workspace / "digests.records"
    shards, sizes = _write_records(tables, column, records, workspace / "positions.i64")
    bounds = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    first = np.arange(bounds[-1], dtype=np.uint32)
    bits = partition_bits(int(bounds[-1]), stretch)
    spills = list(runner(partial(_spill_digests, records, bits), _stretches(int(bounds[-1]), stretch)))
    records.unlink()
    for copies, originals in runner(partial(_copies, spills, bits), range(1 << bits)):
        first[copies] = originals
    for path in spills:
        path.unlink()
    return DigestGroups(shards, bounds, mapped(workspace / "positions.i64", np.int64), *_numbered(first))


def sketched(table: pa.Table, column: str) -> pa.Table:
    """Return the rows that have a sketch, by position."""
    return table.filter(pc.is_valid(table[column])).sort_by("position")


def _write_records(
    tables: Iterable[tuple[str, pa.Table]], column: str, records: Path, positions: Path
) -> tuple[tuple[str, ...], list[int]]:
    shards: list[str] = []
    sizes: list[int] = []
    with records.open("wb") as digests, positions.open("wb") as places:
        for shard, table in tables:
            present = sketched(table, column)
            _append(present[column].combine_chunks(), sum(sizes), digests)
            write_array(places, present["position"].to_numpy().astype(np.int64, copy=False))
            shards.append(shard)
            sizes.append(len(present))
            pa.default_memory_pool().release_unused()
    return tuple(shards), sizes


def _append(digests: pa.Array, number: int, file: BinaryIO) -> None:
    if number + len(digests) > MOST:
        raise FatalError("more than 4,294,967,295 documents: audit the corpus in parts, with references")
    words = fixed_size_rows(digests, np.uint64)
    rows = np.empty(len(digests), _RECORD)
    rows["high"], rows["low"] = words[:, 0], words[:, 1]
    rows["document"] = np.arange(number, number + len(digests), dtype=np.uint32)
    write_array(file, rows)


def _stretches(count: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def _spill_digests(records: Path, bits: int, stretch: tuple[int, int]) -> Path:
    """Write one stretch's records sorted by the first word, the bounds of the partitions in front."""
    start, stop = stretch
    path = records.with_name(f"digests.{start}")
    rows = read_array(records, _RECORD, stop - start, start * _RECORD.itemsize)
    rows = rows[np.argsort(rows["high"], kind="stable")]
    limits = np.arange(1, 1 << bits, dtype=np.uint64) << np.uint64(64 - bits if bits else 0)
    with path.open("wb") as file:
        bounds = np.concatenate(([0], np.searchsorted(rows["high"], limits), [len(rows)]))
        write_array(file, bounds.astype(np.int64))
        write_array(file, rows)
    return path


def _copies(spills: Sequence[Path], bits: int, partition: int) -> tuple[Numbers, Numbers]:
    """Return the documents of one partition that are not the first with their digest, and that first one."""
    rows = np.concatenate([np.empty(0, _RECORD), *(_range(path, bits, partition) for path in spills)])
    rows = rows[np.lexsort((rows["document"], rows["low"], rows["high"]))]
    starts = np.ones(len(rows), np.bool_)
    starts[1:] = (rows["high"][1:] != rows["high"][:-1]) | (rows["low"][1:] != rows["low"][:-1])
    originals = rows["document"][starts][np.cumsum(starts) - 1]
    return rows["document"][~starts], originals[~starts]


def _range(path: Path, bits: int, partition: int) -> npt.NDArray[np.void]:
    start, stop = (int(bound) for bound in read_array(path, np.int64, 2, 8 * partition))
    header = 8 * ((1 << bits) + 1)
    return read_array(path, _RECORD, stop - start, header + start * _RECORD.itemsize)


def _numbered(first: Numbers) -> tuple[Numbers, Numbers]:
    """Return each document's group and each group's first document, of each document's first copy."""
    leads = first == np.arange(len(first), dtype=np.uint32)
    rank = np.cumsum(leads, dtype=np.uint32) - np.uint32(1)
    return rank[first], np.flatnonzero(leads).astype(np.uint32)


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
    for number, _ in enumerate(groups.shards):
        documents = np.arange(groups.shard_bounds[number], groups.shard_bounds[number + 1])
        leads = leaders.leader[groups.group[documents]]
        documents, leads = documents[sizes[leads] > 1], leads[sizes[leads] > 1]
        if len(documents):
            yield _rows(groups, documents, leads, leaders, prefix)


def cluster_sizes(groups: DigestGroups, leader: Indices) -> Numbers:
    """Return the documents in the cluster that each group leads; 0 for those that lead none."""
    sizes = np.zeros(len(leader), np.uint32)
    for start in range(0, len(groups.group), STRETCH):
        np.add.at(sizes, leader[groups.group[start : start + STRETCH]], np.uint32(1))
    return sizes


def _rows(
    groups: DigestGroups, documents: npt.NDArray[np.int64], leads: Indices, leaders: Leaders, prefix: str
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
        pa.array(leaders.similarity[own]),
        pa.array(own == leads),
        pa.array(leaders.diameter[leads]),
    ]
    return pa.Table.from_arrays(columns, schema=DUPLICATE_SCHEMA)
