"""Words, shingle sets and signatures against plain Python."""

import re
import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from datasketch import LeanMinHash, MinHashLSH
from hypothesis import given
from hypothesis import strategies as st

from audit.datasketch_interop import from_lean_minhash, to_lean_minhash
from audit.kernels.folding import CHUNK, LONGEST_WORD
from audit.kernels.shingles import jaccard_sorted, minhash, permutations, shingle_sets, truncate
from audit.kernels.unicode_tables import UNSPACED_RANGES

ASCII = st.text(st.sampled_from("abcXYZ059_ .,-\n\t'"), max_size=200)
UNICODE = st.text(
    st.sampled_from("aßİΐſĳŒДжéक\u093fनมี่中国カ한👍\u00ad\u200d\u200b\u0301½² _-\n🅰𐐀"), max_size=60
)


def python_words(text: str) -> list[str]:
    """The rule of ``audit.kernels.words`` in plain Python."""
    words, word, unspaced = [], "", False
    for c in text:
        category = unicodedata.category(c)
        if category == "Cf" and c != "\u200b":
            continue
        if word and category[0] == "M":
            word += c.casefold()
            continue
        alone = category[0] == "L" and any(low <= ord(c) <= high for low, high in UNSPACED_RANGES)
        inside = (category[0] in "LN" or c == "_") and not alone
        if word and (not inside or unspaced):
            words.append(word)
            word = ""
        if inside or alone:
            word += c.casefold()
        unspaced = alone
    return [*words, word] if word else words


def python_shingles(words: list[str], size: int) -> set[tuple[str, ...]]:
    if not words:
        return set()
    return {tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1))}


def sets_of(texts: list[str], size: int = 5) -> list[np.ndarray]:
    flat, bounds = shingle_sets(pa.array(texts, pa.string()), size)
    return [flat[a:b] for a, b in pairwise(bounds)]


def jaccard(a: set, b: set) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def same_structure(texts: list[str], expected: list[set], size: int) -> None:
    """Sizes and all intersections agree, so the hashed sets are the sets, renamed."""
    found = sets_of(texts, size)
    assert [len(s) for s in found] == [len(s) for s in expected]
    for left, a in zip(found, expected, strict=True):
        assert (np.diff(left.astype(object)) > 0).all()
        for right, b in zip(found, expected, strict=True):
            assert jaccard_sorted(left, right) == pytest.approx(jaccard(a, b))


@given(st.lists(ASCII, max_size=4), st.integers(1, 6))
def test_ascii_shingles_are_those_of_a_regular_expression(texts, size):
    expected = [python_shingles(re.findall(r"\w+", t.lower()), size) for t in texts]
    same_structure(texts, expected, size)


@given(st.lists(UNICODE, max_size=4), st.integers(1, 3))
def test_unicode_shingles_follow_the_stated_rule(texts, size):
    same_structure(texts, [python_shingles(python_words(t), size) for t in texts], size)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_follows_the_stated_rule(text):
    same_structure(
        [text, text.casefold()], [python_shingles(python_words(t), 2) for t in (text, text.casefold())], 2
    )


