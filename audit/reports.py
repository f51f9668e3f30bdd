"""Keeps how every shard came out, so that later commands need neither the corpus nor the footers.

A pass writes the log, an evaluation reads it as columns, and who looks for some shards takes only their
lines: a hundred thousand reports are not held as objects but while they are made.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from audit.model import Shard
from audit.storage.durable_files import written_atomically
from audit.tasks import ShardReport

FILE = "shards.jsonl"

#: What a pass computed differs between a first run and a resumed one; how the shard came out does not.
_PASSING = {"computed", "text_bytes", "seconds", "peak_bytes", "receipts"}
_OF_REPORT = [field.name for field in dataclasses.fields(ShardReport) if field.name not in _PASSING]
_OF_SHARD = [field.name for field in dataclasses.fields(Shard)]
_ID = re.compile(rb'"shard":("(?:[^"\\]|\\.)*")')
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode

_TEXTS, _COUNTS = ("status", "reason", "digest"), ("documents", "rejected", "lost")
_LOGGED = pa.schema(
    [
        pa.field(
            "shard", pa.struct([(n, pa.string()) for n in ("shard", "uri", "name")] + [("size", pa.int64())])
        ),
        *(pa.field(name, pa.string()) for name in _TEXTS),
        *(pa.field(name, pa.int64()) for name in _COUNTS),
    ]
)
#: Bytes of the log that are parsed at once; more than any line has.
_BLOCK = 16 << 20


@dataclass(frozen=True)
class ShardLog:
    """How the shards of a run came out.

    Attributes:
        rows: A row a shard, sorted by it: shard, uri, name, bytes, digest, documents, rejected, lost, status,
            reason; as in ``ShardReport``.
    """

    rows: pa.Table

    @cached_property
    def documents(self) -> int:
        """Documents that were screened."""
        return self._sum("documents")

    @cached_property
    def lost(self) -> int:
        """Records that should have been documents, and were rejected."""
        return self._sum("lost")

    @cached_property
    def bytes(self) -> int:
        """Of all shards."""
        return self._sum("bytes")

    @cached_property
    def unread_bytes(self) -> int:
        """Of shards that are not complete: of a truncated one nobody knows how much is missing."""
        complete = pc.equal(self.rows.column("status"), "complete")
        return ShardLog(self.rows.filter(pc.invert(complete))).bytes

    @cached_property
    def failed(self) -> int:
        """Shards that gave nothing."""
        return int(pc.sum(pc.equal(self.rows.column("status"), "failed")).as_py() or 0)

    def __len__(self) -> int:
        return len(self.rows)

    def _sum(self, name: str) -> int:
        return int(pc.sum(self.rows.column(name)).as_py() or 0)


def save(path: Path, reports: Sequence[ShardReport]) -> None:
    """Write the reports, sorted by shard, one canonical JSON line each."""
    with written_atomically(path) as lines:
        for report in sorted(reports, key=lambda report: report.shard.shard):
            lines.write(f"{_line(report)}\n".encode())


def load(path: Path) -> list[ShardReport]:
    """Read what ``save`` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [_parse(line) for line in lines]


def read(path: Path) -> ShardLog:
    """Read what ``save`` wrote as columns, without work keys."""
    if path.stat().st_size == 0:
        return ShardLog(_columns(_LOGGED.empty_table()))
    how = arrow_json.ParseOptions(explicit_schema=_LOGGED, unexpected_field_behavior="ignore")
    options = arrow_json.ReadOptions(use_threads=False, block_size=_BLOCK)
    return ShardLog(_columns(arrow_json.read_json(path, options, how)))


def shards(path: Path, wanted: Collection[str]) -> dict[str, Shard]:
    """Some of the shards that ``save`` wrote, by id."""
    found = {}
    with path.open("rb") as lines:
        for line in lines:
            told = _ID.search(line)
            if told is not None and json.loads(told[1]) in wanted:
                shard = _parse(line).shard
                found[shard.shard] = shard
    return found


def _columns(logged: pa.Table) -> pa.Table:
    place = pa.Table.from_struct_array(logged.column("shard"))
    counts = {name: pc.fill_null(logged.column(name), 0) for name in _COUNTS}
    return pa.table(
        {
            **{name: place.column(name) for name in ("shard", "uri", "name")},
            "bytes": place.column("size"),
            "digest": logged.column("digest"),
            **counts,
            **{name: logged.column(name) for name in ("status", "reason")},
        }
    )


def _line(report: ShardReport) -> str:
    plain: dict[str, Any] = {name: getattr(report, name) for name in _OF_REPORT}
    plain["shard"] = {name: getattr(report.shard, name) for name in _OF_SHARD}
    return _encode(plain | {"computed": (), "keys": dict(report.keys)})


def _parse(line: str | bytes) -> ShardReport:
    plain = json.loads(line)
    return ShardReport(**{**plain, "shard": Shard(**plain["shard"]), "computed": ()})
