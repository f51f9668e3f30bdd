"""The design of a stratified sample: which strata there are, and how many draws each gets.

Strata are cells of the slicing dimensions. Bands of a score are first joined with neighbours, where they
expect under ten draws or are finer than the sample needs (``neighbouring_bands``). Cells too sparse to
estimate from are merged: dimensions are listed by importance, and wherever a cell expects under ten draws its
last dimension becomes ``*``, again and again, until enough come together or only the rest stratum (all
``*``) is left. A remainder that is still sparse takes in its smallest sibling before it leaves the value that
it shares with it.

Draws are allocated by ``allocation``: a part of them always in proportion to size, which bounds the
largest weight at 1 / (share · size), however wrong the scores are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.statistics.allocation import Allocation, apportion, target
from audit.statistics.neighbouring_bands import LEAST, few_bands, joined_bands
from audit.statistics.sequential import DECLARED, FARTHEST, size_at

ANY = "*"
ABSENT = "(absent)"
SPARSE = LEAST
_BY_PREDICTION = ("neyman", "cost")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Design:
    """Strata with their sizes, and the way from a document's dimensions to its stratum.

    Attributes:
        dimensions: Names, by importance.
        strata: Table of ``stratum`` (label), ``documents``, ``tokens``, ``size`` (draws), in code order;
            ``max_tokens`` too where the cells had it.
        cells: Table of the dimensions' values and the ``code`` of the stratum that each cell is in.
        proportional_share, minimum, allocation: As the allocation used them.
        target: Share of the draws that each stratum should get, shape (strata,), sum 1.
        taken_whole: Whether a stratum is to be taken whole, shape (strata,).
        declared: The size that the design was made for, whatever it was resized to.
    """

    dimensions: tuple[str, ...]
    strata: pa.Table
    cells: pa.Table
    proportional_share: float
    minimum: int
    target: Floats
    taken_whole: Booleans
    declared: int
    allocation: Allocation = "neyman"

    @property
    def size(self) -> int:
        """Draws over all strata."""
        return int(_numbers(self.strata, "size").sum())

    def assign(self, dims: pa.Table) -> npt.NDArray[np.int32]:
        """Stratum code of each document.

        Args:
            dims: A column per dimension, n rows; other columns are ignored.

        Raises:
            ValueError: A document is in no cell of the design.
        """
        known = [self.cells.column(name).combine_chunks() for name in self.dimensions]
        key, wanted = np.zeros(len(self.cells), np.int64), np.zeros(len(dims), np.int64)
        for name, column in zip(self.dimensions, known, strict=True):
            values = column.unique()
            found = pc.fill_null(pc.index_in(_values(dims, name), value_set=values), -1)
            position = pc.index_in(column, value_set=values)
            key = key * len(values) + np.asarray(position)
            wanted = np.where((wanted < 0) | (np.asarray(found) < 0), -1, wanted * len(values) + found)
        order = np.argsort(key)
        at = np.searchsorted(key[order], wanted)
        at = order[np.minimum(at, len(order) - 1)] if len(order) else at
        if len(dims) and (len(order) == 0 or not np.array_equal(key[at], wanted)):
            raise ValueError("a document has dimensions that the design's cells lack")
        codes = _numbers(self.cells, "code").astype(np.int32)
        return codes[at] if len(dims) else np.empty(0, np.int32)

    def resized(self, size: int) -> Design:
        """The same strata with another size; a larger one keeps every draw of a smaller one."""
        sizes = self._sizes(size)
        at = self.strata.schema.get_field_index("size")
        return replace(self, strata=self.strata.set_column(at, "size", pa.array(sizes)))

    @cached_property
    def looks(self) -> dict[str, dict[int, int]]:
        """Draws of each stratum at each look of the sequential rule that the sample's size reaches.

        Looks are multiples of the declared size, so they do not depend on what was drawn or judged.
        """
        sizes: dict[str, dict[int, int]] = {name: {} for name in self.strata.column("stratum").to_pylist()}
        least = int(_numbers(self.strata, "documents")[self.taken_whole].sum())
        for look in range(-FARTHEST, FARTHEST + 1):
            size = size_at(self.declared, look)
            if size > self.size and look > DECLARED:
                break
            for name, number in zip(sizes, self._sizes(max(size, least)).tolist(), strict=True):
                sizes[name][look] = number
        return sizes

    def _sizes(self, size: int) -> Ints:
        documents = _numbers(self.strata, "documents")
        return apportion(
            documents, self.target, size, self.proportional_share, self.minimum, self.taken_whole
        )


def design(
    cells: pa.Table,
    dimensions: Sequence[str],
    size: int,
    *,
    proportional_share: float = 0.5,
    minimum: int = 1,
    allocation: Allocation = "neyman",
    take_all: Sequence[Mapping[str, str]] = (),
    most_bands: int | None = None,
) -> Design:
    """Form strata and allocate draws to them.

    Args:
        cells: A row per combination of dimension values: the dimensions (strings, nulls allowed),
            ``documents`` and ``tokens`` (int64); optional ``expected`` (float64: predicted number of
            harmful documents), ``cost`` (float64: of judging all documents of the cell) and ``max_tokens``
            (int64: the longest document).
        dimensions: By importance; the last is merged first.
        size: Draws in total; every stratum is taken whole when it reaches the documents.
        proportional_share: Least share of the draws that goes in proportion to documents.
        minimum: Least draws of a stratum, where it has as many documents.
        allocation: How the other draws go: ``audit.statistics.allocation`` tells.
        take_all: Dimension values of cells whose documents are all to be judged: strata of their own.
        most_bands: Bands of a score that strata are formed of at most, where the allocation follows a
            prediction: neighbours are joined so that the estimate varies least. None: as they are cut.

    Raises:
        ValueError: ``size`` is negative or less than what is to be taken whole, ``proportional_share`` is
            not a share, or the allocation needs a column that the cells lack.
    """
    if size < 0 or not 0 <= proportional_share <= 1:
        raise ValueError("size must be at least 0 and proportional_share within [0, 1]")
    cells = _canonical(cells, dimensions)
    whole = _matching(cells, take_all)
    labels = _collapse(cells, dimensions, size, proportional_share, whole, allocation, most_bands)
    strata = _grouped(cells.append_column("stratum", labels), ["stratum"])
    shares = _target(strata, proportional_share, allocation)
    named = pc.is_in(strata.column("stratum"), value_set=labels.filter(pa.array(whole)))
    taken = np.asarray(named.combine_chunks().to_numpy(zero_copy_only=False), bool)
    sizes = apportion(_numbers(strata, "documents"), shares, size, proportional_share, minimum, taken)
    codes = pc.index_in(labels, value_set=strata.column("stratum").combine_chunks())
    shown = [n for n in ("stratum", "documents", "tokens", "max_tokens") if n in strata.column_names]
    return Design(
        dimensions=tuple(dimensions),
        strata=strata.select(shown).append_column("size", pa.array(sizes)),
        cells=cells.select(list(dimensions)).append_column("code", codes),
        proportional_share=proportional_share,
        minimum=minimum,
        target=shares,
        taken_whole=taken,
        declared=size,
        allocation=allocation,
    )


def _matching(cells: pa.Table, wanted: Sequence[Mapping[str, str]]) -> Booleans:
    """Cells that have the values of at least one of ``wanted``."""
    found = np.zeros(len(cells), bool)
    for values in wanted:
        match = np.ones(len(cells), bool)
        for name, value in values.items():
            match &= np.asarray(pc.equal(cells.column(name), value).to_numpy(), bool)
        found |= match
    return found


def _numbers(table: pa.Table, name: str) -> Any:
    return np.asarray(table.column(name).to_numpy())


def _values(table: pa.Table, name: str) -> pa.Array:
    column = pc.fill_null(pc.cast(table.column(name), pa.string()), ABSENT)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _canonical(cells: pa.Table, dimensions: Sequence[str]) -> pa.Table:
    """One row a cell, without empty cells, in the order of their values."""
    for name in dimensions:
        at = cells.schema.get_field_index(name)
        cells = cells.set_column(at, name, _values(cells, name))
    held = cells.filter(pc.greater(cells.column("documents"), 0))
    if not dimensions:
        return _grouped(held.append_column("stratum", pa.array([ANY] * len(held))), ["stratum"]).drop_columns(
            ["stratum"]
        )
    return _grouped(held, list(dimensions))


def _grouped(table: pa.Table, keys: list[str]) -> pa.Table:
    sums = [name for name in ("documents", "tokens", "expected", "cost") if name in table.column_names]
    wanted = [(name, "sum") for name in sums]
    if "max_tokens" in table.column_names:
        wanted.append(("max_tokens", "max"))
    grouped = table.group_by(keys, use_threads=False).aggregate(wanted)
    names = {f"{name}_{how}": name for name, how in wanted}
    grouped = grouped.rename_columns([names.get(name, name) for name in grouped.column_names])
    return grouped.sort_by([(key, "ascending") for key in keys]).combine_chunks()


def _collapse(
    cells: pa.Table,
    dimensions: Sequence[str],
    size: int,
    proportional_share: float,
    whole: Booleans,
    allocation: Allocation,
    most_bands: int | None,
) -> pa.Array:
    """Stratum label of each cell, with ``*`` for the dimensions that were merged."""
    columns = {name: cells.column(name).combine_chunks() for name in dimensions}
    if most_bands is not None and allocation in _BY_PREDICTION and "expected" in cells.column_names:
        used = ("documents", "expected", *(("cost",) if allocation == "cost" else ()))
        amounts = {name: _numbers(cells, name).astype(float) for name in used}
        columns = few_bands(columns, whole, amounts, size, proportional_share, most_bands)
    columns = joined_bands(
        columns,
        whole,
        lambda labels: _expected_draws(cells, labels, size, proportional_share, allocation),
    )
    sparse = ~whole
    labels = _labels(columns, len(cells))
    for level in reversed(range(len(dimensions))):
        sparse &= _is_sparse(cells, labels, size, proportional_share, allocation)
        columns[dimensions[level]] = pc.if_else(pa.array(sparse), ANY, columns[dimensions[level]])
        labels = _labels(columns, len(cells))
        parents = _labels({name: columns[name] for name in dimensions[:level]}, len(cells))
        while (
            level
            and (
                joining := _siblings(
                    cells, labels, parents, sparse | whole, size, proportional_share, allocation
                )
            ).any()
        ):
            sparse |= joining
            for name in dimensions[level:]:
                columns[name] = pc.if_else(pa.array(joining), ANY, columns[name])
            labels = _labels(columns, len(cells))
    return labels


def _is_sparse(
    cells: pa.Table, labels: pa.Array, size: int, proportional_share: float, allocation: Allocation
) -> npt.NDArray[np.bool_]:
    """Whether the stratum of each cell expects too few draws, and is not taken whole.

    A stratum taken whole is known exactly: merging it would only blur it.
    """
    draws, documents = _expected_draws(cells, labels, size, proportional_share, allocation)
    return np.asarray((draws < SPARSE) & (draws < documents))


def _expected_draws(
    cells: pa.Table, labels: pa.Array, size: int, proportional_share: float, allocation: Allocation
) -> tuple[Floats, Floats]:
    """Expected draws and documents of the stratum that each cell is in."""
    strata = _grouped(cells.append_column("stratum", labels), ["stratum"])
    documents = _numbers(strata, "documents").astype(float)
    draws = np.minimum(size * _target(strata, proportional_share, allocation), documents)
    codes = np.asarray(pc.index_in(labels, value_set=strata.column("stratum").combine_chunks()))
    return draws[codes], documents[codes]


def _siblings(
    cells: pa.Table,
    labels: pa.Array,
    parents: pa.Array,
    sparse: npt.NDArray[np.bool_],
    size: int,
    proportional_share: float,
    allocation: Allocation,
) -> npt.NDArray[np.bool_]:
    """Cells of the smallest sibling of each remainder that is still sparse; none where there is none.

    A remainder takes its smallest sibling in before it leaves its parent: better to lose a split by a less
    important dimension than to mix the values of a more important one.
    """
    needy = sparse & _is_sparse(cells, labels, size, proportional_share, allocation)
    draws, documents = _expected_draws(cells, labels, size, proportional_share, allocation)
    parent = np.asarray(pc.dictionary_encode(parents).indices)
    names = np.asarray(labels.to_pylist(), object)
    joining = np.zeros(len(cells), bool)
    for family in np.unique(parent[needy]):
        able = (parent == family) & ~sparse & (draws < documents)
        if able.any():
            smallest = min(zip(draws[able], names[able], strict=True))
            joining |= able & (names == smallest[1])
    return joining


def _labels(columns: dict[str, pa.Array], length: int) -> pa.Array:
    if not columns:
        return pa.array([ANY] * length, pa.string())
    parts = [pc.binary_join_element_wise(name, column, "=") for name, column in columns.items()]
    return pc.binary_join_element_wise(*parts, "&")


def _target(strata: pa.Table, proportional_share: float, allocation: Allocation) -> Floats:
    """Share of the draws by stratum."""
    given = {name: _numbers(strata, name) for name in ("expected", "cost") if name in strata.column_names}
    documents = _numbers(strata, "documents").astype(float)
    return target(
        documents, allocation, proportional_share, expected=given.get("expected"), cost=given.get("cost")
    )
