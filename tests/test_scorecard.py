import json
import math
from importlib import resources

import duckdb
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import scorecard
from audit.errors import FatalError
from audit.model import Estimate, GateResult, Verdict
from audit.renderers import RENDERERS, render

SHARDS = [  # shard, documents, rejected, status, reason
    ("a0", 100, 3, "complete", None),
    ("b1", 40, 0, "truncated", "truncated_gzip"),
    ("c2", 0, 0, "failed", "unreadable"),
]
EVALUATIONS = [  # shard, screen, evaluated, skipped, failed, reason
    ("a0", "toxicity", 90, 0, 0, None),
    ("a0", "toxicity", 0, 8, 0, "skipped: language ja"),
    ("a0", "toxicity", 0, 0, 2, "failed: over the budget"),
    ("b1", "toxicity", 40, 0, 0, None),
    ("a0", "pii", 100, 0, 0, None),
    ("b1", "pii", 40, 0, 0, None),
]
TOXICITY = Estimate("toxicity", "all", 0.01, 0.004, 0.021, 60, 0.9, "exact")
GATES = [
    GateResult("toxicity", "toxicity", "all", 0.03, 0.05, "block", "pass", "bound under the limit", TOXICITY),
    GateResult("pii", "pii", "all", 0.01, 0.05, "block", "insufficient evidence", "nobody judged it", None),
]

#: Phase of a judgement, and nothing of what follows it.
REVIEW = ("review", None, None, None, None)


@pytest.fixture
def db():
    connection = duckdb.connect()
    connection.execute((resources.files("audit") / "schema.sql").read_text(encoding="utf-8"))
    for shard, documents, rejected, status, reason in SHARDS:
        insert(
            connection,
            "shards",
            (shard, f"s3://bucket/{shard}", shard, 1000, None, documents, rejected, status, reason),
        )
    for reason, documents in (("empty_text", 2), ("broken_json", 1)):
        insert(connection, "reject_counts", ("a0", reason, documents))
    for row in EVALUATIONS:
        insert(connection, "evaluations", row)
    fill_counts(connection)
    fill_sample(connection)
    return connection


def insert(connection, table, row):
    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def fill_counts(connection):
    for dimension, value, documents in [("all", "all", 140), ("source", "web", 110), ("source", "forum", 30)]:
        insert(
            connection,
            "slice_counts",
            (dimension, value, "pii", documents, documents * 50, documents, 9, 7000, 450),
        )
    insert(connection, "slice_counts", ("all", "all", "duplicates", 140, 7000, 140, 14, 7000, 300))
    for dimension, value in [("all", "all"), ("source", "web")]:
        insert(connection, "finding_counts", ("pii", "email", "medium", dimension, value, 12, 9))
    for cluster, documents in [("k1", 9), ("k2", 4)]:
        insert(connection, "cluster_counts", (cluster, documents, documents, 0.9, "copies", "same words"))
        for number in range(3):
            insert(connection, "cluster_members", (cluster, f"{cluster}-{number}"))
    hunk = {"before": "a", "removed": "b", "added": "c", "after": "d"}
    insert(connection, "cluster_diffs", ("k1", "k1-0", "k1-8", 0.9, None, json.dumps([hunk]), 2, True))
    insert(connection, "duplicate_alarms", ("source", "forum", 30, 30, 1500, 1500))
    insert(connection, "paragraph_counts", ("all", "all", 140, 138, 9000, 8000, 800))
    insert(connection, "repeated_paragraphs", ("00ff00ff00ff00ff", 17, 1700, "k1-0"))


def fill_sample(connection):
    insert(connection, "strata", ("review", "web", "proportional", 110, 5500, 3))
    insert(connection, "strata", ("review", "forum", "proportional", 30, 1500, 1))
    for draw, (document, stratum) in enumerate(
        [("d1", "web"), ("d2", "web"), ("d3", "web"), ("d4", "forum")]
    ):
        insert(connection, "samples", (document, "review", stratum, 0.1, draw, "a0", draw, None))
    for document, reviewer in [("d1", "r1"), ("d1", "r2"), ("d2", "r1")]:
        insert(
            connection,
            "judgements",
            (document, "toxicity", "not toxic", None, reviewer, 4.0, "then", "ab", False, *REVIEW),
        )
    before = ("d1", "toxicity", "toxic", None, "r1", 4.0, "before", "ab", True, *REVIEW)
    insert(connection, "judgements", before)
    insert(connection, "estimates", ("toxicity", "all", 0.01, 0.004, 0.021, 60, 0.9, "exact"))
    insert(connection, "estimates", ("toxicity", "source=forum", None, None, None, 0, 0.9, "exact"))


