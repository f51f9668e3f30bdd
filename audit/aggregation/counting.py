"""Counts what follows from the parts alone: workers sum groups of shards, the driver adds the sums up.

Whatever looks at all documents, findings or members of clusters is done by tasks over shards, which bring
small tables, or exchange files where there may be too many rows for one memory. The driver's database holds
these tables only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from audit.aggregation import aggregate_queries, largest_sums, renaming, shard_counts
from audit.aggregation.id_lookup import Found, Lookup, Wanted, merged
from audit.aggregation.largest_sums import Alarm, Largest
from audit.aggregation.shard_counts import Counting
from audit.aggregation.shard_parts import ShardParts, by_shard
from audit.cluster_report import FAMILY as COMPARISONS
from audit.cluster_report import SCHEMA as COMPARISON
from audit.database import RENAMED, insert
from audit.duplicates.exchange import Runner, threads
from audit.engine_runner import grouped
from audit.resolving import FAMILY as DUPLICATES
from audit.resolving import RESOLVED
from audit.screens import Screen, duplicate_screen, is_corpus_wide
from audit.slicing import CELLS
from audit.storage.store import Part, Store
from audit.totals import FAMILY as TOTALS

_SCREEN = "repeated_paragraphs"
_LARGEST_CLUSTERS = 50
_DOMAINS = Alarm(
    aggregate_queries.ALARM_SHARE,
    aggregate_queries.ALARM_DOCUMENTS["domain"],
    aggregate_queries.MOST_ALARMS,
)
_EXAMPLES = pa.schema(
    [
        ("hash", pa.string()),
        ("documents", pa.int64()),
        ("bytes", pa.int64()),
        ("shard", pa.string()),
        ("position", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Means:
    """Who counts.

    Attributes:
        engine: Runs tasks that only read parts.
        files: Runs tasks that exchange files in the run's scratch folder.
        workers: Tasks that run at once.
        memory: What ``run.memory`` says, in bytes; None: no limit.
    """

    engine: Runner = threads
    files: Runner = threads
    workers: int = 1
    memory: int | None = None


@dataclass(frozen=True)
class Corpus:
    """The parts of a run, as the tasks take them.

    Attributes:
        store: Holds them.
        screens: Of the run.
        groups: Shards in order, a group a task.
        wide: (family, name) -> part, of those that speak of the whole corpus.
    """

    store: Store
    screens: Sequence[Screen]
    groups: Sequence[Sequence[ShardParts]]
    wide: Mapping[tuple[str, str], Part]

    @classmethod
    def of(cls, store: Store, screens: Sequence[Screen], parts: Sequence[Part], workers: int) -> Corpus:
        """Arrange the parts of a pass for so many workers."""
        families = (*shard_counts.FAMILIES, *_located(screens))
        wide = {(p.family, p.shard): p for p in parts if p.family in _WIDE}
        return cls(store, screens, grouped(by_shard(parts, families), workers), wide)

    @property
    def duplicates(self) -> Part | None:
        """Members of the run's clusters."""
        return self._of_clusters(DUPLICATES)

    @property
    def paragraphs(self) -> Part | None:
        """What repeated paragraphs take of each document."""
        return self.wide.get((_PARAGRAPHS, _SCREEN))

    def cells(self) -> pa.Table | None:
        """The corpus by cell; None where it has no document."""
        part = self.wide.get((TOTALS, CELLS))
        cells = None if part is None else self.store.read(part)
        return cells if cells is not None and len(cells) else None

    def comparisons(self) -> pa.Table:
        """What was found on looking at the largest clusters."""
        part = self._of_clusters(COMPARISONS)
        return COMPARISON.empty_table() if part is None else self.store.read(part)

    def _of_clusters(self, family: str) -> Part | None:
        name = duplicate_screen(self.screens)
        return None if name is None else self.wide.get((family, name))


_PARAGRAPHS = f"{_SCREEN}{RESOLVED}"
_WIDE = (DUPLICATES, COMPARISONS, _PARAGRAPHS, TOTALS)


