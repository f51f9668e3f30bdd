"""Parts of comments, made from the toxic spans that raters marked: they teach which words did it.

A part is trained on at most, never scored, and only where its comment is trained on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

#: The comment without everything that anybody marked: not toxic.
REMAINDER_SET = "civil_remainders"
#: What half of the raters or more marked, by itself: toxic.
SPAN_SET = "civil_spans"
#: The comment without what half of the raters or more marked: as toxic as the rest was to them.
MINOR_SET = "civil_without_major_spans"
#: The comment without what fewer marked: as toxic as it was.
MAJOR_SET = "civil_without_minor_spans"
DERIVED_SETS = (REMAINDER_SET, SPAN_SET, MINOR_SET, MAJOR_SET)

#: Comment's id, set, text, share of raters who find it toxic.
Part: TypeAlias = tuple[str, str, str, float]


def parts_of_comments(comments: pl.DataFrame) -> pl.DataFrame:
    """Parts of every comment that somebody marked a span in.

    Args:
        comments: Columns ``id``, ``text``, ``toxic_frac``, ``spans`` (JSON: start, end, votes) and ``meta``
            (JSON: n_annotators).

    Returns:
        Columns ``id``, ``dataset`` (one of ``DERIVED_SETS``), ``text``, ``toxic`` (0 or 1), ``toxic_frac``.
    """
    rows = [part for row in comments.iter_rows(named=True) for part in _parts(row)]
    schema = {"id": pl.String, "dataset": pl.String, "text": pl.String, "toxic_frac": pl.Float64}
    parts = pl.DataFrame(rows, schema, orient="row")
    return parts.filter(pl.col("text").str.strip_chars().str.len_chars() > 0).select(
        "id", "dataset", "text", (2 * pl.col("toxic_frac") >= 1).cast(pl.Int8).alias("toxic"), "toxic_frac"
    )


def _parts(row: dict[str, Any]) -> Iterator[Part]:
    spans = json.loads(row["spans"] or "[]")
    if not spans:
        return
    text, raters = row["text"], json.loads(row["meta"])["n_annotators"]
    for span in spans:
        if 2 * span["votes"] >= raters:
            yield row["id"], SPAN_SET, text[span["start"] : span["end"]], min(span["votes"] / raters, 1.0)
    votes = _votes(len(text), spans, raters)
    marked, major = votes > 0, 2 * votes >= raters
    minor = marked & ~major
    yield row["id"], REMAINDER_SET, _without(text, marked), 0.0
    if major.any() and minor.any():
        yield row["id"], MINOR_SET, _without(text, major), float(votes[minor].max() / raters)
        yield row["id"], MAJOR_SET, _without(text, minor), row["toxic_frac"]


def _votes(length: int, spans: list[dict[str, int]], raters: int) -> npt.NDArray[np.int64]:
    """Raters who marked each character: spans of several types add up, at most to all raters."""
    votes = np.zeros(length, np.int64)
    for span in spans:
        votes[span["start"] : span["end"]] += span["votes"]
    return np.minimum(votes, raters)


def _without(text: str, gone: npt.NDArray[np.bool_]) -> str:
    return "".join(" " if hidden else point for point, hidden in zip(text, gone, strict=True))
