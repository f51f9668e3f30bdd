from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.sources import ColumnMapping, ReadLimits, content_digest, plan, texts

from .conftest import read_shard

NOON = datetime(2019, 4, 24, 12)


def shard_of(tmp_path, table, **options):
    pq.write_table(table, tmp_path / "a.parquet", **options)
    (shard,) = plan([str(tmp_path / "a.parquet")])
    return shard


def test_fields_structs_and_dictionaries(tmp_path, reading):
    table = pa.table(
        {
            "id": pa.array([1, None]),
            "text": pa.array(["one", "two"]).dictionary_encode(),
            "meta": pa.array([{"url": "https://example.com/?e=jane@example.com", "n": 1}, None]),
            "date": pa.array([NOON, None], pa.timestamp("ns")),
            "lang": pa.array(["en", None], pa.large_string()),
            "unused": [b"\xff", b"\xff"],
        }
    )
    first, second = reading(shard_of(tmp_path, table), ColumnMapping(metadata=("meta.n", "date"))).rows
    assert first == {
        "position": 0,
        "doc_id": "1",
        "text": "one",
        "url": "https://example.com/?e=xxxx@xxxx.xxx",
        "timestamp": NOON,
        "language": "en",
        "source": None,
        "metadata": '{"meta.n":1,"date":"2019-04-24T12:00:00"}',
    }
    assert second["doc_id"] == "a.parquet#1"
    assert second["url"] is second["timestamp"] is second["language"] is None


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view()]
)
def test_text_types_and_bad_texts(tmp_path, reading, kind):
    values = pa.array([b"fine", b"caf\xe9", None, b"", b" \n", b"nul\0", b"last"], pa.binary())
    raw = values.cast(pa.large_binary()) if pa.types.is_large_string(kind) else values
    if kind == pa.string_view():
        column = pa.array(["fine", "x", None, "", " \n", "nul\0", "last"], kind)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        column = raw.cast(kind)
    else:
        column = raw.view(kind)  # a file need not hold UTF-8 where it says so
    found = reading(shard_of(tmp_path, pa.table({"text": column})))
    if kind == pa.string_view():
        assert found.texts == ["fine", "x", "nul\0", "last"]
    else:
        assert found.texts == ["fine", "nul\0", "last"]
        assert found.rejects == [
            (1, "invalid_utf8"), (2, "missing_text"), (3, "empty"), (4, "empty"),
        ]  # fmt: skip


def test_chat_messages_and_other_types(tmp_path, reading):
    chat = [[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], None]
    assert reading(shard_of(tmp_path, pa.table({"messages": chat}))).texts == ["hi\n\nhello"]
    found = reading(shard_of(tmp_path, pa.table({"text": [1, 2]})))
    assert found.rejects == [(0, "text_not_string"), (1, "text_not_string")]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("ms", "Europe/Paris")),
        pa.array([NOON.replace(tzinfo=timezone(timedelta(hours=0)))], pa.timestamp("us", "UTC")),
        pa.array([int(NOON.replace(tzinfo=UTC).timestamp())]),
        pa.array([NOON.isoformat() + "Z"]),
        pa.array([NOON.isoformat().encode()]),
    ],
)
def test_timestamp_types(tmp_path, reading, column):
    (row,) = reading(shard_of(tmp_path, pa.table({"text": ["x"], "timestamp": column}))).rows
    assert row["timestamp"] == NOON


def test_dates_and_unusable_times(tmp_path, reading):
    table = pa.table({"text": ["x"], "date": pa.array([date(2019, 4, 24)])})
    assert reading(shard_of(tmp_path, table)).rows[0]["timestamp"] == datetime(2019, 4, 24)
    table = pa.table({"text": ["x"], "date": pa.array([True])})
    assert reading(shard_of(tmp_path, table)).rows[0]["timestamp"] is None


def test_another_schema_is_told(tmp_path, reading):
    shard = shard_of(tmp_path, pa.table({"a": ["x"], "meta": [{"b": "y"}]}))
    assert reading(shard).reason == "no_text_column"
    found = reading(shard, ColumnMapping(text="meta.c"))
    assert found.reason == "no_such_column"
    assert "a, meta" in str(found.error)
    assert reading(shard, ColumnMapping(text="meta.b")).texts == ["y"]


def test_broken_and_empty_files(tmp_path, reading):
    for content in (b"", b"PAR1" + b"x" * 100 + b"PAR1", b"no parquet"):
        (tmp_path / "a.parquet").write_bytes(content)
        (shard,) = plan([str(tmp_path / "a.parquet")])
        assert reading(shard).reason == "unreadable"
    assert reading(shard_of(tmp_path, pa.table({"text": pa.array([], pa.string())}))).rows == []


def test_damaged_pages_are_told(tmp_path, reading):
    shard = shard_of(tmp_path, pa.table({"text": [f"text {n}" * 50 for n in range(2000)]}))
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[8:400] = b"\xff" * 392
    (tmp_path / "a.parquet").write_bytes(content)
    assert reading(shard).reason == "corrupt"


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 40), group=st.integers(1, 9), size=st.integers(1, 3000), batch=st.integers(1, 60))
def test_any_cut_gives_the_same_documents(tmp_path_factory, rows, group, size, batch):
    path = tmp_path_factory.mktemp("cut") / "a.parquet"
    table = pa.table(
        {"text": [f"{n} " * (n % 7 + 1) for n in range(rows)], "id": [str(n) for n in range(rows)]}
    )
    pq.write_table(table, path, row_group_size=group)
    shards = plan([str(path)], shard_bytes=size)
    found = [read_shard(shard, limits=ReadLimits(batch_bytes=batch)) for shard in shards]
    assert [row["doc_id"] for part in found for row in part.rows] == [str(n) for n in range(rows)]
    assert all(part.positions == list(range(len(part.rows))) for part in found)
    assert all(part.bytes_read == shard.size for part, shard in zip(found, shards, strict=True))
    assert len({content_digest(shard) for shard in shards}) == len(shards)


def test_a_cut_keeps_its_digest_only_while_its_rows_stay(tmp_path):
    def digests(last):
        table = pa.table({"text": [*(f"text {n}" for n in range(30)), last]})
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
        return [content_digest(shard) for shard in plan([str(tmp_path)], shard_bytes=1)]

    assert len(digests("end")) == 4
    assert digests("end")[3] != digests("dne")[3]


def test_texts_skip_row_groups(tmp_path):
    table = pa.table({"text": [f"t{n}" for n in range(50)]})
    shard = shard_of(tmp_path, table, row_group_size=8)
    found = list(texts(shard, ColumnMapping(), ReadLimits(batch_rows=3), {0, 17, 49, 60}))
    assert found == [(n, f"a.parquet#{n}", f"t{n}") for n in (0, 17, 49)]
