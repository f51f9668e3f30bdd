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
