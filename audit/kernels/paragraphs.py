"""Paragraphs of texts, as hashes and sizes: what documents share when they share boilerplate.

A paragraph is what stands between two line breaks (line feed or carriage return), normalised as for exact
duplicates (``normalise``): case-folded, runs of white space one space, the ends trimmed, without format
characters. Sizes are bytes of the normalised paragraph in UTF-8.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from audit.kernels.hashing import siphash64_bytes
from audit.kernels.normalise import Normalised, normalised

U = np.uint64
Hashes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]
Sizes = npt.NDArray[np.uint32]


@njit(nogil=True, cache=True)
def _merge(hashes: Hashes, sizes: Sizes, found: int, out_hashes: Hashes, out_sizes: Sizes, end: int) -> int:
    """Append the distinct hashes of one text, in ascending order, with the sum of their sizes."""
    order = np.argsort(hashes[:found])
    start = end
    for place in order:
        if end > start and out_hashes[end - 1] == hashes[place]:
            out_sizes[end - 1] += sizes[place]
        else:
            out_hashes[end], out_sizes[end] = hashes[place], sizes[place]
            end += 1
    return end


@njit(nogil=True, cache=True)
def _paragraphs(
    texts: Normalised,
    minimum: int,
    key: Hashes,
    one: tuple[Hashes, Sizes],
    out: tuple[Hashes, Sizes],
    ends: Counts,
    text_bytes: Counts,
) -> int:
    end = 0
    for row in range(len(text_bytes)):
        start = texts.offsets[row]
        found = total = 0
        for k in range(texts.bounds[row], texts.bounds[row + 1]):
            stop = texts.ends[k]
            total += stop - start
            if stop - start >= minimum:
                one[0][found] = siphash64_bytes(texts.data, start, stop, key[0], key[1])
                one[1][found] = stop - start
                found += 1
            start = stop + 1  # behind the space between two
        end = _merge(one[0], one[1], found, out[0], out[1], end)
        ends[row + 1] = end
        text_bytes[row] = total
    return end


def paragraphs(
    texts: pa.Array, minimum_bytes: int, key: tuple[int, int]
) -> tuple[Counts, Hashes, Sizes, Counts]:
    """Return the distinct paragraphs of each text.

    Args:
        texts: String column, n values.
        minimum_bytes: Size of the shortest paragraph that is kept; at least 1.
        key: Of the 64-bit SipHash of the normalised paragraph.

    Returns:
        Offsets (n + 1,) into the next two: text ``i`` has ``hashes[offsets[i]:offsets[i + 1]]``, ascending
        and distinct; hashes (m,); sizes (m,), bytes in all occurrences of the paragraph in its text; and
        bytes of all paragraphs of each text, short ones too, (n,).
    """
    if minimum_bytes < 1:
        raise ValueError("a paragraph has at least one byte")
    found = normalised(texts)
    total, largest = len(found.ends), int(np.diff(found.bounds).max(initial=0))
    ends, text_bytes = np.zeros(len(texts) + 1, np.int64), np.zeros(len(texts), np.int64)
    one = np.empty(largest, np.uint64), np.empty(largest, np.uint32)
    out = np.empty(total, np.uint64), np.empty(total, np.uint32)
    end = _paragraphs(found, minimum_bytes, np.array(key, np.uint64), one, out, ends, text_bytes)
    return ends, out[0][:end], out[1][:end], text_bytes
