"""What a group of shards adds to the counts of a run: small additive tables, from their parts alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit import facts
from audit.aggregation.corpus_rows import CorpusRows
from audit.aggregation.keyed_tables import add, first
from audit.aggregation.shard_parts import Rows, ShardParts, rows_at
from audit.canary_check import FAMILY as CANARIES
from audit.dimensions import REPORTED
from audit.slicing import FINDING_CELLS, SLICES
from audit.storage.store import Part, Store
from audit.tasks import REJECTS
from audit.workers import meter

#: What is read of each shard, beside the families with findings.
FAMILIES = (facts.FAMILY, SLICES, FINDING_CELLS, REJECTS, CANARIES)
#: Previews of a kind that are kept.
PREVIEWS = 3
_FAN_IN = 16

_STRINGS = pa.string()
#: Table -> its columns: keys, then counts that are added.
SLICE_SUMS = (
    "documents",
    "copies",
    "copied_tokens",
    "evaluated",
    "bytes",
    "evaluated_bytes",
    "repeated_bytes",
)
_FINDING_KEYS = ("screen", "kind", "severity", *REPORTED)
_CANARY_KEYS = ("screen", "canary", "control", "expected", "found", "outcome", "path")
_SCHEMAS = {
    "slice_sums": (REPORTED, SLICE_SUMS),
    "finding_sums": (_FINDING_KEYS, ("findings", "documents")),
    "reject_sums": (("shard", "reason"), ("documents",)),
    "canary_sums": (_CANARY_KEYS, ("shards",)),
}
_PREVIEWS = pa.schema([(name, _STRINGS) for name in ("screen", "kind", "preview")])


@dataclass(frozen=True)
class Counted:
    """Sums of some shards.

    Attributes:
        sums: Table -> rows by key, as ``_SCHEMAS`` has it.
        previews: screen, kind, preview: the first ``PREVIEWS`` of each kind.
    """

    sums: dict[str, pa.Table]
    previews: pa.Table


def merged(counts: Sequence[Counted]) -> Counted:
    """The sums of several."""
    sums = {}
    for name, (keys, values) in _SCHEMAS.items():
        tables = [each.sums[name] for each in counts]
        sums[name] = add(tables, keys, dict.fromkeys(values, "sum"))
    return Counted(sums, _first([each.previews for each in counts]))


def folded(counts: Iterable[Counted]) -> Counted:
    """The sums of many, a few of which are held at a time."""
    held = [Counted({name: _empty(name) for name in _SCHEMAS}, _PREVIEWS.empty_table())]
    for each in counts:
        held.append(each)
        if len(held) >= _FAN_IN:
            held = [merged(held)]
    return merged(held)


@dataclass(frozen=True)
class Counting:
    """Counts groups of shards; a function for a runner.

    Attributes:
        store: The run's parts.
        located: Families whose findings have previews.
        duplicates: Members of the run's clusters.
        paragraphs: What repeated paragraphs take of each document.
    """

    store: Store
    located: tuple[str, ...]
    duplicates: Part | None
    paragraphs: Part | None

    def __call__(self, group: Sequence[ShardParts]) -> Counted:
        """Count the shards of a group."""
        members = None if self.duplicates is None else CorpusRows(self.store, self.duplicates, MEMBER)
        paragraphs = None if self.paragraphs is None else CorpusRows(self.store, self.paragraphs, _MEASURED)
        return merged([self._shard(shard, members, paragraphs) for shard in group])

    def _shard(self, shard: ShardParts, members: CorpusRows | None, paragraphs: CorpusRows | None) -> Counted:
        meter.beat()
        sums = {
            "slice_sums": self._slices(shard, members, paragraphs),
            "finding_sums": self._of(shard, FINDING_CELLS, "finding_sums"),
            "reject_sums": self._of(shard, REJECTS, "reject_sums", "documents"),
            "canary_sums": self._of(shard, CANARIES, "canary_sums", "shards"),
        }
        return Counted(sums, _first(list(self._previews(shard))))

    def _of(self, shard: ShardParts, family: str, name: str, counted: str | None = None) -> pa.Table:
        """Sums of a part's rows; ``counted`` is one a row."""
        keys, values = _SCHEMAS[name]
        if not shard.has(family):
            return _empty(name)
        rows = shard.read(self.store, family, [*keys, *(value for value in values if value != counted)])
        if counted is not None:
            rows = rows.append_column(counted, pa.array(np.ones(len(rows), np.int64)))
        return add([rows.select([*keys, *values]).cast(_schema(name))], keys, dict.fromkeys(values, "sum"))

    def _slices(self, shard: ShardParts, members: CorpusRows | None, texts: CorpusRows | None) -> pa.Table:
        if not shard.has(SLICES):
            return _empty("slice_sums")
        documents = shard.read(self.store, facts.FAMILY, ["position", "n_tokens", "n_chars"])
        slices = shard.read(self.store, SLICES, ["position", *REPORTED])
        positions = slices["position"]
        documents = documents.take(pa.array(rows_at(documents["position"], positions, shard.shard)))
        copy = copies(None if members is None else members.of(shard.shard), shard.shard, positions)
        columns = {
            **{name: slices[name].cast(_STRINGS) for name in REPORTED},
            "documents": np.ones(len(slices), np.int64),
            "copies": copy,
            "copied_tokens": copy * documents["n_tokens"].to_numpy(),
            **_bytes(texts, shard.shard, positions, documents["n_chars"]),
        }
        return add([pa.table(columns)], REPORTED, dict.fromkeys(SLICE_SUMS, "sum"))

    def _previews(self, shard: ShardParts) -> Iterator[pa.Table]:
        yield _PREVIEWS.empty_table()
        for name in self.located:
            if shard.has(name):
                lists = shard.read(self.store, name, ["findings"]).column("findings")
                hits = pc.list_flatten(lists).combine_chunks()
                kinds, previews = pc.struct_field(hits, "kind"), pc.struct_field(hits, "preview")
                screens = pa.repeat(name, len(hits))
                yield pa.table([screens, kinds, previews], _PREVIEWS.names).cast(_PREVIEWS)


