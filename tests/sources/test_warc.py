from __future__ import annotations

import gzip
import zlib
from datetime import datetime

import pytest

from audit.sources import ColumnMapping, ReadLimits, plan, texts
from audit.sources.http_message import parse_response

PAGE = "<html><head><title>T</title></head><body><nav>Menu</nav><main><p>{}</p></main></body></html>"


def warc_record(
    content: bytes, kind: str = "response", media: str = "application/http; msgtype=response", n: int = 0
):
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{n}>\r\n"
        f"WARC-Target-URI: https://example.com/{n}\r\nWARC-Date: 2019-04-24T01:35:46Z\r\n"
        f"Content-Type: {media}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n\r\n"


def http(body: bytes, *headers: str, status: str = "200 OK", media: str = "text/html"):
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {media}", *headers, "", ""]).encode() + body


def page(text: str, n: int = 0, **options: str) -> bytes:
    return warc_record(http(PAGE.format(text).encode(), **options), n=n)


def shard_of(tmp_path, content, name="a.warc.gz"):
    packed = gzip.compress(content) if name.endswith("gz") and content else content
    (tmp_path / name).write_bytes(packed)
    (shard,) = plan([str(tmp_path / name)])
    return shard


def test_pages_rejects_and_other_records(tmp_path, reading):
    records = [
        warc_record(b"software: x", "warcinfo", "application/warc-fields"),
        page("First page", 1),
        warc_record(b"GET / HTTP/1.1\r\n\r\n", "request", "application/http; msgtype=request"),
        page("Gone", 2, status="404 Not Found"),
        warc_record(http(b"\x89PNG", media="image/png"), n=3),
        warc_record(b"dns", media="text/dns", n=4),
        warc_record(b"no http at all", n=5),
        warc_record(http(b"plain words", media="text/plain"), n=6),
        warc_record(http(b"", media="text/html"), n=7),
        page("Last page", 8),
    ]
    found = reading(shard_of(tmp_path, b"".join(records)))
    assert found.texts == ["First page", "plain words", "Last page"]
    assert found.rejects == [
        (1, "http_status"),
        (2, "not_text"),
        (3, "not_text"),
        (4, "not_text"),
        (6, "empty"),
    ]
    assert found.rows[0] == {
        "position": 0,
        "doc_id": "<urn:uuid:1>",
        "text": "First page",
        "url": "https://example.com/1",
        "timestamp": datetime(2019, 4, 24, 1, 35, 46),
        "language": None,
        "source": None,
        "metadata": None,
    }


@pytest.mark.parametrize(
    ("body", "media"),
    [
        ("Grüße".encode("latin-1"), "text/html; charset=iso-8859-1"),
        ("Grüße".encode(), 'text/html; charset="utf-8"'),
        (b"\xef\xbb\xbf" + "Grüße".encode(), "text/html; charset=latin1"),
        ("<meta charset=windows-1252><p>Grüße".encode("cp1252"), "text/html"),
        ("Grüße".encode(), "text/html; charset=nonsense"),
    ],
)
def test_charsets(tmp_path, reading, body, media):
    assert reading(shard_of(tmp_path, warc_record(http(body, media=media)))).texts == ["Grüße"]


def test_wet(tmp_path, reading):
    records = [
        warc_record("Grüße\nzwei".encode(), "conversion", "text/plain", 1),
        warc_record(b"caf\xe9", "conversion", "text/plain", 2),
        warc_record(b"end", "conversion", "text/plain", 3),
    ]
    found = reading(shard_of(tmp_path, b"".join(records), "a.warc.wet.gz"))
    assert found.texts == ["Grüße\nzwei", "end"]
    assert found.rejects == [(1, "invalid_utf8")]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (gzip.compress(b"<p>Hello", mtime=0), "Content-Encoding: gzip"),
        (zlib.compress(b"<p>Hello"), "Content-Encoding: deflate"),
        (b"<p>Hello", "Content-Encoding: gzip"),
        (b"<p>Hello", "Content-Encoding: br"),
        (b"4\r\n<p>H\r\n4;x=y\r\nello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        (b"<p>Hello", "Transfer-Encoding: chunked"),
    ],
)
def test_bodies_are_decoded_and_false_headers_lose_nothing(tmp_path, reading, body, header):
    content = warc_record(http(body, header)) + page("Next", 1)
    assert reading(shard_of(tmp_path, content)).texts == ["Hello", "Next"]


def test_response_heads():
    found = parse_response(b"HTTP/1.0 301\nLocation: x\nContent-Type: Text/HTML ;Charset=utf-8\n\nbody", 100)
    assert (found.status, found.media_type, found.charset, found.body) == (301, "text/html", "utf-8", b"body")
    assert parse_response(b"", 100).status is None
    bomb = http(gzip.compress(b"x" * 10_000_000), "Content-Encoding: gzip")
    assert len(parse_response(bomb, 1000).body) == 1001


def test_large_records(tmp_path, reading):
    content = page("x" * 5000) + page("small", 1) + warc_record(
        http(gzip.compress(b"y" * 50_000), "Content-Encoding: gzip"), n=2
    )  # fmt: skip
    found = reading(shard_of(tmp_path, content), limits=ReadLimits(max_document_bytes=1000))
    assert found.texts == ["small"]
    assert found.rejects == [(0, "too_large"), (2, "too_large")]


def test_truncation(tmp_path, reading):
    plain = b"".join(page(f"Page {n}", n) for n in range(2000))
    packed = gzip.compress(plain)
    (tmp_path / "a.warc.gz").write_bytes(packed[: len(packed) // 2])
    (shard,) = plan([str(tmp_path / "a.warc.gz")])
    found = reading(shard)
    assert found.reason == "truncated"
    assert found.texts == [f"Page {n}" for n in range(len(found.rows))]
    assert found.rows
    for cut in (10, 150, 300):
        found = reading(shard_of(tmp_path, plain[:-cut], "b.warc"))
        assert (found.reason, len(found.rows)) == ("truncated", 1999)
    assert reading(shard_of(tmp_path, plain, "b.warc")).reason is None


def test_garbage_between_records(tmp_path, reading):
    found = reading(shard_of(tmp_path, page("One") + b"garbage\r\n\r\n" + page("Two", 1)))
    assert found.reason == "corrupt"
    assert found.texts == ["One"]


def test_empty_file_texts_and_mapping(tmp_path, reading):
    assert reading(shard_of(tmp_path, b"", "a.warc")).rows == []
    shard = shard_of(tmp_path, b"".join(page(f"Page {n}", n) for n in range(9)))
    assert list(texts(shard, ColumnMapping(), ReadLimits(), {7, 2})) == [
        (2, "<urn:uuid:2>", "Page 2"),
        (7, "<urn:uuid:7>", "Page 7"),
    ]
    assert reading(shard, ColumnMapping(text="html")).reason == "no_such_column"
