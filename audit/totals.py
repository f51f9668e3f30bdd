"""The corpus by cell: the additive counts of all shards, summed once by the pass.

Whoever draws, allocates or reports afterwards reads this one small part, and no shard's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pyarrow as pa

from audit import workkeys
from audit.slicing import CELLS
from audit.store import Part, Store

FAMILY = "totals"
#: Tables that are summed at once: bounds memory, and no sum depends on it, since counts are integers.
_FAN_IN = 1024


def bring(store: Store, parts: Sequence[Part]) -> list[Part]:
    """Bring the sum of all shards' cells up to date; returns its part, or nothing where no shard was read.

    Args:
        store: The run's parts.
        parts: Parts of a pass, those of the family ``cells`` among them.
    """
    cells = sorted((part for part in parts if part.family == CELLS), key=lambda part: part.shard)
    if not cells:
        return []
    key = workkeys.derived_key(FAMILY, __name__, [f"{part.shard}:{part.key}" for part in cells], None)
    total = Part(FAMILY, CELLS, key)
    if not store.has(total):
        store.write(total, _sum(store, cells), {"shards": len(cells)})
    return [total]


def _sum(store: Store, parts: Sequence[Part]) -> pa.Table:
    merged: list[pa.Table] = []
    for start in range(0, len(parts), _FAN_IN):
        merged.append(add([store.read(part) for part in parts[start : start + _FAN_IN]]))
    while len(merged) > 1:
        merged = [add(merged[start : start + _FAN_IN]) for start in range(0, len(merged), _FAN_IN)]
    return merged[0]


def add(tables: Sequence[pa.Table]) -> pa.Table:
    """Cells of several tables, those of one combination of dimensions added; sorted by dimension."""
    cells = pa.concat_tables(tables)
    keys = [field.name for field in cells.schema if field.type == pa.string()]
    counts = [field.name for field in cells.schema if field.type != pa.string()]
    wanted = [(name, "max" if name == "max_tokens" else "sum") for name in counts]
    summed = cells.group_by(keys, use_threads=False).aggregate(wanted)
    names = dict(itertools.chain(((k, k) for k in keys), ((f"{name}_{how}", name) for name, how in wanted)))
    summed = summed.rename_columns([names[name] for name in summed.column_names])
    return summed.select([*keys, *counts]).sort_by([(key, "ascending") for key in keys])