def build(connection, verdict="INSUFFICIENT EVIDENCE", gates=GATES, **changes):
    arguments = {
        "provenance": {"seed": "5eed", "inputs": ({"digest": "ab"},)},
        "statistics": {"near_duplicates": {"candidates": 20.0, "accepted": 11.0}},
        "sampling": {"budget": 4},
        "previews": {"pii": {"email": ["j***@e***"]}},
    }
    return scorecard.build(
        connection,
        run_id="run-1",
        corpus="pages",
        verdict=Verdict(verdict, "one gate lacks evidence"),
        gates=gates,
        **(arguments | changes),
    )


def schema():
    return json.loads(
        (resources.files("audit") / "schemas/scorecard.schema.json").read_text(encoding="utf-8")
    )


def test_scorecard_follows_its_published_schema(db):
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads(render(build(db), "json")), schema())


def test_accounting_adds_up(db):
    accounting = build(db)["accounting"]
    assert (accounting["documents_in"], accounting["screened"], accounting["rejected"]) == (143, 140, 3)
    assert accounting["rejects"] == [
        {"reason": "empty_text", "documents": 2},
        {"reason": "broken_json", "documents": 1},
    ]
    assert accounting["shards"] == {"total": 3, "complete": 1, "truncated": 1, "failed": 1}
    assert [row["shard"] for row in accounting["incomplete_shards"]] == ["c2", "b1"]


def test_each_screen_accounts_for_every_screened_document(db):
    card = build(db)
    for row in card["screens"]:
        assert row["evaluated"] + row["skipped"] + row["failed"] == card["accounting"]["screened"]
    assert [(row["outcome"], row["reason"], row["documents"]) for row in card["not_evaluated"]] == [
        ("failed", "over the budget", 2),
        ("skipped", "language ja", 8),
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM reject_counts WHERE reason = 'broken_json'",
        "UPDATE shards SET rejected = rejected + 1",
        "UPDATE shards SET documents = documents - 1 WHERE shard = 'b1'",
        "DELETE FROM evaluations WHERE reason LIKE 'failed%'",
        "DELETE FROM evaluations WHERE shard = 'b1' AND screen = 'pii'",
        "INSERT INTO evaluations VALUES ('unknown', 'pii', 1, 0, 0, NULL)",
        "UPDATE slice_counts SET documents = 139 WHERE dimension = 'all' AND screen = 'pii'",
    ],
)
def test_sums_that_disagree_are_fatal(db, damage):
    db.execute(damage)
    with pytest.raises(FatalError, match=r"accounting of shard|counts of screen"):
        build(db)


def test_errors_of_two_shards_do_not_cancel_out(db):
    db.execute("UPDATE evaluations SET evaluated = evaluated + 1 WHERE shard = 'a0' AND screen = 'pii'")
    db.execute("UPDATE evaluations SET evaluated = evaluated - 1 WHERE shard = 'b1' AND screen = 'pii'")
    with pytest.raises(FatalError, match="a0"):
        build(db)


def test_what_nobody_observed_is_absent_and_not_zero(db):
    card = build(db)
    forum = next(row for row in card["estimates"] if row["slice"] == "source=forum")
    assert (forum["value"], forum["low"], forum["high"], forum["n"]) == (None, None, None, 0)
    assert card["gates"][1]["estimate"] is None
    db.execute("DELETE FROM slice_counts")
    bare = build(db)
    assert bare["accounting"]["tokens"] is None
    assert bare["duplicates"]["copies"] is None


def test_clusters_come_largest_first_with_three_members(db):
    clusters = build(db)["duplicates"]["largest_clusters"]
    assert [(row["cluster_id"], row["members"]) for row in clusters] == [
        ("k1", ["k1-0", "k1-1", "k1-2"]),
        ("k2", ["k2-0", "k2-1", "k2-2"]),
    ]


def test_differences_alarms_and_repeated_paragraphs_stand_in_it(db):
    card = build(db)
    difference = card["duplicates"]["differences"][0]
    assert (difference["cluster_id"], difference["member"], difference["left_out"]) == ("k1", "k1-8", 2)
    assert difference["hunks"] == [{"before": "a", "removed": "b", "added": "c", "after": "d"}]
    assert [(row["value"], row["copies"]) for row in card["duplicates"]["alarms"]] == [("forum", 30)]
    assert card["duplicates"]["alarm_rule"]["total"] == 1
    assert card["repeated_paragraphs"]["repeated_bytes"] == 800
    assert card["repeated_paragraphs"]["most_repeated"][0]["doc_id"] == "k1-0"


def test_repeated_paragraphs_that_nobody_looked_for_are_absent(db):
    db.execute("DELETE FROM paragraph_counts")
    assert build(db)["repeated_paragraphs"] is None


