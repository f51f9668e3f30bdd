"""Domains that would go with the copies, and the largest clusters: sums by keys that no memory holds at once.

Groups of shards sum their own documents by domain and their members by cluster into files; then partitions of
the keys are summed, and each tells the few that count.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from audit import facts
from audit.aggregation import keyed_tables
from audit.aggregation.corpus_rows import CorpusRows
from audit.aggregation.keyed_tables import Spiller, Summed
from audit.aggregation.shard_counts import MEMBER, copies
from audit.aggregation.shard_parts import ShardParts
from audit.duplicates.exchange import Runner
from audit.slicing import SLICES
from audit.storage.store import Part, Store
from audit.workers import meter

DOMAINS = Summed("value", dict.fromkeys(("documents", "copies", "tokens", "copied_tokens"), "sum"))
CLUSTERS = Summed("cluster_id", {"documents": "sum", "exact": "sum", "min_jaccard": "min"})


@dataclass(frozen=True)
class Alarm:
    """Which values are told of.

    Attributes:
        share: They lose more than this share of their documents with the copies …
        documents: … and have so many at least.
        most: How many are told, those with most copies first.
    """

    share: float
    documents: int
    most: int


@dataclass(frozen=True)
class Largest:
    """Domains under an alarm, and the largest clusters.

    Attributes:
        domains: ``value`` and its sums (``DOMAINS``).
        clusters: ``cluster_id`` and its sums (``CLUSTERS``).
    """

    domains: pa.Table
    clusters: pa.Table


@dataclass(frozen=True)
class _Spills:
    """Files of one group, or of all."""

    domains: tuple[Path, ...]
    clusters: tuple[Path, ...]


@dataclass(frozen=True)
class _Spilling:
    """Sums the documents of a group of shards into files; a function for a runner."""

    store: Store
    duplicates: Part
    folder: Path
    bits: int

    def __call__(self, task: tuple[int, Sequence[ShardParts]]) -> _Spills:
        number, group = task
        domains = Spiller(self.folder, f"domains-{number}", self.bits, DOMAINS.key, DOMAINS)
        clusters = Spiller(self.folder, f"clusters-{number}", self.bits, CLUSTERS.key, CLUSTERS)
        rows = CorpusRows(self.store, self.duplicates, (*MEMBER, "cluster_id", "exact", "jaccard"))
        for shard in group:
            meter.beat()
            if shard.has(SLICES):
                members = rows.of(shard.shard)
                domains.take(_by_domain(self.store, shard, members))
                clusters.take(_by_cluster(members))
        return _Spills(tuple(domains.flush()), tuple(clusters.flush()))


@dataclass(frozen=True)
class _Merging:
    """Sums a partition, and keeps what is told; a function for a runner."""

    spills: _Spills
    alarm: Alarm
    clusters: int

    def __call__(self, partition: int) -> Largest:
        domains, clusters = _DOMAINS.empty_table(), _CLUSTERS.empty_table()
        if self.spills.domains:
            domains = DOMAINS.add([keyed_tables.read(self.spills.domains, partition)])
        if self.spills.clusters:
            clusters = CLUSTERS.add([keyed_tables.read(self.spills.clusters, partition)])
        return Largest(under_alarm(domains, self.alarm), most_members(clusters, self.clusters))


def find(
    store: Store,
    groups: Sequence[Sequence[ShardParts]],
    duplicates: Part,
    documents: int,
    alarm: Alarm,
    clusters: int,
    runner: Runner,
) -> Largest:
    """Domains under an alarm, and the largest clusters.

    Args:
        store: The run's parts.
        groups: Of all shards.
        duplicates: Members of the run's clusters.
        documents: Of the corpus.
        alarm: Which domains are told.
        clusters: How many are told.
        runner: For tasks that exchange files in the store's scratch folder.
    """
    store.scratch.mkdir(parents=True, exist_ok=True)
    bits = keyed_tables.bits_for(documents)
    with tempfile.TemporaryDirectory(prefix="sums-", dir=store.scratch) as folder:
        spilling = _Spilling(store, duplicates, Path(folder), bits)
        found = list(runner(spilling, list(enumerate(groups))))
        spills = _Spills(
            tuple(path for each in found for path in each.domains),
            tuple(path for each in found for path in each.clusters),
        )
        told = list(runner(_Merging(spills, alarm, clusters), range(1 << bits)))
    return Largest(
        under_alarm(pa.concat_tables([each.domains for each in told]), alarm),
        most_members(pa.concat_tables([each.clusters for each in told]), clusters),
    )


def under_alarm(domains: pa.Table, alarm: Alarm) -> pa.Table:
    """Values that lose too much, those with most copies first."""
    limits = pc.multiply(domains["documents"].cast(pa.float64()), alarm.share)
    lost = pc.greater(domains["copies"].cast(pa.float64()), limits)
    told = domains.filter(pc.and_(lost, pc.greater_equal(domains["documents"], alarm.documents)))
    return told.sort_by([("copies", "descending"), ("value", "ascending")]).slice(0, alarm.most)


def most_members(clusters: pa.Table, count: int) -> pa.Table:
    """The clusters with most members, ties by id."""
    keys = [("documents", "descending"), ("cluster_id", "ascending")]
    return clusters.take(pc.select_k_unstable(clusters, count, sort_keys=keys))


_DOMAINS = pa.schema([("value", pa.string()), *((name, pa.int64()) for name in DOMAINS.values)])
_CLUSTERS = pa.schema(
    [
        ("cluster_id", pa.string()),
        ("documents", pa.int64()),
        ("exact", pa.int64()),
        ("min_jaccard", pa.float32()),
    ]
)
#: Where nobody looked for duplicates.
NONE = Largest(_DOMAINS.empty_table(), _CLUSTERS.empty_table())


def _by_domain(store: Store, shard: ShardParts, members: pa.Table) -> pa.Table:
    documents = shard.read(store, facts.FAMILY, ["position", "domain", "n_tokens"])
    copy = copies(members, shard.shard, documents["position"])
    tokens = documents["n_tokens"].to_numpy()
    columns = [documents["domain"], pa.repeat(1, len(copy)), copy, tokens, copy * tokens]
    rows = pa.table(columns, _DOMAINS.names).cast(_DOMAINS)
    return DOMAINS.add([rows.filter(pc.is_valid(rows["value"]))])


def _by_cluster(members: pa.Table) -> pa.Table:
    columns = [
        members["cluster_id"],
        pa.repeat(1, len(members)),
        members["exact"].cast(pa.int64()),
        members["jaccard"],
    ]
    return CLUSTERS.add([pa.table(columns, _CLUSTERS.names).cast(_CLUSTERS)])
