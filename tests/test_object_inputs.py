"""A corpus on a real S3 server is the corpus that it is on a disk: same shards, documents, digests."""

import dataclasses
import errno
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.errors import ConfigurationError, FatalError, InputError
from audit.inputs import SeenInputs
from audit.objects.object_bytes import ObjectBytes
from audit.objects.object_stores import ObjectFolder
from audit.sources import (
    ColumnMapping,
    ContentDigest,
    ReadLimits,
    content_digest,
    inspect_inputs,
    plan,
    read,
    texts,
)
from tests.conftest import page
from tests.faulty_proxy import Faults, faulty

LIMITS = ReadLimits(batch_rows=7)


def rows(count: int, first: int = 0) -> list[dict[str, str]]:
    return [
        {"id": f"d{n}", "text": page(n), "url": f"https://example.com/{n}"}
        for n in range(first, first + count)
    ]


def lines(count: int, first: int = 0) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows(count, first))


def parquet(count: int) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(count, 100)), out, row_group_size=20)
    return out.getvalue()


def arrow(count: int) -> bytes:
    out = io.BytesIO()
    table = pa.Table.from_pylist(rows(count, 300))
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=9)
    return out.getvalue()


def warc(count: int) -> bytes:
    records = []
    for row in rows(count, 400):
        body = row["text"].encode()
        records.append(
            f"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Record-ID: <urn:{row['id']}>\r\n"
            "Content-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
            + b"\r\n\r\n"
        )
    return gzip.compress(b"".join(records))


FILES = {
    "a/plain.jsonl": lines(60),
    "a/packed.jsonl.gz": gzip.compress(lines(30, 60)),
    "a/b/table.parquet": parquet(90),
    "a/b/stream.arrow": arrow(40),
    "crawl.wet.gz": warc(12),
    "rows.csv": b"id,text\n1,The first text of this table\n2,The second text of this table\n",
    "empty.jsonl": b"",
    "readme.txt": b"not a document",
    "a/.hidden/x.jsonl": lines(1),
    "a/.secret.jsonl": lines(2),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "root"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def uploaded(corpus, bucket):
    folder = ObjectFolder(f"{bucket}/some where/root")
    for name in FILES:
        folder.put(name, corpus / name)
    return folder.address


def content(shard):
    digest = ContentDigest()
    batches = list(read(shard, ColumnMapping(), LIMITS, digest))
    return [b.documents for b in batches], [b.rejects for b in batches], digest.hexdigest()


@pytest.mark.parametrize("shard_bytes", [1 << 28, 6000])
def test_shards_documents_and_digests_are_those_of_the_files(corpus, uploaded, shard_bytes):
    here = inspect_inputs([str(corpus)], shard_bytes=shard_bytes)
    there = inspect_inputs([uploaded], shard_bytes=shard_bytes)
    assert len(there.shards) > (12 if shard_bytes == 6000 else 6)
    for file, thing in zip(here.shards, there.shards, strict=True):
        place = {"uri": file.uri, "etag": None, "mtime_ns": file.mtime_ns, "ctime_ns": file.ctime_ns}
        assert dataclasses.replace(thing, **place) == file
        assert thing.etag is not None
        assert thing.mtime_ns == 0
        documents, rejects, digest = content(thing)
        assert (documents, rejects, digest) == content(file)
        assert digest == content_digest(thing)
    assert [p.removeprefix(str(corpus)) for p in here.skipped] == [
        p.removeprefix(uploaded) for p in there.skipped
    ]
    assert sum(there.skipped_bytes.values()) == sum(
        len(FILES[k]) for k in FILES if "/." in k or k == "readme.txt"
    )


@pytest.mark.parametrize(
    "name", ["a/plain.jsonl", "a/packed.jsonl.gz", "a/b/table.parquet", "a/b/stream.arrow", "crawl.wet.gz"]
)
def test_texts_by_position(corpus, uploaded, name):
    (here,), (there,) = plan([str(corpus / name)]), plan([f"{uploaded}/{name}"])
    wanted = {0, 5, 11, 38, 70}
    found = list(texts(there, ColumnMapping(), LIMITS, wanted))
    assert found == list(texts(here, ColumnMapping(), LIMITS, wanted))
    assert len(found) >= 3


@pytest.mark.parametrize(
    "pattern",
    [
        "a/*.jsonl",
        "a/*",
        "**/*.gz",
        "**",
        "*/b/*.parquet",
        "*/b",
        "?/plain.jsonl",
        "a/[bc]/**",
        "a/.*",
        "a/.h*/*",
        "*/.hidden",
    ],
)
def test_globs_match_as_they_do_for_files(corpus, uploaded, pattern):
    here, there = inspect_inputs([f"{corpus}/{pattern}"]), inspect_inputs([f"{uploaded}/{pattern}"])
    assert [shard.name for shard in there.shards] == [shard.name for shard in here.shards]
    assert [p.removeprefix(uploaded) for p in there.skipped] == [
        p.removeprefix(str(corpus)) for p in here.skipped
    ]


def test_a_format_that_is_named_takes_any_name_of_a_file_but_not_of_a_folder(corpus, uploaded):
    for inputs in (["readme.txt"], ["*"], ["a", "readme.txt"]):
        here = plan([f"{corpus}/{name}" for name in inputs], format="jsonl")
        there = plan([f"{uploaded}/{name}" for name in inputs], format="jsonl")
        assert [shard.name for shard in there] == [shard.name for shard in here]


def test_two_roots_with_one_name_keep_apart(bucket):
    for root in ("x/data", "y/data"):
        ObjectFolder(f"{bucket}/{root}").put("part.jsonl", lines(1))
    assert [s.name for s in plan([f"{bucket}/x/data", f"{bucket}/y/data/"])] == [
        "x/data/part.jsonl",
        "y/data/part.jsonl",
    ]


def test_a_saved_data_set_gives_its_own_files_only(bucket):
    folder = ObjectFolder(f"{bucket}/saved")
    folder.put("state.json", json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}).encode())
    for name in ("dataset_info.json", "data-0.arrow", "cache-1.arrow"):
        folder.put(name, arrow(3) if name.endswith(".arrow") else b"{}")
    assert [shard.name for shard in plan([folder.address])] == ["data-0.arrow"]


