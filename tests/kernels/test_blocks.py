"""Masks of 64 bytes, against what Python says of each byte, and the kernels that read text by them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from audit.kernels import blocks
from audit.kernels.blocks import BLOCK
from audit.kernels.text import text_statistics
from audit.kernels.unicode_tables import (
    IGNORED,
    LETTER,
    MARK,
    NUMBER,
    SPACE,
    UNSPACED,
    unicode_tables,
)

RULES = {
    "high_bytes": lambda b: b >= 0x80,
    "ascii_letters": lambda b: b < 0x80 and chr(b).isalpha(),
    "ascii_digits": lambda b: b < 0x80 and chr(b).isdigit(),
    "ascii_spaces": lambda b: b < 0x80 and chr(b).isspace(),
    "line_breaks": lambda b: b in (10, 13),
}


@njit
def masks(data, at):
    return (
        blocks.high_bytes(data, at),
        blocks.ascii_letters(data, at),
        blocks.ascii_digits(data, at),
        blocks.ascii_spaces(data, at),
        blocks.line_breaks(data, at),
    )


@njit
def lowered(data, at, out):
    blocks.write_lower(data, at, out, 3)


@njit
def counted(value):
    return blocks.zeros_below(value), blocks.ones(value)


@njit
def lowest_and_four(n, data, at):
    return blocks.lowest(n), blocks.four_bytes(data, at)


@given(st.binary(min_size=BLOCK, max_size=BLOCK + 9))
def test_a_mask_has_a_bit_for_each_byte_that_passes(raw):
    data = np.frombuffer(raw, np.uint8)
    at = len(raw) - BLOCK
    wanted = tuple(sum(rule(raw[at + k]) << k for k in range(BLOCK)) for rule in RULES.values())
    assert tuple(map(int, masks(data, at))) == wanted


def test_every_byte_has_the_class_that_the_tables_give_it():
    data = np.arange(256, dtype=np.uint8)
    found = [masks(data, at) for at in range(0, 256, BLOCK)]
    bits = [[int(found[b // BLOCK][k]) >> b % BLOCK & 1 for b in range(128)] for k in (1, 2, 3)]
    classes = unicode_tables().classes[:128]
    for own, kind in zip(bits, (LETTER, NUMBER, SPACE), strict=True):
        assert own == (classes == kind).astype(int).tolist()


def test_ascii_is_written_as_the_tables_fold_it():
    data, out = np.arange(128, dtype=np.uint8), np.zeros(BLOCK + 3, np.uint8)
    plain = unicode_tables().plain
    for at in (0, BLOCK):
        lowered(data, at, out)
        assert out[3:].tolist() == plain[at : at + BLOCK].tolist()


@pytest.mark.parametrize("value", [0, 1, 6, 1 << 63, (1 << 64) - 1])
def test_bits_are_counted(value):
    below = (value & -value).bit_length() - 1 if value else 64
    assert tuple(map(int, counted(np.uint64(value)))) == (below, value.bit_count())


@pytest.mark.parametrize("n", [0, 1, 63, 64])
def test_the_lowest_bits_and_four_bytes_from_anywhere(n):
    data = np.array([9, 1, 2, 3, 255], np.uint8)
    found = lowest_and_four(np.uint64(n), data, 1)
    assert tuple(map(int, found)) == ((1 << n) - 1, 0xFF030201)


def plain_statistics(text):
    """The rule of ``text_statistics``, character by character."""
    classes = unicode_tables().classes
    words = tokens = letters = digits = widest = spaces = 0

    def ended():
        per_token = 7 if widest < 0x80 else 4 if widest < 0x250 else 3
        return -(-letters // per_token) - (-digits // 3)

    for character in text:
        kind = classes[ord(character)]
        if kind == LETTER:
            letters, widest = letters + 1, max(widest, ord(character))
        elif kind == NUMBER:
            digits += 1
        elif kind == IGNORED or (kind == MARK and letters + digits):
            letters += int(kind == MARK)
        else:
            words, tokens = words + (letters + digits > 0), tokens + ended()
            letters = digits = widest = 0
            words += int(kind == UNSPACED)
            tokens += 1 if kind not in (SPACE, MARK) else int(spaces == 1)
        spaces = spaces + 1 if kind == SPACE else 0
    return len(text), words + (letters + digits > 0), tokens + ended()


PIECES = [
    "word",
    "Longerwords",
    "a1b22",
    "  ",
    "\n",
    "\t \n",
    "_",
    "...",
    "é",
    "Ж",
    "中",
    "ก็",
    "\u00ad",
    "x" * 70,
]


@given(
    st.lists(st.lists(st.sampled_from([*PIECES, " ", ".", "x" * 70]), max_size=60).map("".join), max_size=4)
)
def test_texts_longer_than_a_block_count_as_one_character_at_a_time_does(texts):
    found = text_statistics(pa.array(texts, pa.string()))
    assert [tuple(int(column[i]) for column in found) for i in range(len(texts))] == [
        plain_statistics(text) for text in texts
    ]
