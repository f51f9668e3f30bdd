from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from audit.errors import InputError
from audit.model import DOCUMENT_SCHEMA, Shard
from audit.sources import ColumnMapping, ContentDigest, ReadLimits, content_digest, read


@dataclass
class Reading:
    """All that reading a shard gave."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    bytes_read: int = 0
    error: InputError | None = None

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.rows]

    @property
    def positions(self) -> list[int]:
        return [row["position"] for row in self.rows]

    @property
    def reason(self) -> str | None:
        return self.error.reason if self.error else None


def read_shard(
    shard: Shard, columns: ColumnMapping | None = None, limits: ReadLimits | None = None
) -> Reading:
    """Read a shard to its end, checking what holds for every format."""
    found, digest = Reading(), ContentDigest()
    try:
        for batch in read(shard, columns or ColumnMapping(), limits or ReadLimits(), digest):
            assert batch.documents.schema == DOCUMENT_SCHEMA
            batch.documents.validate(full=True)
            found.rows += batch.documents.to_pylist()
            found.rejects += [(reject.position, reject.reason) for reject in batch.rejects]
            found.details += [reject.detail for reject in batch.rejects]
            found.batches.append(len(batch.documents) + len(batch.rejects))
            found.bytes_read += batch.bytes_read
    except InputError as error:
        found.error = error
    if found.reason != "unreadable":
        assert digest.hexdigest() == content_digest(shard)
    return found


@pytest.fixture
def reading() -> Callable[..., Reading]:
    return read_shard


@pytest.fixture
def jsonl() -> Callable[[Iterable[object]], bytes]:
    return lambda records: b"".join(json.dumps(record).encode() + b"\n" for record in records)
