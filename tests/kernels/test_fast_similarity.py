"""The second sketch: unbiased at any size of set, independent of order and repeats."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.kernels.fast_similarity import bit_agreements
from audit.kernels.shingles import jaccard_sorted, minhash, permutations, shingle_sets, sketch

BITS = 512


def bits_of(texts, bits=BITS):
    return sketch(pa.array(texts, pa.string()), 5, *permutations(8, 1), bits)


def pairs_of(words: int, changed: int, count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        page = [f"w{n}" for n in random.integers(0, 10**6, words)]
        other = page.copy()
        for at in random.choice(words, changed, replace=False):
            other[at] = f"x{random.integers(0, 10**6)}"
        texts += [" ".join(page), " ".join(other)]
    return texts


@pytest.mark.parametrize(("words", "changed"), [(12, 1), (60, 1), (60, 4), (400, 8), (5000, 20)])
def test_estimates_are_unbiased_with_the_error_of_theory(words, changed):
    texts = pairs_of(words, changed, 60, words + changed)
    bits = bits_of(texts)[2]
    flat, bounds = shingle_sets(pa.array(texts), 5)
    truth, estimates = [], []
    for i in range(0, len(texts), 2):
        left, right = flat[bounds[i] : bounds[i + 1]], flat[bounds[i + 1] : bounds[i + 2]]
        truth.append(jaccard_sorted(left, right))
        estimates.append(2 * bit_agreements(bits[i], bits[i + 1]) / BITS - 1)
    truth, errors = np.array(truth), np.array(estimates) - np.array(truth)
    theory = np.sqrt((1 - truth**2).mean() / BITS)
    assert np.sqrt((errors**2).mean()) < 1.3 * theory
    assert abs(errors.mean()) < 4 * theory / np.sqrt(len(errors))


def test_it_does_not_change_the_signature():
    texts = pairs_of(100, 3, 5, 1)
    least, counts, _ = bits_of(texts)
    alone, also = minhash(pa.array(texts), 5, *permutations(8, 1))
    assert (least == alone).all()
    assert (counts == also).all()


@given(st.lists(st.integers(0, 30), min_size=5, max_size=60), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_repeats_and_order_do_not_count(words, times):
    text = " ".join(f"w{n}" for n in words)
    # Five separating words keep shingles of neighbours apart, so the set is the same however often it comes.
    frame = " a b c d "
    again = frame.join([text] * (times + 1))
    twice = frame.join([text] * (times + 4))
    bits = bits_of([again, twice])[2]
    assert (bits[0] == bits[1]).all()


def test_a_text_of_one_word_over_and_over_is_a_small_set():
    long, short = "word " * 100_000, "word " * 6
    bits = bits_of([long, short])[2]
    assert (bits[0] == bits[1]).all()


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
@settings(deadline=None)
def test_agreements_count_bits(left, right):
    a, b = np.frombuffer(left, np.uint8).copy(), np.frombuffer(right, np.uint8).copy()
    assert bit_agreements(a, b) == 128 - int(np.unpackbits(a ^ b).sum())
