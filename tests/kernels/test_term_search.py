import itertools
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.kernels.term_search import GAP, search_terms, term_tables
from audit.kernels.term_words import split_words

WORDS = re.compile(r"\w+")


def search(texts, terms, groups=None, of_texts=None):
    tables = term_tables(pa.array(terms), np.array(groups or [0] * len(terms), np.int64), 3)
    rows = np.array(of_texts or [0] * len(texts), np.int8)
    return search_terms(pa.array(texts, pa.large_string()), rows, tables)


def quoted(texts, hits):
    return [(int(r), texts[r][s:e]) for r, s, e in zip(hits.rows, hits.starts, hits.ends, strict=True)]


def naive(text, terms):
    """Leftmost, longest, disjoint runs of words that read like a term, by regular expressions."""
    words = [(m.start(), m.end(), m.group().lower()) for m in WORDS.finditer(text)]
    sequences = {tuple(WORDS.findall(term.lower())) for term in terms}
    found, free = [], 0
    for i, (start, _, _) in enumerate(words):
        if start < free:
            continue
        for length in sorted({len(s) for s in sequences}, reverse=True):
            run = words[i : i + length]
            near = all(b[0] - a[1] <= GAP for a, b in itertools.pairwise(run))
            if len(run) == length and near and tuple(w for _, _, w in run) in sequences:
                found.append(text[start : run[-1][1]])
                free = run[-1][1]
                break
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from("abAB _.-1\n"), max_size=60),
    st.lists(st.sampled_from(["a", "ab", "a b", "b a b", "aa", "1", "B-a", "a_"]), min_size=1, unique=True),
)
def test_ascii_agrees_with_regular_expressions(text, terms):
    assert [quote for _, quote in quoted([text], search([text], terms))] == naive(text, terms)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=6), st.text(min_size=1, max_size=3))
def test_offsets_hold_what_was_found(texts, term):
    if not len(split_words(pa.array([term]))[0]):
        return
    hits = search(texts, [term])
    for row, quote in quoted(texts, hits):
        assert row < len(texts)
        words, _ = split_words(pa.array([quote]))
        np.testing.assert_array_equal(words, split_words(pa.array([term]))[0])
    assert len(hits.text_words) == len(texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("äß中ก ัaB ́."), max_size=30), min_size=2, max_size=5))
def test_a_slice_reads_the_same(texts):
    column = pa.array(["before", *texts, "after"]).slice(1, len(texts))
    tables = term_tables(pa.array(["ss", "中ก", "äb"]), np.zeros(3, np.int64), 1)
    sliced = search_terms(column, np.zeros(len(texts), np.int8), tables)
    whole = search_terms(pa.array(texts, pa.large_string()), np.zeros(len(texts), np.int8), tables)
    for one, other in zip(sliced, whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_case_is_folded_in_full():
    texts = ["STRASSE straße Straße", "ΣΊΣΥΦΟΣ", "İ"]
    hits = search(texts, ["straße", "σίσυφος"])
    assert quoted(texts, hits) == [(0, "STRASSE"), (0, "straße"), (0, "Straße"), (1, "ΣΊΣΥΦΟΣ")]


def test_scripts_without_spaces_are_searched_within_sentences():
    texts = ["我们在北京市", "北 京", "ตลาดน้ำ"]
    assert quoted(texts, search(texts, ["北京", "ลาดน้ำ"])) == [(0, "北京"), (1, "北 京"), (2, "ลาดน้ำ")]


def test_marks_belong_to_their_letter_and_hidden_characters_vanish():
    text = f"wo\u00adrd wo\u200drd {unicodedata.normalize('NFD', 'é')}"
    hits = search([text], ["word", "e"])
    assert [q for _, q in quoted([text], hits)] == ["wo\u00adrd", "wo\u200drd"]


def test_the_longest_term_counts_and_terms_do_not_overlap():
    texts = ["a b c", "b c d", "a b x"]
    assert quoted(texts, search(texts, ["a b", "a b c", "b c", "c d"])) == [
        (0, "a b c"),
        (1, "b c"),
        (2, "a b"),
    ]


def test_words_of_a_phrase_stand_close():
    texts = ["a b", "a - b", "a -- b", "a\u3000b", "a\n\n\nb", "a\n\n\n\nb"]
    assert [row for row, _ in quoted(texts, search(texts, ["a b"]))] == [0, 1, 3, 4]


def test_groups_have_their_own_terms():
    texts = ["gift", "gift", "gift"]
    hits = search(texts, ["gift", "other"], groups=[1, 0], of_texts=[0, 1, -1])
    assert hits.rows.tolist() == [1]
    assert hits.text_words.tolist() == [1, 1, 0]


def test_many_terms_and_a_long_text():
    terms = [f"term{n} number{n}" for n in range(5000)]
    text = " filler ".join(terms[::7]) + " " + "x" * 100_000
    hits = search([text], terms)
    assert hits.terms.tolist() == list(range(0, 5000, 7))
    assert set(hits.words.tolist()) == {2}


def test_a_term_without_a_word_is_refused():
    with pytest.raises(ValueError, match="term 1 holds no word"):
        term_tables(pa.array(["a", "?!"]), np.zeros(2, np.int64), 1)


def test_broken_utf8_ends_within_its_value():
    texts = pa.array([b"caf\xc3", b"\xe4\xb8", b"ok"], pa.binary())
    tables = term_tables(pa.array(["ok", "caf"]), np.zeros(2, np.int64), 1)
    assert search_terms(texts, np.zeros(3, np.int8), tables).rows.tolist() == [0, 2]
