"""Keeps how every shard came out, so that later commands need neither the corpus nor the footers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from audit.model import Shard
from audit.store import write_atomically
from audit.tasks import ShardReport

FILE = "shards.jsonl"


def save(path: Path, reports: Sequence[ShardReport]) -> None:
    """Write the reports, sorted by shard, one canonical JSON line each."""
    lines = [_line(report) for report in sorted(reports, key=lambda report: report.shard.shard)]
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def load(path: Path) -> list[ShardReport]:
    """Read what ``save`` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [_parse(line) for line in lines]


def _line(report: ShardReport) -> str:
    # What a pass computed differs between a first run and a resumed one; how the shard came out does not.
    plain = dataclasses.asdict(dataclasses.replace(report, computed=(), receipts=()))
    for name in ("text_bytes", "seconds", "peak_bytes", "receipts"):
        del plain[name]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _parse(line: str) -> ShardReport:
    plain = json.loads(line)
    return ShardReport(**{**plain, "shard": Shard(**plain["shard"]), "computed": ()})
