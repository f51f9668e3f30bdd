"""Tables exchanged by the hash of a key, and rows of some shards out of a part of all."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.aggregation import keyed_tables
from audit.aggregation.corpus_rows import CorpusRows
from audit.aggregation.keyed_tables import Spiller, Summed
from audit.storage.store import Part, Store

SUMMED = Summed("key", {"count": "sum", "least": "min"})
ROWS = st.lists(st.tuples(st.text("abcé", max_size=2), st.integers(0, 9)), max_size=30)


@settings(max_examples=40, deadline=None)
@given(tables=st.lists(ROWS, max_size=4), bits=st.integers(0, 3), most=st.sampled_from([2, 5, 1000]))
def test_sums_of_partitions_are_sums_of_everything(
    tables: list[list[tuple[str, int]]], bits: int, most: int
) -> None:
    expected: dict[str, tuple[int, int]] = {}
    found: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(keyed_tables, "SPILL_ROWS", most):
        spiller = Spiller(Path(folder), "sums", bits, SUMMED.key, SUMMED)
        for rows in tables:
            columns = [[key for key, _ in rows], [1] * len(rows), [value for _, value in rows]]
            kinds = (pa.string(), pa.int64(), pa.int64())
            arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
            spiller.take(pa.table(arrays, ["key", "count", "least"]))
            for key, value in rows:
                count, least = expected.get(key, (0, value))
                expected[key] = count + 1, min(least, value)
        paths = spiller.flush()
        for partition in range(1 << bits) if paths else ():
            for row in SUMMED.add([keyed_tables.read(paths, partition)]).to_pylist():
                assert row["key"] not in found  # all of a key is in one partition
                found[row["key"]] = row["count"], row["least"]
    assert found == expected


@given(ROWS, st.integers(1, 4))
def test_the_first_distinct_rows_of_each_key(rows: list[tuple[str, int]], count: int) -> None:
    table = pa.table({"key": pa.array([k for k, _ in rows], pa.string()), "value": [v for _, v in rows]})
    table = table.set_column(1, "value", table["value"].cast(pa.int64()))
    expected = [
        pair
        for key in sorted({key for key, _ in rows})
        for pair in sorted({row for row in rows if row[0] == key})[:count]
    ]
    assert [tuple(row.values()) for row in keyed_tables.first(table, ["key"], count).to_pylist()] == expected


def test_a_spill_of_numbers_goes_by_their_high_bits(tmp_path: Path) -> None:
    keys = np.array([0, 1 << 62, 1 << 63, 3 << 62, 5], np.uint64)
    path = keyed_tables.spill(tmp_path / "spill", pa.table({"key": keys}), keys, 2)
    assert [keyed_tables.read([path], p)["key"].to_pylist() for p in range(4)] == [
        [0, 5],
        [1 << 62],
        [1 << 63],
        [3 << 62],
    ]


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(0, 9), max_size=8), group_rows=st.integers(1, 12), encoded=st.booleans())
def test_rows_of_a_shard_out_of_a_part_of_all(sizes: list[int], group_rows: int, encoded: bool) -> None:
    shards = [f"s{number}" for number, size in enumerate(sizes) for _ in range(size)]
    kind = pa.dictionary(pa.int32(), pa.string()) if encoded else pa.string()
    table = pa.table({"shard": pa.array(shards, kind), "row": pa.array(range(len(shards)), pa.int64())})
    part = Part("wide", "screen", "0" * 64)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "parts")
        with store.writer(part.family, table.schema, group_rows) as writer:
            writer.add(table)
            writer.commit(part, {})
        rows = CorpusRows(store, part, ["row"])
        for shard in [*(f"s{number}" for number in range(len(sizes))), "s0", "absent"]:
            assert rows.of(shard)["row"].to_pylist() == [k for k, name in enumerate(shards) if name == shard]
