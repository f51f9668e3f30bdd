"""Make the bundled quickstart corpus from the collected public data sets.

    python scripts/make_quickstart_corpus.py DATA_FOLDER OUT

DATA_FOLDER holds ``web_docs.parquet``, ``toxicity.parquet`` and ``langid.parquet``. The same input gives the
same bytes. ``corpus/quickstart/ORIGIN.md`` states the rules applied here, the licences and the digests.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from audit.review.texts import text_digests

Row = dict[str, Any]

FIELDS = ("id", "text", "url", "date", "source", "language")
UDHR_LANGUAGES = (
    "arb",
    "cmn_hans",
    "deu_1996",
    "eng",
    "fra",
    "hin",
    "jpn",
    "por_PT",
    "rus",
    "spa",
    "swh",
    "tha",
)

EMAIL = re.compile(r"[\w.+%'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
PHONE = re.compile(r"(?<![\w-])(?:\+?1[ .-]?)?\(?\d{3}\)?[ .–-]{0,2}\d{3}[ .–-]\d{4}(?![\w-])")
NOT_DIGITS = re.compile(r"\D")
HANDLE = re.compile(r"(?<![\w.@/])@\w{2,}")

#: A page that one of these matches is left out: it says how to reach or find a person in a form that no
#: screen is expected to read, so that masking could not be checked.
LEFT_OUT = {
    "spelled-out e-mail address": re.compile(r"[(\[]\s?at\s?[)\]]|[(\[]\s?dot\s?[)\]]", re.I),
    "postal address": re.compile(
        r"\b\d{1,5}\s+(?:[NSEW]{1,2}\.?\s+)?(?:[A-Z0-9][\w.]*\s+){1,4}"
        r"(?:Street|St\.?|Avenue|Ave\.?|Road|Rd\.?|Boulevard|Blvd|Drive|Lane|Way|Court|Place|Pike|Highway)\b"
        r"|\b(?:D\.?C\.?|MD|VA|CA|NY),?\s+\d{5}\b"
    ),
    "personal site": re.compile(
        r"\b(?:his|her|their|my)\b[^.\n]{0,80}\bat[\s_]+\w+\.(?:com|net|me|io)\b"
        r"|\b(?:in this space|topics)\s+at[\s_]+\w+\.com"
    ),
}


@dataclass
class Masks:
    """Fictional stand-ins, numbered in order of first appearance; one value always gets the same one."""

    seen: dict[str, dict[str, int]] = field(default_factory=dict)

    def mask(self, text: str) -> str:
        """Return the text with e-mail addresses, phone numbers and handles replaced."""
        text = EMAIL.sub(lambda m: f"name{self._number('email', m[0].lower())}@example.gov", text)
        text = PHONE.sub(
            lambda m: f"202-555-01{self._number('phone', NOT_DIGITS.sub('', m[0])[-10:]):02}", text
        )
        return HANDLE.sub(lambda m: f"@handle{self._number('handle', m[0].lower())}", text)

    def _number(self, kind: str, value: str) -> int:
        numbers = self.seen.setdefault(kind, {})
        return numbers.setdefault(value, len(numbers) + 1)


def reason_left_out(text: str) -> str | None:
    """Return why a page is not taken, or None."""
    return next((reason for reason, pattern in LEFT_OUT.items() if pattern.search(text)), None)


def pages(table: pa.Table) -> Iterator[Row]:
    """Yield the digital.gov pages without personal contact details, sorted by id."""
    masks = Masks()
    rows = [row for row in table.to_pylist() if row["source"] == "digital.gov"]
    for row in sorted(rows, key=lambda r: r["doc_id"]):
        if reason_left_out(row["text"]) is None:
            yield {
                "id": row["doc_id"],
                "text": masks.mask(row["text"]),
                "url": row["url"],
                "date": row["date"] or None,
                "source": "digital.gov",
                "language": row["lang"],
            }


def held_out(identifier: str) -> bool:
    """Whether a comment belongs to the third that the shipped toxicity model never saw."""
    return int(hashlib.sha256(identifier.encode()).hexdigest(), 16) % 3 == 0


def comments(table: pa.Table) -> list[Row]:
    """Return the held-out Civil Comments with their human label (0 or 1) as ``toxic``, sorted by id."""
    rows = [r for r in table.to_pylist() if r["dataset"] == "civil_toxic_spans" and held_out(r["id"])]
    return [
        {
            "id": row["id"],
            "text": row["text"],
            "url": None,
            "date": None,
            "source": "civil_comments",
            "language": row["lang"],
            "toxic": row["toxic"],
        }
        for row in sorted(rows, key=lambda r: r["id"])
    ]


def declarations(table: pa.Table) -> Iterator[Row]:
    """Yield the articles of the UDHR: runs of paragraphs without a heading (a gap in the numbers) between."""
    rows = [row for row in table.to_pylist() if row["lang_code"] in UDHR_LANGUAGES]
    rows.sort(key=lambda r: (r["lang_code"], r["para"]))
    for code, language in groupby(rows, key=lambda r: r["lang_code"]):
        for _, numbered in groupby(enumerate(language), key=lambda pair: pair[1]["para"] - pair[0]):
            run = [row for _, row in numbered]
            yield {
                "id": f"udhr:{code}:{run[0]['para']:03}",
                "text": "\n".join(row["text"] for row in run),
                "url": None,
                "date": None,
                "source": "udhr",
                "language": run[0]["bcp47"].split("-")[0],
            }


def jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the rows as UTF-8 JSON lines."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def write_gzip(rows: Iterable[Row], path: Path) -> None:
    """Write JSON lines as gzip without a time or a name inside."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as stream:
        stream.write(jsonl(rows))
    path.write_bytes(buffer.getvalue())


def write_parquet(rows: Iterable[Row], path: Path) -> None:
    """Write the comments, without their labels, as Parquet (zstd)."""
    schema = pa.schema([pa.field(name, pa.string()) for name in FIELDS])
    table = pa.Table.from_pylist([{name: row[name] for name in FIELDS} for row in rows], schema=schema)
    pq.write_table(table, path, compression="zstd", compression_level=19, row_group_size=2000)


COLUMNS = ("doc_id", "text_digest", "question", "label", "severity", "reviewer", "seconds", "at")


def write_judgements(rows: Iterable[Row], path: Path) -> None:
    """Write the human labels of the comments as judgements of the toxicity question.

    Each names the digest of the text that was judged, so that it counts for that text alone.
    """
    rows = list(rows)
    digests = text_digests([str(row["text"]) for row in rows])
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row, digest in zip(rows, digests, strict=True):
            label = "yes" if row["toxic"] else "no"
            writer.writerow([row["id"], digest, "toxicity", label, "", "civil_comments_raters", "", ""])


def main(data: Path, out: Path) -> None:
    """Write the corpus and its judgements to ``out`` and print sizes and digests."""
    out.mkdir(parents=True, exist_ok=True)
    labelled = comments(pq.read_table(data / "toxicity.parquet"))
    write_gzip(pages(pq.read_table(data / "web_docs.parquet")), out / "pages.jsonl.gz")
    write_parquet(labelled, out / "comments.parquet")
    write_judgements(labelled, out / "judgements.csv")
    declaration = jsonl(declarations(pq.read_table(data / "langid.parquet")))
    (out / "udhr.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(declaration))
    for name in ("pages.jsonl.gz", "comments.parquet", "udhr.jsonl.zst", "judgements.csv"):
        content = (out / name).read_bytes()
        print(f"| `{name}` | {len(content):,} | `{hashlib.sha256(content).hexdigest()}` |")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
