"""Blocks of a corpus, drawn at random over its bytes, and copied into small files that the pass can read.

A place is drawn systematically among the bytes of each kind of file (format and compression), so that
shards are drawn in proportion to their size and the start, the middle and the end of files all come up.
Plain JSONL is read from there, Parquet from a row group; other files are read from their beginning, and no
further than ``REACH``.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit import sources
from audit.errors import InputError
from audit.model import DOCUMENT_SCHEMA, Batch, Shard
from audit.objects.object_addresses import is_object_address
from audit.sources import ColumnMapping, ReadLimits
from audit.sources.contracts import MIB
from audit.sources.shard_bytes import open_shard_bytes
from audit.sources.streams import is_compressed

#: Text of a block, bytes.
BLOCK_BYTES = 4 * MIB
#: Bytes of a file that is not cut within which a block may begin.
REACH = 64 * MIB
#: How the copies are read: under the names of ``DOCUMENT_SCHEMA``.
COPY_COLUMNS = ColumnMapping("doc_id", "text", "url", "timestamp", "language", "source")
_COPIED = ["doc_id", "text", "url", "timestamp", "language", "source"]
#: Blocks of every kind of file that come before all others.
FIRST = 2
_LEAST_BLOCKS = 4
#: Formats that this process has read.
_warm: set[str] = set()


@dataclass(frozen=True)
class BlockTask:
    """A block to read.

    Attributes:
        shard: Cut so that it begins at the block, where the format allows it.
        skip: Bytes of it to pass over first.
        kind: Index of its kind of file.
        copy: File to write.
        deadline: Of ``time.monotonic``; a task that begins later does nothing.
    """

    shard: Shard
    skip: int
    kind: int
    copy: Path
    columns: ColumnMapping
    limits: ReadLimits
    deadline: float


@dataclass(frozen=True)
class Block:
    """What was read for a block.

    Attributes:
        size: Bytes of the corpus that the block is.
        text_bytes, documents, rejected: What they held.
        read_size, read_cpu, read_wall: Bytes and seconds of the reading, those passed over included.
        copy: Name of the file that holds its documents.
    """

    kind: int
    size: int
    text_bytes: int
    documents: int
    rejected: int
    read_size: int
    read_cpu: float
    read_wall: float
    copy: str


def kinds(shards: Sequence[Shard]) -> list[str]:
    """Kinds of files in a corpus, sorted."""
    return sorted({kind_of(shard) for shard in shards})


def kind_of(shard: Shard) -> str:
    """Format, and ending of the file's name."""
    name = Path(shard.uri).name.lower()
    packed = next((ending for ending in (".gz", ".zst", ".bz2") if name.endswith(ending)), "")
    return shard.format + packed


def draw(shards: Sequence[Shard], count: int, seed: int) -> list[tuple[int, Shard, int]]:
    """Draw (kind, shard, offset in it), so ordered that every beginning is a sample.

    Each kind gets places in proportion to its bytes, ``_LEAST_BLOCKS`` at least.
    """
    random = np.random.default_rng(seed)
    total = sum(shard.size for shard in shards)
    drawn: list[tuple[float, int, Shard, int]] = []
    for kind, name in enumerate(kinds(shards)):
        members = [shard for shard in shards if kind_of(shard) == name and shard.size]
        size = sum(shard.size for shard in members)
        if not size:
            continue
        places = max(_LEAST_BLOCKS, round(count * size / total))
        found = random.permutation(np.array(list(_places(members, size, places, random)), object))
        drawn += [
            (0.0 if rank < FIRST else rank / len(found), kind, shard, int(offset))
            for rank, (shard, offset) in enumerate(found)
        ]
    return [(kind, shard, offset) for _, kind, shard, offset in sorted(drawn, key=lambda d: d[:2])]


def _places(
    shards: Sequence[Shard], size: int, count: int, random: np.random.Generator
) -> Iterator[tuple[Shard, int]]:
    """Systematic places among the bytes, one a block at most."""
    ends = np.cumsum([shard.size for shard in shards])
    seen: set[tuple[str, int]] = set()
    for place in (np.arange(count) + random.random()) * size / count:
        number = min(int(np.searchsorted(ends, place, side="right")), len(shards) - 1)
        shard = shards[number]
        offset = int(place) - int(ends[number]) + shard.size
        if shard.size <= BLOCK_BYTES:
            offset = 0  # the whole shard
        if (shard.shard, offset) not in seen:
            seen.add((shard.shard, offset))
            yield shard, offset