def rename(corpus: Corpus, db: duckdb.DuckDBPyConnection, means: Means) -> None:
    """Fill the table of records whose id an earlier record has."""
    cells = corpus.cells()
    if cells is not None:
        documents = pc.sum(cells["documents"]).as_py()
        for rows in renaming.repeated_ids(corpus.store, corpus.groups, documents, means.files):
            insert(db, RENAMED, rows)


def count(
    corpus: Corpus, db: duckdb.DuckDBPyConnection, renamed: Part, judged: pa.Table, means: Means
) -> pa.Table:
    """Fill the tables that are counted over documents, findings and members of clusters.

    Args:
        corpus: Its parts.
        db: With the tables of the schema.
        renamed: The part of the table that ``rename`` filled.
        judged: See ``find_judged``.
        means: Who counts.

    Returns:
        What ``find_judged`` returns.
    """
    counting = Counting(corpus.store, _located(corpus.screens), corpus.duplicates, corpus.paragraphs)
    counted = shard_counts.folded(means.engine(counting, corpus.groups))
    _put(db, {**counted.sums, "few_previews": counted.previews})
    db.execute(aggregate_queries.REJECTS)
    db.execute(aggregate_queries.CANARIES)
    if (cells := corpus.cells()) is None:
        return Wanted().judged
    largest = _largest(corpus, pc.sum(cells["documents"]).as_py(), means)
    comparisons = corpus.comparisons()
    tables = {"cell_counts": cells, "most_members": largest.clusters, "alarm_domains": largest.domains}
    _put(db, {**tables, "cluster_comparisons": comparisons})
    screens, name = corpus.screens, duplicate_screen(corpus.screens)
    for statement in aggregate_queries.counting(screens, name, paragraphs=corpus.paragraphs is not None):
        db.execute(statement)
    examples = _examples(corpus)
    wanted = Wanted(largest.clusters["cluster_id"].combine_chunks(), judged, _places(comparisons, examples))
    found = _look_up(corpus, renamed, wanted, means)
    insert(db, "cluster_members", found.members)
    _put(db, {"places": found.places, "examples": examples})
    db.execute(aggregate_queries.CLUSTER_DIFFS)
    db.execute(aggregate_queries.PARAGRAPHS)
    return found.judged


def find_judged(corpus: Corpus, renamed: Part, judged: pa.Table, means: Means) -> pa.Table:
    """Those of ``judged`` (doc_id, text_digest) that the corpus holds."""
    return _look_up(corpus, renamed, Wanted(judged=judged), means).judged


def _look_up(corpus: Corpus, renamed: Part, wanted: Wanted, means: Means) -> Found:
    concerned = [group for group in corpus.groups if wanted.concerns(group)]
    return merged(list(means.engine(Lookup(corpus.store, renamed, corpus.duplicates, wanted), concerned)))


def _largest(corpus: Corpus, documents: int, means: Means) -> Largest:
    if corpus.duplicates is None:
        return largest_sums.NONE
    return largest_sums.find(
        corpus.store, corpus.groups, corpus.duplicates, documents, _DOMAINS, _LARGEST_CLUSTERS, means.files
    )


def _examples(corpus: Corpus) -> pa.Table:
    """The most repeated paragraphs, as the screen told them."""
    told = [] if corpus.paragraphs is None else corpus.store.metadata(corpus.paragraphs)["examples"]
    return pa.Table.from_pylist(told, _EXAMPLES)


def _places(comparisons: pa.Table, examples: pa.Table) -> dict[str, list[int]]:
    """Documents that the tables name by their places."""
    found: dict[str, list[int]] = {}
    for table, prefix in ((comparisons, "representative_"), (comparisons, "member_"), (examples, "")):
        columns = (table[f"{prefix}{name}"].to_pylist() for name in ("shard", "position"))
        for shard, position in zip(*columns, strict=True):
            found.setdefault(shard, []).append(position)
    return {shard: sorted(set(positions)) for shard, positions in found.items()}


def _located(screens: Sequence[Screen]) -> tuple[str, ...]:
    return tuple(screen.name for screen in screens if not is_corpus_wide(screen))


def _put(db: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> None:
    for name, rows in tables.items():
        db.register("incoming", rows)
        db.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
        db.unregister("incoming")
