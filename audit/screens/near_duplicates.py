"""Near duplicates: documents that share most of their shingles."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.clusters import Clusters, Rules, find_clusters
from audit.duplicate_groups import DigestGroups, duplicate_tables, group_by_digest, sketched
from audit.errors import ConfigurationError
from audit.kernels.buffers import fixed_size_binary, fixed_size_rows
from audit.kernels.hashing import PUBLIC_KEY
from audit.kernels.normalise import normalised_digests
from audit.kernels.shingles import minhash, permutations, truncate
from audit.lsh import s_curve
from audit.model import ScreenResult
from audit.screens import ScreenContext, Sketches
from audit.shingle_store import ShingleStore

NO_WORDS = "skipped: no words"


@dataclass(frozen=True)
class NearDuplicates:
    """Finds documents whose sets of word shingles are similar (Jaccard similarity), and checks each pair.

    A shingle is a run of ``shingle_size`` case-folded words; in scripts written without spaces (Chinese,
    Japanese, Thai, Lao, Khmer, Burmese) each letter is a word. A text of fewer words is one shingle; one
    without words is skipped. Each text becomes a MinHash signature of ``permutations`` values of 16 bits.
    Exact copies collapse first. Pairs that share one of ``bands`` bands of ``rows`` values are candidates;
    they are accepted on the signatures when the estimate is ``margin`` or more over ``threshold``, refused
    when it is more than ``margin`` under it, and settled on exact shingle sets in between. A document joins a
    cluster through an accepted pair, and only when it is similar to the representative (the cluster's first
    document) at ``cohesion`` or more; any two members are therefore similar at 2 * cohesion - 1 or more, with
    the defaults at half the threshold. In a crowded bucket a document is compared with ``window`` others.

    Sources: A. Z. Broder, "On the resemblance and containment of documents", SEQUENCES 1997; P. Li,
    C. Koenig, "b-Bit minwise hashing", WWW 2010; "Mining of Massive Datasets", ch. 3.4.
    """

    name: ClassVar[str] = "near_duplicates"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {
        "digest": pa.binary(16),
        "signature": pa.binary(),  # 2 * permutations bytes, the same for all
        "shingles": pa.int32(),
    }
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = False

    permutations: int = 105
    bands: int = 21
    rows: int = 5
    shingle_size: int = 5
    threshold: float = 0.8
    cohesion: float = 0.7
    margin: float = 0.12
    window: int = 32
    seed: int = 1

    def __post_init__(self) -> None:
        _require(self.bands >= 1 and self.rows >= 1, "bands", "at least one band of one value is needed")
        _require(self.bands * self.rows <= self.permutations, "bands", "bands x rows exceeds permutations")
        _require(self.shingle_size >= 1, "shingle_size", "a shingle holds at least one word")
        _require(0 < self.threshold <= 1, "threshold", "must be over 0 and at most 1")
        _require(0 < self.cohesion <= self.threshold, "cohesion", "must be over 0 and at most the threshold")
        _require(0 <= self.margin < self.threshold, "margin", "must be at least 0 and under the threshold")
        _require(self.window >= 1, "window", "must be at least 1")
        _require(self.seed >= 0, "seed", "must not be negative")

    def resources(self) -> Mapping[str, str]:
        """Return the version of Unicode that words and case-folding follow."""
        return {"unicode": unicodedata.unidata_version}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:  # noqa: ARG002
        """Sketch each text: digest, signature, number of shingles."""
        texts = batch["text"]
        least, shingles = minhash(texts, self.shingle_size, *permutations(self.permutations, self.seed))
        digests, _ = normalised_digests(texts, PUBLIC_KEY)
        valid = shingles > 0
        return ScreenResult(
            {
                "digest": fixed_size_binary(digests, valid),
                "signature": fixed_size_binary(truncate(least), valid).cast(pa.binary()),
                "shingles": pa.array(shingles, mask=~valid),
            },
            not_evaluated={int(row): NO_WORDS for row in np.flatnonzero(~valid)},
        )

    def resolve(self, sketches: Sketches, workspace: Path) -> Iterator[pa.Table]:
        """Yield the members of clusters of two documents and more (``DUPLICATE_SCHEMA``)."""
        groups, clusters = self.find(sketches, workspace)
        object.__setattr__(self, "_statistics", dict(clusters.statistics))
        yield from duplicate_tables(groups, clusters.leader, clusters.similarity, "near")

    def find(self, sketches: Sketches, workspace: Path) -> tuple[DigestGroups, Clusters]:
        """Return the groups of exact copies, and the pairs and clusters among them.

        Args:
            sketches: Columns ``near_duplicates_digest`` and ``near_duplicates_signature``, and the texts.
            workspace: A folder; holds 2 * permutations bytes a group, and 8 a shingle of a text in doubt.
        """
        column = f"{self.name}_digest"
        groups = group_by_digest(sketches.read([column]), column)
        signatures = self._signatures(sketches, groups, workspace / "signatures.u16")
        rules = Rules(self.bands, self.rows, self.threshold, self.cohesion, self.margin, self.window)
        exact = ShingleStore(groups, sketches, self.shingle_size, workspace / "shingles.u64")
        return groups, find_clusters(signatures, groups, rules, exact)

    def statistics(self) -> Mapping[str, float]:
        """Return the counts of the last ``resolve``; empty before the first."""
        return dict(getattr(self, "_statistics", {}))

    def s_curve(self) -> list[tuple[float, float]]:
        """Return (Jaccard similarity, probability of becoming a candidate) of this setting."""
        return s_curve(self.bands, self.rows)

    def _signatures(self, sketches: Sketches, groups: DigestGroups, path: Path) -> npt.NDArray[np.uint16]:
        """Write the signature of each group's first document to a file, and map it."""
        column = f"{self.name}_signature"
        with path.open("wb") as file:
            for number, (_, table) in enumerate(sketches.read([column])):
                start, stop = groups.shard_bounds[number : number + 2]
                low, high = np.searchsorted(groups.first, (start, stop))
                chosen = sketched(table, column)[column].take(pa.array(groups.first[low:high] - start))
                fixed = chosen.combine_chunks().cast(pa.binary(2 * self.permutations))
                fixed_size_rows(fixed, np.uint16).tofile(file)
        shape = (len(groups.first), self.permutations)
        if not len(groups.first):
            return np.empty(shape, np.uint16)
        mapped: np.memmap[Any, np.dtype[np.uint16]] = np.memmap(path, np.uint16, "r+", shape=shape)
        return np.asarray(mapped)


def _require(holds: bool, parameter: str, message: str) -> None:
    if not holds:
        raise ConfigurationError(message, key=f"screens.near_duplicates.{parameter}")
