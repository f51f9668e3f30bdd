"""The cells of the simulation study: a covering array of strength two over its factors.

Every pair of levels of any two factors stands in at least one cell, and the rest of the cells are those that
cover most triples not seen yet (D. M. Cohen et al., "The AETG system", IEEE Transactions on Software
Engineering 23, 1997: greedy, a row at a time, the best of some random candidates).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

PREVALENCES = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 0.5)
SIZES = (100, 300, 1_000, 3_000, 10_000)
STRATA = (1, 3, 10, 40)
AUCS = (0.5, 0.8, 0.95, 0.99)
DESIGNS = ("proportional", "neyman", "score bands", "nested probe")
LOOKS = ("fixed", "sequential")
REVIEWERS = ("exact", "erring")

LEVELS: tuple[tuple[float | int | str, ...], ...] = (
    PREVALENCES,
    SIZES,
    STRATA,
    AUCS,
    DESIGNS,
    LOOKS,
    REVIEWERS,
)

_CANDIDATES = 60
Row = tuple[int, ...]
Combination = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Cell:
    """One condition of the study.

    Attributes:
        prevalence: Share of harmful documents in the corpus, rounded to whole documents.
        n: Judged documents, at the last look.
        strata: Slices or score bands.
        auc: Of the detector, binormal.
        design: How documents are drawn.
        looks: ``fixed``, or ``sequential``: looks at sizes that grow by a factor.
        reviewers: ``exact``, or ``erring`` with adjudication after them.
    """

    prevalence: float
    n: int
    strata: int
    auc: float
    design: str
    looks: str
    reviewers: str


def covering_cells(count: int, seed: int = 1) -> list[Cell]:
    """Cells that cover every pair of levels, and as many triples as ``count`` cells can.

    Args:
        count: How many.
        seed: Of the candidates.

    Raises:
        ValueError: So few cells did not cover all pairs.
    """
    rng = np.random.default_rng(seed)
    open_pairs, open_triples = set(_combinations(2)), set(_combinations(3))
    rows: list[Row] = []
    while len(rows) < count:
        candidates = [_candidate(rng, open_pairs) for _ in range(_CANDIDATES)]
        row = max(candidates, key=lambda r: (_hits(r, 2, open_pairs), _hits(r, 3, open_triples)))
        rows.append(row)
        open_pairs -= set(_of(row, 2))
        open_triples -= set(_of(row, 3))
    if open_pairs:
        raise ValueError(f"{count} cells leave {len(open_pairs)} pairs of levels uncovered")
    return [_cell(row) for row in rows]


def uncovered_pairs(cells: Iterable[Cell]) -> set[Combination]:
    """Pairs of (factor, level) that no cell has."""
    left = set(_combinations(2))
    for cell in cells:
        row = tuple(_place(levels, v) for levels, v in zip(LEVELS, astuple(cell), strict=True))
        left -= set(_of(row, 2))
    return left


def _place(levels: Sequence[float | int | str], level: float | int | str) -> int:
    """Of a level; -1 for one that the study does not have."""
    return levels.index(level) if level in levels else -1


def _combinations(strength: int) -> Iterator[Combination]:
    for factors in itertools.combinations(range(len(LEVELS)), strength):
        for levels in itertools.product(*(range(len(LEVELS[f])) for f in factors)):
            yield tuple(zip(factors, levels, strict=True))


def _of(row: Row, strength: int) -> Iterator[Combination]:
    return itertools.combinations(enumerate(row), strength)


def _hits(row: Row, strength: int, wanted: set[Combination]) -> int:
    return sum(combination in wanted for combination in _of(row, strength))


def _candidate(rng: np.random.Generator, open_pairs: set[Combination]) -> Row:
    """A random row, with one pair that is not covered yet where there is one."""
    row = [int(rng.integers(len(levels))) for levels in LEVELS]
    if open_pairs:
        pairs: Sequence[Combination] = sorted(open_pairs)
        for factor, level in pairs[int(rng.integers(len(pairs)))]:
            row[factor] = level
    return tuple(row)


def _cell(row: Row) -> Cell:
    names = [field.name for field in fields(Cell)]
    values = {name: LEVELS[f][level] for f, (name, level) in enumerate(zip(names, row, strict=True))}
    return Cell(**values)  # type: ignore[arg-type]
