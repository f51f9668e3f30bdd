"""Partitions on files: the same records, pairs and groups whatever their size, and wherever they run."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.duplicates.digest_exchange import group_by_digest
from audit.duplicates.exchange import (
    FileList,
    Matrix,
    partition_bits,
    read_partition,
    spill,
    stretch_of,
    threads,
)
from audit.duplicates.lsh import Banding, candidate_pairs, similarities
from audit.duplicates.pair_files import contains, split_pairs

BANDING = Banding(bands=10, rows=3, window=4, keep=20, near=18)


@pytest.fixture
def processes():
    """An engine of another kind: tasks are pickled into another process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda function, tasks: pool.map(function, list(tasks))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(0, 4), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_partitions_hold_every_record_once_in_order(tmp_path_factory, keys, bits, stretches):
    folder = tmp_path_factory.mktemp("spills")
    values, numbers = np.array(keys, np.uint64), np.arange(len(keys), dtype=np.uint32)
    spills = FileList(folder, "spills")
    for at, stretch in enumerate(np.array_split(numbers, stretches)):
        spill(spills.path(at), values[stretch], stretch)
    spills.keep((spills.path(at), 0) for at in range(stretches))
    found = [read_partition(spills, partition, bits) for partition in range(1 << bits)]
    order = np.argsort(values, kind="stable")
    assert np.concatenate([k for k, _ in found]).tolist() == values[order].tolist()
    assert np.concatenate([n for _, n in found]).tolist() == numbers[order].tolist()
    spills.remove()
    assert not list(folder.iterdir())


def test_partitions_are_the_fewest_that_are_small_enough():
    assert [partition_bits(n, 100) for n in (0, 1, 100, 101, 200, 201, 401)] == [0, 0, 0, 1, 1, 2, 3]


@given(st.integers(0, 1 << 32))
def test_all_partitions_read_all_stretches_a_bounded_number_of_times(records):
    stretch = stretch_of(records)
    assert 1 << 18 <= stretch <= 1 << 22
    assert -(-records // stretch) <= 1024
    assert 1 << partition_bits(records, stretch) <= 2048


@pytest.fixture
def signatures(tmp_path) -> Matrix:
    """Families whose members share most values."""
    random = np.random.default_rng(3)
    base = random.integers(0, 256, (40, 30), np.uint8)
    rows = base[random.integers(0, 40, 600)]
    changed = random.random(rows.shape) < 0.2
    rows[changed] = random.integers(0, 256, int(changed.sum()), np.uint8)
    rows.tofile(tmp_path / "signatures")
    return Matrix(tmp_path / "signatures", 600, 30, "u1")


def candidates(signatures, banding, folder, **options):
    folder.mkdir()
    found = candidate_pairs(signatures, banding, folder, **options)
    pairs = np.concatenate([np.fromfile(path, np.uint64) for path in found.files])
    return pairs.tolist(), found.compared, found.near_misses.tolist()


def test_pairs_do_not_depend_on_the_size_of_partitions(signatures, tmp_path):
    whole = candidates(signatures, BANDING, tmp_path / "whole")
    assert len(whole[0]) > 300
    assert whole[0] == sorted(set(whole[0]))
    small = replace(BANDING, stretch=50, range=64)
    assert candidates(signatures, small, tmp_path / "small") == whole


def test_tasks_run_anywhere_that_sees_the_files(signatures, processes, tmp_path):
    few = replace(BANDING, stretch=300, range=500, bands=2)
    here = candidates(signatures, few, tmp_path / "here")
    assert candidates(signatures, few, tmp_path / "there", runner=processes) == here


def test_pairs_are_kept_on_their_agreement_and_bounded(signatures, tmp_path):
    rows = signatures.map()
    pairs = np.array(candidates(signatures, BANDING, tmp_path / "pairs")[0], np.uint64)
    low, high = split_pairs(pairs)
    assert (low < high).all()
    assert ((rows[low] == rows[high]).sum(axis=1) >= BANDING.keep).all()
    assert len(pairs) <= BANDING.window * 600 * 2


@dataclass(frozen=True)
class DigestsOf:
    """A corpus of digests, so many shards; each travels by itself."""

    digests: list[bytes]
    count: int
    runner: Callable = threads

    @property
    def shards(self):
        return [f"{at:02d}" for at in range(self.count)]

    def read(self, columns):
        for shard, part in zip(self.shards, self._parts(), strict=True):
            yield shard, pa.table({"position": range(len(part)), "d": pa.array(part, pa.binary(16))})

    def split(self):
        return [DigestsOf(part, 1) for part in self._parts()]

    def run(self, function, tasks):
        return self.runner(function, tasks)

    def _parts(self):
        ends = [len(self.digests) * at // self.count for at in range(self.count + 1)]
        return [self.digests[start:stop] for start, stop in pairwise(ends)]


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 20), st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_groups_do_not_depend_on_the_size_of_partitions(tmp_path_factory, values, stretch, shards):
    folder = tmp_path_factory.mktemp("groups")
    digests = [value * (2**122 // 7) for value in values]
    corpus = DigestsOf([d.to_bytes(16, "big") for d in digests], shards)
    groups = group_by_digest([corpus], "d", folder, stretch=stretch)
    firsts = [values.index(value) for value in values]
    assert groups.first[groups.group].tolist() == firsts
    assert groups.first.tolist() == sorted(set(firsts))


def test_chance_agreement_is_taken_off():
    table = similarities(256)
    assert table[0] == table[1] == 0
    assert table[-1] == 1
    assert (np.diff(table[1:]) > 0).all()


@given(st.sets(st.integers(0, 50)), st.lists(st.integers(0, 60)))
def test_contains(held, wanted):
    found = contains(np.array(sorted(held), np.uint64), np.array(wanted, np.uint64))
    assert found.tolist() == [value in held for value in wanted]
