"""What the statement of origin promises of the bundled corpus holds."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "corpus" / "quickstart"
ORIGIN = (FOLDER / "ORIGIN.md").read_text(encoding="utf-8")
FILES = ("pages.jsonl.gz", "comments.parquet", "udhr.jsonl.zst", "judgements.csv")

EMAIL = re.compile(r"[\w.+%'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
FICTIONAL_EMAIL = re.compile(r"name\d+@example\.gov")
# Ten digits in the North American grouping; the reserved range is 555-0100 to 555-0199.
PHONE = re.compile(r"(?<![\d/])\(?[2-9]\d{2}\)?[ .-]{0,2}[2-9]\d{2}[ .–-]\d{4}(?!\d)")
FICTIONAL_PHONE = re.compile(r"202-555-01\d\d")
HANDLE = re.compile(r"(?<![\w.@/])@\w{2,}")
SPELLED_OUT = re.compile(r"[(\[]\s?(?:at|dot)\s?[)\]]", re.I)


@cache
def documents() -> tuple[dict[str, Any], ...]:
    pages = gzip.decompress((FOLDER / "pages.jsonl.gz").read_bytes())
    udhr = zstandard.ZstdDecompressor().stream_reader((FOLDER / "udhr.jsonl.zst").read_bytes()).read()
    lines = [*pages.splitlines(), *udhr.splitlines()]
    return (*map(json.loads, lines), *pq.read_table(FOLDER / "comments.parquet").to_pylist())


@cache
def judgements() -> tuple[dict[str, str], ...]:
    with (FOLDER / "judgements.csv").open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


def texts(source: str) -> list[str]:
    return [document["text"] for document in documents() if document["source"] == source]


@pytest.mark.parametrize("name", FILES)
def test_origin_states_size_and_digest_of_every_file(name: str) -> None:
    content = (FOLDER / name).read_bytes()
    assert f"| `{name}` | {len(content):,} | `{hashlib.sha256(content).hexdigest()}` |" in ORIGIN


def test_origin_covers_all_files_and_size_is_two_to_five_megabytes() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*FILES, "ORIGIN.md"}
    assert 2e6 <= sum((FOLDER / name).stat().st_size for name in FILES) <= 5e6


def test_origin_states_count_and_licence_of_every_source() -> None:
    counts = Counter(document["source"] for document in documents())
    assert set(counts) == {"digital.gov", "civil_comments", "udhr"}
    for source, count in counts.items():
        row = next(line for line in ORIGIN.splitlines() if line.startswith(f"| `{source}` |"))
        assert f"| {count:,} |" in row
        assert re.search("CC0-1.0|free to reproduce", row)
    assert f"{sum(counts.values()):,} real documents" in ORIGIN
    assert "Content warning" in ORIGIN


def test_documents_are_complete_and_ids_unique() -> None:
    assert len({document["id"] for document in documents()}) == len(documents())
    for document in documents():
        assert set(document) == {"id", "text", "url", "date", "source", "language"}
        assert document["text"].strip()


def test_addresses_and_numbers_are_fictional() -> None:
    pages = texts("digital.gov")
    emails = [hit for text in pages for hit in EMAIL.findall(text)]
    phones = [hit for text in pages for hit in PHONE.findall(text)]
    assert emails
    assert phones
    strange = [hit for hit in emails if not FICTIONAL_EMAIL.fullmatch(hit)]
    strange += [hit for hit in phones if not FICTIONAL_PHONE.search(hit)]
    assert len(strange) == 0, f"{len(strange)} hits are not among the replacements"


def test_no_address_in_comments_and_declarations() -> None:
    for source in ("civil_comments", "udhr"):
        found = [hit for text in texts(source) for hit in (*EMAIL.findall(text), *PHONE.findall(text))]
        assert len(found) == 0, f"{len(found)} hits in {source}"


def test_no_account_or_spelled_out_address_on_pages() -> None:
    for text in texts("digital.gov"):
        assert all(hit.startswith("@handle") for hit in HANDLE.findall(text))
        assert not SPELLED_OUT.search(text)


def test_comments_are_the_third_that_the_shipped_model_never_saw() -> None:
    ids = [document["id"] for document in documents() if document["source"] == "civil_comments"]
    assert all(int(hashlib.sha256(name.encode()).hexdigest(), 16) % 3 == 0 for name in ids)


def test_judgements_refer_to_the_comments_and_only_to_them() -> None:
    comments = {document["id"] for document in documents() if document["source"] == "civil_comments"}
    judged = [row["doc_id"] for row in judgements()]
    assert len(judged) == len(set(judged))
    assert set(judged) == comments
    assert {row["question"] for row in judgements()} == {"toxicity"}
    assert {row["reviewer"] for row in judgements()} == {"civil_comments_raters"}


def test_origin_states_the_labels() -> None:
    labels = Counter(row["label"] for row in judgements())
    assert set(labels) == {"yes", "no"}
    assert f"{labels['yes']:,} say yes, {labels['no']:,} no" in ORIGIN
    assert f"{labels['yes'] / labels.total():.0%}" in ORIGIN


def test_labels_are_not_in_the_corpus() -> None:
    assert pq.read_schema(FOLDER / "comments.parquet").names == [
        "id",
        "text",
        "url",
        "date",
        "source",
        "language",
    ]
