"""Extrapolating from blocks and trials: known rates come back, and intervals hold what they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.forecast import forecast_terms, forecast_words
from audit.forecast.forecast_blocks import Block, draw
from audit.forecast.forecast_recording import Wave
from audit.forecast.forecast_stages import At
from audit.forecast.forecast_terms import Cluster
from audit.forecast.forecast_trials import Trial, Trials
from audit.forecast.forecasting import described
from audit.model import Shard

MB = 1_000_000
FIXED, PER_SHARD, PER_DOCUMENT = 2.0, 0.05, 2e-6
CLUSTER = Cluster(1, 2, 0.1, 16_000 * MB, 100_000 * MB, ours=False)


def shard(name: str, size: int, kind: str = "jsonl") -> Shard:
    return Shard(name, f"/nowhere/{name}", name, kind, size, file_size=size)


def trial(shards: int, documents: int, cpu: dict[str, float]) -> Trial:
    driver = {
        "evaluate": FIXED + PER_SHARD * shards + PER_DOCUMENT * documents,
        "resolve near_duplicates": 2 * PER_DOCUMENT * documents,
    }
    disk = {"documents": 1000 * shards + 150 * documents, "run/audit.duckdb": int(10_000 * documents**0.5)}
    waves = [
        Wave("slice", max(shards, 2), 0.01 * shards),
        Wave("evaluate", 1, PER_DOCUMENT * documents),
        Wave("resolve near_duplicates", 1, 3 * PER_DOCUMENT * documents),
        Wave("resolve near_duplicates", max(shards, 2), PER_DOCUMENT * documents),
    ]
    size = 2000 * documents
    screened = list(cpu.values())
    return Trial(
        shards, documents, size, 2.0, screened, waves, driver, 10.0, 5.0, 400 * MB, 300 * MB, disk, cpu
    )


def trials(seconds_per_byte: float = 1e-7, noise: float = 0.0, blocks: int = 40) -> Trials:
    random = np.random.default_rng(7)
    found, cpu = [], {}
    for number in range(blocks):
        size, kind = 4 * MB, number % 2
        text = size * (3 if kind else 1)
        name = f"block-{number}.parquet"
        cpu[name] = 0.02 + seconds_per_byte * text * (1 + noise * random.standard_normal())
        found.append(Block(kind, size, text, text // 2000, 0, size, 0.004, 0.004, name))
    documents = sum(block.documents for block in found)
    tiny = {f"tiny-{number}": 0.02 for number in range(24)}
    return Trials(
        tuple(found),
        (),
        0,
        2,
        1.0,
        trial(1, found[0].documents, {"block-0.parquet": cpu["block-0.parquet"]}),
        trial(24, 24, tiny),
        trial(blocks, documents, cpu),
        {},
    )


SOME = trials()


def corpus(gigabytes: float) -> list[Shard]:
    size = int(gigabytes * 1e9 / 8)
    plain = [shard(f"p{n}.jsonl", size) for n in range(4)]
    return plain + [shard(f"q{n}.jsonl.gz", size) for n in range(4)]


def predicted(measured: Trials, gigabytes: float, cluster: Cluster = CLUSTER) -> forecast_terms.Forecast:
    return forecast_terms.predict(corpus(gigabytes), measured, cluster, texts=0, probe_seconds=0.0)


def test_known_rates_come_back() -> None:
    found = predicted(trials(), 8.0)
    documents = (4e9 + 3 * 4e9) / 2000
    assert found.documents.value == pytest.approx(documents, rel=1e-6)
    reading, screening = 8e9 * 1e-9, 1e-7 * (4e9 + 3 * 4e9)
    driver = FIXED + PER_SHARD * 8 + 3 * PER_DOCUMENT * documents
    workers = 0.01 * 8 + 5 * PER_DOCUMENT * documents
    told = found.core_seconds.value
    assert told == pytest.approx(reading + screening + 8 * 0.03 + driver + workers + 3.0, rel=0.01)
    assert found.disk["documents"] == pytest.approx(1000 * 8 + 150 * documents, rel=1e-6)
    assert found.disk["run/audit.duckdb"] == pytest.approx(10_000 * documents**0.5, rel=0.01)


def test_what_workers_load_in_their_first_shard_is_not_taken_for_work() -> None:
    plain, loading = trials(), trials()
    for measured, names in (
        (loading.all, ("block-0.parquet", "block-1.parquet")),
        (loading.tiny, ("tiny-0", "tiny-1")),
    ):
        for name in names:
            measured.shards_cpu[name] += 0.5  # type: ignore[index]
    first, second = predicted(plain, 8.0), predicted(loading, 8.0)
    assert second.core_seconds.value == pytest.approx(first.core_seconds.value + 2 * 0.5, rel=1e-3)


def test_the_largest_shard_bounds_the_time_however_many_cores() -> None:
    many = dataclasses.replace(CLUSTER, nodes=64, cores=64)
    found = predicted(trials(), 8.0, many)
    longest = 1e9 * (3e-7 + 1e-9)
    assert found.stages["screen"] >= longest
    assert found.stages["screen"] < 1.05 * longest + 2


def test_more_cores_take_less_time_and_cost_more_when_the_driver_waits() -> None:
    few, many = (predicted(trials(), 8.0, dataclasses.replace(CLUSTER, cores=n)) for n in (1, 4))
    assert few.wall.value > many.wall.value
    assert few.cost is not None
    assert many.cost is not None
    assert few.cost.value < many.cost.value


def test_stages_over_the_corpus_are_shared_out_over_the_workers_but_the_drivers_part_is_not() -> None:
    one, two = (predicted(trials(), 200.0, dataclasses.replace(CLUSTER, cores=n)).stages for n in (1, 2))
    documents = 4 * 200e9 / 2 / 2000
    spread, driver = 4 * PER_DOCUMENT * documents, 2 * PER_DOCUMENT * documents
    assert one["resolve near_duplicates"] == pytest.approx(spread + driver, rel=1e-3)
    assert two["resolve near_duplicates"] == pytest.approx(spread / 2 + driver, rel=1e-3)
    assert two["slice"] == pytest.approx(one["slice"] / 2, rel=1e-3)


def test_a_stage_is_no_faster_than_its_tasks_are_many() -> None:
    many = dataclasses.replace(CLUSTER, nodes=64, cores=64)
    point = At(8, 200_000, trials())
    assert point.rounds("slice", many.workers) == pytest.approx(1 / 8)
    assert point.rounds("evaluate", many.workers) == 1  # one partition
    assert At(8, 5e6, trials()).rounds("evaluate", many.workers) == pytest.approx(1 / 32)


def test_what_the_driver_loads_is_counted_once_however_large_the_corpus() -> None:
    plain = trials()
    loading = dataclasses.replace(plain, loading={"evaluate": 0.7})
    for gigabytes in (8.0, 80.0):
        first, second = predicted(plain, gigabytes), predicted(loading, gigabytes)
        assert second.stages["evaluate"] == pytest.approx(first.stages["evaluate"] + 0.7)


def test_a_smaller_sample_of_few_documents_is_not_taken_for_a_cost_of_documents() -> None:
    measured = trials()
    spent = {1: 0.65, 24: 0.45, measured.all.shards: 0.68}
    found = At(100, 10 * measured.all.documents, measured).of(lambda trial: spent[trial.shards])
    assert found == pytest.approx(0.65 + 10 * 0.03, rel=0.05)


def test_trials_that_differ_in_shards_alone_tell_what_a_shard_costs() -> None:
    measured = trials()
    alike = dataclasses.replace(measured, all=measured.one)
    found = At(100, 1e6, alike).of(lambda trial: 1.0 if trial.shards == 1 else 1.0 + 23 * 0.02)
    assert found == pytest.approx(1.0 + 99 * 0.02)


def test_the_drivers_memory_is_flat_until_the_search_takes_more_than_the_evaluation() -> None:
    small, middle, large = (predicted(trials(), gigabytes) for gigabytes in (0.1, 1.0, 100.0))
    assert small.driver_bytes == middle.driver_bytes == 300 * MB
    assert large.driver_bytes == pytest.approx(160 * MB + 25 * large.documents.value)


@given(st.integers(1, 5000), st.integers(1, 4096), st.floats(1, 1e9))
def test_workers_share_a_stage_at_most_evenly(shards: int, workers: int, documents: float) -> None:
    share = At(shards, documents, SOME).rounds("resolve near_duplicates", workers)
    assert 1 / workers <= share * (1 + 1e-9)
    assert share <= 1


@given(st.floats(0.5, 50.0))
def test_time_grows_with_the_corpus_and_lies_in_its_interval(gigabytes: float) -> None:
    small, large = predicted(trials(noise=0.1), gigabytes), predicted(trials(noise=0.1), 2 * gigabytes)
    assert small.wall.low < small.wall.value < small.wall.high
    assert 1.5 * small.wall.value < 2 * large.wall.value < 4.5 * small.wall.value


def test_the_interval_widens_with_the_spread_of_the_blocks() -> None:
    calm, wild = (predicted(trials(noise=noise), 8.0).wall for noise in (0.01, 0.8))
    assert wild.high - wild.low > 1.2 * (calm.high - calm.low) * wild.value / calm.value


def test_what_breaks_first_is_told_first() -> None:
    small = dataclasses.replace(CLUSTER, disk=1 * MB)
    found = predicted(trials(), 1.0, small).limits
    assert found[0][0] == "the disk of the run folder"
    assert [documents for _, documents in found] == sorted(documents for _, documents in found)
    assert ("documents of a run are numbered in 32 bits", float((1 << 32) - 1)) in found


def test_places_are_in_proportion_to_bytes_and_any_beginning_holds_every_kind() -> None:
    shards = [
        shard("a.jsonl", 900 * MB),
        shard("b.jsonl", 100 * MB),
        shard("c.jsonl.gz", 10 * MB),
        shard("d.parquet", 30 * MB, "parquet"),
    ]
    drawn = draw(shards, 100, seed=3)
    large = [offset for _, each, offset in drawn if each.name == "a.jsonl"]
    small = [offset for _, each, offset in drawn if each.name == "b.jsonl"]
    assert 80 <= len(large) <= 95
    assert 7 <= len(small) <= 12
    assert min(large) < 90 * MB < 810 * MB < max(large)
    assert {kind for kind, _, _ in drawn[:6]} == {0, 1, 2}
    assert all(0 <= offset < each.size for _, each, offset in drawn)
    assert drawn == draw(shards, 100, seed=3)


def test_the_words_name_every_figure() -> None:
    found = predicted(trials(), 8.0)
    told = "\n".join(
        str(line) for line in forecast_words.lines(described(found, trials(), CLUSTER, ["a note"]))
    )
    for word in ("shards", "time", "core-hours", "cost", "a worker", "run folder", "32 bits", "note: a note"):
        assert word in told