@pytest.mark.parametrize("character", ["x", "é", "中"])
@pytest.mark.parametrize("at", [CHUNK - 3, CHUNK - 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_a_chunk_may_end_anywhere(at, character):
    filler = " ".join(f"w{i}" for i in range(at))[: at - 4] + " "
    text = filler + character * 7 + " " + filler
    same_structure([text], [python_shingles(python_words(text), 5)], 5)
    least, counts = minhash(pa.array([text]), 5, *permutations(8, 1))
    assert counts[0] == max(1, len(python_words(text)) - 4)
    assert (least[0] == least_values(sets_of([text])[0], 8, 1)).all()


def test_a_very_long_word_is_cut():
    whole = "x" * (3 * LONGEST_WORD + 5)
    cut = f"{'x' * LONGEST_WORD} " * 3 + "xxxxx"
    for before in (0, 1, 63, 4000):
        lead = "a " * before
        assert (sets_of([lead + whole], 2)[0] == sets_of([lead + cut], 2)[0]).all()
        assert (
            minhash(pa.array([lead + whole]), 2, *permutations(4, 1))[0]
            == minhash(pa.array([lead + cut]), 2, *permutations(4, 1))[0]
        ).all()


def least_values(shingles: np.ndarray, count: int, seed: int) -> np.ndarray:
    a, b = permutations(count, seed)
    narrow = (shingles >> np.uint64(32)).astype(np.uint32)
    return (narrow[:, None] * a + b).min(axis=0)


@given(st.lists(ASCII | UNICODE, max_size=4))
def test_a_signature_holds_the_least_of_each_permutation(texts):
    least, counts = minhash(pa.array(texts, pa.string()), 5, *permutations(16, 3))
    for row, shingles in enumerate(sets_of(texts)):
        assert (counts[row] > 0) == (len(shingles) > 0)
        expected = least_values(shingles, 16, 3) if len(shingles) else np.full(16, 2**32 - 1)
        assert (least[row] == expected).all()


def test_texts_shorter_than_a_shingle_are_one_shingle():
    assert [len(s) for s in sets_of(["", "…", "one", "one two three four", "1 2 3 4 5", "1 2 3 4 5 6"])] == [
        0,
        0,
        1,
        1,
        1,
        2,
    ]
    assert (sets_of(["One, two"])[0] == sets_of(["one two"])[0]).all()


def families(count: int, rate: float, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    base = random.integers(0, 5000, 400)
    texts = []
    for _ in range(count):
        changed = random.random(400) < rate
        texts.append(" ".join(map(str, np.where(changed, random.integers(0, 5000, 400), base))))
    return texts


def test_estimates_have_the_error_of_theory_and_no_bias():
    texts = [t for seed, rate in enumerate((0.005, 0.02, 0.05)) for t in families(4, rate, seed)]
    sets = sets_of(texts)
    truth = np.array([[jaccard_sorted(a, b) for b in sets] for a in sets])
    upper = np.triu_indices(len(texts), 1)
    errors = []
    for seed in range(200):
        values = truncate(minhash(pa.array(texts), 5, *permutations(128, seed))[0])
        errors.append(((values[:, None] == values[None]).mean(axis=2) - truth)[upper])
    rmse = np.sqrt(np.mean(np.square(errors)))
    theory = np.sqrt((truth * (1 - truth))[upper].mean() / 128)
    assert rmse == pytest.approx(theory, rel=0.05)
    assert abs(np.mean(errors)) < 0.001


def test_datasketch_reads_our_signatures():
    texts = families(3, 0.01, 5)
    values = truncate(minhash(pa.array(texts), 5, *permutations(128, 1))[0])
    lean = to_lean_minhash(values, seed=1)
    assert all(isinstance(m, LeanMinHash) for m in lean)
    assert lean[0].jaccard(lean[1]) == (values[0] == values[1]).mean()
    assert (from_lean_minhash(lean, np.uint16) == values).all()


def test_datasketch_indexes_our_signatures():
    texts = [*families(3, 0.01, 5), *families(3, 0.01, 6)]
    values = truncate(minhash(pa.array(texts), 5, *permutations(128, 1))[0])
    index = MinHashLSH(threshold=0.7, num_perm=128)
    for row, signature in enumerate(to_lean_minhash(values, seed=1)):
        index.insert(row, signature)
    assert sorted(index.query(to_lean_minhash(values[4:5], seed=1)[0])) == [3, 4, 5]


def test_signatures_of_different_seeds_are_refused():
    values = truncate(minhash(pa.array(["a b"]), 5, *permutations(8, 1))[0])
    with pytest.raises(ValueError, match="seed"):
        from_lean_minhash([*to_lean_minhash(values, 1), *to_lean_minhash(values, 2)])


def test_datasketch_and_we_estimate_the_same_similarity():
    from datasketch import MinHash

    texts = families(2, 0.02, 9)
    shingles = [python_shingles(python_words(t), 5) for t in texts]
    peers = [MinHash(1024) for _ in texts]
    for peer, members in zip(peers, shingles, strict=True):
        peer.update_batch([" ".join(s).encode() for s in members])
    values = truncate(minhash(pa.array(texts), 5, *permutations(1024, 1))[0])
    ours = (values[0] == values[1]).mean()
    assert ours == pytest.approx(jaccard(*shingles), abs=0.05)
    assert ours == pytest.approx(peers[0].jaccard(peers[1]), abs=0.07)
