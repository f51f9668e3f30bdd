"""Neighbouring bands of a score joined to the few that suit a sample's size."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.sampling_settings import BANDS
from audit.statistics.neighbouring_bands import FEW, LEAST, Bands
from audit.statistics.strata import design

EDGES = np.array([0.0, *BANDS, 1.0])
NAMES = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(EDGES)]
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2


def cells(documents: list[int]) -> pa.Table:
    """The default bands, calibrated."""
    return pa.table(
        {
            "score_band": NAMES,
            "documents": pa.array(documents, pa.int64()),
            "tokens": pa.array([100 * d for d in documents], pa.int64()),
            "expected": pa.array(np.array(documents) * MIDDLES),
        }
    )


def draws(table: pa.Table, size: int, **how: object) -> list[int]:
    strata = design(table, ["score_band"], size, **how).strata  # type: ignore[arg-type]
    return strata.column("size").to_pylist()


def many(prevalence: float = 0.3) -> list[int]:
    """A corpus whose scores are spread as a good detector's are."""
    rate = 40_000 * (np.exp(-4 * MIDDLES) * (1 - prevalence) + np.exp(-4 * (1 - MIDDLES)) * prevalence)
    return (rate * np.diff(EDGES) * 10).astype(int).tolist()


def test_more_draws_form_more_bands_and_never_more_than_few():
    counts = [len(draws(cells(many()), size, most_bands=FEW)) for size in (20, 50, 100, 400, 5000)]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert 4 <= counts[2] < FEW
    assert counts[-1] == FEW


def test_cuts_of_ones_own_stay_where_they_expect_enough():
    assert len(draws(cells([5000] * len(NAMES)), 20_000)) == len(NAMES)


def test_without_a_prediction_that_draws_follow_bands_stay_too():
    plain = cells(many()).drop_columns(["expected"])
    assert len(draws(plain, 20_000, most_bands=FEW)) == len(NAMES)
    assert len(draws(cells(many()), 20_000, most_bands=FEW, allocation="proportional")) == len(NAMES)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=len(NAMES), max_size=len(NAMES)), st.integers(30, 900))
def test_each_band_is_drawn_from_or_known(documents: list[int], size: int) -> None:
    how = design(cells(documents), ["score_band"], size, most_bands=FEW)
    strata = how.strata
    drawn, whole = strata.column("size").to_numpy(), strata.column("documents").to_numpy()
    assert whole.sum() == sum(documents)
    assert len(strata) <= FEW
    if len(strata) > 1:
        assert ((drawn >= LEAST) | (drawn == whole)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(400, 5000), min_size=2, max_size=7), st.integers(20, 300), st.integers(1, 7))
def test_no_other_partition_is_cheaper(documents: list[int], size: int, most: int) -> None:
    """Against all partitions, at the normaliser that the chosen one leads to."""
    sizes = np.array(documents, float)
    rates = np.linspace(0.02, 0.9, len(sizes))
    bands = Bands(sizes, sizes * rates)
    ends = bands.partition(size, 0.5, most)
    assert ends[-1] == len(sizes)
    assert len(ends) <= most

    def spread(first: int, last: int) -> tuple[float, float]:
        mass = sizes[first:last].sum()
        rate = (sizes * rates)[first:last].sum() / mass
        return mass, float(np.sqrt(rate * (1 - rate)))

    def runs(chosen: list[int]) -> list[tuple[float, float]]:
        return [spread(*pair) for pair in itertools.pairwise([0, *chosen])]

    normal = sum(mass * s for mass, s in runs(ends))
    overall = (sizes @ rates) / sizes.sum()

    def price(chosen: list[int]) -> float:
        total = 0.0
        for mass, s in runs(chosen):
            n = min(size * (0.5 * mass / sizes.sum() + 0.5 * mass * s / normal), mass)
            if n < LEAST + 0.5 and n < mass:
                return np.inf
            seen = (n * s**2 + 0.5 * overall * (1 - overall)) / (n + 0.5)
            total += 0.0 if n >= mass else (mass / sizes.sum()) ** 2 * seen / n
        return total

    own = price(ends)
    inner = range(1, len(sizes))
    others = [
        [*cut, len(sizes)] for k in range(min(most, len(sizes))) for cut in itertools.combinations(inner, k)
    ]
    cheapest = min(price(other) for other in others)
    # The normaliser is that of a partition tried before; it differs by little.
    assert own == np.inf or own <= cheapest * 1.1 + 1e-12


def test_documents_without_a_score_keep_their_own_stratum():
    table = pa.concat_tables(
        [
            cells(many()),
            pa.table(
                {
                    "score_band": ["none"],
                    "documents": pa.array([40_000], pa.int64()),
                    "tokens": pa.array([1], pa.int64()),
                    "expected": pa.array([4_000.0]),
                }
            ),
        ]
    )
    names = design(table, ["score_band"], 300, most_bands=FEW).strata.column("stratum").to_pylist()
    assert "score_band=none" in names
    assert len(names) <= FEW + 1


def test_cells_that_are_taken_whole_keep_their_band():
    table = cells(many())
    rare = pa.table(
        {
            "score_band": [NAMES[5]],
            "source": ["forum"],
            "documents": pa.array([12], pa.int64()),
            "tokens": pa.array([12], pa.int64()),
            "expected": pa.array([1.0]),
        }
    )
    table = pa.concat_tables(
        [table.append_column("source", pa.array(["web"] * len(table))), rare], promote_options="default"
    )
    how = design(table, ["score_band", "source"], 300, take_all=[{"source": "forum"}], most_bands=FEW)
    names = how.strata.column("stratum").to_pylist()
    assert f"score_band={NAMES[5]}&source=forum" in names
    assert how.size == 300


@pytest.mark.parametrize("size", [60, 300])
def test_the_allocation_by_cost_joins_bands_too(size: int):
    table = cells(many())
    table = table.append_column("cost", pa.array(table.column("documents").to_numpy() * 0.5))
    assert draws(table, size, most_bands=FEW, allocation="cost") == draws(table, size, most_bands=FEW)
