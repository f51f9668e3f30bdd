"""Near duplicates: documents that share most of their shingles."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from audit.duplicates.clusters import Clusters, Rules, find_clusters
from audit.duplicates.cross_matches import Corpora, find_matches, match_tables
from audit.duplicates.digest_exchange import group_by_digest
from audit.duplicates.duplicate_counts import statistics
from audit.duplicates.duplicate_groups import DigestGroups, Leaders, duplicate_tables
from audit.duplicates.exchange import Matrix, threads
from audit.duplicates.lsh import s_curve
from audit.duplicates.shingle_store import ShingleStore
from audit.duplicates.sketch_rows import Column, write_rows
from audit.errors import ConfigurationError
from audit.kernels.buffers import fixed_size_binary
from audit.kernels.hashing import PUBLIC_KEY
from audit.kernels.normalise import normalised_digests
from audit.kernels.shingles import permutations, sketch, truncate_to_bytes
from audit.model import ScreenResult
from audit.references import ReferenceSketches
from audit.screens import ScreenContext, Sketches

NO_WORDS = "skipped: no words"

#: Distinct texts up to which threads find the pairs faster than tasks reach workers.
_FEW = 1 << 15


@dataclass(frozen=True)
class NearDuplicates:
    """Finds documents whose sets of word shingles are similar (Jaccard similarity), and checks each pair.

    A shingle is a run of ``shingle_size`` case-folded words; in scripts written without spaces (Chinese,
    Japanese, Thai, Lao, Khmer, Burmese) each letter is a word. A text of fewer words is one shingle; one
    without words is skipped. Each text becomes a MinHash signature of ``permutations`` values of 8 bits, and
    a second sketch of ``second_bits`` bits, independent of the first.
    Exact copies collapse first. Pairs that share one of ``bands`` bands of ``rows`` values are candidates;
    they are accepted on the signatures when the estimate is ``margin`` or more over ``threshold``, refused
    when it is more than ``margin`` under it, and settled on exact shingle sets in between. A document joins a
    cluster through an accepted pair, and only when it is similar to the representative (the cluster's first
    document) at ``cohesion`` or more; any two members are therefore similar at 2 * cohesion - 1 or more, with
    the defaults at half the threshold. In a crowded bucket a document is compared with ``window`` others.

    ``references`` are folders of earlier runs (from the working directory), of this corpus or another, that
    sketched with the same parameters. Each document's best match in each of them is reported; their texts
    are not needed: in the doubtful band, the two sketches' pooled estimate decides.

    Sources: A. Z. Broder, "On the resemblance and containment of documents", SEQUENCES 1997; P. Li,
    C. Koenig, "b-Bit minwise hashing", WWW 2010; S. Dahlgaard, M. B. T. Knudsen, M. Thorup, "Fast Similarity
    Sketching", FOCS 2017; "Mining of Massive Datasets", ch. 3.4.
    """

    name: ClassVar[str] = "near_duplicates"
    version: ClassVar[str] = "2"
    measures: ClassVar[Mapping[str, pa.DataType]] = {
        "digest": pa.binary(16),
        "signature": pa.binary(),  # ``permutations`` bytes, the same for all
        "second": pa.binary(),  # ``second_bits`` / 8 bytes
        "shingles": pa.int32(),
    }
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = False
    #: Parameters that no sketch depends on, and those that no cluster does: see ``audit.workkeys``.
    resolve_parameters: ClassVar[tuple[str, ...]] = (
        "bands",
        "rows",
        "threshold",
        "cohesion",
        "margin",
        "window",
        "references",
    )
    match_parameters: ClassVar[tuple[str, ...]] = ("references",)

    permutations: int = 105
    bands: int = 21
    rows: int = 5
    shingle_size: int = 5
    threshold: float = 0.8
    cohesion: float = 0.7
    margin: float = 0.12
    window: int = 32
    second_bits: int = 512
    seed: int = 1
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.bands >= 1 and self.rows >= 1, "bands", "at least one band of one value is needed")
        _require(self.bands * self.rows <= self.permutations, "bands", "bands x rows exceeds permutations")
        _require(self.shingle_size >= 1, "shingle_size", "a shingle holds at least one word")
        _require(0 < self.threshold <= 1, "threshold", "must be over 0 and at most 1")
        _require(0 < self.cohesion <= self.threshold, "cohesion", "must be over 0 and at most the threshold")
        _require(0 <= self.margin < self.threshold, "margin", "must be at least 0 and under the threshold")
        _require(1 <= self.window <= 10_000, "window", "must be 1 to 10,000")
        _require(
            self.second_bits >= 64 and self.second_bits % 8 == 0,
            "second_bits",
            "must be a multiple of 8 from 64",
        )
        _require(self.seed >= 0, "seed", "must not be negative")

    def resources(self) -> Mapping[str, str]:
        """Return the version of Unicode that words and case-folding follow."""
        return {"unicode": unicodedata.unidata_version}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:  # noqa: ARG002
        """Sketch each text: digest, signature, number of shingles."""
        texts = batch["text"]
        coefficients = permutations(self.permutations, self.seed)
        least, shingles, second = sketch(texts, self.shingle_size, *coefficients, self.second_bits)
        digests, _ = normalised_digests(texts, PUBLIC_KEY)
        valid = shingles > 0
        return ScreenResult(
            {
                "digest": fixed_size_binary(digests, valid),
                "signature": fixed_size_binary(truncate_to_bytes(least), valid).cast(pa.binary()),
                "second": fixed_size_binary(second, valid).cast(pa.binary()),
                "shingles": pa.array(shingles, mask=~valid),
            },
            not_evaluated={int(row): NO_WORDS for row in np.flatnonzero(~valid)},
        )

    def resolve(self, sketches: Sketches, workspace: Path) -> Iterator[pa.Table]:
        """Yield the members of clusters of two documents and more (``DUPLICATE_SCHEMA``)."""
        groups, clusters = self.find(sketches, workspace)
        counts = statistics(groups, clusters, self.rules, self.permutations)
        object.__setattr__(self, "_statistics", counts)
        yield from duplicate_tables(
            groups, Leaders(clusters.leader, clusters.similarity, clusters.diameter), "near"
        )

    def find(self, sketches: Sketches, workspace: Path) -> tuple[DigestGroups, Clusters]:
        """Return the groups of exact copies, and the pairs and clusters among them.

        Args:
            sketches: Columns ``near_duplicates_digest``, ``_signature`` and ``_shingles``, and the texts.
            workspace: A folder; holds some 60 bytes a document, ``permutations`` a group, 12 of the band at
                work, 8 a pair, and 8 a shingle of a text in doubt.
        """
        groups = group_by_digest([sketches], self._digest, workspace)
        columns = [Column(f"{self.name}_signature", self.permutations), Column(f"{self.name}_shingles", 4)]
        signatures, counts = write_rows([sketches], groups, self._digest, columns, workspace)
        shingles = Matrix(counts.path, counts.count, 1, "u4")
        texts = ShingleStore(groups, sketches, self.shingle_size, shingles, workspace)
        run = sketches.run if signatures.count > _FEW else threads
        return groups, find_clusters(signatures, self.rules, texts, workspace, run)

    def statistics(self) -> Mapping[str, float]:
        """Return the counts of the last ``resolve``; empty before the first."""
        return dict(getattr(self, "_statistics", {}))

    def reference_keys(self) -> list[str]:
        """Return what identifies the sketches of the references, for the work key.

        Raises:
            ConfigurationError: A reference holds no sketches, or such of other parameters.
        """
        return [key for reference in self._references() for key in reference.keys]

    def match(self, sketches: Sketches, workspace: Path) -> Iterator[pa.Table]:
        """Yield each document's best match in each reference (``REFERENCE_MATCH_SCHEMA``).

        Raises:
            ConfigurationError: A reference holds no sketches, or such of other parameters.
        """
        totals: dict[str, float] = {"references": float(len(self.references))}
        for number, reference in enumerate(self._references()):
            folder = workspace / f"reference-{number}"
            folder.mkdir()
            both = (sketches, reference)
            groups = group_by_digest(both, self._digest, folder)
            columns = [Column(f"{self.name}_signature", self.permutations)]
            columns.append(Column(f"{self.name}_second", self.second_bits // 8))
            rows = write_rows(both, groups, self._digest, columns, folder)
            corpora = Corpora(groups, len(sketches.shards), *rows)
            run = sketches.run if rows[0].count > _FEW else threads
            matches = find_matches(corpora, self.rules, folder, run)
            for name, count in matches.statistics().items():
                totals[name] = totals.get(name, 0.0) + count
            yield from match_tables(corpora, matches, reference.name)
        object.__setattr__(self, "_match_statistics", totals)

    def match_statistics(self) -> Mapping[str, float]:
        """Return the counts of the last ``match``; empty before the first."""
        return dict(getattr(self, "_match_statistics", {}))

    def s_curve(self) -> list[tuple[float, float]]:
        """Return (Jaccard similarity, probability of becoming a candidate) of this setting."""
        return s_curve(self.bands, self.rows)

    def explain(self) -> dict[str, list[dict[str, Any]]]:
        """Return the S-curve of this setting, for ``audit screens near_duplicates``."""
        title = f"S-curve: {self.bands} bands of {self.rows} values, threshold {self.threshold:g}"
        values = self.permutations
        return {
            title: [
                {
                    "Jaccard": jaccard,
                    "becomes a candidate": probability,
                    "is missed": 1 - probability,
                    "standard error of the estimate": float(np.sqrt(jaccard * (1 - jaccard) / values)),
                }
                for jaccard, probability in self.s_curve()
            ]
        }

    @property
    def rules(self) -> Rules:
        """What makes a candidate and what makes a pair, by these parameters."""
        return Rules(self.bands, self.rows, self.threshold, self.cohesion, self.margin, self.window)

    @property
    def _digest(self) -> str:
        return f"{self.name}_digest"

    def _references(self) -> list[ReferenceSketches]:
        own = {name: getattr(self, name) for name in ("permutations", "shingle_size", "second_bits", "seed")}
        return [
            ReferenceSketches.open(name, self.name, own, list(self.measures), self.resources())
            for name in self.references
        ]


def _require(holds: bool, parameter: str, message: str) -> None:
    if not holds:
        raise ConfigurationError(message, key=f"screens.near_duplicates.{parameter}")
