"""Texts made to stall: what they cost is bounded by counted work, and nothing is left out in silence."""

from __future__ import annotations

import pyarrow as pa
import pytest

from audit.pii.pii_budget import Budget
from audit.pii.pii_raw_hits import raw_hits
from audit.pii.pii_selection import select
from benchmarks.pii_hostile import names, text_of

SELECTION = select(("us", "uk", "ca"), (), (), ("US", "GB"), "default", None)
SIZE = 60_000
BUDGET = Budget(20_000, 300, 100_000_000, 1_000_000, 5_000)


@pytest.mark.parametrize("name", names())
def test_a_hostile_text_is_read_to_its_end_or_named_as_not_evaluated(name: str) -> None:
    text = text_of(name, SIZE)
    alone, over_alone = raw_hits(pa.array([text]), SELECTION, BUDGET)
    hits, over = raw_hits(pa.array(["jane@example.com", text, "219-09-9999"]), SELECTION, BUDGET)
    # What one text costs is nothing to the others, and its own outcome does not depend on them.
    assert set(over) <= {1}
    assert over.get(1) == over_alone.get(0)
    assert {(h.span, h.value) for h in hits if h.row == 1} == {(h.span, h.value) for h in alone}
    assert [h.span.kind for h in hits if h.row == 0] == ["EMAIL_ADDRESS"]
    assert "US_SSN" in {h.span.kind for h in hits if h.row == 2}
    kinds = [h.span.kind for h in alone]
    assert all(kinds.count(kind) <= BUDGET.max_candidates for kind in set(kinds))


def test_a_line_of_a_megabyte_hides_nothing() -> None:
    text = "word " * 100_000 + "jane@example.com " + "wörter " * 70_000 + "219-09-9999"
    hits, over = raw_hits(pa.array([text]), SELECTION, Budget())
    assert not over
    assert {text[h.span.start : h.span.end] for h in hits} >= {"jane@example.com", "219-09-9999"}
