"""Exact duplicates: documents whose normalised texts are the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.duplicates.array_files import map_numbers
from audit.duplicates.digest_exchange import group_by_digest
from audit.duplicates.duplicate_groups import DigestGroups, Leaders, cluster_sizes, duplicate_tables
from audit.kernels.buffers import fixed_size_binary
from audit.kernels.hashing import PUBLIC_KEY
from audit.kernels.normalise import normalised_digests
from audit.model import ScreenResult
from audit.screens import ScreenContext, Sketches

NO_TEXT = "skipped: no text"


@dataclass(frozen=True)
class ExactDuplicates:
    """Finds documents whose normalised text another document has too.

    Normalised means case-folded, with runs of white space as one space and the ends trimmed, and without
    format characters; punctuation counts. Texts are compared by a 128-bit SipHash-2-4: among ten billion
    documents, two different texts share one with a probability of 2e-19. The representative of a cluster
    is its first document by shard and position. A document without visible text is skipped.

    Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012.
    """

    name: ClassVar[str] = "exact_duplicates"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {"digest": pa.binary(16)}
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = False

    def resources(self) -> Mapping[str, str]:
        """Return the version of Unicode that case-folding follows."""
        return {"unicode": unicodedata.unidata_version}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:  # noqa: ARG002
        """Digest each normalised text."""
        digests, lengths = normalised_digests(batch["text"], PUBLIC_KEY)
        return ScreenResult(
            {"digest": fixed_size_binary(digests, lengths > 0)},
            not_evaluated={int(row): NO_TEXT for row in np.flatnonzero(lengths == 0)},
        )

    def resolve(self, sketches: Sketches, workspace: Path) -> Iterator[pa.Table]:
        """Yield the members of clusters of two documents and more (``DUPLICATE_SCHEMA``)."""
        groups = group_by_digest([sketches], f"{self.name}_digest", workspace)
        leader = map_numbers(workspace / "leaders.u32", len(groups.first))
        object.__setattr__(self, "_statistics", _statistics(groups, leader))
        alike, apart = (np.broadcast_to(np.float32(value), len(leader)) for value in (1, 0))
        yield from duplicate_tables(groups, Leaders(leader, alike, apart), "exact")

    def statistics(self) -> Mapping[str, float]:
        """Return the counts of the last ``resolve``; empty before the first."""
        return dict(getattr(self, "_statistics", {}))


def _statistics(groups: DigestGroups, leader: npt.NDArray[np.uint32]) -> dict[str, float]:
    sizes = cluster_sizes(groups, leader)
    return {
        "documents": float(len(groups.group)),
        "distinct": float(len(groups.first)),
        "clusters": float((sizes > 1).sum()),
        "duplicates": float(len(groups.group) - len(groups.first)),
        "largest_cluster": float(sizes.max(initial=0)),
    }