def test_a_document_judged_twice_counts_once_in_its_stratum(db):
    sampling = build(db)["sampling"]
    assert {row["stratum"]: row["judged"] for row in sampling["strata"]} == {"web": 2, "forum": 0}
    assert (sampling["judgements"]["total"], sampling["judgements"]["documents"]) == (3, 2)


def test_an_answer_that_was_superseded_is_not_counted(db):
    labels = build(db)["sampling"]["judgements"]["labels"]
    assert labels == [{"question": "toxicity", "label": "not toxic", "judgements": 3, "documents": 2}]


def test_slices_are_bounded_and_say_how_many_there_are(db):
    for number in range(150):
        insert(db, "slice_counts", ("language", f"x{number:03}", "pii", 1, 50, 1, 0, 50, 0))
    language = next(group for group in build(db)["slices"] if group["dimension"] == "language")
    assert language["values"] == 150
    assert len(language["largest"]) == scorecard.queries.MAX_SLICE_VALUES


def test_next_steps_put_blocking_failures_first(db):
    failed = GateResult("spam", "spam", "all", 0.1, 0.05, "block", "fail", "over", None)
    warned = GateResult("age", "age", "all", 0.1, 0.05, "warn", "fail", "over", None)
    steps = build(db, "NO-GO", [warned, *GATES, failed])["next_steps"]
    assert [step["subject"] for step in steps] == ["spam", "pii", "age", "shards", "screens", "duplicates"]


def test_same_evidence_gives_the_same_bytes(db):
    assert render(build(db), "json") == render(build(db), "json")


def test_an_empty_corpus_has_a_scorecard(db):
    for table in ("shards", "reject_counts", "evaluations", "slice_counts", "finding_counts",
                  "cluster_counts", "strata", "samples", "judgements", "estimates", "cluster_members",
                  "cluster_diffs",
                  "duplicate_alarms", "paragraph_counts", "repeated_paragraphs"):  # fmt: skip
        db.execute(f"DELETE FROM {table}")
    card = build(db, gates=[], statistics={}, sampling={}, previews={})
    jsonschema.validate(json.loads(render(card, "json")), schema())
    for kind in ("html", "md"):
        assert "no evidence" in render(card, kind)


def test_values_that_json_does_not_know_are_refused(db):
    with pytest.raises(TypeError, match="bytes"):
        build(db, provenance={"digest": b"ab"})


@settings(max_examples=20, deadline=None)
@given(st.floats())
def test_numbers_that_are_not_finite_are_no_evidence(value):
    plain = scorecard._plain({"value": value})["value"]
    assert plain is None if not math.isfinite(value) else plain == value


def test_a_hundred_thousand_shards_that_failed_are_counted_and_few_of_them_named(db):
    db.execute(
        """INSERT INTO shards SELECT format('x{:06}', n), format('x/{}.jsonl', n), format('{}.jsonl', n), 1,
            NULL, 0, 0, 'failed', 'unreadable: no such file' FROM range(100_000) AS numbers(n)"""
    )
    card = build(db)
    assert card["accounting"]["shards"] == {
        "total": 100_003,
        "complete": 1,
        "truncated": 1,
        "failed": 100_001,
    }
    assert len(card["accounting"]["incomplete_shards"]) == 20
    assert any("100,002 of 100,003 shards" in step["text"] for step in card["next_steps"])
    for name in RENDERERS:
        page = render(card, name)
        assert page.count("x0") < 100
        assert len(page) < 300_000


def test_reasons_of_what_was_not_evaluated_are_bounded_and_their_sums_are_whole(db):
    db.execute(
        """INSERT INTO shards SELECT format('x{}', n), 'u', 'n', 1, 'd', n + 1, 0, 'complete', NULL
        FROM range(300) AS numbers(n)"""
    )
    screens = [name for (name,) in db.execute("SELECT DISTINCT screen FROM evaluations").fetchall()]
    for screen in screens:
        db.execute(
            """INSERT INTO evaluations SELECT format('x{}', n), ?, 0, 0, n + 1, format('failed: way {}', n)
            FROM range(300) AS numbers(n)""",
            [screen],
        )
    db.execute("UPDATE slice_counts SET documents = documents + 45150 WHERE dimension = 'all'")
    rows = [row for row in build(db)["not_evaluated"] if row["outcome"] == "failed"]
    for screen in screens:
        told = [row for row in rows if row["screen"] == screen]
        failed = db.execute("SELECT sum(failed) FROM evaluations WHERE screen = ?", [screen]).fetchone()
        assert len(told) == 101
        assert sum(row["documents"] for row in told) == failed[0]
        assert told[0] == {
            "screen": screen, "outcome": "failed", "reason": "way 299", "documents": 300
        }  # fmt: skip
        assert told[-1]["reason"].endswith(" other reasons")
