"""The largest clusters and the members that are looked at, against their rule in plain Python."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import largest_clusters
from audit.largest_clusters import CLUSTERS, MEMBERS, Cluster
from audit.storage.store import Part, Store

PART = Part("duplicates", "near_duplicates", "0" * 64)
COLUMNS = (
    "shard",
    "position",
    "cluster_id",
    "representative_shard",
    "representative_position",
    "jaccard",
    "exact",
)
KINDS = (pa.string(), pa.int64(), pa.string(), pa.string(), pa.int64(), pa.float32(), pa.bool_())


def stored(folder, rows):
    store = Store(folder)
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, KINDS, strict=True)]
    store.write(PART, pa.table(arrays, names=list(COLUMNS)), {})
    return store


def clusters_of(sizes, generator):
    """Rows of clusters of so many documents, mixed; the first document of each represents it."""
    places = [(f"{n % 3}", n) for n in range(sum(sizes))]
    generator.shuffle(places)
    rows = []
    for size in sizes:
        members = [places.pop() for _ in range(size)]
        shard, position = members[0]
        for number, place in enumerate(members):
            jaccard = 1.0 if number == 0 else float(generator.choice([0.8, 0.9, 1.0]))
            name = f"near:{shard}:{position}"
            rows.append((*map(_plain, place), name, shard, int(position), jaccard, jaccard == 1.0))
    generator.shuffle(rows)
    return [tuple(row) for row in rows]


def _plain(value):
    return value if isinstance(value, str) else int(value)


def expected(rows):
    by_name = {}
    for row in rows:
        by_name.setdefault(row[2], []).append(row)
    found = []
    for name, members in sorted(by_name.items(), key=lambda item: (-len(item[1]), item[0]))[:CLUSTERS]:
        representative = members[0][3:5]
        others = sorted((row for row in members if row[:2] != representative), key=_unlikeness)
        hashed = sorted(others, key=lambda row: hashlib.md5(f"{row[0]}:{row[1]}".encode()).hexdigest())
        chosen = {others[0][:2], *(row[:2] for row in hashed[: MEMBERS - 1])}
        places = tuple(row[:2] for row in others if row[:2] in chosen)
        same = all(row[6] for row in members)
        found.append(Cluster(name, same, representative, places, np.float32(others[0][5])))
    return found


def _unlikeness(row):
    return row[5], row[6], row[0], row[1]


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(2, 20), max_size=14), seed=st.integers(0, 1000))
def test_the_largest_are_found_and_their_members_chosen_by_rule(tmp_path_factory, sizes, seed):
    rows = clusters_of(sizes, np.random.default_rng(seed))
    store = stored(tmp_path_factory.mktemp("store"), rows)
    assert largest_clusters.find(store, PART) == expected(rows)
    assert not list(store.scratch.iterdir())
