"""Strata, their collapse and their sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.statistics.strata import design


def cells(rows: list[tuple[str | None, str | None, int, float]]) -> pa.Table:
    band, language, documents, expected = zip(*rows, strict=True)
    return pa.table(
        {
            "band": pa.array(band, pa.string()),
            "language": pa.array(language, pa.string()),
            "documents": pa.array(documents, pa.int64()),
            "tokens": pa.array([100 * d for d in documents], pa.int64()),
            "expected": pa.array(expected, pa.float64()),
        }
    )


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["low", "mid", "high"]),
        st.sampled_from(["en", "de", None]),
        st.integers(0, 3000),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=9,
).map(lambda rows: [(b, la, n, n * rate) for b, la, n, rate in rows])

EXAMPLE = cells(
    [
        ("low", "en", 9000, 9),
        ("low", "de", 700, 1),
        ("low", "fr", 20, 0),
        ("low", None, 30, 0),
        ("high", "en", 200, 60),
        ("high", "de", 30, 9),
        ("high", "fr", 20, 6),
    ]
)
DIMENSIONS = ("band", "language")


def test_a_sparse_remainder_takes_its_smallest_sibling_in_before_it_leaves_its_band() -> None:
    strata = design(EXAMPLE, DIMENSIONS, 400).strata
    sizes = dict(
        zip(strata.column("stratum").to_pylist(), strata.column("documents").to_pylist(), strict=True)
    )
    assert sizes == {
        "band=high&language=*": 50,  # German and French: enough together
        "band=high&language=en": 200,
        "band=low&language=*": 750,  # French and unknown are too few even together: German joins them
        "band=low&language=en": 9000,
    }


def test_only_a_value_that_is_sparse_as_a_whole_is_mixed_with_others() -> None:
    rows = [("a", "en", 5000, 5), ("b", "en", 4, 0), ("c", "de", 3, 0)]
    strata = design(cells(rows), DIMENSIONS, 100).strata
    assert strata.column("stratum").to_pylist() == ["band=*&language=*", "band=a&language=en"]


def test_documents_find_their_stratum() -> None:
    result = design(EXAMPLE, DIMENSIONS, 400)
    labels = result.strata.column("stratum").to_pylist()
    rows = pa.table({"language": ["fr", None, "fr"], "band": ["low", "low", "high"]})
    assert [labels[code] for code in result.assign(rows)] == [
        "band=low&language=*",
        "band=low&language=*",
        "band=high&language=*",
    ]
    with pytest.raises(ValueError, match="cells lack"):
        result.assign(pa.table({"language": ["en"], "band": ["unheard of"]}))


@settings(max_examples=80, deadline=None)
@given(ROWS, st.integers(0, 900), st.integers(0, 400))
def test_sizes_add_up_and_never_shrink(rows, size: int, more: int) -> None:
    table = cells(rows)
    total = sum(row[2] for row in rows)
    small = design(table, DIMENSIONS, size)
    documents = np.array(small.strata.column("documents").to_pylist(), int)
    sizes = np.array(small.strata.column("size").to_pylist(), int)
    assert documents.sum() == total
    assert sizes.sum() == min(size, total) == small.size
    assert (sizes <= documents).all()
    grown = np.array(small.resized(size + more).strata.column("size").to_pylist(), int)
    assert (grown >= sizes).all()
    assert grown.sum() == min(size + more, total)


@settings(max_examples=80, deadline=None)
@given(ROWS, st.integers(100, 900))
def test_the_proportional_share_bounds_the_weights(rows, size: int) -> None:
    result = design(cells(rows), DIMENSIONS, size)
    documents = np.array(result.strata.column("documents").to_pylist(), float)
    sizes = np.array(result.strata.column("size").to_pylist(), float)
    if not len(documents):
        return
    open_strata = sizes < documents
    weights = documents / np.maximum(sizes, 1) / documents.sum()
    # The whole draws of a few strata may cost a little of the share.
    assert (weights[open_strata] <= 1 / (0.5 * (size - len(documents)))).all()


@settings(max_examples=50, deadline=None)
@given(ROWS, st.randoms())
def test_the_order_of_cells_does_not_matter(rows, random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = design(cells(rows), DIMENSIONS, 200), design(cells(shuffled), DIMENSIONS, 200)
    assert one.strata.select(["stratum", "documents", "tokens", "size"]).equals(
        other.strata.select(["stratum", "documents", "tokens", "size"])
    )


@settings(max_examples=50, deadline=None)
@given(ROWS, st.integers(1, 900))
def test_every_cell_lies_in_the_stratum_that_counts_it(rows, size: int) -> None:
    result = design(cells(rows), DIMENSIONS, size)
    kept = [row for row in rows if row[2]]
    if not kept:
        assert result.size == 0
        return
    dims = pa.table(
        {
            "band": pa.array([r[0] for r in kept]),
            "language": pa.array([r[1] for r in kept], pa.string()),
        }
    )
    counted = np.bincount(result.assign(dims), [r[2] for r in kept], len(result.strata))
    assert counted.tolist() == result.strata.column("documents").to_pylist()


def test_predicted_variance_draws_half_of_the_sample() -> None:
    table = cells([("low", "en", 9900, 0), ("high", "en", 100, 50)])
    sizes = dict(
        zip(
            *(design(table, ("band",), 120).strata.column(name).to_pylist() for name in ("stratum", "size")),
            strict=True,
        )
    )
    assert sizes["band=high"] == pytest.approx(60, abs=2)
    proportional = design(table.drop_columns(["expected"]), ("band",), 2000).strata.column("size")
    assert proportional.to_pylist() == [20, 1980]


def test_a_size_over_the_corpus_takes_all() -> None:
    result = design(EXAMPLE, DIMENSIONS, 10**6)
    assert result.strata.column("size").equals(result.strata.column("documents"))
    assert len(result.strata) == 7


def test_without_dimensions_there_is_one_stratum() -> None:
    result = design(EXAMPLE, (), 100)
    assert result.strata.select(["stratum", "size"]).to_pylist() == [{"stratum": "*", "size": 100}]
    assert result.assign(pa.table({"language": ["en", "de"]})).tolist() == [0, 0]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        design(EXAMPLE, DIMENSIONS, -1)


def banded(rows: list[tuple[str, int, float]]) -> pa.Table:
    band, documents, expected = zip(*rows, strict=True)
    columns = {"toxicity_band": band, "documents": documents, "tokens": documents, "expected": expected}
    return pa.table({**columns, "language": ["en"] * len(rows)})


def test_sparse_bands_join_their_neighbours_and_not_each_other() -> None:
    rows = [
        ("0-0.001", 50_000, 10.0),
        ("0.001-0.01", 40_000, 100.0),
        ("0.01-0.1", 400, 20.0),  # sparse: joins the smaller neighbour
        ("0.1-0.8", 5000, 1500.0),
        ("0.8-1", 300, 270.0),  # sparse too
        ("none", 3, 0.0),
    ]
    found = design(banded(rows), ["toxicity_band"], 200)
    names = found.strata.column("stratum").to_pylist()
    assert set(names) == {
        "toxicity_band=*",  # without a score
        "toxicity_band=0-0.001",
        "toxicity_band=0.001-0.01",
        "toxicity_band=0.01-1",
    }
    assert found.assign(banded(rows)).tolist() == [names.index(f"toxicity_band={name}") for name in (
        "0-0.001", "0.001-0.01", "0.01-1", "0.01-1", "0.01-1", "*"
    )]  # fmt: skip
    assert len(design(banded(rows), ["toxicity_band"], 20_000).strata) == 6


def test_a_band_that_is_taken_whole_joins_nothing() -> None:
    rows = [("0-0.1", 9000, 50.0), ("0.1-0.9", 900, 300.0), ("0.9-1", 4, 4.0)]
    whole = ({"toxicity_band": "0.9-1"},)
    found = design(banded(rows), ["toxicity_band", "language"], 100, take_all=whole)
    assert "toxicity_band=0.9-1&language=en" in found.strata.column("stratum").to_pylist()


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 1)), min_size=1, max_size=9), st.integers(0, 400)
)
@settings(max_examples=40, deadline=None)
def test_joined_bands_are_enough_to_draw_from_and_cover_the_score(parts, size) -> None:
    rows = [(f"{k / 10:g}-{(k + 1) / 10:g}", n, rate * n) for k, (n, rate) in enumerate(parts)]
    strata = design(banded(rows), ["toxicity_band"], size).strata
    names = [name.removeprefix("toxicity_band=") for name in strata.column("stratum").to_pylist()]
    assert sum(strata.column("documents").to_pylist()) == sum(n for _, n, _ in rows)
    if len(names) > 1:
        for documents, drawn in zip(
            *(strata.column(c).to_pylist() for c in ("documents", "size")), strict=True
        ):
            assert drawn >= 9 or drawn == documents  # about what was expected
        ends = sorted(tuple(map(float, name.split("-"))) for name in names if name != "*")
        assert all(a[1] == b[0] for a, b in itertools.pairwise(ends)) or "*" in names
