from __future__ import annotations

import json

import pyarrow as pa

from benchmarks.pii_evaluation import TASKS, Quality, compare, evaluate

TEXT = "Write to jane@example.com, or call."


def test_spans_match_one_to_one_with_trimmed_edges() -> None:
    start = TEXT.index("jane")
    end = start + len("jane@example.com")
    gold = [[("E", start, end)]]
    assert compare("E", [TEXT], gold, [[("E", start, end + 1)]]) == Quality(1, 1, 1)
    assert compare("E", [TEXT], gold, [[("E", start, end), ("E", start, end - 1)]]) == Quality(1, 2, 1)
    assert compare("E", [TEXT], gold, [[("E", start, start + 8)]]) == Quality(1, 1, 0)
    assert compare("E", [TEXT], gold, [[("F", start, end)]]) == Quality(1, 0, 0)


def test_figures_follow_from_counts_and_are_absent_without_any() -> None:
    figures = Quality(labelled=4, found=2, matched=2).figures()
    assert (figures["precision"], figures["recall"], figures["f2"]) == (1.0, 0.5, 0.5556)
    assert Quality(0, 0, 0).figures()["f2"] is None
    assert Quality(3, 0, 0).figures()["f2"] == 0.0


def test_a_data_set_is_evaluated_by_kind() -> None:
    span = {"type": "EMAIL_ADDRESS", "start": 9, "end": 25}
    table = pa.table({"dataset": ["presidio_synth_v2"], "text": [TEXT], "spans": [json.dumps([span])]})
    rows = evaluate(TASKS[0], table)
    assert rows[0]["kind"] == "EMAIL_ADDRESS"
    assert rows[0]["ours"] == rows[0]["stock"]
    assert rows[0]["ours"]["f2"] == 1.0  # type: ignore[index]
