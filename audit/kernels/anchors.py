"""Where literal strings stand in texts: one pass for all of them, without case.

Detectors whose matches hold one of a few literals (``ghp_``, ``password``) read only the surroundings of
these, so that text without any is passed at the speed of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from audit.kernels.blocks import BLOCK, four_bytes, zeros_below
from audit.kernels.buffers import Bytes, Offsets

U = np.uint64
U32 = np.uint32
#: (n, 3) int64: row, byte relative to the row's first, index of the literal; by row and byte.
Places: TypeAlias = npt.NDArray[np.int64]

#: Bytes of the shortest literal.
SHORTEST = 3
_SLOTS = 1 << 15
#: What tells three bytes apart when upper and lower case must not: five bits of each.
_LOW_BITS = 0x1F1F1F
_SPREAD = 0x9E3779B1
_ANY = 0xFFFFFFFF


@dataclass(frozen=True)
class Anchors:
    """Literals, prepared for ``find_anchors``.

    Attributes:
        bytes, starts: The literals in lower case, one after another, in order of their slot.
        order: Index of each in the sequence that was given.
        slots: First literal of each slot; a slot is a hash of the low five bits of the first three bytes, so
            that upper and lower case fall together.
        fourth: For each slot, a bit for each value of the low five bits of a fourth byte with which one of
            its literals goes on; all, where one ends.
        whole: Whether neighbours must not be ASCII letters or digits.
    """

    bytes: Bytes
    starts: Offsets
    order: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int32]
    fourth: npt.NDArray[np.uint32]
    whole: npt.NDArray[np.bool_]


def prepare(literals: Sequence[str], whole_words: Sequence[bool]) -> Anchors:
    """Prepare n literals; ASCII letters match without case, other bytes exactly.

    Raises:
        ValueError: One is shorter than ``SHORTEST`` bytes.
    """
    encoded = [_fold(literal) for literal in literals]
    if any(len(literal) < SHORTEST for literal in encoded):
        raise ValueError(f"a literal has fewer than {SHORTEST} bytes")
    slots = [_slot_of(int.from_bytes(b[:3], "little")) for b in encoded]
    fourth = np.zeros(_SLOTS, np.uint32)
    for slot, literal in zip(slots, encoded, strict=True):
        fourth[slot] |= np.uint32(1 << (literal[3] & 31) if len(literal) > SHORTEST else _ANY)
    order = sorted(range(len(encoded)), key=slots.__getitem__)
    sizes = [len(encoded[i]) for i in order]
    counts = np.bincount(np.array(slots, np.int64), minlength=_SLOTS)
    return Anchors(
        np.frombuffer(b"".join(encoded[i] for i in order), np.uint8),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array(order, np.int64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        fourth,
        np.array([whole_words[i] for i in order], np.bool_),
    )


def find_anchors(data: Bytes, offsets: Offsets, anchors: Anchors) -> Places:
    """Return every place of every literal in n UTF-8 texts (``buffers.string_buffers``)."""
    if len(anchors.order) == 0:
        return np.empty((0, 3), np.int64)
    return _find(
        data,
        offsets,
        anchors.bytes,
        anchors.starts,
        anchors.order,
        anchors.slots,
        anchors.fourth,
        anchors.whole,
    )


def _slot_of(first: int) -> int:
    return (((first & _LOW_BITS) * _SPREAD) & 0xFFFFFFFF) >> 17


def _fold(literal: str) -> bytes:
    return bytes(b | 0x20 if 65 <= b <= 90 else b for b in literal.encode())


@njit(nogil=True, cache=True, inline="always")
def _slot(first: U) -> U:
    slot: U = (((first & U(_LOW_BITS)) * U(_SPREAD)) & U(0xFFFFFFFF)) >> U(17)
    return slot


@njit(nogil=True, cache=True, inline="always")
def _four(data: Bytes, at: int) -> U:
    """The 4 bytes from ``at`` on, or as many as there are."""
    if at + 4 <= len(data):
        return four_bytes(data, at)
    found = U(0)
    for k in range(len(data) - at):
        found |= U(data[at + k]) << U(8 * k)
    return found


@njit(nogil=True, cache=True)
def _candidates(data: Bytes, at: int, stop: int, fourth: npt.NDArray[np.uint32]) -> U:
    """Which of the bytes from ``at`` to ``stop``, at most 64, can begin a literal, as bits."""
    found = U(0)
    if stop + 3 <= len(data):
        for k in range(stop - at):
            four = four_bytes(data, at + k)
            found |= (U(fourth[_slot(four)]) >> (four >> U(24) & U(31)) & U(1)) << U(k)
        return found
    for k in range(stop - at):
        four = _four(data, at + k)
        found |= (U(fourth[_slot(four)]) >> (four >> U(24) & U(31)) & U(1)) << U(k)
    return found


@njit(nogil=True, cache=True)
def _find(
    data: Bytes,
    offsets: Offsets,
    literals: Bytes,
    starts: Offsets,
    order: npt.NDArray[np.int64],
    slots: npt.NDArray[np.int32],
    fourth: npt.NDArray[np.uint32],
    whole: npt.NDArray[np.bool_],
) -> Places:
    found, n = np.empty((256, 3), np.int64), 0
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        for block in range(first, last - SHORTEST + 1, BLOCK):
            places = _candidates(data, block, min(block + BLOCK, last - SHORTEST + 1), fourth)
            while places != U(0):
                at = block + int(np.int64(zeros_below(places)))
                places &= places - U(1)
                slot = _slot(_four(data, at))
                for k in range(slots[slot], slots[slot + U(1)]):
                    if _stands(data, first, last, at, literals, starts[k], starts[k + 1], whole[k]):
                        if n == len(found):
                            grown = np.empty((2 * n, 3), np.int64)
                            grown[:n] = found
                            found = grown
                        found[n, 0], found[n, 1], found[n, 2] = row, at - first, order[k]
                        n += 1
    return found[:n].copy()


@njit(nogil=True, cache=True)
def _stands(
    data: Bytes, first: int, last: int, at: int, literals: Bytes, start: int, stop: int, whole: bool
) -> bool:
    size = stop - start
    if at + size > last:
        return False
    for i in range(size):
        byte = data[at + i] + 0
        if 65 <= byte <= 90:
            byte |= 0x20
        if byte != literals[start + i]:
            return False
    if not whole:
        return True
    alone_before = at == first or not _is_alphanumeric(data[at - 1])
    return alone_before and (at + size == last or not _is_alphanumeric(data[at + size]))


@njit(nogil=True, cache=True)
def _is_alphanumeric(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= (byte & 0xDF) <= 90