_MEASURED = ("position", "repeated_paragraphs_text_bytes", "repeated_paragraphs_bytes")
#: What ``copies`` wants of the members of clusters.
MEMBER = ("position", "representative_shard", "representative_position")


def copies(members: pa.Table | None, shard: str, positions: pa.ChunkedArray) -> Rows:
    """1 where a document would go with the copies: a member that does not represent its cluster.

    Args:
        members: Of clusters, in that shard (``MEMBER``); None: nobody looked for them.
        shard: The shard …
        positions: … and its documents.
    """
    copy = np.zeros(len(positions), np.int64)
    if members is not None:
        first = pc.and_(
            pc.equal(members["representative_shard"], shard),
            pc.equal(members["representative_position"], members["position"]),
        )
        copy[rows_at(positions, members["position"].filter(pc.invert(first)), shard)] = 1
    return copy


def _bytes(
    texts: CorpusRows | None, shard: str, positions: pa.ChunkedArray, characters: pa.ChunkedArray
) -> dict[str, Rows]:
    """Bytes of all paragraphs and of repeated ones; of a document without, 4 a character at most."""
    whole = 4 * characters.to_numpy()
    measured, repeated = np.zeros((2, len(whole)), np.int64)
    present = np.zeros(len(whole), np.int64)
    if texts is not None:
        rows = texts.of(shard)
        at = rows_at(positions, rows["position"], shard)
        present[at] = pc.is_valid(rows[_MEASURED[1]]).to_numpy().astype(np.int64)
        measured[at] = pc.fill_null(rows[_MEASURED[1]], 0).to_numpy()
        repeated[at] = pc.fill_null(rows[_MEASURED[2]], 0).to_numpy()
    return {
        "evaluated": present,
        "bytes": np.where(present == 1, measured, whole),
        "evaluated_bytes": measured,
        "repeated_bytes": repeated,
    }


def _first(tables: Sequence[pa.Table]) -> pa.Table:
    """The first distinct previews of each kind, in the order of their bytes."""
    found = pa.concat_tables(tables)
    return first(found.filter(pc.is_valid(found["preview"])), ("screen", "kind"), PREVIEWS)


def _schema(name: str) -> pa.Schema:
    keys, values = _SCHEMAS[name]
    return pa.schema(
        [
            *((key, pa.bool_() if key == "control" else _STRINGS) for key in keys),
            *((value, pa.int64()) for value in values),
        ]
    )


def _empty(name: str) -> pa.Table:
    return _schema(name).empty_table()
