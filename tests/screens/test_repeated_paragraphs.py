"""The share of bytes in paragraphs that many documents hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.duplicates import paragraph_exchange
from audit.errors import ConfigurationError
from audit.screens import MeasuringCorpusScreen, available, finds_duplicates
from audit.screens.repeated_paragraphs import RepeatedParagraphs
from tests.screens.memory_sketches import MemorySketches, measure

FOOTER = "Example Gazette, all rights reserved, no part may be copied"
SMALL = RepeatedParagraphs(minimum_bytes=4, minimum_documents=2)


def resolve(screen, shards, workspace):
    sketches = MemorySketches(screen, shards)
    return pa.concat_tables(screen.resolve(sketches, workspace)).to_pylist()


def truth(shards, screen):
    """Bytes in repeated paragraphs, and in all, by (shard, position), in plain Python."""
    lines = {
        (shard, position): [" ".join(line.casefold().split()) for line in text.split("\n")]
        for shard, texts in shards.items()
        for position, text in enumerate(texts)
    }
    seen = Counter(
        line for own in lines.values() for line in set(own) if len(line.encode()) >= screen.minimum_bytes
    )
    return {
        place: (
            sum(len(line.encode()) for line in own if seen[line] >= screen.minimum_documents),
            sum(len(line.encode()) for line in own),
        )
        for place, own in lines.items()
    }


def test_it_is_found_and_gives_measurements_not_clusters():
    assert available()["repeated_paragraphs"] is RepeatedParagraphs
    assert isinstance(SMALL, MeasuringCorpusScreen)
    assert not finds_duplicates(SMALL)


def test_a_footer_of_many_documents_is_their_repeated_share(tmp_path):
    screen = RepeatedParagraphs(minimum_documents=3)
    pages = [f"A story of its own, number {n}, which no other page has to tell\n{FOOTER}" for n in range(4)]
    rows = resolve(screen, {"a": pages[:2], "b": [*pages[2:], "A page without the line that others share"]},
                   tmp_path)  # fmt: skip
    assert [(row["shard"], row["position"]) for row in rows] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
        ("b", 2),
    ]
    for row in rows[:4]:
        assert row["bytes"] == len(FOOTER)
        assert row["share"] == pytest.approx(len(FOOTER) / row["text_bytes"])
    assert (rows[4]["bytes"], rows[4]["share"]) == (0, 0.0)
    assert screen.statistics()["repeated_paragraphs"] == 1
    assert screen.statistics()["repeated_bytes"] == 4 * len(FOOTER)


def test_a_line_in_too_few_documents_is_not_repeated(tmp_path):
    shards = {"a": [FOOTER + "\n" + FOOTER + "\n" + FOOTER, FOOTER, "another text that stands alone"]}
    rows = resolve(RepeatedParagraphs(minimum_documents=3), shards, tmp_path)
    assert all(row["bytes"] == 0 for row in rows)


def test_short_lines_count_as_not_repeated(tmp_path):
    rows = resolve(RepeatedParagraphs(minimum_documents=2), {"a": ["Home\nMenu", "Home\nMenu"]}, tmp_path)
    assert [(row["bytes"], row["text_bytes"]) for row in rows] == [(0, 8), (0, 8)]


def test_a_document_without_text_is_skipped_and_has_no_share(tmp_path):
    assert measure(SMALL, ["", "x"]).not_evaluated == {0: "skipped: no text"}
    rows = resolve(SMALL, {"a": ["", "some line", "some line"]}, tmp_path)
    assert (rows[0]["share"], rows[0]["bytes"], rows[0]["text_bytes"]) == (None, None, None)
    assert rows[1]["share"] == 1.0


def test_examples_tell_hash_and_place_and_no_text(tmp_path):
    screen = RepeatedParagraphs(minimum_documents=2)
    other = FOOTER.upper() + " without permission"
    resolve(screen, {"a": ["alone", FOOTER], "b": [FOOTER + "\n" + other, FOOTER + "\n" + other]}, tmp_path)
    first, second = screen.examples()
    assert (first["documents"], first["shard"], first["position"]) == (3, "a", 1)
    assert (second["documents"], second["shard"], second["position"]) == (2, "b", 0)
    assert first["bytes"] == 3 * len(FOOTER)
    assert set(first) == {"hash", "documents", "bytes", "shard", "position"}
    assert len(first["hash"]) == 16


def test_an_empty_corpus_resolves(tmp_path):
    assert resolve(SMALL, {"a": []}, tmp_path) == []


@pytest.mark.parametrize("parameter", ["minimum_bytes", "minimum_documents"])
def test_parameters_without_meaning_are_refused(parameter):
    with pytest.raises(ConfigurationError, match="at least"):
        RepeatedParagraphs(**{parameter: 0})


LINE = st.sampled_from(["alpha beta", "Gamma  delta", "epsilon", "abc", "ß ß ß", ""])
SHARDS = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.lists(LINE, max_size=5).map("\n".join), max_size=6), min_size=1
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SHARDS, st.integers(2, 4), st.sampled_from([2, 1 << 20]))
def test_shares_are_those_of_plain_python_however_many_partitions(
    tmp_path, monkeypatch, shards, minimum, partition
):
    monkeypatch.setattr(paragraph_exchange, "_PARTITION", partition)
    screen = RepeatedParagraphs(minimum_bytes=4, minimum_documents=minimum)
    rows = resolve(screen, shards, tmp_path) if any(shards.values()) else []
    expected = {place: counts for place, counts in truth(shards, screen).items() if any(counts)}
    found = {(r["shard"], r["position"]): (r["bytes"], r["text_bytes"]) for r in rows if r["text_bytes"]}
    assert found == expected
    assert not list(Path(tmp_path).glob("*.rec"))
