"""Sums that workers bring, group by group and through files, against one statement over everything."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import config as configuration
from audit.aggregation import aggregate_queries, aggregates, counting, keyed_tables
from audit.aggregation.counting import Means
from audit.aggregation.largest_sums import Alarm
from audit.canary_check import SCHEMA as CANARIES
from audit.cluster_report import SCHEMA as COMPARISONS
from audit.dimensions import REPORTED
from audit.duplicates.exchange import threads
from audit.errors import FatalError
from audit.model import DUPLICATE_SCHEMA, FINDING_STRUCT
from audit.storage.store import Part, Store

SCREENS = {"near_duplicates": {}, "repeated_paragraphs": {}, "listed_domains": {}}
KEY = "0" * 64
ALARM = Alarm(0.5, 3, 2)
JUDGED = pa.schema([("doc_id", pa.string()), ("text_digest", pa.string())])


class Made:
    """A corpus of random parts: tables of all shards, and a store that holds them shard by shard."""

    def __init__(self, seed: int, sizes: list[int]) -> None:
        self.random = np.random.default_rng(seed)
        self.shards = [f"{number:016x}" for number in self.random.permutation(len(sizes) * 3)[: len(sizes)]]
        places = [(s, 2 * p + 1) for s, n in zip(self.shards, sizes, strict=True) for p in range(n)]
        self.places = sorted(places)
        count = len(self.places)
        shard = pa.array([shard for shard, _ in self.places], pa.string())
        position = pa.array([position for _, position in self.places], pa.int64())
        place = {"shard": shard, "position": position}
        self.tables = {
            "documents": pa.table(
                {
                    **place,
                    "doc_id": self.some(["a", "b", "c", "é", *(f"d{n}" for n in range(3 * count))], count),
                    "domain": self.some(["x.example", "y.example", "z.example", None], count),
                    "n_chars": self.random.integers(1, 90, count),
                    "n_tokens": self.random.integers(1, 9, count),
                    "text_digest": self.some([b"\x01", b"\xff"], count, pa.binary()),
                }
            ),
            "slices": pa.table({**place, **{name: self.some(["u", "v", "w"], count) for name in REPORTED}}),
            "listed_domains": pa.table({**place, "findings": self.findings(count)}),
            "duplicates": self.clusters(),
            "repeated_paragraphs.resolved": self.paragraphs(),
            "rejects": self.rejects(),
            "canaries": self.canaries(),
            "finding_cells": self.finding_cells(),
            "cluster_diffs": self.comparisons(),
        }

    def some(self, values: list[object], count: int, kind: pa.DataType | None = None) -> pa.Array:
        return pa.array([values[k] for k in self.random.integers(0, len(values), count)], kind or pa.string())

    def findings(self, count: int) -> pa.Array:
        def finding() -> dict[str, object]:
            preview = self.some(["1", "2", "3", "é", "ü", None], 1)[0].as_py()
            kind = self.random.choice(["k", "l"])
            return {"kind": kind, "start": 0, "end": 1, "severity": "low", "preview": preview}

        rows = [[finding() for _ in range(self.random.integers(0, 4))] for _ in range(count)]
        return pa.array(rows, pa.list_(FINDING_STRUCT))

    def clusters(self) -> pa.Table:
        rows = []
        chosen = [place for place in self.places if self.random.random() < 0.7]
        heads = chosen[: len(chosen) // 3]
        for place in chosen:
            head = place if place in heads or not heads else heads[self.random.integers(0, len(heads))]
            rows.append(
                {
                    "shard": place[0],
                    "position": place[1],
                    "cluster_id": f"near:{head[0]}:{head[1]}",
                    "representative_shard": head[0],
                    "representative_position": head[1],
                    "jaccard": self.random.choice([None, 0.5, 1.0]),
                    "exact": bool(self.random.random() < 0.5),
                }
            )
        return pa.Table.from_pylist(rows, DUPLICATE_SCHEMA)

    def paragraphs(self) -> pa.Table:
        chosen = [place for place in self.places if self.random.random() < 0.8]
        texts = [None if self.random.random() < 0.2 else int(self.random.integers(5, 50)) for _ in chosen]
        columns = {
            "shard": pa.array([shard for shard, _ in chosen], pa.string()),
            "position": pa.array([position for _, position in chosen], pa.int64()),
            "repeated_paragraphs_bytes": pa.array([t and t // 2 for t in texts], pa.int64()),
            "repeated_paragraphs_text_bytes": pa.array(texts, pa.int64()),
        }
        return pa.table(columns)

    def rejects(self) -> pa.Table:
        rows = [(shard, 2 * n, "empty" if n % 2 else "not_json") for shard in self.shards for n in range(3)]
        return pa.table([list(column) for column in zip(*rows, strict=True)], ["shard", "position", "reason"])

    def canaries(self) -> pa.Table:
        rows = [
            {
                "shard": shard,
                "screen": "listed_domains",
                "canary": name,
                "control": name == "c",
                "expected": None if name == "c" else "found",
                "found": self.random.choice([None, "f", "g"]),
                "outcome": self.random.choice(["passed", "missed", "fired"]),
                "path": self.random.choice(["jsonl", "parquet"]),
            }
            for shard in self.shards
            for name in "abc"
        ]
        return pa.Table.from_pylist(rows, CANARIES)

    def finding_cells(self) -> pa.Table:
        rows = [
            {
                "shard": shard,
                "screen": "listed_domains",
                "kind": kind,
                "severity": "low",
                **{name: self.random.choice(["u", "v"]) for name in REPORTED},
                "findings": int(self.random.integers(1, 9)),
                "documents": 1,
            }
            for shard in self.shards
            for kind in "kl"
        ]
        return pa.Table.from_pylist(rows)

    def comparisons(self) -> pa.Table:
        clusters = self.tables_of_clusters()
        return pa.Table.from_pylist(clusters, COMPARISONS)

    def tables_of_clusters(self) -> list[dict[str, object]]:
        rows = []
        for number, place in enumerate(self.places[:3]):
            hunk = {"before": "", "removed": "a", "added": "b", "after": ""}
            rows.append(
                {
                    "cluster_id": f"near:{place[0]}:{place[1]}",
                    "nature": "template",
                    "nature_reason": "fields",
                    "representative_shard": place[0],
                    "representative_position": place[1],
                    "member_shard": self.places[-1][0],
                    "member_position": self.places[-1][1],
                    "jaccard": 0.5,
                    "hunks": [hunk] * number,
                    "left_out": number,
                    "complete": True,
                }
            )
        return rows

    @property
    def examples(self) -> list[dict[str, object]]:
        return [
            {"hash": f"{n:016x}", "documents": n, "bytes": n, "shard": shard, "position": position}
            for n, (shard, position) in enumerate(self.places[::2])
        ]

    def cells(self) -> pa.Table:
        with duckdb.connect() as db:
            self.bind(db)
            listed = ", ".join(REPORTED)
            counts = ", ".join(
                f"count(*) AS {name}_evaluated, sum(n_tokens)::BIGINT AS {name}_evaluated_tokens"
                for name in ("near_duplicates", "listed_domains")
            )
            flags = "0::BIGINT AS listed_domains_flagged, 0::BIGINT AS listed_domains_flagged_tokens"
            return db.sql(
                f"""SELECT {listed}, count(*) AS documents, sum(n_tokens)::BIGINT AS tokens, {counts}, {flags}
                FROM base_documents JOIN slices USING (shard, position) GROUP BY ALL"""
            ).to_arrow_table()

    def bind(self, db: duckdb.DuckDBPyConnection) -> None:
        """The tables of all shards under the names that ``EXPECTED`` uses."""
        names = {
            "documents": "base_documents",
            "duplicates": "members",
            "cluster_diffs": "cluster_comparisons",
        }
        for name, table in self.tables.items():
            db.register(names.get(name, name.replace("repeated_paragraphs.resolved", "resolved")), table)
        db.register("examples", pa.Table.from_pylist(self.examples, counting._EXAMPLES))

    def keep(self, store: Store) -> list[Part]:
        wide = {
            "duplicates": ("near_duplicates", {}),
            "repeated_paragraphs.resolved": ("repeated_paragraphs", {"examples": self.examples}),
            "cluster_diffs": ("near_duplicates", {}),
        }
        parts = [Part("totals", "cells", KEY)]
        store.write(parts[0], self.cells(), {})
        for family, table in self.tables.items():
            if family in wide:
                name, told = wide[family]
                parts.append(Part(family, name, KEY))
                with store.writer(family, table.schema, 4) as writer:
                    writer.add(table)
                    writer.commit(parts[-1], told)
                continue
            for shard in self.shards:
                rows = table.filter(pa.compute.equal(table["shard"], shard))
                parts.append(Part(family, shard, KEY))
                store.write(parts[-1], rows.drop(["shard"]) if family == "finding_cells" else rows, {})
        return parts

    def judged(self) -> pa.Table:
        documents = self.tables["documents"].to_pylist()[::2]
        rows = [(row["doc_id"], row["text_digest"].hex()) for row in documents]
        rows += [(f"{row['doc_id']}#{row['shard']}:{row['position']}", "01") for row in documents]
        return pa.Table.from_pylist([dict(zip(JUDGED.names, row, strict=True)) for row in rows], JUDGED)


#: One statement a table, over all rows at once.
EXPECTED = {
    "renamed_documents": """SELECT shard, position, doc_id || '#' || shard || ':' || position AS doc_id
        FROM base_documents QUALIFY row_number() OVER (PARTITION BY doc_id ORDER BY shard, position) > 1""",
    "reject_counts": "SELECT shard, reason, count(*) FROM rejects GROUP BY ALL",
    "canary_counts": """SELECT screen, canary, control, expected, count(*),
            count(*) FILTER (outcome = 'passed'), max(outcome) FILTER (outcome <> 'passed'),
            list(DISTINCT found ORDER BY found) FILTER (outcome <> 'passed')[:3],
            list(DISTINCT path ORDER BY path)
        FROM canaries GROUP BY ALL""",
    "cluster_counts": """WITH largest AS (
            SELECT cluster_id, count(*) AS documents, count(*) FILTER (exact) AS exact,
                min(jaccard) AS min_jaccard
            FROM members GROUP BY cluster_id ORDER BY documents DESC, cluster_id LIMIT 4)
        SELECT cluster_id, documents, exact, min_jaccard,
            CASE WHEN exact = documents THEN 'copies' ELSE coalesce(nature, 'unknown') END,
            CASE WHEN exact = documents THEN 'all members have the same normalised text'
                ELSE coalesce(nature_reason, 'only the largest clusters are looked at') END
        FROM largest LEFT JOIN cluster_comparisons USING (cluster_id)""",
    "cluster_members": """SELECT cluster_id, doc_id FROM members JOIN named USING (shard, position)
        WHERE cluster_id IN (SELECT cluster_id FROM (SELECT cluster_id, count(*) AS n FROM members
            GROUP BY cluster_id ORDER BY n DESC, cluster_id LIMIT 4))
        QUALIFY row_number() OVER (PARTITION BY cluster_id ORDER BY doc_id) <= 3""",
    "cluster_diffs": """SELECT cluster_id, head.doc_id, member.doc_id, jaccard, reason, to_json(hunks),
            left_out, complete
        FROM cluster_comparisons AS found
        JOIN named AS head
            ON head.shard = representative_shard AND head.position = representative_position
        JOIN named AS member ON member.shard = member_shard AND member.position = member_position""",
    "previews": """WITH found AS (
            SELECT DISTINCT hit.kind AS kind, hit.preview AS preview
            FROM (SELECT unnest(findings) AS hit FROM listed_domains) WHERE hit.preview IS NOT NULL)
        SELECT 'listed_domains', kind, list(preview ORDER BY preview)[:3] FROM found GROUP BY ALL""",
    "duplicate_alarms": f"""WITH counted AS (
            SELECT 'domain' AS dimension, domain AS value, * FROM copied UNION ALL
            SELECT 'source', source, * FROM copied)
        SELECT dimension, value, count(*) AS documents, sum(copy) AS copies, sum(n_tokens),
            sum(n_tokens * copy)
        FROM counted WHERE value IS NOT NULL GROUP BY dimension, value
        HAVING copies > 0.5 * documents AND documents >= if(dimension = 'source', 1, {ALARM.documents})
        QUALIFY dimension = 'source'
            OR row_number() OVER (PARTITION BY dimension ORDER BY copies DESC, value) <= {ALARM.most}""",
    "repeated_paragraphs": """SELECT hash, documents, bytes, doc_id FROM examples
        JOIN named USING (shard, position)""",
    "judged_documents": """SELECT DISTINCT doc_id, lower(hex(text_digest)) AS text_digest FROM named
        SEMI JOIN judged ON judged.doc_id = named.doc_id
            AND judged.text_digest = lower(hex(named.text_digest))""",
    "finding_counts": " UNION ALL ".join(
        f"""SELECT screen, kind, severity, '{name}', {name}, sum(findings), sum(documents)
        FROM finding_cells GROUP BY ALL"""
        for name in REPORTED
    ),
    "slice_counts": " UNION ALL ".join(
        f"""SELECT '{name}', {name}, 'duplicates', count(*), sum(n_tokens), count(*), sum(copy),
            sum(n_tokens), sum(n_tokens * copy) FROM copied GROUP BY ALL"""
        for name in REPORTED
    ),
    "paragraph_counts": " UNION ALL ".join(
        f"""SELECT '{name}', {name}, count(*), count(repeated_paragraphs_text_bytes),
            sum(coalesce(repeated_paragraphs_text_bytes, 4 * n_chars)),
            coalesce(sum(repeated_paragraphs_text_bytes), 0), coalesce(sum(repeated_paragraphs_bytes), 0)
        FROM copied LEFT JOIN resolved USING (shard, position) GROUP BY ALL"""
        for name in REPORTED
    ),
}
#: Rows of all dimensions, or of another screen, beside those that are expected.
_CHOSEN = {
    "finding_counts": "dimension <> 'all'",
    "paragraph_counts": "dimension <> 'all'",
    "slice_counts": "screen = 'duplicates' AND dimension <> 'all'",
}


def expected(made: Made) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    with duckdb.connect() as db:
        made.bind(db)
        db.register("judged", made.judged())
        db.execute(f"CREATE TABLE renamed AS {EXPECTED['renamed_documents']}")
        db.execute(
            """CREATE TABLE named AS SELECT base.* REPLACE (coalesce(renamed.doc_id, base.doc_id) AS doc_id)
            FROM base_documents AS base LEFT JOIN renamed USING (shard, position)"""
        )
        db.execute(
            """CREATE TABLE copied AS SELECT base_documents.*, slices.* EXCLUDE (shard, position),
                coalesce(found.shard <> representative_shard OR found.position <> representative_position,
                    false)::BIGINT AS copy
            FROM base_documents JOIN slices USING (shard, position)
            LEFT JOIN members AS found USING (shard, position)"""
        )
        for table, statement in EXPECTED.items():
            yield table, db.execute(f"SELECT * FROM ({statement}) ORDER BY ALL").fetchall()


def counted(store: Store, named: list[Part]) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    with duckdb.connect() as db:
        for part in named:
            db.register("kept", store.read(part))
            where = _CHOSEN.get(part.shard, "true")
            yield part.shard, db.execute(f"SELECT * FROM kept WHERE {where} ORDER BY ALL").fetchall()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    workers=st.integers(1, 2),
    rows=st.sampled_from([4, 1 << 20]),
)
def test_tables_of_workers_are_those_of_one_statement(
    seed: int, sizes: list[int], workers: int, rows: int
) -> None:
    sizes[0] += 1  # a corpus that has documents
    made = Made(seed, sizes)
    screens = configuration.parse({"corpus": {"name": "test"}, "screens": SCREENS}).build_screens()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(keyed_tables, "SPILL_ROWS", rows),
        mock.patch.object(keyed_tables, "PARTITION_ROWS", rows),
        mock.patch.object(counting, "_DOMAINS", ALARM),
        mock.patch.object(counting, "_LARGEST_CLUSTERS", 4),
    ):
        store = Store(Path(folder) / "parts")
        parts = made.keep(store)
        named = aggregates.named(screens, parts, made.judged())
        means = Means(threads, threads, workers)
        aggregates.bring(store, screens, named, made.judged(), parts, means)
        tables = dict(counted(store, named))
        assert not list(store.scratch.iterdir())
    for table, rows_of_it in expected(made):
        assert tables[table] == rows_of_it, table


def test_nothing_is_counted_twice_and_later_judgements_cost_the_ids_alone(tmp_path: Path) -> None:
    made = Made(1, [4, 0, 3])
    screens = configuration.parse({"corpus": {"name": "test"}, "screens": SCREENS}).build_screens()
    store = Store(tmp_path / "parts")
    parts, nobody = made.keep(store), JUDGED.empty_table()
    first = aggregates.named(screens, parts, nobody)
    aggregates.bring(store, screens, first, nobody, parts, Means())
    judged = made.judged()
    second = aggregates.named(screens, parts, judged)
    assert [part for part in second if part not in first] == [second[-1]]
    with mock.patch.object(counting, "count", side_effect=AssertionError):
        aggregates.bring(store, screens, second, judged, parts, Means())
    assert dict(counted(store, second))["judged_documents"] == dict(expected(made))["judged_documents"] != []
    with mock.patch.object(counting, "find_judged", side_effect=AssertionError):
        aggregates.bring(store, screens, second, judged, parts, Means())


def test_parts_that_speak_of_different_documents_are_damage(tmp_path: Path) -> None:
    made = Made(2, [3, 2])
    table = made.tables["duplicates"]
    stray = {
        **dict.fromkeys(table.column_names),
        "shard": made.shards[0],
        "position": 1000,
        "cluster_id": "x",
    }
    stray |= {"representative_shard": "x", "representative_position": 0, "exact": True}
    made.tables["duplicates"] = pa.concat_tables([table, pa.Table.from_pylist([stray], table.schema)])
    screens = configuration.parse({"corpus": {"name": "test"}, "screens": SCREENS}).build_screens()
    store = Store(tmp_path / "parts")
    parts, nobody = made.keep(store), JUDGED.empty_table()
    with pytest.raises(FatalError, match="different documents"):
        aggregates.bring(store, screens, aggregates.named(screens, parts, nobody), nobody, parts, Means())


def test_alarms_of_domains_and_sources_follow_one_rule() -> None:
    assert counting._DOMAINS.share == aggregate_queries.ALARM_SHARE
