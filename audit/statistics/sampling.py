"""Drawing by permanent random numbers: each document has a number, the smallest in a stratum are drawn.

The number depends on the document and a seed that nobody chooses, not on shards, workers or order; so
samples are the same everywhere, versions of a data set share what they share, and a larger sample contains
the smaller one. E. Ohlsson, "Coordination of samples using permanent random numbers", in Business Survey
Methods (Wiley 1995), ch. 9.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.statistics.strata import Design

_KEPT = pa.schema(
    [
        pa.field("code", pa.int32()),
        pa.field("prn", pa.uint64()),
        pa.field("shard", pa.string()),
        pa.field("position", pa.int64()),
    ]
)
_ORDER = [(name, "ascending") for name in _KEPT.names]

#: Rows that may wait before the keeper sorts them away.
_PENDING = 1 << 16


def derive_seed(corpus_name: str, key: bytes) -> bytes:
    """Sixteen bytes that follow from what is audited and by whom.

    Versions of a data set share the seed, and so do all policies: rewording, renaming or reordering gates
    draws nothing anew. Without the auditor's key nobody can tell the draws beforehand, who knows the name
    and the policy no more than others.

    Args:
        corpus_name: Of the data set, without its version.
        key: The auditor's secret, which lies outside every run.
    """
    return hmac.digest(key, b"corpus-audit sample\0" + corpus_name.encode(), "sha256")[:16]


def commitment(seed: bytes) -> str:
    """Digest of a seed that may be published: it proves later which seed was used, and tells no draw."""
    return "sha256:" + hashlib.sha256(b"corpus-audit seed\0" + seed).hexdigest()


@dataclass
class SmallestNumbers:
    """Keeps, per stratum, the documents with the smallest numbers; mergeable, in any order.

    Adding a document twice counts once, so a shard that is read again changes nothing.

    Attributes:
        labels: Stratum labels by code.
        sizes: Documents to keep by code.
        documents: Documents in the stratum by code.
    """

    labels: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    _tables: list[pa.Table] = field(default_factory=lambda: [_KEPT.empty_table()])
    _cut: npt.NDArray[np.uint64] = field(init=False)

    def __post_init__(self) -> None:
        self._cut = np.full(len(self.labels), np.iinfo(np.uint64).max, np.uint64)

    @classmethod
    def of(cls, design: Design) -> SmallestNumbers:
        """An empty keeper for a design."""
        strata = design.strata
        return cls(
            tuple(strata.column("stratum").to_pylist()),
            strata.column("size").to_numpy(),
            strata.column("documents").to_numpy(),
        )

    def add(
        self,
        codes: npt.NDArray[np.int32],
        prn: npt.NDArray[np.uint64],
        shard: str,
        positions: npt.NDArray[np.int64],
    ) -> None:
        """Offer documents of one shard; three arrays of one length."""
        near = np.flatnonzero(prn <= self._cut[codes])
        columns = [
            pa.array(codes[near], pa.int32()),
            pa.array(prn[near]),
            pa.array([shard]).take(pa.array(np.zeros(len(near), np.int32))),
            pa.array(positions[near], pa.int64()),
        ]
        self._append(pa.Table.from_arrays(columns, schema=_KEPT))

    def merge(self, other: SmallestNumbers) -> None:
        """Take over what another keeper of the same design kept.

        Raises:
            ValueError: The other keeper has another design.
        """
        if self.labels != other.labels or not np.array_equal(self.sizes, other.sizes):
            raise ValueError("samples of different designs cannot be merged")
        self.take(other.kept())

    def kept(self) -> pa.Table:
        """What is kept, for the ``take`` of another keeper of the same design."""
        return self._smallest()

    def take(self, kept: pa.Table) -> None:
        """Take over what another keeper of the same design ``kept``."""
        self._append(kept)

    def is_full(self) -> bool:
        """Whether every stratum has as many draws as it should, or all of its documents."""
        codes = self._smallest().column("code").to_numpy()
        wanted = np.minimum(self.sizes, self.documents)
        return bool((np.bincount(codes, minlength=len(self.labels)) >= wanted).all())

    def table(self) -> pa.Table:
        """The draws: stratum, shard, position, draw (rank from 1), inclusion_probability; in draw order."""
        kept = self._smallest()
        codes = kept.column("code").to_numpy()
        chance = np.minimum(self.sizes / np.maximum(self.documents, 1), 1.0)
        return pa.table(
            {
                "stratum": pa.array(self.labels, pa.string()).take(kept.column("code").combine_chunks()),
                "shard": kept.column("shard"),
                "position": kept.column("position"),
                "draw": pa.array(_ranks(codes) + 1, pa.int64()),
                "inclusion_probability": pa.array(chance[codes], pa.float64()),
            }
        )

    def _append(self, table: pa.Table) -> None:
        self._tables.append(table)
        if sum(len(pending) for pending in self._tables[1:]) > _PENDING:
            self._smallest()

    def _smallest(self) -> pa.Table:
        """Sort what is pending into what is kept, and tighten the cuts."""
        if len(self._tables) > 1:
            rows = _distinct(pa.concat_tables(self._tables).sort_by(_ORDER))
            codes = rows.column("code").to_numpy()
            ranks = _ranks(codes)
            kept = rows.filter(pa.array(ranks < self.sizes[codes]))
            full = np.flatnonzero(ranks == self.sizes[codes] - 1)
            self._cut[codes[full]] = rows.column("prn").to_numpy()[full]
            self._cut[self.sizes == 0] = 0
            self._tables = [kept.combine_chunks()]
        return self._tables[0]


def _ranks(codes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Rank from 0 within runs of equal codes."""
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]]) if len(codes) else np.empty(0, np.int64)
    lengths = np.diff(np.r_[starts, len(codes)])
    return np.arange(len(codes)) - np.repeat(starts, lengths)


def _distinct(rows: pa.Table) -> pa.Table:
    """Sorted rows without repetitions; equal documents are neighbours, since their numbers are equal."""
    if len(rows) < 2:
        return rows
    shard = rows.column("shard").combine_chunks().dictionary_encode().indices.to_numpy()
    position = rows.column("position").to_numpy()
    new = (shard[1:] != shard[:-1]) | (position[1:] != position[:-1])
    return rows.filter(pa.array(np.r_[True, new]))
