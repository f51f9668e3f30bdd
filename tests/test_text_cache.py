"""Texts that are likely to be sampled: what is kept, who may read it, and that nothing depends on it."""

import json
import stat

import pyarrow.parquet as pq
import pytest

from audit import config as configuration
from audit import reviewing, sources, text_cache
from audit.errors import FatalError
from audit.facts import describe
from audit.sources import ColumnMapping, ReadLimits
from audit.text_cache import TextCache
from tests.conftest import page
from tests.test_probing import fake, probed  # noqa: F401 - fixtures

SEEDS = (bytes(16), bytes(range(16)))
COLUMNS, LIMITS = ColumnMapping(), ReadLimits()


@pytest.fixture
def shard(tmp_path):
    rows = [{"id": f"d{n}", "text": page(n)} for n in range(400)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return sources.plan([str(path)])[0]


def fill(shard, folder, share, seeds=SEEDS[:1]):
    cache = TextCache(folder, seeds, share)
    keeper = cache.keeper(shard)
    digests = {}
    for batch in sources.read(shard, COLUMNS, LIMITS):
        facts = describe(batch.documents, shard.shard)
        keeper.offer(batch.documents, facts)
        digests |= dict(zip(facts["position"].to_pylist(), facts["text_digest"].to_pylist(), strict=True))
    keeper.commit()
    return digests


def kept(folder, shard):
    path = folder / f"{shard.shard}.parquet"
    return set(pq.read_table(path)["position"].to_pylist()) if path.exists() else set()


def test_a_share_is_kept_and_a_larger_one_holds_it(shard, tmp_path):
    fill(shard, tmp_path / "small", 0.1)
    fill(shard, tmp_path / "large", 0.4)
    fill(shard, tmp_path / "both", 0.1, SEEDS)
    small, large, both = (kept(tmp_path / name, shard) for name in ("small", "large", "both"))
    assert 15 <= len(small) <= 75
    assert small < large
    assert small < both
    fill(shard, tmp_path / "large", 0.0)
    assert kept(tmp_path / "large", shard) == set()


def test_only_the_owner_may_read_it(shard, tmp_path):
    fill(shard, tmp_path / "texts", 0.2)
    assert stat.S_IMODE((tmp_path / "texts").stat().st_mode) == 0o700
    (file,) = (tmp_path / "texts").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "0000" not in repr(TextCache(tmp_path, SEEDS, 1.0))


def test_documents_come_from_the_cache_and_the_rest_from_the_source(shard, tmp_path, monkeypatch):
    digests = fill(shard, tmp_path, 0.2)
    held = kept(tmp_path, shard)
    asked = []
    read = sources.documents_at
    monkeypatch.setattr(sources, "documents_at", lambda *given: asked.append(set(given[3])) or read(*given))
    wanted = {at: digests[at] for at in (*sorted(held)[:5], *sorted(set(digests) - held)[:5])}
    got = list(text_cache.documents_at(tmp_path, shard, COLUMNS, LIMITS, wanted))
    plain = list(read(shard, COLUMNS, LIMITS, wanted))
    assert asked == [set(wanted) - held]
    assert [r for b in got for r in b.to_pylist()] == [r for b in plain for r in b.to_pylist()]


@pytest.mark.parametrize("damage", ["other text", "torn", "gone"])
def test_what_the_cache_lacks_is_read_again(shard, tmp_path, damage):
    digests = fill(shard, tmp_path, 0.3)
    file = tmp_path / f"{shard.shard}.parquet"
    if damage == "other text":
        table = pq.read_table(file)
        at = table.schema.get_field_index("text")
        pq.write_table(table.set_column(at, "text", [["forged"] * len(table)]), file)
    elif damage == "torn":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        file.unlink()
    (batch,) = text_cache.documents_at(tmp_path, shard, COLUMNS, LIMITS, digests)
    assert batch["text"].to_pylist() == [page(n) for n in range(400)]


def test_the_share_follows_the_budget():
    assert text_cache.share_within(1 << 30, 1 << 20) == 0.05
    assert text_cache.share_within(1 << 30, 10 * 10**12) == pytest.approx(1.07e-4, rel=0.01)


def test_a_review_and_a_probe_find_their_texts_after_the_corpus_is_gone(
    corpus,
    probed,  # noqa: F811
    monkeypatch,
    tmp_path,
):
    monkeypatch.setattr(text_cache, "_LARGEST_SHARE", 1.0)
    monkeypatch.setenv("AUDIT_TEXT_CACHE", str(tmp_path / "texts"))
    run = probed(corpus).run
    for file in corpus.iterdir():
        file.unlink()
    told = reviewing.export(run, tmp_path / "sample.jsonl", "jsonl")
    assert told["documents"] == 20
    monkeypatch.setenv("AUDIT_TEXT_CACHE", str(tmp_path / "none"))
    with pytest.raises(Exception, match="cannot be read again") as failure:
        reviewing.export(run, tmp_path / "again.jsonl", "jsonl")
    assert not isinstance(failure.value, FatalError)


def test_without_a_cache_nothing_is_kept(corpus, run_audit, tmp_path, monkeypatch):
    monkeypatch.setenv("AUDIT_TEXT_CACHE", str(tmp_path / "texts"))
    run_audit(corpus, run={"text_cache_mib": 0})
    assert not (tmp_path / "texts").exists()
    config = configuration.parse({"corpus": {"name": "test"}})  # the setting changes no result
    other = configuration.parse({"corpus": {"name": "test"}, "run": {"text_cache_mib": 0}})
    assert config.digest() == other.digest()
