from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import InputError
from audit.model import Shard
from audit.sources import ColumnMapping, ContentDigest, ReadLimits, content_digest, plan, read, texts

from .conftest import read_shard

COLUMNS, LIMITS = ColumnMapping(), ReadLimits()


def shard_of(tmp_path: Path, content: bytes, name: str = "a.jsonl") -> Shard:
    (tmp_path / name).write_bytes(content)
    (shard,) = plan([str(tmp_path / name)])
    return shard


def test_fields_of_a_record(tmp_path, reading, jsonl):
    record = {
        "id": 7,
        "text": "hello",
        "metadata": {"url": "https://example.com/"},
        "created": "2019-04-24T01:35:46Z",
        "lang": "en",
        "dataset": "web",
    }
    (row,) = reading(shard_of(tmp_path, jsonl([record])), ColumnMapping(metadata=("lang", "metadata"))).rows
    assert row == {
        "position": 0,
        "doc_id": "7",
        "text": "hello",
        "url": "https://example.com/",
        "timestamp": datetime(2019, 4, 24, 1, 35, 46),
        "language": "en",
        "source": "web",
        "metadata": '{"lang":"en","metadata":{"url":"https://example.com/"}}',
    }


def test_mapped_paths_and_well_known_names_by_record(tmp_path, reading, jsonl):
    records = [{"a": {"b": "one"}}, {"a.b": "two", "a": {"b": "no"}}, {"a": {}}]
    found = reading(shard_of(tmp_path, jsonl(records)), ColumnMapping(text="a.b"))
    assert found.texts == ["one", "two"]
    assert found.rejects == [(2, "missing_text")]
    found = reading(shard_of(tmp_path, jsonl([{"content": "x"}, {"text": "y", "content": "z"}])))
    assert found.texts == ["x", "y"]


def test_chat_messages_are_joined_without_roles(tmp_path, reading, jsonl):
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": "x"}]
    records = [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None},
                      {"role": "user", "content": parts}]},
        {"conversations": [{"from": "human", "value": "hey"}]},
        {"messages": [{"role": "user"}]},
        {"messages": []},
    ]  # fmt: skip
    found = reading(shard_of(tmp_path, jsonl(records)))
    assert found.texts == ["hi\n\nlook", "hey"]
    assert found.rejects == [(2, "text_not_string"), (3, "empty")]


def test_bad_records_are_counted_and_lose_no_other(tmp_path, reading):
    lines = [
        b'{"text": "first"}',
        b'{"text": "broken',
        b"",
        b"   ",
        b"[1]",
        b'{"other": 1}',
        b'{"text": null}',
        b'{"text": 5}',
        b'{"text": "caf\xe9"}',
        b'{"text": "\\ud800 secret"}',
        b'{"text": " \\n"}',
        b'{"text": ""}',
        b"[" * 100_000,
        b'{"text": "kept \\u0000 nul"}',
        b'{"text": "raw \x00 nul"}',
        b'{"text": "nan", "x": NaN}',
        b'{"text": "title", "id": "\\ud800"}',
        b'{"text": "last"}',
    ]
    found = reading(shard_of(tmp_path, b"\n".join(lines)))
    assert found.texts == ["first", "kept \0 nul", "raw \0 nul", "nan", "title", "last"]
    assert found.positions == [0, 11, 12, 13, 14, 15]
    assert found.rejects == [
        (1, "invalid_json"),
        (2, "not_an_object"),
        (3, "missing_text"),
        (4, "missing_text"),
        (5, "text_not_string"),
        (6, "invalid_utf8"),
        (7, "lone_surrogate"),
        (8, "empty"),
        (9, "empty"),
        (10, "invalid_json"),
    ]
    assert not any("secret" in detail or "broken" in detail for detail in found.details)
    assert found.rows[4]["doc_id"] == "\ufffd"


def test_ids_fall_back_to_name_and_position_and_are_masked(tmp_path, reading, jsonl):
    ids = ["a", "a", "", None, ["x"], 3.0, True, "jane.doe@example.com", "x?m=jane%40example.com"]
    found = reading(shard_of(tmp_path, jsonl({"text": "t", "id": i} for i in ids)))
    assert [row["doc_id"] for row in found.rows] == [
        "a", "a", "a.jsonl#2", "a.jsonl#3", "a.jsonl#4", "3", "a.jsonl#6",
        "xxxx@xxxx.xxx", "x?m=xxxx@xxxx.xxx",
    ]  # fmt: skip


def test_columns_that_do_not_exist(tmp_path, reading, jsonl):
    shard = shard_of(tmp_path, jsonl([{"body_text": "x", "lang": "en", "jane@example.com": 1}]))
    found = reading(shard, ColumnMapping(text="txt"))
    assert found.reason == "no_such_column"
    assert "body_text" in str(found.error)
    assert "jane" not in str(found.error)
    assert reading(shard).reason == "no_text_column"
    assert reading(shard, ColumnMapping(text="body_text", url="link")).reason == "no_such_column"


