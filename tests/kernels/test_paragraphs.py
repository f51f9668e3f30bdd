import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.kernels.hashing import PUBLIC_KEY, siphash64
from audit.kernels.paragraphs import paragraphs

LINES = st.lists(st.text(st.sampled_from("ab Cß\t漢\u00ad"), max_size=12), max_size=8)


def sketch(texts, minimum=1):
    return paragraphs(pa.array(texts, pa.string()), minimum, PUBLIC_KEY)


def expected(text, minimum):
    """The same in plain Python: hash -> bytes."""
    normal = [
        " ".join(line.replace("\u00ad", "").casefold().split()).encode() for line in re.split(r"[\n\r]", text)
    ]
    kept = [line for line in normal if len(line) >= minimum]
    hashes = siphash64(pa.array(kept, pa.binary()), PUBLIC_KEY).tolist()
    sizes: dict[int, int] = {}
    for hash_, line in zip(hashes, kept, strict=True):
        sizes[hash_] = sizes.get(hash_, 0) + len(line)
    return dict(sorted(sizes.items())), sum(map(len, normal))


@given(st.lists(LINES, max_size=5), st.integers(1, 8), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_paragraphs_are_those_of_plain_python(documents, minimum, line_break):
    texts = [line_break.join(lines) for lines in documents]
    offsets, hashes, sizes, text_bytes = sketch(texts, minimum)
    for row, text in enumerate(texts):
        found, total = expected(text, minimum)
        inside = slice(offsets[row], offsets[row + 1])
        assert hashes[inside].tolist() == list(found)
        assert sizes[inside].tolist() == list(found.values())
        assert text_bytes[row] == total


def test_slices_are_honoured_and_nulls_are_empty():
    texts = pa.array(["left out", None, "one\ntwo"], pa.string())
    offsets, _, _, text_bytes = paragraphs(texts.slice(1), 1, PUBLIC_KEY)
    assert offsets.tolist() == [0, 0, 2]
    assert text_bytes.tolist() == [0, 6]


def test_a_paragraph_twice_in_a_text_is_one_with_the_bytes_of_both():
    _, hashes, sizes, _ = sketch(["All  rights reserved\nall rights RESERVED"])
    assert len(hashes) == 1
    assert sizes.tolist() == [2 * len("all rights reserved")]


def test_no_text_has_no_paragraph():
    offsets, hashes, _, text_bytes = sketch(["", " \n\t"])
    assert offsets.tolist() == [0, 0, 0]
    assert len(hashes) == 0
    assert not np.any(text_bytes)


def test_a_least_length_under_one_is_refused():
    with pytest.raises(ValueError, match="at least one byte"):
        sketch(["a"], 0)
