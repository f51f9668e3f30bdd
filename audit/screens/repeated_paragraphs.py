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
import pyarrow.compute as pc

from audit.array_files import new_mapped
from audit.errors import ConfigurationError
from audit.kernels.buffers import string_buffers
from audit.kernels.hashing import PUBLIC_KEY
from audit.kernels.paragraphs import paragraphs
from audit.model import ScreenResult
from audit.paragraph_exchange import RECORD, Exchange, Repeated
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
            workspace: A folder; holds 20 bytes a paragraph of a document, and 8 a document.
        """
        documents, records = self._outline(sketches)
        repeated_bytes = _zeros(workspace / "repeated.i64", documents)
        exchange = Exchange(workspace, records)
        exchange.write(self._records(sketches))
        tallies = list(exchange.count(self.minimum_documents, repeated_bytes, _TOLD))
        most = heapq.nsmallest(_TOLD, (paragraph for tally in tallies for paragraph in tally.most))
        object.__setattr__(self, "_examples", self._places(sketches, most))
        totals = {"documents": 0, "bytes": 0, "repeated_bytes": 0}
        start = 0
        for shard, table in sketches.read([f"{self.name}_text_bytes"]):
            rows = self._measured(shard, table, repeated_bytes[start : start + len(table)])
            start += len(table)
            totals["documents"] += len(table) - rows["text_bytes"].null_count
            totals["bytes"] += pc.sum(rows["text_bytes"]).as_py() or 0
            totals["repeated_bytes"] += pc.sum(rows["bytes"]).as_py() or 0
            yield rows
        distinct = {
            "paragraphs": sum(tally.distinct for tally in tallies),
            "repeated_paragraphs": sum(tally.repeated for tally in tallies),
        }
        counts = {name: float(value) for name, value in {**totals, **distinct}.items()}
        object.__setattr__(self, "_statistics", counts)

    def statistics(self) -> Mapping[str, float]:
        """Return the counts of the last ``resolve``; empty before its end."""
        return dict(getattr(self, "_statistics", {}))

    def examples(self) -> Sequence[Mapping[str, Any]]:
        """Return the most repeated paragraphs of the last ``resolve``, without their text.

        Each has ``hash`` (16 hex digits), ``documents``, ``bytes`` in all of them, and ``shard`` and
        ``position`` of the first document.
        """
        return list(getattr(self, "_examples", []))

    def _outline(self, sketches: Sketches) -> tuple[int, int]:
        """Return the number of documents, and of paragraphs of documents."""
        column = f"{self.name}_paragraphs"
        documents = records = 0
        for _, table in sketches.read([column]):
            documents += len(table)
            records += pc.sum(table[column]).as_py() or 0
        return documents, records

    def _records(self, sketches: Sketches) -> Iterator[npt.NDArray[np.void]]:
        hashes, sizes = f"{self.name}_hashes", f"{self.name}_sizes"
        start = 0
        for _, table in sketches.read([hashes, sizes]):
            lengths = pc.fill_null(pc.list_value_length(table[sizes]), 0).to_numpy()
            records = np.empty(int(lengths.sum()), RECORD)
            records["hash"] = _unpacked(table[hashes])
            records["bytes"] = pc.list_flatten(table[sizes]).to_numpy()
            records["document"] = np.repeat(np.arange(start, start + len(table)), lengths)
            start += len(table)
            yield records

    def _measured(self, shard: str, table: pa.Table, repeated_bytes: Counts) -> pa.Table:
        text_bytes = table[f"{self.name}_text_bytes"].combine_chunks()
        present = pc.is_valid(text_bytes)
        repeated = pc.if_else(present, pa.array(np.asarray(repeated_bytes)), None)
        share = pc.divide(repeated.cast(pa.float64()), text_bytes.cast(pa.float64()))
        columns = [pa.repeat(shard, len(table)), table["position"], share.cast(pa.float32())]
        names = ["shard", "position", *self.resolved]
        return pa.table([*columns, repeated, text_bytes], names)

    def _places(self, sketches: Sketches, most: Sequence[Repeated]) -> list[dict[str, Any]]:
        """Say where the paragraphs stand first."""
        places: dict[int, tuple[str, int]] = {}
        start = 0
        for shard, table in sketches.read([]):
            for paragraph in most:
                if start <= paragraph.first < start + len(table):
                    places[paragraph.first] = shard, table["position"][paragraph.first - start].as_py()
            start += len(table)
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


def _unpacked(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return the hashes of all texts, one after the other."""
    data, offsets = string_buffers(column.combine_chunks())
    return np.frombuffer(data[offsets[0] : offsets[-1]].tobytes(), "<u8")


def _zeros(path: Path, count: int) -> Counts:
    """Return zeros in a mapped file, which the system can page out."""
    if not count:
        return np.zeros(0, np.int64)
    return new_mapped(path, np.int64, (count,))
