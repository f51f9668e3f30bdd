"""The parts of one shard, as tasks over groups of shards take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.errors import FatalError
from audit.storage.store import Part, Store

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ShardParts:
    """A shard's parts by family; can be pickled."""

    shard: str
    keys: Mapping[str, str]

    def has(self, family: str) -> bool:
        """Whether it has a part of that family."""
        return family in self.keys

    def read(self, store: Store, family: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns of its part of a family."""
        part = Part(family, self.shard, self.keys[family])
        return store.read(part, None if columns is None else list(columns))


def by_shard(parts: Iterable[Part], families: Iterable[str]) -> list[ShardParts]:
    """The parts of these families, by shard."""
    wanted = set(families)
    keys: dict[str, dict[str, str]] = {}
    for part in parts:
        if part.family in wanted:
            keys.setdefault(part.shard, {})[part.family] = part.key
    return [ShardParts(shard, keys[shard]) for shard in sorted(keys)]


def rows_at(positions: pa.ChunkedArray, wanted: pa.ChunkedArray, shard: str) -> Rows:
    """Rows in which the wanted positions stand.

    Raises:
        FatalError: One does not.
    """
    have, want = positions.to_numpy(), wanted.to_numpy()
    order = np.argsort(have, kind="stable")
    at = np.minimum(np.searchsorted(have, want, sorter=order), max(len(have) - 1, 0))
    rows: Rows = order[at] if len(have) else at
    if len(want) and (not len(have) or not np.array_equal(have[rows], want)):
        raise FatalError(f"the parts of shard {shard} speak of different documents; audit with --fresh")
    return rows
