"""Segments of documents, and what their scores say of the document."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import ConfigurationError
from audit.model import FINDING_SCHEMA
from audit.toxicity.segment_labels import (
    MEASURES,
    SegmentLabels,
    check_settings,
    cut,
    document_result,
    document_scores,
    prepare,
)

LABELS = ("toxicity", "insult")
SENTENCE = "The river crosses the old town. "


def labels_of(scores: list[list[float]], **more: object) -> SegmentLabels:
    array = np.array(scores, np.float32).reshape(-1, 2)
    return SegmentLabels(LABELS, array, np.zeros(len(array), bool), **more)  # type: ignore[arg-type]


@settings(deadline=None)  # the first call compiles or imports
@given(st.lists(st.text(max_size=200), max_size=6), st.integers(1, 40))
def test_segments_cover_every_document(documents: list[str], shortest: int) -> None:
    segments = cut(documents, (shortest, 2 * shortest))
    for row, text in enumerate(documents):
        own = slice(*segments.offsets[row : row + 2].tolist())
        joined = "".join(segments.texts[own])
        assert joined == (text if text.strip() else "")
        assert all(len(piece) <= 2 * shortest for piece in segments.texts[own])
    places = zip(segments.rows(), segments.starts, segments.ends, segments.texts, strict=True)
    assert all(documents[row][start:end] == text for row, start, end, text in places)


def test_largest_mean_and_share_of_segments() -> None:
    segments = cut([SENTENCE * 3, SENTENCE], (30, 60))
    assert segments.counts().tolist() == [3, 1]
    found = labels_of([[0.1, 0.2], [0.95, 0.6], [0.6, 0.1], [0.2, 0.3]])
    result = document_result(segments, found, ("insult", "threat"), 0.5, {})
    columns = {name: column.to_pylist() for name, column in result.measurements.items()}
    assert columns["score"] == pytest.approx([0.95, 0.2])
    assert columns["mean"] == pytest.approx([0.55, 0.2])
    assert columns["toxic_segments"] == pytest.approx([2 / 3, 0])
    assert columns["flagged"] == [True, False]
    assert columns["insult"] == pytest.approx([0.6, 0.3])
    assert columns["threat"] == [None, None]
    assert columns["segments"] == [3, 1]
    assert set(columns) == {*MEASURES, "insult", "threat"}
    assert result.findings is not None
    assert result.findings.schema == FINDING_SCHEMA
    hits = [(r["row"], r["kind"], r["start"], r["end"], r["severity"]) for r in result.findings.to_pylist()]
    assert hits == [
        (0, "toxicity", 32, 64, "high"),
        (0, "toxicity", 64, 96, "medium"),
        (0, "insult", 32, 64, "medium"),
    ]
    assert document_scores(segments, found) == pytest.approx(np.array([[0.95, 0.6], [0.2, 0.3]]))


def test_a_failed_segment_fails_its_document_and_leaves_no_finding() -> None:
    segments = cut([SENTENCE * 2, SENTENCE], (30, 60))
    found = labels_of([[0.9, 0.9], [np.nan, np.nan], [0.9, 0.1]], failures={1: "failed: out of memory"})
    result = document_result(segments, found, ("insult",), 0.5, {})
    assert result.not_evaluated == {0: "failed: out of memory"}
    assert all(column.to_pylist()[0] is None for column in result.measurements.values())
    assert result.findings is not None
    assert result.findings.column("row").to_pylist() == [1]
    assert np.isnan(document_scores(segments, found)[0]).all()


def test_documents_that_are_not_read_have_a_reason() -> None:
    texts = [SENTENCE, SENTENCE * 9, " \n ", SENTENCE, SENTENCE]
    labels = pa.array(["en", "en", "en", "de", None])
    segments, reasons = prepare(texts, labels, ("en",), (30, 60), 4)
    assert segments.counts().tolist() == [1, 0, 0, 0, 0]
    assert len(segments.texts) == 1
    result = document_result(segments, labels_of([[0.1, 0.1]]), ("insult",), 0.5, reasons)
    assert result.not_evaluated == {
        1: "failed: budget of 4 segments",
        2: "skipped: empty text",
        3: "skipped: the model does not know language de",
        4: "skipped: language not evaluated",
    }
    assert result.measurements["flagged"].to_pylist() == [False, None, None, None, None]
    assert prepare(texts, pa.array(["en"] * 5), ("en",), (30, 60), 100)[1] == {}


def test_a_document_without_a_known_word_is_not_evaluated() -> None:
    segments = cut([SENTENCE * 2, SENTENCE], (30, 60))
    found = labels_of([[0.1, 0.1]] * 3, unread=np.array([False, True, True]))
    result = document_result(segments, found, ("insult",), 0.5, {})
    assert result.not_evaluated == {1: "skipped: no word that the model knows"}


def test_no_documents() -> None:
    segments, reasons = prepare([], pa.array([], pa.string()), ("en",), (30, 60), 4)
    result = document_result(segments, labels_of([]), ("insult",), 0.5, reasons)
    assert all(len(column) == 0 for column in result.measurements.values())
    assert document_scores(segments, labels_of([])).shape == (0, 2)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (((0, 5), 1, 1, 0.5), "shortest_segment"),
        (((5, 4), 1, 1, 0.5), "longest_segment"),
        (((5, 5), 0, 1, 0.5), "max_segments"),
        (((5, 5), 1, 0, 0.5), "batch_size"),
        (((5, 5), 1, 1, 0.0), "threshold"),
    ],
)
def test_settings_out_of_range_are_named(settings: tuple[object, ...], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_settings("probes.x", *settings)  # type: ignore[arg-type]
    assert caught.value.key == f"probes.x.{key}"
