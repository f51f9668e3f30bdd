"""What is true of a document before any screen looks at it."""

from datetime import datetime

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import facts
from audit.model import DOCUMENT_SCHEMA


def batch(texts, **columns):
    rows = [
        {"position": n, "doc_id": f"d{n}", "text": text, **{k: v[n] for k, v in columns.items()}}
        for n, text in enumerate(texts)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENT_SCHEMA)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8))
def test_characters_are_code_points_and_digests_follow_the_text(texts):
    described = facts.describe(batch(texts), "0" * 16)
    assert described.schema == facts.SCHEMA
    assert described.column("n_chars").to_pylist() == [len(text) for text in texts]
    digests = described.column("text_digest").to_pylist()
    assert len(set(digests)) == len(set(texts))
    assert facts.text_digests(pa.array(texts[1:], pa.string())).to_pylist() == digests[1:]
    assert facts.text_digests(pa.array(texts, pa.string()).slice(1)).to_pylist() == digests[1:]


def test_metadata_goes_through_and_the_domain_comes_from_the_url():
    urls = ["https://Www.Example.com:8080/a?b", None]
    described = facts.describe(
        batch(
            ["One two three.", ""], url=urls, timestamp=[datetime(2020, 5, 1), None], language=["en", None]
        ),
        "s" * 16,
    ).to_pylist()
    assert described[0]["domain"] == "example.com"
    assert described[0]["n_words"] == 3
    assert described[0]["timestamp"] == datetime(2020, 5, 1)
    assert described[0]["declared_language"] == "en"
    assert described[0]["shard"] == "s" * 16
    assert (described[1]["n_chars"], described[1]["n_words"], described[1]["domain"]) == (0, 0, None)


def test_a_constant_column_may_be_empty():
    assert facts.constant("x", 0).to_pylist() == []
    assert facts.constant("x", 3).to_pylist() == ["x"] * 3
