import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from audit.copies import numbered, repeated_numbers
from audit.estimation import NO, YES, Prevalence, StratumSample

SEED = bytes(range(16))


def batches_of(numbers, cuts):
    edges = [0, *sorted(cuts), len(numbers)]
    return [np.array(numbers[start:stop], np.uint64) for start, stop in itertools.pairwise(edges)]


@given(
    numbers=st.lists(
        st.sampled_from([3, 7, 2**40, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1), max_size=40
    ),
    cuts=st.lists(st.integers(0, 40), max_size=3),
)
def test_first_copies_keep_their_number_and_later_ones_get_their_own(tmp_path_factory, numbers, cuts):
    folder = tmp_path_factory.mktemp("numbers")
    cuts = [min(cut, len(numbers)) for cut in cuts]
    batches = batches_of(numbers, cuts)
    found = np.concatenate([np.empty(0, np.uint64), *numbered(lambda: iter(batches), SEED, folder)])
    assert len(set(found.tolist())) == len(numbers)
    seen: set[int] = set()
    for before, after in zip(numbers, found.tolist(), strict=True):
        assert (before == after) == (before not in seen)
        seen.add(before)


def test_numbers_do_not_depend_on_the_batches(tmp_path):
    numbers = [5, 5, 9, 5, 9, 1]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one = np.concatenate(list(numbered(lambda: iter(batches_of(numbers, [])), SEED, tmp_path / "a")))
    many = np.concatenate(list(numbered(lambda: iter(batches_of(numbers, [1, 2, 4])), SEED, tmp_path / "b")))
    assert one.tolist() == many.tolist()


def test_repeated_numbers_are_sorted_and_single_ones_are_left_out(tmp_path):
    batches = [np.array([2**63, 1, 4], np.uint64), np.array([4, 2**63, 8], np.uint64)]
    assert repeated_numbers(batches, tmp_path).tolist() == [4, 2**63]


def test_a_corpus_with_many_copies_of_harmful_pages_is_covered(tmp_path):
    """5% of the documents are copies of one harmful page: drawn all or none, no limit would hold."""
    total, harmful, size, replicates = 2000, 100, 200, 200
    generator = np.random.default_rng(1)
    missed = 0
    for replicate in range(replicates):
        numbers = generator.integers(0, 2**64, total, dtype=np.uint64)
        numbers[:harmful] = numbers[0]
        folder = tmp_path / str(replicate)
        folder.mkdir()
        (found,) = numbered(lambda numbers=numbers: iter([numbers]), SEED, folder)
        drawn = np.argsort(found)[:size]
        labels = np.where(drawn < harmful, YES, NO).astype(np.int8)
        sample = StratumSample("all", total, total, labels, np.ones(size, np.int64))
        missed += Prevalence("harm", "all", (sample,)).upper_limit(0.05) < harmful / total
    assert missed <= 20  # 5% of 200, and three standard errors