@pytest.mark.parametrize(
    "address", ["{bucket}/nothing", "{bucket}/*.jsonl", "{bucket}", "s3://test-no-such-bucket/x"]
)
def test_an_address_without_objects_is_refused(bucket, address):
    with pytest.raises(ConfigurationError, match=r"matches nothing|there is no s3://"):
        plan([address.format(bucket=bucket)])


def test_signed_addresses_are_refused_unquoted():
    for address in (
        "s3://b/x?X-Amz-Signature=verysecret",
        "https://b.example.com/x?sig=verysecret",
        "s3://u:verysecret@b/x",
    ):
        with pytest.raises(ConfigurationError) as caught:
            plan([address])
        assert "verysecret" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a/plain.jsonl", "a/b/table.parquet", "crawl.wet.gz", "a/b/stream.arrow", "rows.csv"]
)
def test_an_object_that_was_replaced_or_removed_is_refused(uploaded, name):
    folder = ObjectFolder(uploaded)
    (shard,) = plan([f"{uploaded}/{name}"])
    before = folder.get(name)
    folder.put(name, before[: len(before) // 2] + before[len(before) // 2 :].swapcase())
    for attempt in (content, content_digest, lambda s: list(texts(s, ColumnMapping(), LIMITS, {0}))):
        with pytest.raises(InputError) as caught:
            attempt(shard)
        assert caught.value.reason == "changed_while_reading"
    folder.delete(name)
    with pytest.raises(InputError) as caught:
        content(shard)
    assert caught.value.reason == "unreadable"


def test_an_object_that_changes_in_the_middle_is_refused(bucket, monkeypatch):
    monkeypatch.setattr("audit.objects.object_bytes.BLOCK", 4096)
    folder = ObjectFolder(bucket)
    folder.put("x.jsonl", lines(200))
    (shard,) = plan([f"{bucket}/x.jsonl"])
    batches = read(shard, ColumnMapping(), LIMITS)
    next(batches)
    folder.put("x.jsonl", lines(200, 1000))
    with pytest.raises(InputError) as caught:
        list(batches)
    assert caught.value.reason == "changed_while_reading"


def test_blocks_are_read_in_order_and_from_anywhere(bucket, monkeypatch):
    monkeypatch.setattr("audit.objects.object_bytes.BLOCK", 1000)
    content = bytes(range(251)) * 40
    ObjectFolder(bucket).put("x", content)
    with ObjectBytes(f"{bucket}/x") as file:
        file.read_ahead(10, 9000)
        file.seek(10)
        assert b"".join(iter(lambda: file.read(700), b"")) == content[10:]
        for at in (5, 9999, 0, 4321):
            file.seek(at)
            assert file.read(333) == content[at : at + 333]
        assert file.seek(0, io.SEEK_END) == len(content)
        assert file.read(1) == b""


def test_a_digest_is_recalled_by_version_and_size_alone(tmp_path, uploaded):
    shard = plan([f"{uploaded}/rows.csv"])[0]
    SeenInputs(tmp_path / "inputs.jsonl").saw(shard, "d")
    again = SeenInputs(tmp_path / "inputs.jsonl")
    assert again.digest(plan([uploaded + "/rows.csv"])[0]) == "d"
    assert again.digest(dataclasses.replace(shard, etag='"other"')) is None
    assert again.digest(dataclasses.replace(shard, file_size=1)) is None
    unversioned = dataclasses.replace(shard, etag=None)
    again.saw(unversioned, "d")
    assert again.digest(unversioned) is None


@pytest.mark.parametrize(
    ("name", "shard_bytes"), [("a/b/table.parquet", 1 << 28), ("a/b/table.parquet", 6000)]
)
def test_a_shard_too_large_for_a_copy_is_read_where_it_lies(uploaded, monkeypatch, name, shard_bytes):
    shards = plan([f"{uploaded}/{name}"], shard_bytes=shard_bytes)
    copied = [content(shard) for shard in shards]
    monkeypatch.setattr("audit.sources.formats.parquet._SPOOL_BYTES", 0)
    assert [content(shard) for shard in shards] == copied


def test_a_full_temporary_folder_stops_the_run_and_fails_no_shard(uploaded, monkeypatch):
    def full(copy, piece):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("audit.sources.shard_bytes._write", full)
    with pytest.raises(FatalError, match="TMPDIR"):
        content(plan([f"{uploaded}/a/b/table.parquet"])[0])


def test_every_byte_is_fetched_once(object_server, uploaded, monkeypatch):
    monkeypatch.setattr("audit.objects.object_bytes.BLOCK", 4096)
    with faulty(object_server.endpoint, Faults()) as seen:
        monkeypatch.setenv("AWS_ENDPOINT_URL", seen.endpoint)
        for name in ("a/plain.jsonl", "a/packed.jsonl.gz", "a/b/table.parquet", "crawl.wet.gz"):
            (shard,) = plan([f"{uploaded}/{name}"])
            seen.requests.clear()
            content(shard)
            assert seen.count("GET") == -(-shard.size // 4096)
            assert seen.count("HEAD") == 0
