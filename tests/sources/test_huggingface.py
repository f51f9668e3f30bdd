from __future__ import annotations

import sys
from types import SimpleNamespace

import datasets
import pytest

from audit.errors import ConfigurationError, RetryableError
from audit.sources import ColumnMapping, ReadLimits, content_digest, plan, texts


@pytest.fixture
def files(tmp_path, jsonl):
    for n in range(3):
        records = ({"id": f"{n}-{m}", "text": f"text {m}" if m else ""} for m in range(5))
        (tmp_path / f"part{n}.jsonl").write_bytes(jsonl(records))
    return tmp_path


def test_streamed_files_are_a_shard_each(files, reading):
    address = "hf://json?data_files=part0.jsonl&data_files=part1.jsonl&data_files=part2.jsonl&split=train"
    shards = plan([address, address], base=files)
    assert [shard.start for shard in shards] == [0, 1, 2]
    found = [reading(shard) for shard in shards]
    assert [row["doc_id"] for part in found for row in part.rows] == [
        f"{n}-{m}" for n in range(3) for m in range(1, 5)
    ]
    assert {tuple(part.rejects) for part in found} == {((0, "empty"),)}
    assert len({content_digest(shard) for shard in shards}) == 3
    assert list(texts(shards[1], ColumnMapping(), ReadLimits(), {4, 2, 0})) == [
        (2, "1-2", "text 2"),
        (4, "1-4", "text 4"),
    ]


def test_names_do_not_depend_on_the_folder(files):
    (shard,) = plan(["hf://json?data_files=part0.jsonl"], base=files)
    assert shard.name == "json/part0.jsonl/train"
    assert shard.format == "huggingface"


def test_the_hub_is_asked_for_what_the_address_says(monkeypatch, reading):
    asked = []

    def load_dataset(name, config, **options):
        asked.append((name, config, options["split"], options["revision"], options["streaming"]))
        data = datasets.Dataset.from_dict({"content": ["a", "b"]}).to_iterable_dataset()
        return data if options["split"] else datasets.IterableDatasetDict({"train": data, "test": data})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    shards = plan(["hf://org/name?config=en&revision=v1"])
    assert [shard.name for shard in shards] == ["org/name/en/v1/test", "org/name/en/v1/train"]
    assert reading(shards[1]).texts == ["a", "b"]
    assert asked[-1] == ("org/name", "en", "train", "v1", True)
    assert reading(shards[0], ColumnMapping(text="absent")).reason == "no_such_column"


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (ConnectionError("down"), RetryableError),
        (datasets.exceptions.DatasetNotFoundError("no"), ConfigurationError),
        (ValueError("bad split"), ConfigurationError),
    ],
)
def test_failures_of_the_hub(monkeypatch, failure, error):
    def load_dataset(*_, **__):
        raise failure

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(error):
        plan(["hf://org/name"])


def test_a_stream_that_breaks(monkeypatch, reading):
    def records():
        yield {"text": "first"}
        raise datasets.exceptions.DatasetGenerationError("broken")

    stream = SimpleNamespace(num_shards=1, decode=lambda _: records())
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream)
    from audit.model import Shard
    from audit.sources import ContentDigest, read

    shard = Shard("0" * 16, "hf://org/name?split=train", "name", "huggingface", 0)
    batches = read(shard, ColumnMapping(), ReadLimits(), ContentDigest())
    assert next(batches).documents.column("text").to_pylist() == ["first"]
    with pytest.raises(Exception, match="corrupt"):
        next(batches)


def test_addresses_with_a_slip_or_without_the_package(monkeypatch):
    with pytest.raises(ConfigurationError, match="Did you mean split"):
        plan(["hf://org/name?splt=train"])
    with pytest.raises(ConfigurationError, match="lacks its name"):
        plan(["hf://?split=train"])
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigurationError, match=r"corpus-audit\[huggingface\]"):
        plan(["hf://org/name"])
