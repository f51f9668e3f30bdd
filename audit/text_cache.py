"""A private cache of texts that are likely to be sampled, so that a pass over 10 TB is not read twice.

During the pass a document is kept when its permanent random number lies under a cut; samples are the
smallest numbers of their strata, so that the cache holds most of them. What it does not hold (rare strata
that are drawn densely, copies with numbers of their own) is read again by position. Texts may hold
anything: the cache lies outside the run, for its owner alone, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit import sources, user_cache
from audit.facts import text_digests
from audit.model import DOCUMENT_SCHEMA, Shard
from audit.permanent_numbers import document_numbers
from audit.sources import ColumnMapping, ReadLimits
from audit.storage.durable_files import private_file

ENVIRONMENT_VARIABLE = "AUDIT_TEXT_CACHE"
#: Of a small corpus no more is kept: reading it again costs little.
_LARGEST_SHARE = 0.05
_NUMBERS = 1 << 64


@dataclass(frozen=True)
class TextCache:
    """Which texts are kept, and where.

    Attributes:
        folder: Of this corpus' texts.
        seeds: Of the samples: the review's, and an independent probe's.
        share: Of the documents, for each seed.
    """

    folder: Path
    seeds: tuple[bytes, ...] = field(repr=False)
    share: float

    def keeper(self, shard: Shard) -> Keeper:
        """Collects the texts of one shard."""
        return Keeper(self, shard)

    def wanted(self, facts: pa.RecordBatch) -> pa.Array:
        """Whether each document of a batch (as ``facts.describe`` has it) is kept."""
        cut = np.uint64(min(int(self.share * _NUMBERS), _NUMBERS - 1))
        kept = np.zeros(len(facts), bool)
        for seed in self.seeds:
            kept |= document_numbers(facts, seed) < cut
        return pa.array(kept)


class Keeper:
    """The texts of one shard that are kept; nothing stands before ``commit``."""

    def __init__(self, cache: TextCache, shard: Shard) -> None:
        self._cache, self._path = cache, _path(cache.folder, shard)
        self._kept: list[pa.RecordBatch] = []

    def offer(self, documents: pa.RecordBatch, facts: pa.RecordBatch) -> None:
        """Keep some documents of a batch, and what is known of them, row for row."""
        chosen = documents.filter(self._cache.wanted(facts))
        if len(chosen):
            self._kept.append(chosen)

    def commit(self) -> None:
        """Put the file in place in one step; an earlier one of this shard goes."""
        if self._kept:
            _write(self._path, pa.Table.from_batches(self._kept))
        else:
            self._path.unlink(missing_ok=True)


def place(commitment: str) -> Path | None:
    """Folder of a corpus' texts: in ``$AUDIT_TEXT_CACHE``, or in ``texts`` of the user's cache.

    None where the user has no home.

    Args:
        commitment: To the seed of its draws, which versions of a data set share.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    try:
        root = Path(named) if named else user_cache.folder("texts")
    except RuntimeError:
        return None
    return root / hashlib.sha256(commitment.encode()).hexdigest()[:16]


def share_within(budget_bytes: int, corpus_bytes: int) -> float:
    """Share of the documents whose texts fit a budget; compressed input may take several times that."""
    return min(_LARGEST_SHARE, budget_bytes / max(corpus_bytes, 1))


def documents_at(
    folder: Path | None,
    shard: Shard,
    columns: ColumnMapping,
    limits: ReadLimits,
    wanted: Mapping[int, bytes],
) -> Iterator[pa.RecordBatch]:
    """Yield some documents (``DOCUMENT_SCHEMA``) in order: from the cache, and the rest from the source.

    Args:
        folder: Of the texts; None: there is no cache.
        shard: Where the documents lie.
        columns: Where the fields of a document are.
        limits: Bounds of a document.
        wanted: Position -> digest of the text; a cached text of another digest is read again.

    Raises:
        InputError: As ``sources.documents_at``.
    """
    cached = None if folder is None else _cached(_path(folder, shard), wanted)
    if cached is None or len(cached) == 0:
        yield from sources.documents_at(shard, columns, limits, wanted.keys())
        return
    held = set(cached.column("position").to_pylist())
    rest = list(sources.documents_at(shard, columns, limits, wanted.keys() - held))
    table = pa.concat_tables([cached, *(pa.Table.from_batches([batch]) for batch in rest)])
    yield from table.sort_by("position").combine_chunks().to_batches()


def _cached(path: Path, wanted: Mapping[int, bytes]) -> pa.Table | None:
    if not path.is_file() or path.is_symlink():
        return None
    try:
        positions = pa.array(sorted(wanted), pa.int64())
        table = pq.read_table(path, filters=pc.field("position").isin(positions), partitioning=None)
        table = table.cast(DOCUMENT_SCHEMA)
    except (OSError, pa.ArrowException):  # deleted or damaged meanwhile: the source has the texts
        return None
    found = text_digests(table.column("text").combine_chunks()).to_pylist()
    same = [
        wanted[at] == digest for at, digest in zip(table.column("position").to_pylist(), found, strict=True)
    ]
    return table.filter(pa.array(same, pa.bool_()))


def _path(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.shard}.parquet"


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with private_file(path) as handle:
        pq.write_table(table, handle, compression="zstd")
