"""The corpus by cell: the additive counts of all shards, summed once by the pass.

Whoever draws, allocates or reports afterwards reads this one small part, and no shard's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import pyarrow as pa

from audit import workkeys
from audit.duplicates.exchange import Runner, threads
from audit.engine_runner import grouped
from audit.slicing import CELLS
from audit.storage.store import Part, Store

FAMILY = "totals"
#: Rows that wait until they are added up. No sum depends on it, since counts are integers.
_PENDING = 1 << 18
#: Groups of shards are cut as if for so many workers.
_WORKERS = 16


def bring(store: Store, parts: Sequence[Part], runner: Runner = threads) -> list[Part]:
    """Bring the sum of all shards' cells up to date; returns its part, or nothing where no shard was read.

    Args:
        store: The run's parts.
        parts: Parts of a pass, those of the family ``cells`` among them.
        runner: Runs tasks that read parts.
    """
    cells = sorted((part for part in parts if part.family == CELLS), key=lambda part: part.shard)
    if not cells:
        return []
    key = workkeys.derived_key(FAMILY, __name__, [f"{part.shard}:{part.key}" for part in cells], None)
    total = Part(FAMILY, CELLS, key)
    if not store.has(total):
        store.write(total, _sum(store.resolved(), cells, runner), {"shards": len(cells)})
    return [total]


def _sum(store: Store, parts: Sequence[Part], runner: Runner) -> pa.Table:
    pending: list[pa.Table] = []
    for cells in runner(partial(_added, store), grouped(parts, _WORKERS)):
        pending.append(cells)
        if sum(map(len, pending[1:])) > max(_PENDING, len(pending[0])):
            pending = [add(pending)]
    return add(pending)


def _added(store: Store, parts: Sequence[Part]) -> pa.Table:
    """The cells of a group of shards."""
    return add([store.read(part) for part in parts])


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
