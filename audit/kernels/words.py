"""Splitting text into words, as hashes: the front half of every shingle kernel.

A word is a maximal run of letters, numbers, underscores and the marks that follow them, case-folded in full
(``str.casefold``: ``ß`` reads ``ss``). For ASCII text these are the matches of ``\\w+`` in ``text.lower()``.
Beyond ASCII it differs from Python's ``\\w`` on purpose: combining marks belong to their word (Python cuts
Hindi words at vowel signs), format characters such as the soft hyphen vanish, and a letter of a script
written without spaces is a word by itself, with its marks. Canonically equivalent spellings (NFC, NFD) are
different words. A word of more than ``LONGEST_WORD`` folded bytes is cut into pieces of that size.

The work goes chunk by chunk, through buffers that fit the first-level cache: a chunk is folded into a
scratch buffer in which a zero byte stands for every separator (``folding``); there a word is a run of
non-zero bytes, found 64 bytes at a time by bit masks and hashed 8 bytes at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from audit.kernels.buffers import Bytes
from audit.kernels.folding import CHUNK, LONGEST_WORD, FoldingTables, fold_chunk

U = np.uint64
WordHashes = npt.NDArray[np.uint64]

#: Bytes of the scratch buffer: a carried word, a chunk that folding has grown, and zeros to read into.
SCRATCH = LONGEST_WORD + 3 * CHUNK + 192
#: Words that one chunk can end.
WORDS = (LONGEST_WORD + 3 * CHUNK) // 2 + 2

_LOW = U(0x7F7F7F7F7F7F7F7F)
_HIGH = U(0x8080808080808080)
_GATHER = U(0x0102040810204080)
_ALL = U(0xFFFFFFFFFFFFFFFF)
_FIRST = U(0x9FB21C651E98DF25)
_SECOND = U(0xD6E8FEB86659FD93)


def _count_trailing_zeros(_context: object, _value: object) -> tuple[Any, Callable[..., Any]]:
    def generate(_: object, builder: ir.IRBuilder, __: object, arguments: Sequence[ir.Value]) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


#: Number of zero bits under the lowest one bit of a value that is not 0. NumPy has no such function.
_trailing_zeros = cast(Callable[[U], U], intrinsic(_count_trailing_zeros))


@njit(nogil=True, cache=True, inline="always")
def _eight(blocks: WordHashes, at: U) -> U:
    """Read 8 bytes at any byte offset of a buffer of aligned blocks."""
    block, shift = at >> U(3), (at & U(7)) << U(3)
    low: U = blocks[block] >> shift
    high: U = (blocks[block + U(1)] << U(1)) << (U(63) - shift)
    return low | high


@njit(nogil=True, cache=True, inline="always")
def _hash(blocks: WordHashes, start: U, stop: U) -> U:
    """Hash the bytes of one word. It holds no zero byte, so padding with zeros is unambiguous."""
    running = _SECOND
    while stop - start > U(8):
        running = (running ^ _eight(blocks, start)) * _FIRST
        running ^= running >> U(32)
        start += U(8)
    last = _eight(blocks, start) & (_ALL >> (U(64) - ((stop - start) << U(3))))
    running = (running ^ last) * _FIRST
    return (running ^ (running >> U(32))) * _SECOND


@njit(nogil=True, cache=True, inline="always")
def _inside_words(blocks: WordHashes, at: U) -> U:
    """Return 64 bits that say which of 64 bytes are not zero."""
    mask = U(0)
    for k in range(8):
        block = blocks[at + U(k)]
        mask |= ((((((block & _LOW) + _LOW) | block) & _HIGH) >> U(7)) * _GATHER >> U(56)) << U(8 * k)
    return mask


@njit(nogil=True, cache=True)
def _hash_words(blocks: WordHashes, length: int, words: WordHashes, n: int) -> int:
    """Append the hashes of the words in ``length`` folded bytes, which zeros follow."""
    before = U(0)
    start = U(0)
    is_open = False
    for base in range(0, length + 1, 64):
        mask = _inside_words(blocks, U(base) >> U(3))
        edges = mask ^ ((mask << U(1)) | before)
        before = mask >> U(63)
        while edges != U(0):
            edge = U(base) + _trailing_zeros(edges)
            edges &= edges - U(1)
            if is_open:
                while edge - start > U(LONGEST_WORD):
                    words[n] = _hash(blocks, start, start + U(LONGEST_WORD))
                    n += 1
                    start += U(LONGEST_WORD)
                words[n] = _hash(blocks, start, edge)
                n += 1
            start = edge
            is_open = not is_open
    return n


@njit(nogil=True, cache=True)
def next_words(
    data: Bytes,
    at: int,
    stop: int,
    carried: int,
    inside: int,
    scratch: Bytes,
    carry: Bytes,
    words: WordHashes,
    n: int,
    tables: FoldingTables,
) -> tuple[int, int, int, int]:
    """Split the next chunk of a text into words, resumably.

    Args:
        data, at, stop: The text's bytes, where to go on, and where it ends.
        carried, inside: Folded bytes of an unfinished word at the start of ``scratch``, and whether the
            last character belonged to a word; 0 and 0 at the start of a text.
        scratch: Uint8 (SCRATCH,), 8-byte aligned; the same from call to call.
        carry: Uint8 (LONGEST_WORD,); of no meaning between calls.
        words, n: Where word hashes go, and how many are there; room for ``WORDS`` more is needed.
        tables: ``folding_tables()``.

    Returns:
        (at, carried, inside, n) for the next call. The text is done when ``at`` reaches ``stop``.
    """
    at, length, inside = fold_chunk(data, at, stop, scratch, carried, inside, tables)
    whole = length
    if at < stop:
        while whole > 0 and scratch[whole - 1] != 0:
            whole -= 1
        whole += (length - whole) // LONGEST_WORD * LONGEST_WORD
    tail = length - whole
    # What is carried lies where zeros must follow the whole words: it is kept apart meanwhile.
    for k in range(tail):
        carry[k] = scratch[whole + k]
    scratch[whole : whole + 72] = 0
    n = _hash_words(scratch.view(np.uint64), whole, words, n)
    for k in range(tail):
        scratch[k] = carry[k]
    return at, tail, inside, n
