"""Allocation: the optimum that is asked for, never under the proportional share, and nested in size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.statistics.allocation import affordable, apportion, band_cuts, target
from audit.statistics.strata import design

DOCUMENTS = np.array([8000.0, 1500.0, 500.0])
EXPECTED = np.array([8.0, 60.0, 200.0])


def test_neyman_goes_by_predicted_spread() -> None:
    rate = EXPECTED / DOCUMENTS
    spread = DOCUMENTS * np.sqrt(rate * (1 - rate))
    found = target(DOCUMENTS, "neyman", 0.0, expected=EXPECTED)
    assert found == pytest.approx(spread / spread.sum())


def test_cost_takes_fewer_of_the_dear() -> None:
    cost = DOCUMENTS * np.array([100.0, 400.0, 900.0])
    found = target(DOCUMENTS, "cost", 0.0, expected=EXPECTED, cost=cost)
    optimum = target(DOCUMENTS, "neyman", 0.0, expected=EXPECTED) / np.array([10.0, 20.0, 30.0])
    assert found == pytest.approx(optimum / optimum.sum())
    with pytest.raises(ValueError, match="cost"):
        target(DOCUMENTS, "cost", 0.5, expected=EXPECTED)


def test_equal_and_proportional() -> None:
    assert target(DOCUMENTS, "equal", 0.0) == pytest.approx([1 / 3] * 3)
    assert target(DOCUMENTS, "proportional", 0.0, expected=EXPECTED) == pytest.approx(DOCUMENTS / 10_000)
    assert target(DOCUMENTS, "neyman", 0.0) == pytest.approx(DOCUMENTS / 10_000)  # nothing predicted


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=8).filter(sum),
    st.integers(0, 300),
    st.integers(0, 300),
    st.floats(0, 1),
    st.data(),
)
def test_draws_sum_up_stay_within_and_are_nested(documents, one, other, share, data) -> None:
    counts = np.array(documents)
    risk = np.array([data.draw(st.floats(0, 1)) for _ in documents])
    wanted = target(counts.astype(float), "neyman", share, expected=risk * counts)
    small, large = (apportion(counts, wanted, size, share, 1) for size in sorted((one, other)))
    assert small.sum() == min(min(one, other), counts.sum())
    assert (small <= large).all()
    assert (large <= counts).all()


def test_what_is_taken_whole_comes_first() -> None:
    whole = np.array([False, False, True])
    sizes = apportion(np.array([800, 150, 50]), np.array([0.8, 0.15, 0.05]), 100, 0.5, 1, whole)
    assert sizes.tolist()[2] == 50
    assert sizes.sum() == 100
    with pytest.raises(ValueError, match="taken whole"):
        apportion(np.array([800, 150, 50]), np.array([0.8, 0.15, 0.05]), 40, 0.5, 1, whole)


def test_a_design_takes_strata_whole_and_keeps_them_apart() -> None:
    cells = pa.table({"band": ["low", "mid", "top"], "documents": [9000, 900, 4], "tokens": [9000, 900, 4]})
    how = design(cells, ["band"], 100, take_all=[{"band": "top"}])
    sizes = {row["stratum"]: row["size"] for row in how.strata.to_pylist()}
    assert sizes["band=top"] == 4
    assert how.size == 100
    assert how.resized(200).looks["band=top"][-3] == 4


def test_a_budget_buys_what_it_can() -> None:
    documents, cost = np.array([800, 200]), np.array([8000.0, 10_000.0])
    wanted = target(documents.astype(float), "proportional", 1.0)
    size = affordable(documents, wanted, cost, 1800.0, 1.0, 1)
    assert size == 100  # 80 at 10 and 20 at 50
    assert affordable(documents, wanted, cost, 1e9, 1.0, 1) == 1000


def test_bands_are_cut_where_predicted_spread_is_equal() -> None:
    scores = np.linspace(0, 1, 1001)
    documents = np.exp(-8 * scores)
    cuts = band_cuts(scores, documents, 10)
    assert len(cuts) == 9
    spread = documents * np.sqrt(scores * (1 - scores))
    parts = np.bincount(np.searchsorted(cuts, scores, side="right"), spread)
    assert parts == pytest.approx(np.full(10, spread.sum() / 10), rel=0.1)
    assert len(band_cuts(np.array([0.0, 1.0]), np.array([5.0, 5.0]), 10)) == 0
    with pytest.raises(ValueError, match="ascending"):
        band_cuts(np.array([0.5, 0.2]), np.array([1.0, 1.0]), 3)
