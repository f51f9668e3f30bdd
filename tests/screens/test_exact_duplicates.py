"""Exact duplicates: what counts as the same text, and who represents it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_sketches import MemorySketches, measure, resolve

from audit.model import DUPLICATE_SCHEMA
from audit.screens.exact_duplicates import ExactDuplicates

SCREEN = ExactDuplicates()


def digests(*texts: str) -> list[bytes | None]:
    return measure(SCREEN, texts).measurements["digest"].to_pylist()


def normalised(text: str) -> str:
    """The stated rule in plain Python, for text without format characters."""
    return " ".join(text.casefold().split())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Hello, World!", "hello,  world!\n"),
        ("STRASSE", "straße"),
        ("ΟΔΟΣ", "οδος"),
        ("co\u00adoperate", "\ufeffcooperate"),
        ("a\u00a0b", "a\t b"),
    ],
)
def test_case_white_space_and_format_characters_do_not_count(left, right):
    assert len(set(digests(left, right))) == 1


@pytest.mark.parametrize(("left", "right"), [("a b", "ab"), ("a.", "a!"), ("👍", "👎"), ("é", "e\u0301")])
def test_anything_else_does(left, right):
    assert len(set(digests(left, right))) == 2


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cf"]), max_size=20), min_size=2, max_size=6))
def test_digests_are_equal_exactly_when_normalised_texts_are(texts):
    ours = digests(*texts)
    for a, left in zip(ours, texts, strict=True):
        for b, right in zip(ours, texts, strict=True):
            assert (a == b) == (normalised(left) == normalised(right))


def test_a_document_without_text_is_skipped_and_matches_nothing(tmp_path):
    result = measure(SCREEN, ["x", " \n", "", "\u00ad"])
    assert result.not_evaluated == dict.fromkeys((1, 2, 3), "skipped: no text")
    assert result.measurements["digest"].is_null().to_pylist() == [False, True, True, True]
    assert resolve(SCREEN, {"a": ["", " ", ""]}, tmp_path) == []


def test_clusters_name_their_first_document(tmp_path):
    shards = {"b": ["two", "one", "three"], "a": ["zero", "One", "ONE "]}
    rows = resolve(SCREEN, shards, tmp_path)
    assert [(r["shard"], r["position"]) for r in rows] == [("a", 1), ("a", 2), ("b", 1)]
    assert {(r["cluster_id"], r["representative_shard"], r["representative_position"]) for r in rows} == {
        ("exact:a:1", "a", 1)
    }
    assert all(r["exact"] and r["jaccard"] == 1 for r in rows)
    assert SCREEN.statistics() == {
        "documents": 6, "distinct": 4, "clusters": 1, "duplicates": 2, "largest_cluster": 3,
    }  # fmt: skip


def test_tables_have_the_schema(tmp_path):
    tables = list(SCREEN.resolve(MemorySketches(SCREEN, {"a": ["x", "x"], "b": ["y"], "c": ["x"]}), tmp_path))
    assert all(t.schema.equals(DUPLICATE_SCHEMA) for t in tables)
    assert [len(t) for t in tables] == [2, 1]


def test_an_empty_corpus_has_no_duplicates(tmp_path):
    assert resolve(SCREEN, {}, tmp_path) == []
    assert SCREEN.statistics()["documents"] == 0
