"""Products and minimal forms of deterministic automata over ten digits."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

#: (n, 10): the next state, by digit.
Moves: TypeAlias = npt.NDArray[np.int32]
States: TypeAlias = npt.NDArray[np.int32]


@njit(nogil=True, cache=True)
def product_moves(a: Moves, b: Moves) -> tuple[Moves, States, States]:
    """Return the automaton that runs two at once from their states 0.

    Returns:
        Its moves, and for each of its states the state of ``a`` and of ``b``.
    """
    width = len(b)
    numbers = np.full(len(a) * width, -1, np.int32)
    firsts, seconds = np.zeros(64, np.int32), np.zeros(64, np.int32)
    moves = np.empty((64, 10), np.int32)
    numbers[0] = 0
    n, at = 1, 0
    while at < n:
        for digit in range(10):
            first, second = a[firsts[at], digit], b[seconds[at], digit]
            code = first * width + second
            if numbers[code] < 0:
                if n == len(moves):
                    firsts = np.concatenate((firsts, np.empty_like(firsts)))
                    seconds = np.concatenate((seconds, np.empty_like(seconds)))
                    moves = np.concatenate((moves, np.empty_like(moves)))
                firsts[n], seconds[n], numbers[code] = first, second, n
                n += 1
            moves[at, digit] = numbers[code]
        at += 1
    return moves[:n].copy(), firsts[:n].copy(), seconds[:n].copy()


@njit(nogil=True, cache=True)
def equivalent_states(moves: Moves, outputs: npt.NDArray[np.uint8]) -> States:
    """Return the class of each state, numbered by their first states, so that state 0 has class 0.

    States are equivalent when every string has the same output from both. Classes are refined until
    none divides (Moore 1956).
    """
    n = len(outputs)
    classes = np.zeros(n, np.int32)
    count, before = 1, 0
    while count != before:
        before = count
        refined = np.zeros(n, np.int32)
        slots = np.full(1 << (int(np.log2(n + 1)) + 2), -1, np.int32)
        firsts = np.empty(n, np.int32)
        count = 0
        for state in range(n):
            slot = _hash(state, classes, moves, outputs) & (len(slots) - 1)
            while slots[slot] >= 0 and not _alike(state, firsts[slots[slot]], classes, moves, outputs):
                slot = (slot + 1) & (len(slots) - 1)
            if slots[slot] < 0:
                slots[slot] = count
                firsts[count] = state
                count += 1
            refined[state] = slots[slot]
        classes = refined
    return classes


@njit(nogil=True, cache=True)
def _hash(state: int, classes: States, moves: Moves, outputs: npt.NDArray[np.uint8]) -> int:
    value = np.int64(outputs[state]) * 31 + classes[state]
    for digit in range(10):
        value = (value * 1_000_003 + classes[moves[state, digit]]) & 0x7FFFFFFFFFFF
    return int(value ^ (value >> 17))


@njit(nogil=True, cache=True)
def _alike(a: int, b: int, classes: States, moves: Moves, outputs: npt.NDArray[np.uint8]) -> bool:
    if outputs[a] != outputs[b] or classes[a] != classes[b]:
        return False
    for digit in range(10):  # noqa: SIM110 (Numba knows no generators)
        if classes[moves[a, digit]] != classes[moves[b, digit]]:
            return False
    return True
