import itertools
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.statistics.copies import LARGEST, Spill, read_repeats, separated, tell_repeats
from audit.statistics.estimation import NO, YES, Prevalence, StratumSample

SEED = bytes(range(16))
NUMBERS = st.lists(st.sampled_from([3, 7, 2**40, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1), max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=3)


def stretches_of(numbers, cuts):
    edges = [0, *sorted(min(cut, len(numbers)) for cut in cuts), len(numbers)]
    return [np.array(numbers[start:stop], np.uint64) for start, stop in itertools.pairwise(edges)]


def numbered(folder, stretches, bits=0, cut=LARGEST):
    """Stretch by stretch: rows, and the numbers of their documents, found as tasks do."""
    spills = [Spill(folder / f"spill-{n}", bits) for n in range(len(stretches))]
    for spill, numbers in zip(spills, stretches, strict=True):
        spill.write(numbers)
    paths = [folder / f"repeats-{partition}" for partition in range(1 << bits)]
    told = [path for partition, path in enumerate(paths) if tell_repeats(path, spills, partition)]
    return [separated(spill, read_repeats(told, n, len(spills)), SEED, cut) for n, spill in enumerate(spills)]


def straight(folder, numbers):
    """The numbers of a corpus of one stretch."""
    ((rows, found),) = numbered(folder, [np.array(numbers, np.uint64)])
    assert rows.tolist() == list(range(len(numbers)))
    return found.tolist()


@settings(deadline=None)
@given(numbers=NUMBERS, cuts=CUTS, bits=st.integers(0, 3))
def test_first_copies_keep_their_number_and_later_ones_get_their_own(tmp_path_factory, numbers, cuts, bits):
    stretches = stretches_of(numbers, cuts)
    pairs = numbered(tmp_path_factory.mktemp("numbers"), stretches, bits)
    assert [rows.tolist() for rows, _ in pairs] == [list(range(len(some))) for some in stretches]
    found = [number for _, some in pairs for number in some.tolist()]
    assert len(set(found)) == len(numbers)
    seen: set[int] = set()
    for before, after in zip(numbers, found, strict=True):
        assert (before == after) == (before not in seen)
        seen.add(before)


@settings(deadline=None)
@given(numbers=NUMBERS, cuts=CUTS, bits=st.integers(0, 3), cut=st.sampled_from([0, 7, 2**62, 2**63]))
def test_stretches_partitions_and_a_cut_leave_every_number_as_it_is(
    tmp_path_factory, numbers, cuts, bits, cut
):
    expected = straight(tmp_path_factory.mktemp("one"), numbers)
    stretches = stretches_of(numbers, cuts)
    starts = np.cumsum([0, *map(len, stretches)]).tolist()
    pairs = numbered(tmp_path_factory.mktemp("many"), stretches, bits, np.uint64(cut))
    found = [
        (start + row, number)
        for start, (rows, some) in zip(starts, pairs, strict=False)
        for row, number in zip(rows.tolist(), some.tolist(), strict=True)
    ]
    assert found == [(row, number) for row, number in enumerate(expected) if number <= cut]


@settings(deadline=None)
@given(numbers=NUMBERS, cuts=CUTS, bits=st.integers(0, 3))
def test_a_stretch_is_told_of_no_number_that_stands_once_or_for_the_first_time(
    tmp_path_factory, numbers, cuts, bits
):
    folder, stretches = tmp_path_factory.mktemp("numbers"), stretches_of(numbers, cuts)
    numbered(folder, stretches, bits)
    told = [path for n in range(1 << bits) if (path := folder / f"repeats-{n}").exists()]
    seen: Counter[int] = Counter()
    for n, stretch in enumerate(stretches):
        here = Counter(stretch.tolist())
        repeats = read_repeats(told, n, len(stretches))
        expected = {number: seen[number] for number in here if seen[number] or here[number] > 1}
        assert dict(zip(repeats.numbers.tolist(), repeats.before.tolist(), strict=True)) == expected
        seen += here


def test_a_corpus_with_many_copies_of_harmful_pages_is_covered(tmp_path):
    """5% of the documents are copies of one harmful page: drawn all or none, no limit would hold."""
    total, harmful, size, replicates = 2000, 100, 200, 200
    generator = np.random.default_rng(1)
    missed, limits = 0, {}
    for _ in range(replicates):
        numbers = generator.integers(0, 2**64, total, dtype=np.uint64)
        numbers[:harmful] = numbers[0]
        drawn = np.argsort(straight(tmp_path, numbers))[:size]
        labels = np.where(drawn < harmful, YES, NO).astype(np.int8)
        positives = int(np.count_nonzero(labels == YES))
        if positives not in limits:
            sample = StratumSample("all", total, total, labels, np.ones(size, np.int64))
            limits[positives] = Prevalence("harm", "all", (sample,)).upper_limit(0.05)
        missed += limits[positives] < harmful / total
    assert missed <= 20  # 5% of 200, and three standard errors
