"""The pass over one shard: what it reports, what it computes, and that it may run twice."""

import dataclasses
import gzip
import json

import pytest

from audit import facts, sources, tasks
from audit.config import build_screen
from audit.sources import ColumnMapping, ReadLimits
from audit.storage.store import Part, Store
from audit.tasks import REJECTS, Screening, ShardTask
from tests.conftest import page

FAMILIES = {facts.FAMILY, REJECTS, "language", "toxicity"}


def lines(count):
    return "".join(json.dumps({"id": f"d{n}", "text": page(n)}) + "\n" for n in range(count))


@pytest.fixture
def screening(tmp_path):
    screens = tuple(build_screen(name, {}) for name in ("language", "toxicity"))
    return Screening(Store(tmp_path / "parts"), screens, ColumnMapping(), ReadLimits(), "key", b"secret")


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "in" / "a.jsonl"
    path.parent.mkdir()
    path.write_text(lines(9) + '{"id": "lost"}\n{"id": "none", "text": ""}\n')
    return sources.plan([str(path)])[0]


def content(report, store):
    return {
        family: store.path(Part(family, report.shard.shard, key)).read_bytes()
        for family, key in report.keys.items()
    }


def test_a_shard_is_accounted_for(screening, shard):
    report = tasks.screen_shard(ShardTask(screening, shard))
    assert (report.status, report.documents, report.rejected, report.lost) == ("complete", 9, 2, 1)
    assert set(report.keys) == set(report.computed) == FAMILIES
    rejects = screening.store.read(Part(REJECTS, shard.shard, report.keys[REJECTS])).to_pylist()
    assert [(row["position"], row["reason"]) for row in rejects] == [(9, "missing_text"), (10, "empty")]


def test_a_second_pass_computes_nothing(screening, shard):
    first = tasks.screen_shard(ShardTask(screening, shard))
    again = tasks.screen_shard(ShardTask(screening, shard, seen_before=True))
    assert again == dataclasses.replace(first, computed=())


def test_a_part_that_is_missing_is_all_that_is_computed(screening, shard):
    first = tasks.screen_shard(ShardTask(screening, shard))
    before = content(first, screening.store)
    screening.store.path(Part("toxicity", shard.shard, first.keys["toxicity"])).unlink()
    again = tasks.screen_shard(ShardTask(screening, shard, first.digest))
    assert again.computed == ("toxicity",)  # its language comes from the part that stands
    assert content(again, screening.store) == before


def test_a_report_is_recalled_without_the_file(screening, shard, tmp_path):
    first = tasks.screen_shard(ShardTask(screening, shard))
    (tmp_path / "in" / "a.jsonl").unlink()
    strangers = [ShardTask(screening, shard), ShardTask(screening, shard, "0" * 64)]
    known = ShardTask(screening, shard, first.digest)
    assert tasks.recall([*strangers, known]) == [dataclasses.replace(first, computed=())]


def test_batches_do_not_show_in_the_parts(screening, shard, tmp_path):
    report = tasks.screen_shard(ShardTask(screening, shard))
    other = dataclasses.replace(
        screening, store=Store(tmp_path / "other"), limits=ReadLimits(batch_rows=2, batch_bytes=1024)
    )
    assert content(report, screening.store) == content(
        tasks.screen_shard(ShardTask(other, shard)), other.store
    )


def test_trouble_with_the_file_ends_in_the_report(screening, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(lines(300).encode(), mtime=0)[:-100])
    (folder / "damaged.parquet").write_bytes(b"PAR1 nothing PAR1")
    reports = [tasks.screen_shard(ShardTask(screening, shard)) for shard in sources.plan([str(folder)])]
    cut, damaged = reports
    assert cut.status == "truncated"
    assert cut.documents > 0
    assert cut.reason
    assert (damaged.status, damaged.documents, damaged.keys) == ("failed", 0, {})


def test_content_that_changes_under_the_pass_is_not_committed(screening, shard, tmp_path):
    report = tasks.screen_shard(ShardTask(screening, shard, known_digest="0" * 64))
    assert report.status == "failed"
    assert report.reason.startswith("changed_while_reading")
    assert not list(screening.store.folder.glob("[a-z]*/*.parquet"))


def test_only_screens_with_secrets_get_the_key(screening, shard):
    keys = tasks.work_keys(screening, shard, "d")
    other = tasks.work_keys(dataclasses.replace(screening, key_id="other"), shard, "d")
    assert keys == other
    pii = dataclasses.replace(screening, screens=(build_screen("pii", {}),))
    assert (
        tasks.work_keys(pii, shard, "d")["pii"]
        != tasks.work_keys(dataclasses.replace(pii, key_id="other"), shard, "d")["pii"]
    )
    assert repr(b"secret") not in repr(screening)
