from __future__ import annotations

import gzip

import pytest

from audit.sources import ColumnMapping, ReadLimits, plan, texts


def shard_of(tmp_path, content, name="a.csv"):
    (tmp_path / name).write_bytes(content)
    (shard,) = plan([str(tmp_path / name)])
    return shard


def test_quoted_line_ends_and_fields(tmp_path, reading):
    content = (
        b'\xef\xbb\xbfid,text,url\r\n1,"two\nlines, ""quoted""",https://example.com/\r\n\r\n2,plain,\r\n'
    )
    found = reading(shard_of(tmp_path, content))
    assert found.texts == ['two\nlines, "quoted"', "plain"]
    assert [row["doc_id"] for row in found.rows] == ["1", "2"]
    assert found.positions == [0, 1]


def test_bad_rows_lose_no_other(tmp_path, reading):
    rows = [b"id,text", b"1,one", b"2,two,extra", b"3", b"4,caf\xe9", b"5,nul\0", b"6,", b"7,seven"]
    found = reading(shard_of(tmp_path, b"\n".join(rows)))
    assert found.texts == ["one", "nul\0", "seven"]
    assert found.positions == [0, 4, 6]
    assert found.rejects == [(1, "bad_row"), (2, "bad_row"), (3, "invalid_utf8"), (5, "empty")]


@pytest.mark.parametrize("bad", [b'2,"open', b'"2,open', b'2,"open,x'])
def test_an_unclosed_quote_swallows_no_row(tmp_path, reading, bad):
    found = reading(shard_of(tmp_path, b"id,text\n1,one\n" + bad + b"\n3,three\n4,four\n"))
    assert found.texts == ["one", "three", "four"]
    assert found.rejects == [(1, "bad_row")]
    assert found.positions == [0, 2, 3]


def test_an_unclosed_quote_at_the_limit(tmp_path, reading):
    content = b'id,text\n1,"open\n' + b"2,other text\n" * 20
    found = reading(shard_of(tmp_path, content), limits=ReadLimits(max_document_bytes=60))
    assert found.texts == ["other text"] * 20
    assert found.rejects == [(0, "bad_row")]


def test_rows_over_the_limit(tmp_path, reading):
    content = b"id,text\n1," + b"x" * 100 + b"\n2,small\n"
    found = reading(shard_of(tmp_path, content), limits=ReadLimits(max_document_bytes=50))
    assert found.texts == ["small"]
    assert found.rejects == [(0, "too_large")]


@pytest.mark.parametrize(
    ("name", "mark"), [("a.tsv", b"\t"), ("a.csv", b";"), ("a.csv", b"\t"), ("a.tsv.gz", b"\t")]
)
def test_delimiters_and_compression(tmp_path, reading, name, mark):
    content = mark.join([b"id", b"text"]) + b"\n" + mark.join([b"1", b"a, b"]) + b"\n"
    packed = gzip.compress(content) if name.endswith("gz") else content
    assert reading(shard_of(tmp_path, packed, name)).texts == ["a, b"]


def test_truncated_gzip(tmp_path, reading):
    content = b"id,text\n" + b"".join(b"%d,text %d\n" % (n, n * n) for n in range(50_000))
    packed = gzip.compress(content)
    found = reading(shard_of(tmp_path, packed[: len(packed) // 2], "a.csv.gz"))
    assert found.reason == "truncated"
    assert found.texts == [f"text {n * n}" for n in range(len(found.rows))]
    assert found.rows


def test_headers(tmp_path, reading):
    assert reading(shard_of(tmp_path, b"")).rows == []
    assert reading(shard_of(tmp_path, b"id,text\n")).rows == []
    found = reading(shard_of(tmp_path, b"1,Write to jane@example.com\n2,x\n"))
    assert found.reason == "no_text_column"
    assert "jane" not in str(found.error)
    assert (
        reading(shard_of(tmp_path, b"id,body\n1,x\n"), ColumnMapping(text="bod")).reason == "no_such_column"
    )


def test_texts_by_position(tmp_path):
    shard = shard_of(tmp_path, b"text\n" + b"".join(b"t%d\n" % n for n in range(20)))
    assert [text for _, _, text in texts(shard, ColumnMapping(), ReadLimits(), {3, 19})] == ["t3", "t19"]
