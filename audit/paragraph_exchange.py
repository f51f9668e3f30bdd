"""Counting in how many documents each paragraph stands, partition by partition.

Sketches are cut by ranges of the paragraph's hash into files, and each file is counted alone: memory is that
of one partition, whatever the corpus. Nothing here knows where the records come from, so that any engine can
write and count the partitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.array_files import read_array, write_array

Counts = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

#: A paragraph of a document: 20 bytes on disk. ``document`` numbers the documents of the corpus.
RECORD = np.dtype([("hash", "<u8"), ("document", "<u8"), ("bytes", "<u4")])

#: Records of a partition, about; counting one takes some 60 bytes a record.
_PARTITION = 1 << 20
#: Files that are open at a time, at most.
_MOST_PARTITIONS = 256


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


class Exchange:
    """Partition files of paragraph records, in a scratch folder."""

    def __init__(self, folder: Path, records: int) -> None:
        """Prepare for about ``records`` of them."""
        wanted = max(1, -(-records // _PARTITION))
        self._bits = min(int(wanted - 1).bit_length(), _MOST_PARTITIONS.bit_length() - 1)
        self._paths = [folder / f"paragraphs-{number:03}.rec" for number in range(1 << self._bits)]

    def write(self, batches: Iterator[npt.NDArray[np.void]]) -> None:
        """Distribute batches of ``RECORD``, keeping their order within a partition."""
        handles = [path.open("wb") for path in self._paths]
        try:
            for records in batches:
                numbers = self._partition(records["hash"])
                order = np.argsort(numbers, kind="stable")
                bounds = np.searchsorted(numbers[order], np.arange(len(handles) + 1))
                for number, handle in enumerate(handles):
                    write_array(handle, records[order[bounds[number] : bounds[number + 1]]])
        finally:
            for handle in handles:
                handle.close()

    def count(self, minimum_documents: int, repeated_bytes: Counts, most: int) -> Iterator[Tally]:
        """Count every partition, and remove its file.

        Args:
            minimum_documents: In how many documents a repeated paragraph stands, at least.
            repeated_bytes: int64 (documents,); the bytes that stand in repeated paragraphs are added.
            most: How many of the most frequent paragraphs are told.
        """
        for path in self._paths:
            records = read_array(path, RECORD)
            path.unlink()
            yield _count(records, minimum_documents, repeated_bytes, most)

    def _partition(self, hashes: Hashes) -> Hashes:
        if not self._bits:
            return np.zeros(len(hashes), np.uint64)
        return hashes >> np.uint64(64 - self._bits)


def _count(records: npt.NDArray[np.void], minimum: int, repeated_bytes: Counts, most: int) -> Tally:
    ordered = records[np.argsort(records["hash"], kind="stable")]
    changes = np.flatnonzero(ordered["hash"][1:] != ordered["hash"][:-1]) + 1
    starts = np.concatenate(([0], changes)) if len(ordered) else np.empty(0, np.int64)
    lengths = np.diff(np.append(starts, len(ordered)))
    repeated = lengths >= minimum
    told = ordered[np.repeat(repeated, lengths)]
    np.add.at(repeated_bytes, told["document"].astype(np.int64), told["bytes"].astype(np.int64))
    return Tally(len(starts), int(repeated.sum()), _most(ordered, starts[repeated], lengths[repeated], most))


def _most(ordered: npt.NDArray[np.void], starts: Counts, lengths: Counts, most: int) -> tuple[Repeated, ...]:
    # The sort is stable: the record at a start is the paragraph's first document.
    chosen = np.lexsort((ordered["hash"][starts], -lengths))[:most]
    return tuple(
        Repeated(
            -int(lengths[k]),
            int(ordered["hash"][starts[k]]),
            int(ordered["bytes"][starts[k] : starts[k] + lengths[k]].sum(dtype=np.int64)),
            int(ordered["document"][starts[k]]),
        )
        for k in chosen
    )
