"""Which documents of a corpus share a digest, found partition by partition of the digests.

Workers read the sketches of neighbouring shards and leave their digests in sorted files; partitions of the
digests find the copies; numbering the groups is one pass of the driver.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.duplicates.array_files import (
    appearing,
    join_files,
    map_numbers,
    map_zeros,
    read_array,
    release,
    write_array,
)
from audit.duplicates.duplicate_groups import MOST, DigestGroups
from audit.duplicates.exchange import (
    STRETCH,
    Corpus,
    FileList,
    mapped,
    partition_bits,
    read_range,
    spill,
    stretch_of,
    threads,
    together,
)
from audit.errors import FatalError
from audit.kernels.buffers import fixed_size_rows
from audit.kernels.grouping import number_groups

Numbers = npt.NDArray[np.uint32]

#: A digest's second word, and the document's number in its file; the first word is the key.
_RECORD = np.dtype([("low", "<u8"), ("document", "<u4")])
#: Documents of a file at most: 42 MB of records.
_RUN = 1 << 21


def group_by_digest(
    corpora: Sequence[Corpus], column: str, workspace: Path, *, stretch: int = STRETCH
) -> DigestGroups:
    """Group the documents whose digest (16 bytes) is not null.

    Memory: 4 bytes a document and 4 a group, in mapped files, and what the partitions at work hold.

    Args:
        corpora: Their documents are numbered together, in this order; the first one's workers find the
            copies.
        column: The digest's column.
        workspace: An existing folder; keeps 16 bytes a document at most, and 28 more for a while.
        stretch: Documents that a partition holds on average, of a corpus that is not large.

    Raises:
        FatalError: More documents than 32 bits can number.
    """
    spills = FileList(workspace, "digests")
    found = list(_spilled(corpora, column, spills))
    sizes = [size for piece in found for size in piece.sizes]
    bounds = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    documents = int(bounds[-1])
    if documents > MOST:
        raise FatalError("more than 4,294,967,295 documents: audit the corpus in parts, with references")
    starts = itertools.accumulate((sum(piece.sizes) for piece in found), initial=0)
    spills.keep(run for piece, start in zip(found, starts, strict=False) for run in piece.at(start))
    join_files((piece.positions for piece in found), workspace / "positions.i64")
    group, first = _numbered(corpora[0], spills, documents, stretch_of(documents, stretch), workspace)
    spills.remove()
    shards = tuple(itertools.chain.from_iterable(corpus.shards for corpus in corpora))
    positions = mapped(workspace / "positions.i64", np.int64)
    return DigestGroups(shards, bounds, positions, group, first, workspace)


def sketched(table: pa.Table, column: str) -> pa.Table:
    """Return the rows that have a sketch, by position."""
    return table.filter(pc.is_valid(table[column])).sort_by("position")


@dataclass(frozen=True)
class _Piece:
    """The digests of some shards, to be written to files."""

    corpus: Corpus
    column: str
    number: int
    spills: FileList


@dataclass(frozen=True)
class _Spilled:
    """What became of a piece: the sketched documents of each shard, its files and their first documents."""

    sizes: list[int]
    positions: Path
    runs: list[Path]
    starts: list[int]

    def at(self, start: int) -> Iterator[tuple[Path, int]]:
        """The files and their first documents, where the piece's first one has this number."""
        return ((run, start + first) for run, first in zip(self.runs, self.starts, strict=True))


def _spilled(corpora: Sequence[Corpus], column: str, spills: FileList) -> Iterator[_Spilled]:
    number = 0
    for corpus in corpora:
        pieces = corpus.split()
        tasks = [_Piece(piece, column, number + at, spills) for at, piece in enumerate(pieces)]
        number += len(tasks)
        yield from corpus.run(_spill, tasks)


def _spill(task: _Piece) -> _Spilled:
    positions = task.spills.folder / f"positions.{task.number}"
    done = _Spilled([], positions, [], [])
    held: list[npt.NDArray[Any]] = []
    start = 0
    with appearing(positions) as places:
        for _, table in task.corpus.read([task.column]):
            present = sketched(table, task.column)
            write_array(places, present["position"].to_numpy().astype(np.int64, copy=False))
            done.sizes.append(len(present))
            held.append(fixed_size_rows(present[task.column].combine_chunks(), np.uint64))
            if sum(map(len, held)) >= _RUN:
                start = _flush(task, done, held, start)
            pa.default_memory_pool().release_unused()
    if held:
        _flush(task, done, held, start)
    return done


def _flush(task: _Piece, done: _Spilled, held: list[npt.NDArray[Any]], start: int) -> int:
    """Write the digests that are held to a file; return the number of the document behind them."""
    words = np.concatenate(held)
    records = np.empty(len(words), _RECORD)
    records["low"], records["document"] = words[:, 1], np.arange(len(words), dtype=np.uint32)
    path = task.spills.path(task.number, len(done.runs))
    spill(path, words[:, 0], records)
    done.runs.append(path)
    done.starts.append(start)
    held.clear()
    return start + len(words)


def _numbered(
    corpus: Corpus, spills: FileList, documents: int, stretch: int, workspace: Path
) -> tuple[Numbers, Numbers]:
    """Return each document's group and each group's first document."""
    group = map_numbers(workspace / "group.u32", documents)
    if not documents:
        return group, np.empty(0, np.uint32)
    bits = partition_bits(documents, stretch)
    run = corpus.run if bits else threads
    groups = documents
    for path in run(partial(_copies, spills, bits), range(1 << bits)):
        copies, originals = read_array(path, np.uint32).reshape(2, -1)
        group[copies] = originals
        groups -= len(copies)
        path.unlink()
    first = map_zeros(workspace / "first.u32", np.uint32, groups)
    number_groups(group, first)
    release(group)
    release(first)
    return group, first


def _copies(spills: FileList, bits: int, partition: int) -> Path:
    """Write the documents of one partition that are not the first with their digest, and that first one."""
    high, rows = together(_numbered_range(path, start, bits, partition) for path, start in spills.members())
    order = np.lexsort((rows["low"], high))  # stable: copies stay in the documents' order
    high, rows = high[order], rows[order]
    starts = np.ones(len(rows), np.bool_)
    starts[1:] = (high[1:] != high[:-1]) | (rows["low"][1:] != rows["low"][:-1])
    originals = rows["document"][starts][np.cumsum(starts) - 1]
    path = spills.folder / f"copies.{partition}"
    write_array(path, np.stack((rows["document"][~starts], originals[~starts])))
    return path


def _numbered_range(
    path: Path, start: int, bits: int, partition: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[Any]]:
    keys, records = read_range(path, _RECORD, partition, bits)
    records["document"] += np.uint32(start)
    return keys, records
