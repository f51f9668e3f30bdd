"""The smallest permanent random numbers of a corpus by stratum, found by tasks over groups of shards.

Three steps, each in tasks that a runner spreads: groups of shards spill their numbers, partitions tell which
of them repeat (``copies``), and groups offer the documents under a cut to a keeper of their own. What
the keepers hold is bounded by the sample, and merged by the driver. The scratch folder takes 12 bytes a
document.

The cut follows from the sizes: of N documents whose numbers are uniform, fewer than n lie under
(n + 5√n + 8)/N with a chance of one in a million. Where a stratum comes out short all the same, everything is
offered: the draws never depend on the cut.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.duplicates.exchange import Runner, partition_bits
from audit.engine_runner import grouped
from audit.permanent_numbers import document_numbers
from audit.statistics.copies import LARGEST, Numbers, Spill, read_repeats, separated, tell_repeats
from audit.statistics.sampling import SmallestNumbers
from audit.statistics.strata import Design
from audit.storage.store import Part, Store, disk_errors

#: Documents of a spill, and of a partition on average.
STRETCH = 1 << 22
#: Groups are cut as if for so many workers: neither draws nor their cost follow from how many there are.
_WORKERS = 16


@dataclass(frozen=True)
class Places:
    """A shard's parts that a draw reads: the facts of its documents, and their dimensions."""

    facts: Part
    slices: Part


@dataclass(frozen=True)
class Scan:
    """What all tasks of a draw need.

    Attributes:
        store: The run's parts.
        folder: Scratch folder that all tasks see.
        seed: Of the permanent random numbers.
        bits: Of a partition's number.
    """

    store: Store
    folder: Path
    seed: bytes
    bits: int


@dataclass(frozen=True)
class Group:
    """Neighbouring shards, in the corpus' order, and the number of their group."""

    number: int
    shards: tuple[Places, ...]


@dataclass(frozen=True)
class Spilled:
    """A group whose numbers lie in a file, and the documents of each of its shards."""

    group: Group
    documents: tuple[int, ...]


def draw(store: Store, shards: Sequence[Places], how: Design, seed: bytes, runner: Runner) -> pa.Table:
    """Draw the documents with the smallest numbers of each stratum (``SmallestNumbers.table``).

    Args:
        store: The run's parts.
        shards: All, in the corpus' order.
        how: The design.
        seed: Of the permanent random numbers.
        runner: Runs tasks that see the store's scratch folder.
    """
    store.scratch.mkdir(parents=True, exist_ok=True)
    total = int(how.strata.column("documents").to_numpy().sum())
    # Of each worker's documents a group holds a quarter.
    pieces = grouped(shards, max(_WORKERS, total // (4 * STRETCH)))
    groups = [Group(number, tuple(some)) for number, some in enumerate(pieces)]
    with disk_errors(), tempfile.TemporaryDirectory(prefix="numbers-", dir=store.scratch) as folder:
        scan = Scan(store, Path(folder).resolve(), seed, partition_bits(total, STRETCH))
        spilled = list(runner(partial(spill, scan), groups))
        partitions = range(1 << scan.bits)
        found = runner(partial(_tell, scan, len(groups)), partitions)
        repeats = [_repeats(scan, number) for number, told in zip(partitions, found, strict=True) if told]
        return _kept(scan, how, spilled, repeats, runner).table()


def spill(scan: Scan, group: Group) -> Spilled:
    """Write down the numbers of a group's documents."""
    columns = ["doc_id", "url", "text_digest"]
    numbers = [document_numbers(scan.store.read(shard.facts, columns), scan.seed) for shard in group.shards]
    with disk_errors():
        _spill(scan, group.number).write(np.concatenate([np.empty(0, np.uint64), *numbers]))
    return Spilled(group, tuple(map(len, numbers)))


def _spill(scan: Scan, group: int) -> Spill:
    return Spill(scan.folder / f"spill-{group}", scan.bits)


def _repeats(scan: Scan, partition: int) -> Path:
    return scan.folder / f"repeats-{partition}"


def _tell(scan: Scan, groups: int, partition: int) -> bool:
    spills = [_spill(scan, group) for group in range(groups)]
    with disk_errors():
        return tell_repeats(_repeats(scan, partition), spills, partition)


def _kept(
    scan: Scan, how: Design, spilled: Sequence[Spilled], repeats: Sequence[Path], runner: Runner
) -> SmallestNumbers:
    """What a keeper holds when all groups were offered: under the cut, and all where that is too little."""
    cut = _cut(how)
    keeper = _merged(how, runner(partial(_offer, scan, how, cut, repeats, len(spilled)), spilled))
    if cut < LARGEST and not keeper.is_full():
        return _merged(how, runner(partial(_offer, scan, how, LARGEST, repeats, len(spilled)), spilled))
    return keeper


def _merged(how: Design, kept: Iterable[pa.Table]) -> SmallestNumbers:
    keeper = SmallestNumbers.of(how)
    for rows in kept:
        keeper.take(rows)
    return keeper


def _cut(how: Design) -> np.uint64:
    """A number that the draws of all strata are most likely under."""
    documents, sizes = (how.strata.column(name).to_numpy() for name in ("documents", "size"))
    wanted = np.where(sizes > 0, sizes + 5 * np.sqrt(sizes) + 8, 0)
    share = float((wanted / np.maximum(documents, 1)).max(initial=0.0))
    return LARGEST if share >= 1 else np.uint64(int(share * 2.0**64))


def _offer(
    scan: Scan, how: Design, cut: np.uint64, repeats: Sequence[Path], groups: int, spilled: Spilled
) -> pa.Table:
    """Rows that a keeper of this group holds."""
    told = read_repeats(repeats, spilled.group.number, groups)
    rows, numbers = separated(_spill(scan, spilled.group.number), told, scan.seed, cut)
    keeper = SmallestNumbers.of(how)
    edges = np.cumsum([0, *spilled.documents])
    bounds = np.searchsorted(rows, edges)
    for at, shard in enumerate(spilled.group.shards):
        some = slice(int(bounds[at]), int(bounds[at + 1]))
        if some.start < some.stop:
            _offer_shard(scan, how, shard, rows[some] - np.uint32(edges[at]), numbers[some], keeper)
    return keeper.kept()


def _offer_shard(
    scan: Scan,
    how: Design,
    shard: Places,
    rows: npt.NDArray[np.uint32],
    numbers: Numbers,
    keeper: SmallestNumbers,
) -> None:
    table = scan.store.read(shard.slices, ["position", *how.dimensions]).take(pa.array(rows))
    keeper.add(how.assign(table), numbers, shard.facts.shard, np.asarray(table.column("position")))
