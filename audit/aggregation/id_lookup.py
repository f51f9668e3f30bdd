"""Ids of the few documents that a run tells of: members of large clusters, what was judged, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit import facts
from audit.aggregation.corpus_rows import CorpusRows
from audit.aggregation.keyed_tables import first
from audit.aggregation.shard_parts import ShardParts, rows_at
from audit.storage.store import Part, Store
from audit.workers import meter

#: Members of a cluster that are told, the first by id.
MEMBERS = 3

_STRINGS = pa.string()
_MEMBERS = pa.schema([("cluster_id", _STRINGS), ("doc_id", _STRINGS)])
JUDGED = pa.schema([("doc_id", _STRINGS), ("text_digest", _STRINGS)])
_PLACES = pa.schema([("shard", _STRINGS), ("position", pa.int64()), ("doc_id", _STRINGS)])


@dataclass(frozen=True)
class Wanted:
    """What is looked for.

    Attributes:
        clusters: Ids of clusters.
        judged: ``doc_id`` and ``text_digest`` (hex) of documents that the corpus may hold.
        places: Shard -> positions.
    """

    clusters: pa.Array = field(default_factory=lambda: pa.array([], _STRINGS))
    judged: pa.Table = field(default_factory=JUDGED.empty_table)
    places: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def concerns(self, group: Sequence[ShardParts]) -> bool:
        """Whether these shards may hold some of it."""
        everywhere = len(self.clusters) or len(self.judged)
        return bool(everywhere or any(each.shard in self.places for each in group))


@dataclass(frozen=True)
class Found:
    """What some shards hold of it.

    Attributes:
        members: cluster_id, doc_id: the first ``MEMBERS`` of each cluster.
        judged: doc_id, text_digest.
        places: shard, position, doc_id.
    """

    members: pa.Table
    judged: pa.Table
    places: pa.Table


def merged(found: Sequence[Found]) -> Found:
    """All of it."""
    return Found(
        _first([_MEMBERS.empty_table(), *(each.members for each in found)]),
        pa.concat_tables([JUDGED.empty_table(), *(each.judged for each in found)]),
        pa.concat_tables([_PLACES.empty_table(), *(each.places for each in found)]),
    )


@dataclass(frozen=True)
class Lookup:
    """Looks a group of shards through; a function for a runner.

    Attributes:
        store: The run's parts.
        renamed: Records under other ids than their own (``renaming.SCHEMA``).
        duplicates: Members of the run's clusters.
        wanted: What is looked for.
    """

    store: Store
    renamed: Part
    duplicates: Part | None
    wanted: Wanted

    def __call__(self, group: Sequence[ShardParts]) -> Found:
        """Return what the shards hold."""
        renamed = CorpusRows(self.store, self.renamed, ["position", "doc_id"])
        members = None
        if self.duplicates is not None and len(self.wanted.clusters):
            members = CorpusRows(self.store, self.duplicates, ["position", "cluster_id"])
        return merged([self._shard(shard, renamed, members) for shard in group])

    def _shard(self, shard: ShardParts, renamed: CorpusRows, members: CorpusRows | None) -> Found:
        meter.beat()
        rows = _MEMBER_ROWS.empty_table() if members is None else members.of(shard.shard)
        rows = rows.filter(pc.is_in(rows["cluster_id"], value_set=self.wanted.clusters))
        places = pa.array(self.wanted.places.get(shard.shard, ()), pa.int64())
        if not (len(rows) or len(places) or len(self.wanted.judged)):
            return merged([])
        documents = self._documents(shard, renamed)
        ids, positions = documents["doc_id"], documents["position"]
        at = pa.array(rows_at(positions, rows["position"], shard.shard))
        known = pa.array(rows_at(positions, pa.chunked_array([places]), shard.shard))
        shards = pa.repeat(shard.shard, len(places))
        return Found(
            _first([pa.table([rows["cluster_id"], ids.take(at)], schema=_MEMBERS)]),
            self._judged(documents) if len(self.wanted.judged) else JUDGED.empty_table(),
            pa.table([shards, places, ids.take(known)], _PLACES.names).cast(_PLACES),
        )

    def _documents(self, shard: ShardParts, renamed: CorpusRows) -> pa.Table:
        """Documents of a shard under the ids by which they go."""
        columns = ["position", "doc_id", *(["text_digest"] if len(self.wanted.judged) else [])]
        documents = shard.read(self.store, facts.FAMILY, columns)
        others = renamed.of(shard.shard)
        if not len(others):
            return documents
        rows = rows_at(documents["position"], others["position"], shard.shard)
        replaced = np.zeros(len(documents), np.bool_)
        replaced[rows] = True
        names = others["doc_id"].combine_chunks().take(pa.array(np.argsort(rows)))
        ids = pc.replace_with_mask(documents["doc_id"].combine_chunks(), pa.array(replaced), names)
        return documents.set_column(1, "doc_id", ids)

    def _judged(self, documents: pa.Table) -> pa.Table:
        wanted = self.wanted.judged
        near = documents.filter(pc.is_in(documents["doc_id"], value_set=wanted["doc_id"].combine_chunks()))
        pairs = set(zip(wanted["doc_id"].to_pylist(), wanted["text_digest"].to_pylist(), strict=True))
        ids, digests = near["doc_id"].to_pylist(), near["text_digest"].to_pylist()
        found = {(name, digest.hex()) for name, digest in zip(ids, digests, strict=True)} & pairs
        return pa.Table.from_pylist([dict(zip(JUDGED.names, pair, strict=True)) for pair in found], JUDGED)


_MEMBER_ROWS = pa.schema([("position", pa.int64()), ("cluster_id", _STRINGS)])


def _first(tables: Sequence[pa.Table]) -> pa.Table:
    """The first members of each cluster by id."""
    return first(pa.concat_tables(tables), ["cluster_id"], MEMBERS)
