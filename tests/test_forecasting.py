"""Forecasting a small corpus: blocks of every format, trial audits, and nothing of the user's touched."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit import config, hmac_key, text_cache
from audit.engines import CORES, Advance, Needs, Outcome, Result, Task
from audit.errors import ConfigurationError, InputError
from audit.forecast import forecast_blocks, forecast_trials, forecasting
from audit.forecast.forecast_blocks import Block, BlockTask
from audit.forecast.forecast_trials import Trials, TrialTask
from audit.model import Shard
from audit.stages.request import Request, plan
from audit.storage.store import Store

SENTENCE = "the harbour keeps a record of every ship that came in from the north that year"
WORDS = SENTENCE.split()


class Inline:
    """Runs tasks where it stands."""

    workers, elsewhere = 1, False

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def capacity(self, needs: Needs) -> int:
        return 1

    def admit(self, store: Store, shards: Sequence[Shard]) -> None:
        return None

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        advance: Advance,
        needs: Needs = CORES,
    ) -> Iterator[Outcome[Task, Result]]:
        for task in tasks:
            yield Outcome(task, function(task))


def row(number: int) -> dict[str, str]:
    words = [WORDS[(number * k + k) % len(WORDS)] for k in range(1, 60)]
    return {
        "id": f"page-{number}",
        "text": f"{number} {' '.join(words)}",
        "url": f"https://example.com/{number}",
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("forecast")
    folder = home / "corpus"
    folder.mkdir()
    lines = [orjson.dumps(row(number)) + b"\n" for number in range(600)]
    (folder / "plain.jsonl").write_bytes(b"".join(lines[:300]))
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[300:450])))
    table = pa.Table.from_pylist([row(number) for number in range(450, 600)])
    pq.write_table(table, folder / "table.parquet", row_group_size=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forecast_blocks, "BLOCK_BYTES", 20_000)
        patch.setattr(forecast_trials, "TINY_SHARDS", 3)
        patch.setenv(hmac_key.ENVIRONMENT_VARIABLE, str(home / "keys" / "hmac.key"))
        patch.setenv(text_cache.ENVIRONMENT_VARIABLE, str(home / "texts"))
        yield folder


def request(folder: Path, **screens: Any) -> Request:
    parsed = config.parse(
        {
            "corpus": {"name": "small", "inputs": [str(folder)]},
            "screens": screens or {"exact_duplicates": {}},
        }
    )
    return Request(parsed, folder.parent)


def block_tasks(corpus: Path, folder: Path, count: int = 12) -> list[BlockTask]:
    wanted = request(corpus)
    shards = plan(wanted).shards
    limits = wanted.config.read_limits()
    return list(forecast_blocks.tasks(shards, wanted.config.corpus.columns, limits, folder, count, 1))


def test_blocks_of_every_format_hold_whole_documents_and_tell_their_bytes(
    corpus: Path, tmp_path: Path
) -> None:
    tasks = block_tasks(corpus, tmp_path / "blocks")
    blocks = [block for task in tasks if (block := forecast_blocks.read_block(task)) is not None]
    assert {block.kind for block in blocks} == {0, 1, 2}
    for block in blocks:
        documents = pq.read_table(tmp_path / "blocks" / block.copy)
        assert len(documents) == block.documents
        numbers = [int(name.removeprefix("page-")) for name in documents["doc_id"].to_pylist()]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert documents["text"].to_pylist() == [row(number)["text"] for number in numbers]
        assert 0 < block.size <= block.read_size
    plain = [block for block in blocks if block.kind == 0]
    size = sum(block.size for block in plain) / sum(block.documents for block in plain)
    assert size == pytest.approx((corpus / "plain.jsonl").stat().st_size / 300, rel=0.1)


def test_blocks_come_from_the_middle_of_files_too(corpus: Path, tmp_path: Path) -> None:
    firsts = set()
    for task in block_tasks(corpus, tmp_path / "blocks", 40):
        if (block := forecast_blocks.read_block(task)) is not None:
            firsts.add(pq.read_table(tmp_path / "blocks" / block.copy)["doc_id"][0].as_py())
    assert len({int(name.removeprefix("page-")) // 50 for name in firsts}) >= 6


def test_a_task_past_its_deadline_reads_nothing(corpus: Path, tmp_path: Path) -> None:
    task = block_tasks(corpus, tmp_path / "blocks")[0]
    late = BlockTask(task.shard, task.skip, task.kind, task.copy, task.columns, task.limits, 0.0)
    assert forecast_blocks.read_block(late) is None
    assert not (tmp_path / "blocks").exists()


@pytest.fixture(scope="module")
def trials(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Trials:
    folder = tmp_path_factory.mktemp("trial")
    blocks = tuple(block_tasks(corpus, folder / "blocks"))
    return forecast_trials.run(TrialTask(request(corpus), blocks, folder, 1, 60.0), Inline())


def test_a_small_corpus_is_predicted(
    corpus: Path, trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trials.failed == 0
    assert trials.tiny.documents == trials.tiny.shards == 3
    assert trials.all.documents == sum(block.documents for block in trials.blocks)
    assert set(trials.all.driver) >= {"evaluate", "resolve exact_duplicates"}
    assert {wave.stage for wave in trials.all.waves} >= {"slice", "count", "resolve exact_duplicates"}
    assert len(trials.all.screened) == trials.all.shards
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    monkeypatch.setattr(forecast_trials, "measure", lambda task: trials)
    monkeypatch.chdir(tmp_path)
    found = forecasting.forecast(request(corpus), forecasting.Options(cores=4, nodes=2, price=0.5))
    documents = found["corpus"]["documents"]
    assert documents["low"] <= 600 <= documents["high"]
    assert documents["value"] == pytest.approx(600, rel=0.15)
    assert found["seconds"]["low"] < found["seconds"]["value"] == pytest.approx(sum(found["stages"].values()))
    assert found["cost"]["value"] == pytest.approx(found["seconds"]["value"] * 8 * 0.5 / 3600)
    assert found["disk"]["documents"] > 0
    assert before == {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}


def test_the_trial_uses_neither_key_nor_cache_of_the_user(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def spy(task: TrialTask, engine: object) -> None:
        seen.extend(
            os.environ[name] for name in (hmac_key.ENVIRONMENT_VARIABLE, text_cache.ENVIRONMENT_VARIABLE)
        )

    class Answer:
        def send(self, found: object) -> None:
            return None

    monkeypatch.setattr(forecast_trials, "run", spy)
    forecast_trials._serve(TrialTask(request(corpus), (), tmp_path / "trial", 1, 1.0), Answer())
    assert all(Path(name).is_relative_to(tmp_path / "trial") for name in seen)
    assert len(seen) == 2


def test_probes_and_references_are_left_out_and_said(corpus: Path, trials: Trials) -> None:
    parsed = config.parse(
        {
            "corpus": {"name": "small", "inputs": [str(corpus)]},
            "screens": {"near_duplicates": {"references": ["elsewhere"]}},
        }
    )
    assert forecast_trials._config(parsed).screens == {"near_duplicates": {}}
    assert "the comparison with references is not in it" in forecasting._notes(parsed, trials)


def test_an_unreadable_corpus_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "broken.parquet").write_bytes(b"PAR1 this is no table")
    blocks = tuple(block_tasks(folder, tmp_path / "blocks"))
    with pytest.raises(InputError, match="no document"):
        forecast_trials._read(TrialTask(request(folder), blocks, tmp_path, 1, 5.0), Inline(), 1e12)


def test_inputs_that_do_not_tell_their_size_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "empty.jsonl").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="size"):
        forecasting.forecast(request(folder), forecasting.Options())


def test_blocks_are_taken_while_the_time_lasts(trials: Trials) -> None:
    block = trials.blocks[0]
    many = [Block(0, 100, 100_000, 10, 0, 100, 0.0, 0.0, f"block-{n}.parquet") for n in range(50)]
    chosen = forecast_trials._affordable(many, trials.one, left=-1.0, workers=1)
    assert len(chosen) == forecast_blocks.FIRST
    assert forecast_trials._affordable([block], trials.one, left=60.0, workers=1) == [block]
