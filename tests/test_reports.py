"""Reports of shards come back as they were saved, in the order of shards."""

from audit import reports
from audit.model import Shard
from audit.tasks import ShardReport


def shard(identity, name="a.jsonl"):
    return Shard(identity, f"/data/{name}", name, "jsonl", 10, 0, 10, 10, 5)


def test_reports_come_back_as_they_were(tmp_path):
    given = [
        ShardReport(
            shard("b", "naïve 'quoted' \u2028 name.jsonl"), "complete", None, "d", 3, 1, 1, {"pii": "k"}
        ),
        ShardReport(shard("a"), "failed", "unreadable: no such file"),
    ]
    reports.save(tmp_path / "shards.jsonl", given)
    assert reports.load(tmp_path / "shards.jsonl") == sorted(given, key=lambda r: r.shard.shard)


def test_what_a_pass_computed_leaves_no_trace(tmp_path):
    reports.save(tmp_path / "one", [ShardReport(shard("a"), "complete", computed=("pii",))])
    reports.save(tmp_path / "two", [ShardReport(shard("a"), "complete")])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def log(tmp_path, *given):
    reports.save(tmp_path / "shards.jsonl", given)
    return reports.read(tmp_path / "shards.jsonl")


def test_the_log_as_columns_says_what_the_reports_say(tmp_path):
    given = [
        ShardReport(shard("b", 'naïve "quoted" \u2028.jsonl'), "complete", None, "d", 30, 5, 2, {"pii": "k"}),
        ShardReport(shard("a"), "failed", 'unreadable: "shard":"b"'),
        ShardReport(shard("c"), "truncated", "corrupt: gzip", "e", 4),
    ]
    found = log(tmp_path, *given)
    rows = {row["shard"]: row for row in found.rows.to_pylist()}
    assert list(rows) == ["a", "b", "c"]
    for report in given:
        row = rows[report.shard.shard]
        assert (row["uri"], row["name"], row["bytes"]) == (report.shard.uri, report.shard.name, 10)
        told = ("digest", "documents", "rejected", "lost", "status", "reason")
        assert [row[name] for name in told] == [getattr(report, name) for name in told]
    assert (len(found), found.documents, found.lost, found.failed) == (3, 34, 2, 1)
    assert (found.bytes, found.unread_bytes) == (30, 20)


def test_a_log_without_shards_counts_nothing(tmp_path):
    found = log(tmp_path)
    assert (len(found), found.documents, found.bytes, found.unread_bytes, found.failed) == (0, 0, 0, 0, 0)


def test_some_shards_are_found_among_many(tmp_path):
    log(tmp_path, *(ShardReport(shard(f"{n:04}", f"{n}.jsonl"), "complete") for n in range(50)))
    path = tmp_path / "shards.jsonl"
    assert reports.shards(path, {"0007", "0049", "none"}) == {
        "0007": shard("0007", "7.jsonl"),
        "0049": shard("0049", "49.jsonl"),
    }
