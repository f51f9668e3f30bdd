"""Draws by tasks over groups of shards: the same whatever the groups, and as the rule of the sample says."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import drawing_tasks
from audit.drawing_tasks import Places
from audit.duplicates.exchange import threads
from audit.permanent_numbers import document_numbers
from audit.statistics.strata import design
from audit.storage.store import Part, Store
from tests.test_copies import SEED, straight

KEY = "0" * 64
#: Name of the document (copies share it), and its dimension.
SHARDS = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abc")), max_size=12), min_size=1, max_size=6
)


def corpus(folder, shards):
    """A store with the parts of these shards, the places of its parts, and the cells."""
    store, places = Store(folder), []
    for number, rows in enumerate(shards):
        names = [f"d{name}" for name, _ in rows]
        digests = pa.array([name.encode().ljust(16) for name in names], pa.binary(16))
        shard, position = f"{number:016x}", pa.array([7 * row for row in range(len(rows))], pa.int64())
        ids, nothing = pa.array(names, pa.string()), pa.nulls(len(rows), pa.string())
        facts = {"position": position, "doc_id": ids, "url": nothing, "text_digest": digests}
        slices = {"position": position, "kind": pa.array([kind for _, kind in rows], pa.string())}
        parts = [Part(family, shard, KEY) for family in ("documents", "slices")]
        for part, columns in zip(parts, (facts, slices), strict=True):
            store.write(part, pa.table(columns), {})
        places.append(Places(*parts))
    count = Counter(kind for rows in shards for _, kind in rows)
    cells = {
        "kind": pa.array(sorted(count), pa.string()),
        "documents": [count[kind] for kind in sorted(count)],
    }
    return store, places, pa.table({**cells, "tokens": cells["documents"]})


def oracle(folder, shards, how):
    """Stratum -> places in draw order: all numbers in one array, sorted."""
    rows = [(shard, row, *each) for shard, rows in enumerate(shards) for row, each in enumerate(rows)]
    names = pa.array([f"d{name}" for _, _, name, _ in rows], pa.string())
    digests = pa.array([f"d{name}".encode().ljust(16) for _, _, name, _ in rows], pa.binary(16))
    columns = {"doc_id": names, "url": pa.nulls(len(rows), pa.string()), "text_digest": digests}
    numbers = straight(folder, document_numbers(pa.table(columns), SEED))
    labels = np.array(how.strata.column("stratum").to_pylist(), object)
    strata = labels[how.assign(pa.table({"kind": pa.array([kind for *_, kind in rows], pa.string())}))]
    found = {}
    for _, stratum, shard, row in sorted(
        (number, stratum, shard, row)
        for number, stratum, (shard, row, *_) in zip(numbers, strata, rows, strict=True)
    ):
        found.setdefault(stratum, []).append((f"{shard:016x}", 7 * row))
    sizes = zip(labels, how.strata.column("size").to_pylist(), strict=True)
    return {stratum: found[stratum][:size] for stratum, size in sizes if size}


def drawn(table):
    found = {}
    for row in table.to_pylist():
        found.setdefault(row["stratum"], []).append((row["shard"], row["position"]))
        assert row["draw"] == len(found[row["stratum"]])
    return found


@settings(max_examples=40, deadline=None)
@given(
    shards=SHARDS,
    size=st.integers(1, 30),
    workers=st.integers(1, 4),
    stretch=st.sampled_from([1, 4, 1 << 22]),
    cut=st.sampled_from([None, 0, 2**62, 2**63]),
)
def test_draws_are_the_rules_whatever_the_groups_the_partitions_and_the_cut(
    tmp_path_factory, shards, size, workers, stretch, cut
):
    if not any(shards):
        return
    store, places, cells = corpus(tmp_path_factory.mktemp("store"), shards)
    how = design(cells, ["kind"], size)
    with ExitStack() as patched:
        patched.enter_context(mock.patch.object(drawing_tasks, "_WORKERS", workers))
        patched.enter_context(mock.patch.object(drawing_tasks, "STRETCH", stretch))
        if cut is not None:
            patched.enter_context(mock.patch.object(drawing_tasks, "_cut", return_value=np.uint64(cut)))
        table = drawing_tasks.draw(store, places, how, SEED, threads)
    assert drawn(table) == oracle(tmp_path_factory.mktemp("one"), shards, how)
    assert not list(store.scratch.iterdir())


def test_under_the_cut_only_shards_with_small_numbers_are_looked_at(tmp_path, monkeypatch):
    shards = [[(100 * shard + row, "a") for row in range(30)] for shard in range(40)]
    store, places, cells = corpus(tmp_path / "store", shards)
    how, read = design(cells, ["kind"], 2), []
    straightforward = Store.read

    def reading(self, part, columns=None):
        read.append(part.family)
        return straightforward(self, part, columns)

    monkeypatch.setattr(Store, "read", reading)
    table = drawing_tasks.draw(store, places, how, SEED, threads)
    monkeypatch.undo()
    (tmp_path / "one").mkdir()
    assert drawn(table) == oracle(tmp_path / "one", shards, how)
    assert read.count("documents") == 40
    assert read.count("slices") < 30


def test_a_document_without_a_cell_is_refused(tmp_path):
    store, places, cells = corpus(tmp_path, [[(1, "a"), (2, "b")]])
    with pytest.raises(ValueError, match="cells lack"):
        drawing_tasks.draw(store, places, design(cells.slice(0, 1), ["kind"], 5), SEED, threads)
