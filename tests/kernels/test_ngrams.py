"""The kernel against a plain reading of its definition in Python."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit.kernels.buffers import string_buffers
from audit.kernels.ngrams import folding_table, ngram_buckets
from audit.kernels.segment_scores import Tables, score_segments

BITS = 16
MASK = (1 << 64) - 1
MULTIPLIER, WORD, PAIR = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F
TEXTS = st.text(st.sampled_from("aAbB éßΩЖ 0٣7\n\t.,!?。！他们あ🙂\u200b\u00a0")) | st.text(max_size=60)


def reference_buckets(text):
    fold, kind = folding_table()
    units = [(int(fold[ord(c)]), int(kind[ord(c)])) if ord(c) < 0x10000 else (0xFFFC, 2) for c in text]
    kept = [
        unit
        for i, unit in enumerate(units)
        if not (i >= 1 and unit[1] == 0 and (unit[0] == units[i - 1][0]))
        and not (i >= 2 and unit[0] == units[i - 1][0] == units[i - 2][0])
        and not (i == 0 and unit[0] == 32)
    ]
    return character_buckets([point for point, _ in kept]), word_buckets(kept)


def character_buckets(points):
    grams = [
        points[end - size : end] for end in range(1, len(points) + 1) for size in (2, 3, 4, 5) if size <= end
    ]
    return [character_hash(gram) >> (64 - BITS) for gram in grams]


def character_hash(points):
    value = (points[0] + 1) * MULTIPLIER & MASK
    for point, shift in zip(points[1:], (29, 31, 27, 33), strict=False):
        value = (value ^ (value >> shift) ^ point) * MULTIPLIER & MASK
    return value


def word_buckets(kept):
    found, previous, word = [], 0, None

    def close(value):
        nonlocal previous
        found.append((value * MULTIPLIER & MASK) >> (64 - BITS))
        found.append(((value ^ (previous * PAIR & MASK)) * MULTIPLIER & MASK) >> (64 - BITS))
        previous = value

    for point, kind in kept:
        if kind != 1 and word is not None:
            close(word)
            word = None
        if kind in (1, 3):
            value = ((WORD if word is None else word) ^ point) * MULTIPLIER & MASK
            word = value ^ (value >> 32)
        if kind == 3:
            close(word)
            word = None
    if word is not None:
        close(word)
    return found


def tables(weights, heads=None):
    if heads is None:
        return Tables(weights, np.empty((0, 1, 0), np.int8), np.full(len(weights), -1, np.int8))
    return Tables(weights, heads, np.arange(-1, len(weights) - 1, dtype=np.int8))


def buckets(texts, window=(10_000, 10_000)):
    data, offsets = string_buffers(pa.array(texts, pa.string()))
    return ngram_buckets(data, offsets, bits=BITS, window=window)


@settings(max_examples=150, deadline=None)
@given(TEXTS.filter(bool))
@example("He said STOP, sooooo loud!")
def test_buckets_are_those_of_the_definition(text):
    _, _, characters, _, words = buckets([text])
    expected_characters, expected_words = reference_buckets(text)
    assert characters.tolist() == expected_characters
    assert words.tolist() == expected_words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Stop IT now", "stop it now"),
        ("nooooo", "noo"),
        ("room 12", "room 99"),
        ("a \t\n b", "a b"),
        ("ＡＢ", "ab"),
    ],
)
def test_folding_makes_variants_equal(one, other):
    assert buckets([one])[2].tolist() == buckets([other])[2].tolist()
    assert buckets([one])[4].tolist() == buckets([other])[4].tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS, max_size=6), st.integers(1, 12), st.integers(0, 20))
def test_segments_tile_every_text(texts, shortest, extra):
    data, offsets = string_buffers(pa.array(texts, pa.string()))
    weights = np.zeros((1, 1 << BITS), np.int8)
    groups = np.zeros(len(texts), np.int8)
    window = (shortest, shortest + extra)
    borders, starts, ends, _, _ = score_segments(data, offsets, groups, tables(weights), window=window)
    for row, text in enumerate(texts):
        own = slice(borders[row], borders[row + 1])
        assert [0, *ends[own]] == [*starts[own], len(text)]
        assert all(0 < length <= window[1] for length in ends[own] - starts[own])


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6), st.data())
def test_scores_are_weight_sums_over_the_roots_of_counts(texts, data_):
    weights = np.random.default_rng(7).integers(-127, 128, (2, 1 << BITS)).astype(np.int8)
    groups = np.array(
        data_.draw(st.lists(st.integers(-1, 1), min_size=len(texts), max_size=len(texts))), np.int8
    )
    array = pa.array(["before", *texts, "after"], pa.string()).slice(1, len(texts))
    data, offsets = string_buffers(array)
    heads = np.random.default_rng(8).integers(-127, 128, (1, 1 << (BITS - 2), 3)).astype(np.int8)
    borders, _, _, sums, head_sums = score_segments(
        data, offsets, groups, tables(weights, heads), window=(8, 20)
    )
    rows, character_offsets, characters, word_offsets, words = buckets(texts, (8, 20))
    expected, of_heads = [], []
    for i, row in enumerate(rows):
        if groups[row] >= 0:
            c = characters[character_offsets[i] : character_offsets[i + 1]]
            w = words[word_offsets[i] : word_offsets[i + 1]]
            roots = max(len(c), 1) ** 0.5, max(len(w), 1) ** 0.5
            table = weights[groups[row]].astype(int)
            expected.append(table[c].sum() / roots[0] + table[w].sum() / roots[1])
            head = heads[0].astype(int) * groups[row]  # the first group has no heads
            of_heads.append(head[c >> 2].sum(axis=0) / roots[0] + head[w >> 2].sum(axis=0) / roots[1])
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(head_sums, np.reshape(of_heads, (-1, 3)), rtol=1e-5, atol=1e-3)
    assert (np.diff(borders)[groups < 0] == 0).all()


@settings(max_examples=80, deadline=None)
@given(st.lists(TEXTS, max_size=6), st.integers(0, 30))
def test_short_texts_are_one_segment_and_longer_ones_are_cut_as_ever(texts, whole):
    data, offsets = string_buffers(pa.array(["before", *texts], pa.string()).slice(1))
    weights = np.random.default_rng(9).integers(-127, 128, (1, 1 << BITS)).astype(np.int8)
    groups = np.zeros(len(texts), np.int8)

    def score(window, whole):
        return score_segments(data, offsets, groups, tables(weights), window=window, whole=whole)

    found, cut, uncut = score((4, 9), whole), score((4, 9), 0), score((500, 500), 0)
    for row, text in enumerate(texts):
        expected = uncut if len(text) <= whole else cut
        own = slice(found.offsets[row], found.offsets[row + 1])
        same = slice(expected.offsets[row], expected.offsets[row + 1])
        assert found.ends[own].tolist() == expected.ends[same].tolist()
        assert found.sums[own].tolist() == expected.sums[same].tolist()


def test_segments_end_at_sentences_and_never_inside_a_word_when_there_is_a_space():
    text = "One short sentence here. " * 4 + "word " * 40
    data, offsets = string_buffers(pa.array([text]))
    weights, groups = np.zeros((1, 2), np.int8), np.zeros(1, np.int8)
    _, starts, ends, _, _ = score_segments(data, offsets, groups, tables(weights), window=(40, 60))
    segments = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    assert segments[:2] == ["One short sentence here. " * 2] * 2
    assert all(segment.endswith(" ") for segment in segments)


@given(st.binary(max_size=40))
@settings(max_examples=100, deadline=None)
def test_broken_utf8_stays_inside_the_buffer(content):
    data, offsets = np.frombuffer(content, np.uint8), np.array([0, len(content)], np.int64)
    rows, *_ = ngram_buckets(data, offsets, bits=BITS, window=(5, 9))
    assert len(rows) <= len(content)


def test_weights_must_be_a_power_of_two():
    data, offsets = string_buffers(pa.array(["text"]))
    with pytest.raises(ValueError, match="power of two"):
        score_segments(data, offsets, np.zeros(1, np.int8), tables(np.zeros((1, 3), np.int8)), window=(5, 9))