def cut(shard: Shard, offset: int) -> tuple[Shard, int]:
    """The shard from about an offset on, and the bytes of it to pass over to be there."""
    offset = max(0, min(offset, shard.size - BLOCK_BYTES))
    if shard.format == "jsonl" and _stands(shard) and not is_compressed(shard.uri):
        start = (shard.start or 0) + offset
        stop = shard.stop or shard.size
        return dataclasses.replace(shard, start=start, stop=stop, size=stop - start), 0
    if shard.format == "parquet" and _stands(shard):
        return _row_group(shard, offset)
    return shard, min(offset, REACH)


def _stands(shard: Shard) -> bool:
    return is_object_address(shard.uri) or Path(shard.uri).is_file()


def _row_group(shard: Shard, offset: int) -> tuple[Shard, int]:
    try:
        with open_shard_bytes(shard.uri, shard.etag, shard.file_size) as file:
            metadata = pq.read_metadata(file)
    except (pa.ArrowException, OSError, InputError):
        return shard, 0  # reading it tells
    start, stop = shard.start or 0, shard.stop if shard.stop is not None else metadata.num_row_groups
    sizes = [_stored(metadata.row_group(i)) for i in range(start, stop)]
    begins = np.concatenate([[0], np.cumsum(sizes)])
    group = min(int(np.searchsorted(begins, offset, side="right")) - 1, len(sizes) - 1)
    rest = dataclasses.replace(shard, start=start + group, stop=stop, size=int(begins[-1] - begins[group]))
    return rest, max(0, int(offset - begins[group]))


def _stored(group: object) -> int:
    return sum(group.column(i).total_compressed_size for i in range(group.num_columns))  # type: ignore[attr-defined]


def read_block(task: BlockTask) -> Block | None:
    """Read a block and write the copy; None where it is too late, or the file cannot be read there."""
    if time.monotonic() > task.deadline:
        return None
    limits = dataclasses.replace(task.limits, batch_bytes=min(MIB, task.limits.batch_bytes))
    _warm_up(task, limits)
    taken: list[Batch] = []
    passed = texts = 0
    wall, cpu = time.monotonic(), time.process_time()
    try:
        for batch in sources.read(task.shard, task.columns, limits):
            passed += batch.bytes_read
            if passed <= task.skip:
                continue
            taken.append(batch)
            texts += _text_bytes(batch)
            if texts >= BLOCK_BYTES:
                break
    except InputError:
        if not taken:
            return None
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    documents = pa.Table.from_batches([b.documents for b in taken], DOCUMENT_SCHEMA) if taken else None
    if documents is None or not len(documents):
        return None
    _write(documents, task.copy)
    return Block(
        task.kind,
        sum(batch.bytes_read for batch in taken),
        texts,
        len(documents),
        sum(len(batch.rejects) for batch in taken),
        passed,
        cpu,
        wall,
        task.copy.name,
    )


def _warm_up(task: BlockTask, limits: ReadLimits) -> None:
    """Read a batch of a format that is new to this process, so that loading it is not timed."""
    if task.shard.format not in _warm:
        _warm.add(task.shard.format)
        with suppress(InputError):
            next(iter(sources.read(task.shard, task.columns, limits)), None)


def _write(documents: pa.Table, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(documents.select(_COPIED), copy, compression="none", row_group_size=1 << 20)


def _text_bytes(batch: Batch) -> int:
    return int(pc.sum(pc.binary_length(batch.documents.column("text"))).as_py() or 0)


def tasks(
    shards: Sequence[Shard], columns: ColumnMapping, limits: ReadLimits, folder: Path, count: int, seed: int
) -> Iterator[BlockTask]:
    """Tasks for the blocks that are drawn; their deadline is yet to be set."""
    for number, (kind, shard, offset) in enumerate(draw(shards, count, seed)):
        begun, skip = cut(shard, offset)
        copy = folder / f"block-{number:05d}.parquet"
        yield BlockTask(begun, skip, kind, copy, columns, limits, float("inf"))


@dataclass(frozen=True)
class JoinTask:
    """Copies to be written as one file."""

    copies: tuple[Path, ...]
    to: Path


def join(task: JoinTask) -> None:
    """Write some copies as one file, a row group each; the copies go."""
    task.to.parent.mkdir(parents=True, exist_ok=True)
    tables = (pq.read_table(path, partitioning=None) for path in task.copies)
    first = next(tables)
    with pq.ParquetWriter(task.to, first.schema, compression="none") as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table)
    for path in task.copies:
        path.unlink()
