from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from audit.errors import ConfigurationError
from audit.sources import available, fingerprint, inspect_inputs, plan

LINE = b'{"text": "x"}\n'


@pytest.fixture
def corpus(tmp_path):
    for name in ("b.jsonl", "a/x.csv", "a/deep/y.jsonl.gz", ".hidden.jsonl", ".git/z.jsonl", "README.txt"):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(LINE)
    return tmp_path / "corpus"


def names(*inputs, **arguments):
    return [shard.name for shard in plan(list(map(str, inputs)), **arguments)]


def test_folder_is_walked_for_known_suffixes(corpus):
    assert names(corpus) == ["a/deep/y.jsonl.gz", "a/x.csv", "b.jsonl"]
    skipped = inspect_inputs([str(corpus)]).skipped
    assert {Path(path).name for path in skipped} == {".git", ".hidden.jsonl", "README.txt"}


def test_files_globs_and_relative_inputs(corpus):
    assert names("b.jsonl", base=corpus) == ["b.jsonl"]
    assert names("**/*.jsonl*", base=corpus) == ["a/deep/y.jsonl.gz", "b.jsonl"]
    assert names(corpus / "a" / "*") == ["deep/y.jsonl.gz", "x.csv"]
    assert names("corpus/../corpus/b.jsonl", corpus / "b.jsonl", base=corpus.parent) == ["b.jsonl"]


def test_order_of_the_inputs_does_not_matter_and_files_appear_once(corpus):
    one = plan([str(corpus), str(corpus / "a"), str(corpus / "a" / "x.csv")])
    two = plan([str(corpus / "a" / "x.csv"), str(corpus / "a"), str(corpus)])
    assert one == two
    assert [shard.name for shard in one] == ["a/deep/y.jsonl.gz", "a/x.csv", "b.jsonl"]


def test_moved_corpus_keeps_its_identity(corpus, tmp_path):
    before = {shard.name: shard.shard for shard in plan([str(corpus)])}
    shutil.move(corpus, tmp_path / "elsewhere")
    assert {shard.name: shard.shard for shard in plan([str(tmp_path / "elsewhere")])} == before
    assert all(len(shard) == 16 for shard in before.values())


def test_collisions_between_roots_get_as_much_root_as_tells_them_apart(tmp_path):
    for root in ("p/one", "p/two", "q/two"):
        (tmp_path / root).mkdir(parents=True)
        (tmp_path / root / "a.jsonl").write_bytes(LINE)
    roots = [tmp_path / root for root in ("p/one", "p/two", "q/two")]
    assert names(*roots) == names(*reversed(roots)) == ["one/a.jsonl", "p/two/a.jsonl", "q/two/a.jsonl"]


def test_cuts_depend_on_the_file_only(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINE * 10)
    shards = plan([str(path)], shard_bytes=100)
    assert [(s.name, s.start, s.stop, s.size) for s in shards] == [
        ("a.jsonl:0-100", 0, 100, 100),
        ("a.jsonl:100-140", 100, 140, 40),
    ]
    assert {s.file_size for s in shards} == {140}
    assert names(path, shard_bytes=140) == ["a.jsonl"]


def test_nothing_found_is_told_with_a_remedy(corpus):
    for address in ("nothing-*.jsonl", "absent.jsonl", "README.txt", "s3://bucket/x", "gopher://x"):
        with pytest.raises(ConfigurationError) as caught:
            plan([address], base=corpus)
        assert address.split("://")[0] in caught.value.message
        assert caught.value.remedy


def test_forced_format_takes_files_of_any_name(corpus):
    (shard,) = plan(["README.txt"], format="jsonl", base=corpus)
    assert shard.format == "jsonl"
    assert names(corpus, format="csv") == ["a/x.csv"]
    with pytest.raises(ConfigurationError, match="no file format"):
        plan([str(corpus)], format="docx")


def test_a_folder_may_look_like_a_file_and_links_may_go_round(tmp_path):
    folder = tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "part-0.jsonl").write_bytes(LINE)
    (folder / "loop").symlink_to(folder)
    assert names(folder) == ["part-0.jsonl"]
    assert names(tmp_path / "*.jsonl") == ["out.jsonl/part-0.jsonl"]


def test_a_broken_file_does_not_stop_the_planning(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no parquet" * 10)
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    shards = plan([str(tmp_path)], shard_bytes=20)
    assert [(s.name, s.start) for s in shards] == [
        ("bad.parquet", None),
        ("empty.parquet", None),
        ("gone.jsonl", None),
    ]


def test_formats_and_their_fingerprints():
    assert set(available()) >= {"jsonl", "parquet", "csv", "warc", "arrow", "huggingface"}
    found = fingerprint("warc")
    assert {"version", "code", "fastwarc", "resiliparse"} <= found.keys()
    assert found["code"] != fingerprint("jsonl")["code"]
