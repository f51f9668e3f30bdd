"""Bands of a score that are too sparse to be strata of their own, joined with their neighbours.

Cells that are alike only in being sparse tell nothing about each other; bands of a score that lie side by
side hold documents of about the same risk, so that joining those keeps most of what the score is worth.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: Ends the names of dimensions whose values are bands of a score.
BAND = "_band"
#: Expected draws under which a band joins its neighbour: as many as a stratum needs for a variance of its own
#: (``audit.stratified_limits``). More leaves too few strata where the sample is small.
LEAST = 10

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
