"""Bands of a score joined with their neighbours, until they are worth being strata.

Cells that are alike only in being sparse tell nothing about each other; bands of a score that lie side by
side hold documents of about the same risk, so that joining those keeps most of what the score is worth.

- Cuts that somebody chose stay, but where a band expects too few draws (``joined_bands``).
- The default cuts are finer than any sample needs. For a size and a prediction they are joined to the few
  bands whose estimate varies least (``few_bands``): best strata by dynamic programming (W. D. Fisher, "On
  grouping for maximum homogeneity", JASA 53, 1958), here for Neyman's allocation with its proportional share
  (C.-E. Särndal, B. Swensson, J. Wretman, "Model Assisted Survey Sampling", 1992, section 12.4). It depends
  on the size and the scores, never on an answer.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: Ends the names of dimensions whose values are bands of a score.
BAND = "_band"
#: Expected draws under which a band joins its neighbour: as many as a stratum needs for a variance of its own
#: (``audit.statistics.stratified_limits``). More leaves too few strata where the sample is small.
LEAST = 10
#: Bands that the default cuts are joined to, at most: more gain nothing (docs/statistics.md).
FEW = 10
#: Expected draws of each of these: still ten when rounded.
_ENOUGH = LEAST + 0.5
#: A band's variance is taken for known as well as with so many more judgements from the whole corpus: what
#: the limits allow for in a stratum where little was seen. Without, many small bands look too good.
_PRIOR = 0.5
_ROUNDS = 8

Floats = npt.NDArray[np.float64]
_RANGE = re.compile(r"([0-9.e+-]*[0-9.])-([0-9.]+(?:e[+-]?[0-9]+)?)")


def joined(values: Sequence[str], draws: Callable[[Sequence[str]], Mapping[str, float]]) -> list[str]:
    """Names of bands, wide enough to be drawn from.

    Args:
        values: Band of each cell, ``low-high``; others (of documents without a score) stay as they are.
        draws: Expected draws by name, once cells have these names.

    Returns:
        The same, or the union of neighbouring bands, for each cell.
    """
    ends = {value: match.groups() for value in set(values) if (match := _RANGE.fullmatch(value))}
    groups = [[value] for value in sorted(ends, key=lambda value: float(ends[value][0]))]
    while True:
        names = {value: f"{ends[group[0]][0]}-{ends[group[-1]][1]}" for group in groups for value in group}
        named = [names.get(value, value) for value in values]
        expected = draws(named)
        each = [expected[names[group[0]]] for group in groups]
        if len(groups) < 2 or min(each) >= LEAST:
            return named
        sparse = int(np.argmin(each))
        near = [at for at in (sparse - 1, sparse + 1) if 0 <= at < len(groups)]
        first, second = sorted((sparse, min(near, key=lambda at: each[at])))
        groups[first : second + 1] = [list(itertools.chain(groups[first], groups[second]))]


def joined_bands(
    columns: Mapping[str, pa.Array],
    kept: npt.NDArray[np.bool_],
    draws: Callable[[pa.Array], tuple[Floats, Floats]],
) -> dict[str, pa.Array]:
    """Columns of cells with the bands among them joined where they are sparse.

    Args:
        columns: Dimension -> value of each cell.
        kept: Cells that keep their own.
        draws: Expected draws and documents of the stratum of each cell, by the strata's labels.
    """

    def by_name(names: Sequence[str]) -> dict[str, float]:
        expected, documents = draws(pa.array(names, pa.string()))
        enough = np.where(expected < documents, expected, LEAST)  # a band that is taken whole is known
        return dict(zip(names, enough.tolist(), strict=True))

    found = dict(columns)
    for name, column in columns.items():
        if name.endswith(BAND):
            values = column.to_pylist()
            wide = joined(values, by_name)
            chosen = [old if own else new for old, new, own in zip(values, wide, kept.tolist(), strict=True)]
            found[name] = pa.array(chosen, pa.string())
    return found


@dataclass(frozen=True, eq=False)
class Bands:
    """What is known of neighbouring bands, by ascending score.

    Attributes:
        documents, expected: Of each band: how many, and how many harmful ones are predicted, shape (bands,).
        cost: Of judging all documents of each, shape (bands,); None: all cost the same.
        others, others_wanted: Documents that lie in none of the bands, and what Neyman's allocation is
            proportional to for them.
        rate: Predicted share of harm in the whole corpus.
    """

    documents: Floats
    expected: Floats
    cost: Floats | None = None
    others: float = 0.0
    others_wanted: float = 0.0
    rate: float | None = None

    def partition(self, size: int, share: float, most: int) -> list[int]:
        """Where the joined bands end, ascending; the last is the number of bands.

        Args:
            size: Draws in all.
            share: Least share of them that goes in proportion to documents.
            most: Joined bands at most.
        """
        whole = _runs(self.documents)
        rate = _runs(self.expected) / np.maximum(whole, 1.0)
        spread = np.sqrt(np.clip(rate * (1 - rate), 0.0, 0.25))
        wanted = _wanted(whole, spread, None if self.cost is None else _runs(self.cost))
        total = float(self.documents.sum() + self.others)
        middle = self.expected.sum() / max(self.documents.sum(), 1.0) if self.rate is None else self.rate
        ends = [*range(1, len(self.documents) + 1)]
        for _ in range(_ROUNDS):
            all_wanted = sum(wanted[i, j] for i, j in itertools.pairwise([0, *ends])) + self.others_wanted
            draws = size * (share * whole / total + (1 - share) * wanted / max(all_wanted, 1e-300))
            price = _price(whole, spread, np.minimum(draws, whole), total, middle * (1 - middle))
            before, ends = ends, _cheapest(price, most)
            if ends == before:
                break
        return ends


def _runs(values: Floats) -> Floats:
    """Sums from one band up to another, shape (bands + 1, bands + 1): entry (i, j) of bands i to j - 1."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    runs: Floats = np.maximum(sums[None, :] - sums[:, None], 0.0)
    return runs


