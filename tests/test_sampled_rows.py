"""Rows of sampled documents: those at the places drawn, whatever the groups, and no more read than needed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import sampled_rows, totals
from audit.duplicates.exchange import threads
from audit.errors import FatalError
from audit.storage.store import Part, Store

KEY = "0" * 64


def written(folder, rows, *, shards=1, nested=True, group_rows=1000):
    """A store with shards of so many rows: position 3, 6, …, a value that names the place, and a list."""
    where, parts = Store(folder), []
    for number in range(shards):
        positions = np.arange(1, rows + 1) * 3
        values = pa.array([f"{number}:{position}" for position in positions.tolist()])
        columns = {"shard": pa.array([str(number)] * rows), "position": positions, "value": values}
        if nested:
            columns = {"hits": pa.array([[{"position": -1}]] * rows), **columns}
        parts.append(Part("facts", str(number), KEY))
        table = pa.table(columns)
        with where.writer("facts", table.schema, group_rows) as writer:
            writer.add(table)
            writer.commit(parts[-1], {})
    return where, parts


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=30, unique=True))
def test_every_place_gets_its_row_sorted_by_place(tmp_path_factory, places):
    where, parts = written(tmp_path_factory.mktemp("store"), 9, shards=6)
    drawn = [(str(shard), 3 * row) for shard, row in places]
    draws = pa.table([list(column) for column in zip(*drawn, strict=True)], names=["shard", "position"])
    found = sampled_rows.look_up(where, {"facts": parts}, draws, {"facts": ["value"]}, threads)
    assert found.column_names == ["shard", "position", "value"]
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        (s, p, f"{s}:{p}") for s, p in sorted(drawn)
    ]


def test_row_groups_without_a_row_that_is_wanted_are_not_read(tmp_path, monkeypatch):
    where, (part,) = written(tmp_path, 45, group_rows=10)
    read, straightforward = [], pq.ParquetFile.read_row_groups

    def reading(self, groups, **settings):
        read.extend(groups)
        return straightforward(self, groups, **settings)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", reading)
    positions = pa.array([132, 3, 30, 33], pa.int64())
    assert where.rows(part, positions, ["value"]).column("value").to_pylist() == [
        "0:132",
        "0:3",
        "0:30",
        "0:33",
    ]
    assert read == [0, 1, 4]
    assert where.rows(part, positions).column_names == ["hits", "shard", "position", "value"]


@pytest.mark.parametrize("position", [0, 4, 1000])
def test_a_place_that_a_part_lacks_is_an_error(tmp_path, position):
    where, (part,) = written(tmp_path, 5)
    with pytest.raises(FatalError, match="audit verify"):
        where.rows(part, pa.array([3, position], pa.int64()), ["value"])


CELLS = st.lists(st.tuples(st.sampled_from(["en", "de", None]), st.integers(0, 9)), max_size=4)


@settings(max_examples=30, deadline=None)
@given(shards=st.lists(CELLS, min_size=1, max_size=70), pending=st.sampled_from([0, 3, 1000]))
def test_totals_are_the_sums_whatever_the_groups(tmp_path_factory, shards, pending):
    where, parts, expected = Store(tmp_path_factory.mktemp("store")), [], {}
    kinds = {"language": pa.string(), "documents": pa.int64(), "max_tokens": pa.int64()}
    for number, cells in enumerate(shards):
        distinct = dict(cells)
        columns = [list(distinct), list(distinct.values()), list(distinct.values())]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds.values(), strict=True)]
        parts.append(Part("cells", f"{number:03}", KEY))
        where.write(parts[-1], pa.table(arrays, names=list(kinds)), {})
        for name, count in distinct.items():
            total, most = expected.get(name, (0, 0))
            expected[name] = (total + count, max(most, count))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(totals, "_PENDING", pending)
        patched.setattr(totals, "_WORKERS", 2)
        (part,) = totals.bring(where, parts)
    found = {row["language"]: (row["documents"], row["max_tokens"]) for row in where.read(part).to_pylist()}
    assert found == expected
