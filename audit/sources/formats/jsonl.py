"""JSON Lines, plain or compressed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import orjson

from audit.errors import InputError
from audit.model import Batch, Shard
from audit.sources.columns import ColumnMapping
from audit.sources.contracts import Cut, ReadLimits
from audit.sources.lines import OVERSIZE, Line, group_lines, split_lines
from audit.sources.records import Item, RecordBatches
from audit.sources.streams import ContentDigest, ShardFile, blocks, digest_file, is_compressed
from audit.sources.values import Refusal

_BOM = b"\xef\xbb\xbf"


class JsonLines:
    """One JSON object a line; blank lines are none. ``.json`` files are read as lines too.

    A big plain file is cut into byte ranges, each of which owns the lines that begin in it. Lines end at
    ``\\n``. What orjson refuses is tried with the standard library, which is more lenient: NaN, raw
    control characters in strings (NUL bytes too) and lone surrogates outside the text do not lose the
    document. The position of a document is the ordinal of its line among those that are not blank.
    """

    name: ClassVar[str] = "jsonl"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("orjson", "isal", "zstandard")
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        stem + end for stem in (".jsonl", ".ndjson", ".json") for end in ("", ".gz", ".zst")
    )

    def cut(self, uri: str, size: int, shard_bytes: int) -> Sequence[Cut]:
        """Byte ranges at multiples of ``shard_bytes``; compressed files stay whole."""
        if size <= shard_bytes or _is_compressed(uri):
            return [Cut(None, None, size)]
        starts = range(0, size, shard_bytes)
        return [Cut(at, min(at + shard_bytes, size), min(shard_bytes, size - at)) for at in starts]

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
        first, told = 0, 0
        with ShardFile(shard, digest) as file:
            for lines in group_lines(split_lines(blocks(file), limits.max_document_bytes), limits):
                yield _decode(batches, _select(lines, first, wanted), file.taken - told)
                first, told = first + len(lines), file.taken
                if wanted is not None and first > max(wanted, default=-1):
                    return
            if wanted is None:
                batches.check()

    def digest(self, shard: Shard, digest: ContentDigest) -> None:
        """As in ``Source``."""
        digest_file(shard, digest)


def _is_compressed(uri: str) -> bool:
    try:
        return is_compressed(uri)
    except (OSError, InputError):
        return True  # whole: reading it reports why


def _select(lines: list[Line], first: int, wanted: frozenset[int] | None) -> list[tuple[int, Line]]:
    numbered = enumerate(lines, first)
    return list(numbered) if wanted is None else [pair for pair in numbered if pair[0] in wanted]


def _decode(batches: RecordBatches, lines: Sequence[tuple[int, Line]], bytes_read: int) -> Batch:
    try:
        records = [orjson.loads(line) for _, line in lines]  # type: ignore[arg-type]  # None: it refuses
    except orjson.JSONDecodeError:
        records = []
    if len(records) == len(lines) and all(type(record) is dict for record in records):
        return batches.build([position for position, _ in lines], records, (), bytes_read)
    return batches.build_items([Item(at, _record(line), 0) for at, line in lines], bytes_read)


def _record(line: Line) -> dict[str, Any] | Refusal:
    if line is OVERSIZE:
        return Refusal("too_large", "the line")
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = _lenient(line.removeprefix(_BOM))
    if isinstance(value, dict | Refusal):
        return value
    return Refusal("not_an_object", f"it is a {type(value).__name__}")


def _lenient(line: bytes) -> Any:
    """What the standard library makes of a line that orjson refuses, or the reason that it is none."""
    try:
        return json.loads(line.decode(), strict=False)
    except UnicodeDecodeError as error:
        return Refusal("invalid_utf8", f"at byte {error.start} of the line")
    except json.JSONDecodeError as error:
        return Refusal("invalid_json", f"{error.msg} at character {error.pos} of the line")
    except RecursionError:
        return Refusal("invalid_json", "nested too deeply")
    except ValueError:
        return Refusal("invalid_json", "a number has too many digits")
