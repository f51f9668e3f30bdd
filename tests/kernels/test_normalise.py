"""Normalised texts and their paragraphs, against plain Python."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from audit.kernels.hashing import PUBLIC_KEY
from audit.kernels.normalise import normalised, normalised_digests


def is_ignored(character):
    point = ord(character)
    selector = 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF
    return (unicodedata.category(character) == "Cf" or selector) and character != "\u200b"


def plain(text):
    """The rule, in Python: fold, drop format characters, one space for white space."""
    kept = "".join(c for c in text if not is_ignored(c))
    spaced = "".join(
        " " if c.isspace() or unicodedata.category(c)[0] == "Z" or c == "\u200b" else c for c in kept
    )
    return " ".join(part for part in spaced.casefold().split(" ") if part)


def texts_of(found):
    return [
        found.data[a:b].tobytes().decode() for a, b in zip(found.offsets, found.offsets[1:], strict=False)
    ]


def paragraphs_of(found, row):
    start, paragraphs = found.offsets[row], []
    for end in found.ends[found.bounds[row] : found.bounds[row + 1]].tolist():
        paragraphs.append(found.data[start:end].tobytes().decode())
        start = end + 1
    return paragraphs


letters = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("aB \n\r\t\x1c\x85\u200b\u00adßİéЯ日")
)


@given(texts=st.lists(letters, max_size=6), cut=st.integers(0, 3))
@example(texts=["a\n\u200d\nb", " a \u200d ", "", "\r\n\r\nX\r\n", "ẞ İ\x00"], cut=1)
def test_texts_and_paragraphs_follow_the_rule(texts, cut):
    column = pa.array(texts, pa.string()).slice(min(cut, len(texts)))
    kept = column.to_pylist()
    found = normalised(column)
    assert texts_of(found) == [plain(text) for text in kept]
    for row, text in enumerate(kept):
        lines = text.replace("\r", "\n").split("\n")
        assert paragraphs_of(found, row) == [plain(line) for line in lines if plain(line)]


def test_what_is_at_hand_is_of_the_same_texts():
    column = pa.array(["One", "two", "THREE"])
    first = normalised(column)
    assert normalised(column) is first
    assert texts_of(normalised(column.slice(1))) == ["two", "three"]
    assert texts_of(normalised(pa.array(["four"]))) == ["four"]


def test_digests_tell_case_and_spaces_alike():
    digests, lengths = normalised_digests(pa.array(["A  b\n", "a b", "ab", "\n"]), PUBLIC_KEY)
    assert np.array_equal(digests[0], digests[1])
    assert not np.array_equal(digests[0], digests[2])
    assert lengths.tolist() == [3, 3, 2, 0]