def _wanted(whole: Floats, spread: Floats, cost: Floats | None) -> Floats:
    if cost is None:
        return whole * spread
    wanted: Floats = whole * spread / np.sqrt(np.maximum(cost, 1e-300) / np.maximum(whole, 1.0))
    return wanted


def _price(whole: Floats, spread: Floats, draws: Floats, total: float, variance: float) -> Floats:
    """What a run of bands adds to the variance of the estimate; infinite where it expects too few draws."""
    known = draws >= whole
    seen = (draws * spread**2 + _PRIOR * variance) / (draws + _PRIOR)
    price = np.where(known, 0.0, (whole / total) ** 2 * seen / np.maximum(draws, 1e-300))
    price[(draws < _ENOUGH) & ~known] = np.inf
    price[0, -1] = min(price[0, -1], np.finfo(float).max)  # all as one may be sparse: nothing else is left
    price[np.tril_indices(len(price))] = np.inf
    return price


def _cheapest(price: Floats, most: int) -> list[int]:
    """Ends of the runs that together cost least, of the fewest where several cost the same."""
    size = len(price) - 1
    best, before = np.full((most + 1, size + 1), np.inf), np.zeros((most + 1, size + 1), np.int64)
    best[0, 0] = 0.0
    for runs in range(1, most + 1):
        each = best[runs - 1][:, None] + price
        before[runs], best[runs] = each.argmin(axis=0), each.min(axis=0)
    runs, ends = int(best[:, size].argmin()), [size]
    while (start := int(before[runs, ends[0]])) > 0:
        ends.insert(0, start)
        runs -= 1
    return ends


def few_bands(
    columns: Mapping[str, pa.Array],
    kept: npt.NDArray[np.bool_],
    amounts: Mapping[str, Floats],
    size: int,
    share: float,
    most: int = FEW,
) -> dict[str, pa.Array]:
    """Columns of cells with the bands among them joined to few.

    Args:
        columns: Dimension -> value of each cell.
        kept: Cells that keep their own, being taken whole.
        amounts: ``documents``, ``expected`` and, for the allocation by cost, ``cost`` of each cell.
        size: Draws in all.
        share: Least share of them that goes in proportion to documents.
        most: Bands at most.
    """
    free = {name: np.where(kept, 0.0, values) for name, values in amounts.items()}
    left = max(size - int(amounts["documents"][kept].sum()), 0)
    found = dict(columns)
    for name, column in columns.items():
        if name.endswith(BAND):
            values = column.to_pylist()
            wide = _few(values, free, left, share, most)
            chosen = [old if own else new for old, new, own in zip(values, wide, kept.tolist(), strict=True)]
            found[name] = pa.array(chosen, pa.string())
    return found


def _few(
    values: Sequence[str], amounts: Mapping[str, Floats], size: int, share: float, most: int
) -> list[str]:
    ends = {value: match.groups() for value in set(values) if (match := _RANGE.fullmatch(value))}
    ordered = sorted(ends, key=lambda value: float(ends[value][0]))
    if len(ordered) < 2:
        return list(values)
    place = {value: at for at, value in enumerate(ordered)}
    code = np.array([place.get(value, len(ordered)) for value in values])
    sums: dict[str, Floats] = {
        name: np.bincount(code, each, len(ordered) + 1).astype(np.float64) for name, each in amounts.items()
    }
    rates = np.clip(sums["expected"] / np.maximum(sums["documents"], 1.0), 0.0, 1.0)
    cost = sums.get("cost")
    wanted = _wanted(sums["documents"], np.sqrt(rates * (1 - rates)), cost)
    bands = Bands(
        sums["documents"][:-1],
        sums["expected"][:-1],
        None if cost is None else cost[:-1],
        float(sums["documents"][-1]),
        float(wanted[-1]),
        float(sums["expected"].sum() / max(sums["documents"].sum(), 1.0)),
    )
    names: dict[str, str] = {}
    for first, last in itertools.pairwise([0, *bands.partition(size, share, most)]):
        wide = f"{ends[ordered[first]][0]}-{ends[ordered[last - 1]][1]}"
        names |= dict.fromkeys(ordered[first:last], wide)
    return [names.get(value, value) for value in values]
