"""Repeated paragraphs: boilerplate that stands in many documents of the corpus."""

from __future__ import annotations

import heapq
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.duplicates.exchange import FileList
from audit.duplicates.paragraph_exchange import (
    Measure,
    Measured,
    Paragraphs,
    Repeated,
    Tally,
    bounds_of,
    count_partition,
    counts_of,
    measure_documents,
    measured_shards,
    spill_paragraphs,
)
from audit.errors import ConfigurationError
from audit.facts import constant
from audit.kernels.hashing import PUBLIC_KEY
from audit.kernels.paragraphs import paragraphs
from audit.model import ScreenResult
from audit.screens import ScreenContext, Sketches

NO_TEXT = "skipped: no text"

Counts = npt.NDArray[np.int64]

#: Of the most frequent paragraphs, how many are told. Their text never is: it may hold personal data.
_TOLD = 20


@dataclass(frozen=True)
class RepeatedParagraphs:
    """Measures the share of each document's bytes that stands in paragraphs seen in many documents.

    A paragraph is what stands between two line breaks, case-folded, with runs of white space as one space
    and without format characters. It is repeated when it stands in ``minimum_documents`` documents or more,
    whole copies of a document included. One shorter than ``minimum_bytes`` bytes is not looked at and counts
    as not repeated, so that a share is a lower bound. Bytes are those of the normalised paragraphs. Two
    paragraphs are the same when their 64-bit SipHash is: among a billion different ones, the chance that a
    given one meets another is 5e-11. A document without visible text is skipped.

    The sketch holds a hash and a size for each distinct paragraph of a document: 216 bytes a document were
    measured on web pages of 4 KB, which have 22 paragraphs of 50 bytes and more (181 for hashes).

    Source: J. W. Rae et al., "Scaling Language Models: Methods, Analysis & Insights from Training Gopher",
    2021, appendix A.1.1 (repeated paragraphs, there within a document; here across the corpus).
    """

    name: ClassVar[str] = "repeated_paragraphs"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {
        "hashes": pa.binary(),  # 8 bytes a paragraph, little-endian; a list of integers takes a fifth more
        "sizes": pa.list_(pa.uint32()),
        "paragraphs": pa.int32(),
        "text_bytes": pa.int64(),
    }
    resolved: ClassVar[Mapping[str, pa.DataType]] = {
        "share": pa.float32(),  # of text_bytes; null where there are none
        "bytes": pa.int64(),  # in repeated paragraphs
        "text_bytes": pa.int64(),  # in all paragraphs
    }
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = False

    minimum_bytes: int = 50
    minimum_documents: int = 5

    def __post_init__(self) -> None:
        for parameter, least in (("minimum_bytes", 1), ("minimum_documents", 2)):
            if getattr(self, parameter) < least:
                raise ConfigurationError(
                    f"must be at least {least}", key=f"screens.repeated_paragraphs.{parameter}"
                )

    def resources(self) -> Mapping[str, str]:
        """Return the version of Unicode that case-folding follows."""
        return {"unicode": unicodedata.unidata_version}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:  # noqa: ARG002
        """Sketch each text: hashes and sizes of its distinct paragraphs."""
        offsets, hashes, sizes, text_bytes = paragraphs(batch["text"], self.minimum_bytes, PUBLIC_KEY)
        empty = text_bytes == 0
        return ScreenResult(
            {
                "hashes": _packed(offsets, hashes, empty),
                "sizes": pa.ListArray.from_arrays(
                    pa.array(offsets.astype(np.int32)), pa.array(sizes), mask=pa.array(empty)
                ),
                "paragraphs": pa.array(np.diff(offsets).astype(np.int32), mask=empty),
                "text_bytes": pa.array(text_bytes, mask=empty),
            },
            not_evaluated={int(row): NO_TEXT for row in np.flatnonzero(empty)},
        )

    def resolve(self, sketches: Sketches, workspace: Path) -> Iterator[pa.Table]:
        """Yield shard, position and the ``resolved`` measures of every document, a table a shard.

        Args:
            sketches: The columns of ``measures``.
            workspace: A folder; holds 16 bytes a paragraph of a document, and 16 more of a repeated one.
        """
        columns, pieces = (f"{self.name}_hashes", f"{self.name}_sizes"), sketches.split()
        spills, told = FileList(workspace, "paragraphs"), FileList(workspace, "repeated")
        sources = [Paragraphs(piece, *columns, spills, number) for number, piece in enumerate(pieces)]
        done = list(sketches.run(spill_paragraphs, sources))
        bounds = list(bounds_of(done))
        spills.keep(
            (path, own[0] + at) for each, own in zip(done, bounds, strict=True) for path, at in each.runs
        )
        records = sum(each.paragraphs for each in done)
        counts = counts_of(spills, records, self.minimum_documents, _TOLD, told)
        tallies = list(sketches.run(count_partition, counts))
        spills.remove()
        most = heapq.nsmallest(_TOLD, (paragraph for tally in tallies for paragraph in tally.most))
        asked = tuple(paragraph.first for paragraph in most)
        measures = [
            Measure(piece, f"{self.name}_text_bytes", own, told, asked, workspace / f"measured.{number}")
            for number, (piece, own) in enumerate(zip(pieces, bounds, strict=True))
        ]
        measured: list[Measured] = []
        for task, outcome in zip(measures, sketches.run(measure_documents, measures), strict=True):
            measured.append(outcome)
            for shard, rows in measured_shards(task):
                yield pa.table(
                    [constant(shard, len(rows)), *rows.columns], names=["shard", *rows.column_names]
                )
            task.out.unlink()
        told.remove()
        object.__setattr__(self, "_examples", _examples(most, measured))
        object.__setattr__(self, "_statistics", _statistics(tallies, measured))

    def statistics(self) -> Mapping[str, float]:
        """Return the counts of the last ``resolve``; empty before its end."""
        return dict(getattr(self, "_statistics", {}))

    def examples(self) -> Sequence[Mapping[str, Any]]:
        """Return the most repeated paragraphs of the last ``resolve``, without their text.

        Each has ``hash`` (16 hex digits), ``documents``, ``bytes`` in all of them, and ``shard`` and
        ``position`` of the first document.
        """
        return list(getattr(self, "_examples", []))


def _statistics(tallies: Sequence[Tally], measured: Sequence[Measured]) -> dict[str, float]:
    counts = {
        "documents": sum(each.documents for each in measured),
        "bytes": sum(each.bytes for each in measured),
        "repeated_bytes": sum(each.repeated_bytes for each in measured),
        "paragraphs": sum(tally.distinct for tally in tallies),
        "repeated_paragraphs": sum(tally.repeated for tally in tallies),
    }
    return {name: float(value) for name, value in counts.items()}


def _examples(most: Sequence[Repeated], measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Say where the paragraphs stand first."""
    places = {number: place for each in measured for number, place in each.places.items()}
    return [
        {
            "hash": f"{paragraph.hash:016x}",
            "documents": paragraph.documents,
            "bytes": paragraph.bytes,
            "shard": places[paragraph.first][0],
            "position": places[paragraph.first][1],
        }
        for paragraph in most
    ]


def _packed(offsets: Counts, hashes: npt.NDArray[np.uint64], missing: npt.NDArray[np.bool_]) -> pa.Array:
    """Return the hashes of each text as one binary value."""
    bounds = pa.py_buffer((offsets * 8).astype(np.int32))
    data = pa.py_buffer(np.ascontiguousarray(hashes, "<u8"))
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(pa.binary(), len(missing), [valid, bounds, data])
