"""Speed of the screens ``lexicons`` and ``listed_domains``, and how often they flag.

    python -m benchmarks.lexicons DATA [--out benchmarks/results/lexicons.json]

DATA holds ``web_docs.parquet`` and ``toxicity.parquet``. Rates are per second of one core, by thread time,
the best of seven passes over the same documents, whole screens: findings and measures included. Documents
flagged are counted among the labelled data sets' toxic and other rows: they show how weak the signal is.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from audit.model import DOCUMENT_SCHEMA
from audit.screens import ScreenContext
from audit.screens.lexicons import Lexicons
from audit.screens.listed_domains import ListedDomains
from benchmarks.machine import machine

GOAL_MB = 100.0
_PASSES = 7


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    pages = pl.read_parquet(arguments.data / "web_docs.parquet", columns=["source", "lang", "url", "text"])
    labelled = pl.read_parquet(
        arguments.data / "toxicity.parquet", columns=["dataset", "lang", "text", "toxic"]
    )
    figures = {
        "command": "python -m benchmarks.lexicons DATA",
        "machine": machine(),
        "goal_mb_per_s": GOAL_MB,
        "words_mb_per_s": {name: words_rate(rows) for name, rows in corpora(pages, labelled).items()},
        "addresses_per_s": address_rate(pages),
        "flagged": [*flagged(pages, "source"), *flagged(labelled, "dataset")],
    }
    text = json.dumps(figures, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)


def corpora(pages: pl.DataFrame, labelled: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Documents of few hits, of many, and of other scripts."""
    by_language = {f"pages, {code}": pages.filter(pl.col("lang") == code) for code in ("en", "fr", "ru")}
    tweets = labelled.filter(pl.col("dataset") == "davidson_tweets")
    return {**by_language, "tweets picked by slurs, en": tweets, "comments, zh": _of(labelled, "cold_zh")}


def _of(rows: pl.DataFrame, dataset: str) -> pl.DataFrame:
    return rows.filter(pl.col("dataset") == dataset)


def batch_of(rows: pl.DataFrame) -> tuple[pa.RecordBatch, ScreenContext]:
    """Documents, and the language that they are labelled with."""
    columns: dict[str, pa.Array] = {
        "position": pa.array(range(len(rows)), pa.int64()),
        "doc_id": pa.array([str(n) for n in range(len(rows))]),
        "text": pa.array(rows["text"].to_list(), pa.string()),
        "url": pa.array(rows["url"].to_list() if "url" in rows.columns else [None] * len(rows), pa.string()),
    }
    arrays = [columns.get(f.name, pa.nulls(len(rows), f.type)) for f in DOCUMENT_SCHEMA]
    batch = pa.RecordBatch.from_arrays(arrays, schema=DOCUMENT_SCHEMA)
    return batch, ScreenContext({"language_label": pa.array(rows["lang"].to_list(), pa.string())})


def words_rate(rows: pl.DataFrame) -> float:
    """Megabytes of text a second."""
    batch, context = batch_of(rows)
    size = sum(len(text.encode()) for text in rows["text"])
    return size / 1e6 / _best(Lexicons(), batch, context)


def address_rate(pages: pl.DataFrame) -> float:
    """Addresses a second."""
    rows = pl.concat([pages.filter(pl.col("url").is_not_null())] * 10)
    batch, context = batch_of(rows)
    return len(rows) / _best(ListedDomains(), batch, context)


def _best(screen: Lexicons | ListedDomains, batch: pa.RecordBatch, context: ScreenContext) -> float:
    screen.measure(batch, context)
    taken = []
    for _ in range(_PASSES):
        start = time.thread_time()
        screen.measure(batch, context)
        taken.append(time.thread_time() - start)
    return min(taken)


def flagged(rows: pl.DataFrame, group: str) -> list[dict[str, Any]]:
    """Share of the evaluated documents that ``lexicons`` flags, by data set and label."""
    keys = [group, "toxic"] if "toxic" in rows.columns else [group]
    found = []
    for names, part in sorted(rows.partition_by(keys, as_dict=True).items(), key=lambda item: str(item[0])):
        column = Lexicons().measure(*batch_of(part)).measurements["flagged"]
        counts = {"evaluated": len(column) - column.null_count, "flagged": column.true_count}
        found.append({**dict(zip(keys, names, strict=True)), **counts})
    return found


if __name__ == "__main__":
    main()
