"""WARC and WET: web archives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

from audit.errors import InputError
from audit.model import Batch, Shard
from audit.sources.columns import ColumnMapping
from audit.sources.contracts import Cut, ReadLimits
from audit.sources.html_text import main_text
from audit.sources.http_message import HttpResponse, parse_response
from audit.sources.records import Item, Record, RecordBatches, grouped
from audit.sources.streams import BlockReader, ContentDigest, ShardFile, blocks, digest_file
from audit.sources.values import Refusal

_HTML = ("text/html", "application/xhtml+xml")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_DOCUMENTS = WarcRecordType.response | WarcRecordType.conversion


class Warc:
    """Web pages of WARC files, and the texts of WET files.

    ``response`` and ``conversion`` records are counted, as documents or as rejects (``http_status`` for
    all but 2xx, ``not_text`` for images, scripts and the like); other records describe the crawl. Of HTML
    the main content is taken (resiliparse): menus and footers repeat on every page of a site, corpus
    builders leave them out, and here they would drown near duplicates and shares per word. A page of
    which that leaves nothing gives all its visible text, as does one that is nested very deep. The
    charset is the byte order mark's, the HTTP header's, the page's own or a guess, in this order; bytes
    that do not fit become U+FFFD. Plain text is taken as it is.

    Columns: id (WARC-Record-ID), url, timestamp (WARC-Date), language (as the crawl or the server
    declares it), text, content_type, status.
    """

    name: ClassVar[str] = "warc"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("fastwarc", "resiliparse", "isal", "zstandard")
    suffixes: ClassVar[tuple[str, ...]] = (".warc", ".warc.gz", ".wet", ".wet.gz")

    def cut(self, uri: str, size: int, shard_bytes: int) -> Sequence[Cut]:  # noqa: ARG002
        """Always whole."""
        return [Cut(None, None, size)]

    def read(
        self,
        shard: Shard,
        columns: ColumnMapping,
        limits: ReadLimits,
        digest: ContentDigest | None,
        wanted: frozenset[int] | None,
    ) -> Iterator[Batch]:
        """As in ``Source``."""
        batches = RecordBatches(shard, columns, limits)
        told = 0
        with ShardFile(shard, digest) as file:
            for group in grouped(_items(BlockReader(blocks(file)), limits, wanted), limits):
                yield batches.build_items(group, file.taken - told)
                told = file.taken
            if wanted is None:
                batches.check()

    def digest(self, shard: Shard, digest: ContentDigest) -> None:
        """As in ``Source``."""
        digest_file(shard, digest)


def _items(reader: BlockReader, limits: ReadLimits, wanted: frozenset[int] | None) -> Iterator[Item]:
    last = None if wanted is None else max(wanted, default=-1)
    for position, record in enumerate(_records(reader)):
        if last is not None and position > last:
            return
        if wanted is not None and position not in wanted:
            continue
        size = record.content_length
        if size > limits.max_document_bytes:
            yield Item(position, Refusal("too_large", f"{size} bytes"), 0)
            continue
        content = record.reader.read()
        if len(content) < size:
            break  # the end of the data: told below
        yield Item(position, _page(record, content, limits), size)
    if reader.failure is not None:
        raise reader.failure
    if reader.tell() and not reader.tail.endswith((b"\r\n\r\n", b"\n\n")):
        raise InputError("truncated", "the last record ends in the middle")


def _records(reader: BlockReader) -> Iterator[Any]:
    """Records that hold a document. HTTP is parsed later: a bad head must not stop the iteration."""
    try:
        yield from ArchiveIterator(
            reader, record_types=_DOCUMENTS, parse_http=False, auto_decode="none", stream_detect=False
        )
    except OSError as error:
        if reader.failure is None:
            raise InputError("corrupt", "a record's header is damaged") from error


def _page(record: Any, content: bytes, limits: ReadLimits) -> Record | Refusal:
    headers = record.headers
    fields: dict[str, Any] = {
        "id": headers.get("WARC-Record-ID"),
        "url": headers.get("WARC-Target-URI"),
        "timestamp": headers.get("WARC-Date"),
        "language": headers.get("WARC-Identified-Content-Language"),
        "content_type": headers.get("Content-Type"),
        "status": None,
    }
    if record.record_type == WarcRecordType.conversion:
        return fields | {"text": content}
    if "application/http" not in (fields["content_type"] or ""):
        return Refusal("not_text", "no HTTP response")
    response = parse_response(content, limits.max_document_bytes)
    text = _text(response, limits)
    if isinstance(text, Refusal):
        return text
    language = fields["language"] or response.headers.get("content-language")
    return fields | {
        "text": text,
        "language": language,
        "content_type": response.media_type,
        "status": response.status,
    }


def _text(response: HttpResponse, limits: ReadLimits) -> str | Refusal:
    if response.status is None:
        return Refusal("not_text", "no HTTP response")
    if not 200 <= response.status < 300:
        return Refusal("http_status", str(response.status))
    if len(response.body) > limits.max_document_bytes:
        return Refusal("too_large", "the decoded page")
    html = response.media_type in _HTML or (not response.media_type and response.body.lstrip()[:1] == b"<")
    if not html and response.media_type != "text/plain":
        return Refusal("not_text", "the response is declared as another type")
    page = _decode(response.body, response.charset, html)
    return main_text(page) if html else page


def _decode(body: bytes, declared: str | None, html: bool) -> str:
    marked = next((name for mark, name in _BOMS if body.startswith(mark)), None)
    encoding = marked or (map_encoding_to_html5(declared, fallback_utf8=False) if declared else None)
    encoding = encoding or detect_encoding(body, from_html_meta=html) or "utf-8"
    return bytes_to_str(body, encoding, "replace")
