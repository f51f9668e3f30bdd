"""The largest clusters of a run, and the members of each that are looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from audit.storage.store import Part, Store, disk_errors

#: Clusters that are looked at, and members of each that are compared.
CLUSTERS, MEMBERS = 10, 8
#: What does not fit into the memory goes to the scratch folder.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "256MB",
    "preserve_insertion_order": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}

Place = tuple[str, int]

_LARGEST = f"""
SELECT cluster_id, count(*) AS documents, bool_and(exact) FROM read_parquet($part)
GROUP BY cluster_id ORDER BY documents DESC, cluster_id LIMIT {CLUSTERS}"""
# The least similar member first, and others by a hash of their places.
_MEMBERS = f"""
SELECT cluster_id, any_value(representative_shard), any_value(representative_position),
    list_sort(list_distinct(min(member, 1) || min_by(member, hash, {MEMBERS - 1})))
FROM (
    SELECT cluster_id, representative_shard, representative_position, md5(shard || ':' || position) AS hash,
        {{jaccard: jaccard, exact: exact, shard: shard, position: position}} AS member
    FROM read_parquet($part) WHERE cluster_id IN (SELECT unnest($clusters))
        AND NOT (shard = representative_shard AND position = representative_position))
GROUP BY cluster_id"""


@dataclass(frozen=True)
class Cluster:
    """A cluster and the members that are looked at, the least similar one first."""

    cluster_id: str
    same: bool
    representative: Place
    members: tuple[Place, ...]
    jaccard: float | None


def find(store: Store, part: Part) -> list[Cluster]:
    """Find them: the largest first, and of one size by id. Memory is bounded, however many there are.

    Args:
        store: The run's parts.
        part: Of the family ``duplicates``.
    """
    store.scratch.mkdir(parents=True, exist_ok=True)
    source = str(store.local(part))
    with (
        disk_errors(),
        tempfile.TemporaryDirectory(prefix="clusters-", dir=store.scratch) as folder,
        duckdb.connect(config=_SETTINGS | {"temp_directory": folder}) as db,
    ):
        largest = db.execute(_LARGEST, {"part": source}).fetchall()
        names = [name for name, _, _ in largest]
        rows = db.execute(_MEMBERS, {"part": source, "clusters": names}).fetchall()
    found = {name: (representative, members) for name, *representative, members in rows}
    return [_cluster(name, same, *found[name]) for name, _, same in largest]


def _cluster(
    name: str, same: bool, representative: Sequence[Any], members: Sequence[Mapping[str, Any]]
) -> Cluster:
    shard, position = representative
    places = tuple((member["shard"], member["position"]) for member in members)
    return Cluster(name, same, (shard, position), places, members[0]["jaccard"])
