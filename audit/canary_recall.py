"""What canaries came to behind one shard, for the small shards that follow it in the same process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pyarrow as pa

from audit.canary_files import Imitation
from audit.model import Shard

#: Documents of small shards for which canaries stand that were shown in the same process before them.
RENEWED_AFTER = 64
_MOST_SHOWN = 16


@dataclass(frozen=True)
class Recent:
    """What canaries came to in this process stands for the small shards that follow.

    In their tasks they would take the same bytes the same way through the same objects, and take many times
    what the shard itself takes. They are shown again once ``RENEWED_AFTER`` documents were screened.

    Attributes:
        serial: Of the pass: all that is the same for every shard of it.
        documents: Of the shard.
    """

    serial: str
    documents: int

    def stands(self, shard: Shard, imitated: Imitation | None) -> pa.Table | None:
        """The table of another shard; None where they have to be shown."""
        shown = None if imitated is None else _SHOWN.get(self._key(shard, imitated))
        if shown is None:
            return None
        shown.documents += self.documents
        return shown.table if shown.documents <= RENEWED_AFTER else None

    def keep(self, shard: Shard, imitated: Imitation | None, table: pa.Table) -> None:
        """Let a table stand for the shards that follow."""
        if imitated is not None:
            if len(_SHOWN) >= _MOST_SHOWN:
                _SHOWN.clear()
            _SHOWN[self._key(shard, imitated)] = _Shown(table)

    def _key(self, shard: Shard, imitated: Imitation) -> bytes:
        named = f"{self.serial}\n{shard.format}\n{imitated.name}\n".encode()
        return hashlib.sha256(named + imitated.content).digest()


@dataclass
class _Shown:
    """What canaries came to, and the documents that were screened since."""

    table: pa.Table
    documents: int = 0


_SHOWN: dict[bytes, _Shown] = {}
