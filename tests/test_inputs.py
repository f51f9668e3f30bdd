"""Digests are recalled only while a file looks as it did, and a torn line costs a reading, no error."""

import dataclasses

from audit.inputs import SeenInputs
from audit.model import Shard

SHARD = Shard("0" * 16, "/data/a.jsonl", "a.jsonl", "jsonl", 10, file_size=10, mtime_ns=5)


def test_a_digest_is_recalled_while_path_size_and_times_are_the_same(tmp_path):
    SeenInputs(tmp_path / "cache" / "inputs.jsonl").saw(SHARD, "d")
    again = SeenInputs(tmp_path / "cache" / "inputs.jsonl")
    assert again.digest(SHARD) == "d"
    assert again.digest(dataclasses.replace(SHARD, mtime_ns=6)) is None
    assert again.digest(dataclasses.replace(SHARD, file_size=11)) is None
    assert again.digest(dataclasses.replace(SHARD, ctime_ns=1)) is None
    assert again.digest(dataclasses.replace(SHARD, uri="/moved/a.jsonl")) is None  # another file, perhaps


def test_the_last_digest_counts_and_a_repetition_is_not_written(tmp_path):
    seen = SeenInputs(tmp_path / "inputs.jsonl")
    for digest in ("old", "new", "new"):
        seen.saw(SHARD, digest)
    assert len((tmp_path / "inputs.jsonl").read_text().splitlines()) == 2
    assert SeenInputs(tmp_path / "inputs.jsonl").digest(SHARD) == "new"


def test_a_line_that_is_no_entry_is_passed_over(tmp_path):
    path = tmp_path / "inputs.jsonl"
    SeenInputs(path).saw(SHARD, "d")
    with path.open("ab") as lines:
        lines.write(b'{"a": 1}\n[1, 2]\n7\n["x", 1, 1, null]\n\xff\xfe\n["tor')
    assert SeenInputs(path).digest(SHARD) == "d"
