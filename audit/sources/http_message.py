"""The HTTP response that a web archive stores: head and body taken apart and decoded."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from fastwarc.stream_io import BrotliReader

_GZIP_OR_ZLIB = 47  # zlib's wbits: either header, largest window
_HEX_DIGITS = 16


@dataclass(frozen=True)
class HttpResponse:
    """A stored response.

    Attributes:
        status: Status code; None where the record holds no HTTP head.
        headers: By lower-case name; the last of a name.
        body: Without chunks and content encoding.
    """

    status: int | None
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """``text/html``, lower-case; empty where it is not declared."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The declared charset."""
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset" and value.strip(" \"'"):
                return value.strip(" \"'")
        return None


def parse_response(content: bytes, max_bytes: int) -> HttpResponse:
    """Take a stored response apart.

    Crawlers often store the body decoded and leave the headers that say otherwise, so a body that does
    not decode as declared is taken as it stands. A decoded body ends after ``max_bytes`` + 1 bytes.
    """
    head, body = _split(content)
    status_line, *lines = head.decode("latin-1").split("\n")
    status = _status(status_line)
    if status is None:
        return HttpResponse(None, {}, content)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, mark, value in pairs if mark}
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _unchunk(body)
    return HttpResponse(
        status, headers, _decode(body, headers.get("content-encoding", "").lower(), max_bytes)
    )


def _split(content: bytes) -> tuple[bytes, bytes]:
    ends = [(at, mark) for mark in (b"\r\n\r\n", b"\n\n") if (at := content.find(mark)) >= 0]
    if not ends:
        return content, b""
    at, mark = min(ends)
    return content[:at], content[at + len(mark) :]


def _status(line: str) -> int | None:
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/") or not parts[1].isdecimal():
        return None
    return int(parts[1])


def _unchunk(body: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\n", at)
        size = _chunk_size(body[at:end]) if end >= 0 else None
        if size is None:
            return b"".join(parts) if parts else body
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 1 : end + 1 + size])
        at = end + 1 + size
        at += 2 if body[at : at + 2] == b"\r\n" else 1


def _chunk_size(line: bytes) -> int | None:
    try:
        return int(line.split(b";")[0].strip(), _HEX_DIGITS)
    except ValueError:
        return None


def _decode(body: bytes, encoding: str, max_bytes: int) -> bytes:
    try:
        if encoding in ("gzip", "x-gzip", "deflate"):
            return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, max_bytes + 1) or body
        if encoding == "br":
            return BrotliReader(io.BytesIO(body)).read(max_bytes + 1) or body
    except (zlib.error, OSError):
        return body
    return body