def test_empty_file_bom_and_crlf(tmp_path, reading):
    assert reading(shard_of(tmp_path, b"")).rows == []
    found = reading(shard_of(tmp_path, b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}\r\n'))
    assert found.texts == ["a", "b"]
    assert found.rejects == []


def test_huge_documents(tmp_path, reading, jsonl):
    records = [{"text": "x" * 50_000_000}, {"text": "\U0001f600" * 1_000_000}, {"text": "small"}]
    found = reading(shard_of(tmp_path, jsonl(records)))
    assert [len(text) for text in found.texts] == [50_000_000, 1_000_000, 5]
    found = reading(shard_of(tmp_path, jsonl(records)), limits=ReadLimits(max_document_bytes=1_000_000))
    assert found.rejects == [(0, "too_large"), (1, "too_large")]
    assert found.texts == ["small"]


def test_batches_are_cut_by_rows_or_bytes(tmp_path, reading, jsonl):
    shard = shard_of(tmp_path, jsonl({"text": "x" * 100} for _ in range(10)))
    assert reading(shard, limits=ReadLimits(batch_rows=4)).batches == [4, 4, 2]
    assert reading(shard, limits=ReadLimits(batch_bytes=300)).batches == [2] * 5
    assert reading(shard, limits=ReadLimits(batch_bytes=1)).batches == [1] * 10


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compression_is_told_by_content(tmp_path, reading, jsonl, suffix):
    plain = jsonl({"text": f"line {n}"} for n in range(5000))
    half = len(plain) // 2
    packed = {
        "": plain,
        ".gz": gzip.compress(plain[:half]) + gzip.compress(plain[half:]) + b"\0" * 512,
        ".zst": zstandard.compress(plain[:half]) + zstandard.compress(plain[half:]),
    }
    for name in (f"a.jsonl{suffix}", "misnamed.jsonl.gz"):
        shard = shard_of(tmp_path, packed[suffix], name)
        found = reading(shard)
        assert found.texts == [f"line {n}" for n in range(5000)]
        assert found.bytes_read == shard.size


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_truncated_and_corrupt_streams_keep_what_came_before(tmp_path, reading, pack):
    plain = b"".join(b'{"text": "%d %s"}\n' % (n, bytes(str(hash(str(n))), "ascii")) for n in range(20_000))
    packed = pack(plain)
    found = reading(shard_of(tmp_path, packed[: len(packed) * 2 // 3], "a.jsonl.gz"))
    assert found.reason == "truncated"
    assert 10_000 < len(found.rows) < 20_000
    assert found.positions == list(range(len(found.rows)))
    assert reading(shard_of(tmp_path, packed[:-1], "a.jsonl.gz")).reason == "truncated"
    damaged = bytearray(packed)
    damaged[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    found = reading(shard_of(tmp_path, bytes(damaged), "a.jsonl.gz"))
    assert found.reason == "corrupt"
    assert found.rows


LINES = st.lists(
    st.one_of(
        st.text(max_size=12).map(lambda t: json.dumps({"text": "x" + t}, ensure_ascii=False).encode()),
        st.integers(0, 3).map(lambda n: b'{"text": "' + "é😀".encode() * n * 8 + b'z"}'),
        st.sampled_from([b"", b"  ", b"{broken", b"\xff"]),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(lines=LINES, ends=st.sampled_from([b"\n", b"\r\n"]), last=st.booleans(), size=st.integers(1, 200))
def test_any_cut_gives_the_same_documents(tmp_path_factory, lines, ends, last, size):
    content = ends.join(lines) + (ends if last else b"")
    path = tmp_path_factory.mktemp("cut") / "a.jsonl"
    path.write_bytes(content)
    (whole,) = plan([str(path)])
    shards = plan([str(path)], shard_bytes=size)
    expected, found = read_shard(whole), [read_shard(shard) for shard in shards]
    assert [text for part in found for text in part.texts] == expected.texts
    assert sum(len(part.rejects) for part in found) == len(expected.rejects)
    assert sum(shard.size for shard in shards) == len(content)
    assert len({shard.shard for shard in shards}) == len(shards)
    for part in found:
        assert sorted(part.positions + [p for p, _ in part.rejects]) == list(
            range(len(part.rows) + len(part.rejects))
        )


def test_texts_by_position(tmp_path, jsonl):
    shard = shard_of(tmp_path, jsonl({"text": f"t{n}", "id": f"i{n}"} for n in range(100)) + b"{bad\n")
    assert list(texts(shard, COLUMNS, ReadLimits(batch_rows=7), [93, 2, 50, 100, 999])) == [
        (2, "i2", "t2"),
        (50, "i50", "t50"),
        (93, "i93", "t93"),
    ]
    assert list(texts(shard, COLUMNS, LIMITS, [])) == []


def test_texts_before_the_damage_need_not_reach_it(tmp_path, jsonl):
    packed = gzip.compress(jsonl({"text": f"t{n} {n**9}"} for n in range(50_000)))
    shard = shard_of(tmp_path, packed[: len(packed) // 2], "a.jsonl.gz")
    assert list(texts(shard, COLUMNS, LIMITS, {3})) == [(3, "a.jsonl.gz#3", "t3 19683")]


def test_change_while_reading_is_told(tmp_path, jsonl):
    shard = shard_of(tmp_path, jsonl({"text": "t"} for _ in range(10)))
    batches = read(shard, COLUMNS, ReadLimits(batch_rows=2), ContentDigest())
    next(batches)
    with Path(shard.uri).open("ab") as file:
        file.write(b'{"text": "more"}\n')
    with pytest.raises(InputError, match="changed_while_reading"):
        list(batches)


def test_unreadable_file(tmp_path, reading):
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    (shard,) = plan([str(tmp_path)])
    assert reading(shard).reason == "unreadable"
    with pytest.raises(InputError, match="unreadable"):
        content_digest(shard)
