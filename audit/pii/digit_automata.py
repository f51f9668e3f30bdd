"""Finite automata over decimal digits, built from the regular expressions of numbering plans.

libphonenumber's patterns use digits, classes, groups and bounded repeats only, so each is an automaton of
some hundred states, and so is everything that can be said about a number by combining them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from audit.kernels.automata import equivalent_states, product_moves
from audit.pii.digit_patterns import ANY, Pattern

Outputs: TypeAlias = npt.NDArray[np.uint8]
#: Combines the outputs of two automata.
Rule: TypeAlias = Callable[[Outputs, Outputs], Outputs]


@dataclass(frozen=True)
class Automaton:
    """A deterministic automaton with the fewest states; it starts in state 0.

    Attributes:
        moves: (n, 10) int32: the next state, by digit.
        outputs: n uint8: what a number that ends in a state gets; 0 when it is not accepted.
    """

    moves: npt.NDArray[np.int32]
    outputs: Outputs

    def run(self, digits: str) -> int:
        """Return the output for a string of ASCII digits."""
        state = 0
        for digit in digits:
            state = int(self.moves[state, int(digit)])
        return int(self.outputs[state])

    def __and__(self, other: Automaton) -> Automaton:
        return combined(self, other, lambda a, b: a & b)

    def __or__(self, other: Automaton) -> Automaton:
        return combined(self, other, lambda a, b: a | b)

    def __invert__(self) -> Automaton:
        """Accept what this does not; outputs are 0 and 1 only."""
        return Automaton(self.moves, (self.outputs == 0).astype(np.uint8))


def combined(a: Automaton, b: Automaton, rule: Rule) -> Automaton:
    """Return the automaton whose output is ``rule`` of both outputs (the product construction)."""
    moves, firsts, seconds = product_moves(a.moves, b.moves)
    return _minimal(moves, rule(a.outputs[firsts], b.outputs[seconds]))


def _minimal(moves: npt.NDArray[np.int32], outputs: Outputs) -> Automaton:
    """Merge equivalent states."""
    classes = equivalent_states(moves, outputs)
    _, first = np.unique(classes, return_index=True)
    return Automaton(classes[moves[first]], outputs[first])


def accepting(pattern: Pattern) -> Automaton:
    """Return the automaton of the strings that a pattern matches in full (the subset construction)."""
    nfa = _Nondeterministic()
    final = nfa.add(pattern, nfa.state())
    subsets = [nfa.closure({0})]
    numbers = {subsets[0]: 0}
    moves: list[list[int]] = []
    while len(moves) < len(subsets):
        row = []
        for digit in range(10):
            reached = nfa.closure({t for s in subsets[len(moves)] for t in nfa.steps[s][digit]})
            if reached not in numbers:
                numbers[reached] = len(subsets)
                subsets.append(reached)
            row.append(numbers[reached])
        moves.append(row)
    return _minimal(np.array(moves, np.int32), np.array([final in s for s in subsets], np.uint8))


class _Nondeterministic:
    """Thompson's construction (1968)."""

    def __init__(self) -> None:
        self.steps: list[list[list[int]]] = []
        self.empty: list[list[int]] = []

    def state(self) -> int:
        self.steps.append([[] for _ in range(10)])
        self.empty.append([])
        return len(self.steps) - 1

    def add(self, pattern: Pattern, at: int) -> int:
        """Append a pattern behind a state; return the state after it."""
        if pattern.kind == "digits":
            end = self.state()
            for digit in pattern.digits:
                self.steps[at][digit].append(end)
            return end
        if pattern.kind in ("sequence", "group"):
            return reduce(lambda state, part: self.add(part, state), pattern.parts, at)
        if pattern.kind == "any":
            end = self.state()
            self.empty[at].append(end)
            for digit in range(10):
                self.steps[end][digit].append(end)
            return end
        end = self.state()
        if pattern.kind == "choice":
            for part in pattern.parts:
                self.empty[self.add(part, at)].append(end)
            return end
        for count in range(pattern.most + 1):
            if count >= pattern.least:
                self.empty[at].append(end)
            if count < pattern.most:
                at = self.add(pattern.parts[0], at)
        return end

    def closure(self, states: set[int]) -> frozenset[int]:
        reached, todo = set(states), list(states)
        while todo:
            new = [t for t in self.empty[todo.pop()] if t not in reached]
            reached.update(new)
            todo += new
        return frozenset(reached)


def after(text: str, automaton: Automaton) -> Automaton:
    """Return the automaton of ``text`` followed by what another accepts."""
    n, width = len(text), len(automaton.outputs)
    dead = n + width
    moves = np.full((dead + 1, 10), dead, np.int32)
    for k, digit in enumerate(text):
        moves[k, int(digit)] = k + 1
    moves[n:dead] = automaton.moves + n
    return _minimal(moves, np.concatenate([np.zeros(n, np.uint8), automaton.outputs, np.zeros(1, np.uint8)]))


def of_lengths(lengths: Iterable[int], *, above: int | None = None) -> Automaton:
    """Return the automaton of the strings of given lengths, or longer than ``above``."""
    wanted = set(lengths)
    top = max([*wanted, above or 0]) + 1
    states = np.arange(top + 1, dtype=np.int32)
    moves = np.repeat(np.minimum(states + 1, top)[:, None], 10, axis=1)
    longer = states > above if above is not None else np.zeros(top + 1, bool)
    return _minimal(moves, (np.isin(states, list(wanted)) | longer).astype(np.uint8))


def union(automata: Sequence[Automaton]) -> Automaton:
    """Return the automaton of what any of some accepts; of nothing, when there are none."""
    return reduce(lambda a, b: a | b, automata) if automata else nothing()


def nothing() -> Automaton:
    """Return the automaton that accepts nothing."""
    return Automaton(np.zeros((1, 10), np.int32), np.zeros(1, np.uint8))


def everything() -> Automaton:
    """Return the automaton that accepts every string of digits."""
    return accepting(ANY)


def shortest(automaton: Automaton, most: int = 64) -> int:
    """Return the length of the shortest string with an output; ``most`` when there is none below."""
    states = np.zeros(1, np.int64)
    for length in range(most):
        if automaton.outputs[states].any():
            return length
        states = np.unique(automaton.moves[states])
    return most
