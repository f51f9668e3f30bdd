"""Length statistics and span conversion."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.kernels.text import byte_to_char_offsets, char_to_byte_offsets, text_statistics

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=8)


def statistics(text: str) -> tuple[int, int, int]:
    return tuple(int(column[0]) for column in text_statistics(pa.array([text])))


@given(TEXTS)
def test_characters_are_code_points(texts):
    characters, words, tokens = text_statistics(pa.array(texts, pa.string()))
    assert characters.tolist() == [len(t) for t in texts]
    assert (words <= characters).all()
    assert (tokens <= characters).all()


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_ascii_words_are_runs_of_alphanumerics(text):
    spaced = "".join(c if c.isalnum() else " " for c in text)
    assert statistics(text)[1] == len(spaced.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("  … !", 0),
        ("Grüße aus Köln", 3),
        ("हिन्दी भाषा", 2),  # vowel signs are marks: they do not cut words
        ("co\u00adop", 1),  # a soft hyphen does not either
        ("中文字", 3),
        ("ひらがな とカナ", 7),
        ("ภาษาไทย", 7),
        ("ที่", 1),  # a letter with two marks
        ("한국어 문장", 2),
        ("北京2008奥运", 5),
        ("👍🏽 ok", 1),
    ],
)
def test_words_of_many_scripts(text, words):
    assert statistics(unicodedata.normalize("NFC", text))[1] == words


def test_tokens_follow_the_stated_rule():
    assert statistics("one two")[2] == 2
    assert statistics("internationalisation")[2] == 3
    assert statistics("2024")[2] == 2
    assert statistics("a, b.")[2] == 4
    assert statistics("a\n\n\nb")[2] == 3
    assert statistics("привет")[2] == 2
    assert statistics("中文")[2] == 2


def test_a_slice_is_measured_as_itself():
    array = pa.array(["one", "two three", None, "four five six"])
    assert text_statistics(array.slice(1))[1].tolist() == [2, 0, 3]


@given(TEXTS, st.data())
def test_offsets_go_both_ways(texts, data):
    if not texts:
        return
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=10))
    characters = [data.draw(st.integers(0, len(texts[row]))) for row in rows]
    wanted = [len(texts[row][:at].encode()) for row, at in zip(rows, characters, strict=True)]
    array = pa.array(["padding", *texts], pa.string()).slice(1)
    assert char_to_byte_offsets(array, rows, characters).tolist() == wanted
    assert byte_to_char_offsets(array, rows, wanted).tolist() == characters


def test_a_row_outside_is_an_error():
    with pytest.raises(IndexError):
        byte_to_char_offsets(pa.array(["a"]), [1], [0])
