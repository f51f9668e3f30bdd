"""Counting in how many documents each paragraph stands, partition by partition.

    sketches of some shards -> sorted spills -> partitions of the hash: what is repeated, by document
                                                              -> bytes of each document, shard by shard

Each arrow is a function of files, for any engine: memory is that of some shards, or of one partition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.duplicates.array_files import appearing, write_array
from audit.duplicates.exchange import Corpus, FileList, mapped, merged, partition_bits, read_range, spill
from audit.kernels.buffers import string_buffers

Counts = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

#: A paragraph of a document; its hash is the key. ``document`` numbers those of its file.
RECORD = np.dtype([("document", "<u4"), ("bytes", "<u4")])

#: Records of a partition, about; counting one takes some 60 bytes a record.
_PARTITION = 1 << 20
#: Records of a spill at most; writing one takes some 100 bytes a record.
_RUN = 1 << 20


@dataclass(frozen=True, order=True)
class Repeated:
    """A paragraph that stands in many documents; sorts the most frequent first.

    Attributes:
        rank: Minus the number of documents.
        hash: Of the normalised paragraph, 64 bits.
        bytes: That it takes in all of them together.
        first: The number of the first document that holds it.
    """

    rank: int
    hash: int
    bytes: int
    first: int

    @property
    def documents(self) -> int:
        """Documents in which it stands."""
        return -self.rank


@dataclass(frozen=True)
class Tally:
    """What one partition came to: distinct paragraphs, those repeated, and the most frequent of them."""

    distinct: int
    repeated: int
    most: tuple[Repeated, ...]


@dataclass(frozen=True)
class Paragraphs:
    """Paragraphs of some shards, to be spilled.

    Attributes:
        corpus: The shards.
        hashes, sizes: Columns: 8 bytes a paragraph, and a list of bytes.
        spills: Files to write, with this number.
    """

    corpus: Corpus
    hashes: str
    sizes: str
    spills: FileList
    number: int


@dataclass
class Spilled:
    """What became of them: documents of each shard, paragraphs, and files with their first documents."""

    documents: list[int] = field(default_factory=list)
    paragraphs: int = 0
    runs: list[tuple[Path, int]] = field(default_factory=list)


def spill_paragraphs(task: Paragraphs) -> Spilled:
    """Write the spills of some shards; documents are numbered from the first of them."""
    done, held, start = Spilled(), _Held(), 0
    for _, table in task.corpus.read([task.hashes, task.sizes]):
        held.add(table[task.hashes], table[task.sizes])
        done.documents.append(len(table))
        if held.paragraphs >= _RUN:
            start, held = _flush(task, done, held, start), _Held()
        pa.default_memory_pool().release_unused()
    _flush(task, done, held, start)
    return done


class _Held:
    """Paragraphs in memory, by document."""

    def __init__(self) -> None:
        self.hashes: list[Hashes] = []
        self.records: list[npt.NDArray[Any]] = []
        self.documents = self.paragraphs = 0

    def add(self, hashes: pa.ChunkedArray, sizes: pa.ChunkedArray) -> None:
        lengths = pc.fill_null(pc.list_value_length(sizes), 0).to_numpy()
        records = np.empty(int(lengths.sum()), RECORD)
        records["bytes"] = pc.list_flatten(sizes).to_numpy()
        documents = np.arange(self.documents, self.documents + len(sizes), dtype=np.uint32)
        records["document"] = np.repeat(documents, lengths)
        self.hashes.append(_unpacked(hashes))
        self.records.append(records)
        self.documents += len(sizes)
        self.paragraphs += len(records)


def _unpacked(column: pa.ChunkedArray) -> Hashes:
    """Return the hashes of all texts, one after the other."""
    data, offsets = string_buffers(column.combine_chunks())
    return np.frombuffer(data[offsets[0] : offsets[-1]].tobytes(), "<u8")


def _flush(task: Paragraphs, done: Spilled, held: _Held, start: int) -> int:
    """Write what is held to a file; return the number of the document behind it."""
    if held.paragraphs:
        path = task.spills.path(task.number, len(done.runs))
        spill(path, np.concatenate(held.hashes), np.concatenate(held.records))
        done.runs.append((path, start))
    done.paragraphs += held.paragraphs
    return start + held.documents


@dataclass(frozen=True)
class Count:
    """Count the paragraphs of one partition.

    Attributes:
        spills: Of all shards, with the corpus' number of each one's first document.
        partition, bits: One of ``2**bits``.
        minimum: In how many documents a repeated paragraph stands, at least.
        most: How many of the most frequent paragraphs are told.
        told: File to write: documents with a repeated paragraph (int64, ascending), and the bytes (int64).
    """

    spills: FileList
    partition: int
    bits: int
    minimum: int
    most: int
    told: Path


def counts_of(spills: FileList, records: int, minimum: int, most: int, told: FileList) -> list[Count]:
    """Return a task a partition, of so many records in all; their files are those of ``told``."""
    bits = partition_bits(records, _PARTITION)
    tasks = [
        Count(spills, at, bits, minimum, most, told.path(at)) for at in range(1 << bits if records else 0)
    ]
    told.keep((task.told, 0) for task in tasks)
    return tasks


def count_partition(task: Count) -> Tally:
    """Write the file of a count; return what it came to."""
    parts = (_numbered(path, start, task) for path, start in task.spills.members())
    hashes, records = merged(parts)
    changes = np.flatnonzero(hashes[1:] != hashes[:-1]) + 1
    starts = np.concatenate(([0], changes)) if len(hashes) else np.empty(0, np.int64)
    lengths = np.diff(np.append(starts, len(hashes)))
    repeated = lengths >= task.minimum
    _tell(records[np.repeat(repeated, lengths)], task.told)
    most = _most(hashes, records, starts[repeated], lengths[repeated], task.most)
    return Tally(len(starts), int(repeated.sum()), most)


def _numbered(path: Path, start: int, task: Count) -> tuple[Hashes, npt.NDArray[Any]]:
    """Read a range of a spill, with the numbers that documents have in the corpus."""
    keys, records = read_range(path, RECORD, task.partition, task.bits)
    found = np.empty(len(keys), np.dtype([("document", "<i8"), ("bytes", "<u4")]))
    found["document"] = records["document"].astype(np.int64) + start
    found["bytes"] = records["bytes"]
    return keys, found


def _tell(records: npt.NDArray[Any], path: Path) -> None:
    records = records[np.argsort(records["document"], kind="stable")]
    documents = records["document"]
    starts = np.flatnonzero(np.diff(documents, prepend=-1))
    sums = np.add.reduceat(records["bytes"].astype(np.int64), starts) if len(starts) else starts
    with appearing(path) as file:
        write_array(file, documents[starts])
        write_array(file, sums)


def repeated_bytes(told: FileList, start: int, stop: int) -> Counts:
    """Return the bytes in repeated paragraphs of the documents from ``start`` to ``stop``, int64."""
    found = np.zeros(stop - start, np.int64)
    for path, _ in told.members():
        documents, sums = mapped(path, np.int64).reshape(2, -1)
        inside = slice(*np.searchsorted(documents, (start, stop)))
        found[documents[inside] - start] += sums[inside]
    return found


def _most(
    hashes: Hashes, records: npt.NDArray[Any], starts: Counts, lengths: Counts, most: int
) -> tuple[Repeated, ...]:
    # Spills are in the documents' order, and sorting is stable: the record at a start is the first document.
    chosen = np.lexsort((hashes[starts], -lengths))[:most]
    return tuple(
        Repeated(
            -int(lengths[k]),
            int(hashes[starts[k]]),
            int(records["bytes"][starts[k] : starts[k] + lengths[k]].sum(dtype=np.int64)),
            int(records["document"][starts[k]]),
        )
        for k in chosen
    )


@dataclass(frozen=True)
class Measure:
    """Write down what each document of some shards came to.

    Attributes:
        corpus: The shards.
        text_bytes: Column of the bytes of all paragraphs.
        bounds: First documents of the shards, and the end.
        told: Files of all partitions.
        asked: Documents whose positions are wanted.
        out: File to write, an Arrow batch a shard (``MEASURED``).
    """

    corpus: Corpus
    text_bytes: str
    bounds: tuple[int, ...]
    told: FileList
    asked: tuple[int, ...]
    out: Path


MEASURED = pa.schema(
    [("position", pa.int64()), ("share", pa.float32()), ("bytes", pa.int64()), ("text_bytes", pa.int64())]
)


@dataclass(frozen=True)
class Measured:
    """Sums over some shards, and where the documents that were asked for stand."""

    documents: int
    bytes: int
    repeated_bytes: int
    places: Mapping[int, tuple[str, int]]


def measure_documents(task: Measure) -> Measured:
    """Write the file of a measure."""
    repeated = repeated_bytes(task.told, task.bounds[0], task.bounds[-1])
    documents = size = copied = 0
    places: dict[int, tuple[str, int]] = {}
    with appearing(task.out) as file, pa.ipc.new_file(file, MEASURED) as writer:
        tables = task.corpus.read([task.text_bytes])
        for (shard, table), start, stop in zip(tables, task.bounds[:-1], task.bounds[1:], strict=True):
            own = repeated[start - task.bounds[0] : stop - task.bounds[0]]
            rows = _shares(table["position"], table[task.text_bytes].combine_chunks(), own)
            writer.write_batch(rows)
            documents += len(rows) - rows["text_bytes"].null_count
            size += pc.sum(rows["text_bytes"]).as_py() or 0
            copied += pc.sum(rows["bytes"]).as_py() or 0
            inside = (number for number in task.asked if start <= number < stop)
            places |= {number: (shard, rows["position"][number - start].as_py()) for number in inside}
    return Measured(documents, size, copied, places)


def _shares(positions: pa.ChunkedArray, text_bytes: pa.Array, repeated: Counts) -> pa.RecordBatch:
    own = pc.if_else(pc.is_valid(text_bytes), pa.array(repeated), pa.scalar(None, pa.int64()))
    share = pc.divide(own.cast(pa.float64()), text_bytes.cast(pa.float64()))
    columns = [positions.combine_chunks(), share.cast(pa.float32()), own, text_bytes]
    return pa.RecordBatch.from_arrays(columns, schema=MEASURED)


def measured_shards(task: Measure) -> Iterator[tuple[str, pa.Table]]:
    """Yield (shard, ``MEASURED`` rows) of a measure that is done."""
    with pa.memory_map(str(task.out)) as source, pa.ipc.open_file(source) as reader:
        for number, shard in enumerate(task.corpus.shards):
            yield shard, pa.Table.from_batches([reader.get_batch(number)])


def bounds_of(done: Sequence[Spilled]) -> Iterator[tuple[int, ...]]:
    """Yield the first documents of the shards of each stretch, and its end."""
    end = 0
    for each in done:
        bounds = [end, *(end + int(size) for size in np.cumsum(each.documents))]
        end = bounds[-1]
        yield tuple(bounds)
