"""Slices: the dimensions of each document, and additive counts by cell.

A cell is one combination of dimension values. Counts are integers per shard and cell, merged by
addition; ratios are derived last, so the scorecard's cost does not grow with the documents.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit import domains, facts, workkeys
from audit.dimensions import PRESENT, REPORTED, banded
from audit.domains import Classification
from audit.screens import Screen, is_corpus_wide
from audit.storage.store import Part, Receipt, Store
from audit.workkeys import KeyTemplate, hole

SLICES, CELLS, FINDING_CELLS = "slices", "cells", "finding_cells"
FAMILIES = (SLICES, CELLS, FINDING_CELLS)
_INPUTS = "the inputs"
UNDATED = "undated"
NO_SCORE = "none"


@dataclass(frozen=True)
class Slicing:
    """What decides the dimensions, the same for every shard.

    Attributes:
        store: Of the run.
        screens: Those that ran.
        bands: Cuts of scores.
        present: Screens whose flags are a dimension of their own: those that strata name, since each makes
            the cells more.
        classification: Of hosts and addresses; None: the packaged one.
    """

    store: Store
    screens: tuple[Screen, ...]
    bands: tuple[float, ...]
    present: tuple[str, ...] = ()
    classification: Classification | None = None

    def flagging(self) -> list[Screen]:
        """Screens that say whether a document is a hit."""
        return [s for s in self.screens if "flagged" in s.measures]

    def located(self) -> list[Screen]:
        """Screens whose measurements and findings are per document."""
        return [s for s in self.screens if not is_corpus_wide(s)]

    def corpus_wide(self) -> list[Screen]:
        """Screens whose answer depends on the whole corpus; here only whether they sketched counts."""
        return [s for s in self.screens if is_corpus_wide(s)]

    @cached_property
    def templates(self) -> dict[str, KeyTemplate]:
        """Family -> its work keys; found once, and sent along with the tasks."""
        parameters = {
            "bands": list(self.bands),
            "domains": domains.digest(self.classification),
            "present": list(self.present),
        }
        inputs = hole(_INPUTS)
        return {
            family: workkeys.derived_template(family, "audit.slicing", inputs, parameters)
            for family in FAMILIES
        }


@dataclass(frozen=True)
class SliceTask:
    """A shard whose parts stand, by family -> work key."""

    slicing: Slicing
    shard: str
    keys: Mapping[str, str]


def slice_keys(task: SliceTask) -> dict[str, Part]:
    """The parts that a task brings up to date."""
    inputs = {_INPUTS: [f"{family}:{key}" for family, key in sorted(task.keys.items())]}
    return {
        family: Part(family, task.shard, template.key(inputs))
        for family, template in task.slicing.templates.items()
    }


def slice_shard(task: SliceTask) -> tuple[Receipt, ...]:
    """Compute the dimensions and counts of one shard from its parts; returns what it committed."""
    store, parts = task.slicing.store, slice_keys(task)
    if all(store.has(part) for part in parts.values()):
        return ()
    documents = store.read(Part(facts.FAMILY, task.shard, task.keys[facts.FAMILY]))
    measured = {
        s.name: store.read(Part(s.name, task.shard, task.keys[s.name])) for s in task.slicing.located()
    }
    states = {
        s.name: store.read(Part(s.name, task.shard, task.keys[s.name]), ["state"])
        for s in task.slicing.corpus_wide()
    }
    dimensions = _dimensions(task.slicing, documents, measured)
    identity = documents.select(["shard", "position"])
    rows = pa.table(
        [*identity.columns, *dimensions.columns], names=[*identity.column_names, *dimensions.column_names]
    )
    tables = {
        SLICES: rows,
        CELLS: _cells(task.slicing, dimensions, documents, measured, states),
        FINDING_CELLS: _finding_cells(dimensions, measured),
    }
    receipts = store.write_all([(parts[family], table) for family, table in tables.items()], {})
    return tuple(receipt for receipt in receipts if receipt is not None)


def _dimensions(slicing: Slicing, documents: pa.Table, measured: Mapping[str, pa.Table]) -> pa.Table:
    urls = documents.column("url").combine_chunks()
    columns = {
        "source": pc.fill_null(documents.column("source"), "unknown"),
        "language": _language(documents, measured),
        "domain_class": domains.classify(
            documents.column("domain").combine_chunks(), urls, slicing.classification
        ),
        "period": pc.fill_null(pc.strftime(documents.column("timestamp"), format="%Y"), UNDATED),
    }
    for screen in banded(slicing.screens):
        scores = measured[screen.name].column(f"{screen.name}_score")
        columns[f"{screen.name}_band"] = _band(scores, slicing.bands)
    for name in slicing.present:
        columns[f"{name}{PRESENT}"] = _present(measured[name], name)
    return pa.table({name: pc.cast(column, pa.string()) for name, column in columns.items()})


def _language(documents: pa.Table, measured: Mapping[str, pa.Table]) -> pa.ChunkedArray:
    declared = documents.column("declared_language")
    if "language" not in measured:
        return pc.fill_null(declared, "und")
    return pc.fill_null(measured["language"].column("language_label"), "und")


def _band(scores: pa.ChunkedArray, cuts: Sequence[float]) -> pa.Array:
    """Label of the half-open band that a score falls into; documents without a score have their own."""
    edges = [0.0, *cuts, 1.0]
    labels = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(edges)]
    missing = pc.is_null(scores)
    codes = np.searchsorted(np.asarray(cuts), pc.fill_null(scores, 0.0).to_numpy(), side="right")
    banded = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(labels)).cast(pa.string())
    return pc.if_else(missing, NO_SCORE, banded)


def _present(table: pa.Table, screen: str) -> pa.ChunkedArray:
    """Whether the screen flags each document; what it did not evaluate has a value of its own."""
    flagged = pc.if_else(pc.fill_null(table.column(f"{screen}_flagged"), False), "true", "false")
    return pc.if_else(pc.is_null(table.column("state")), flagged, NO_SCORE)


def _cells(
    slicing: Slicing,
    dimensions: pa.Table,
    documents: pa.Table,
    measured: Mapping[str, pa.Table],
    states: Mapping[str, pa.Table],
) -> pa.Table:
    tokens = documents.column("n_tokens")
    rows = dimensions.append_column("documents", pa.array(np.ones(len(documents), np.int64)))
    rows = rows.append_column("tokens", tokens)
    rows = rows.append_column("words", documents.column("n_words"))
    sums = ["documents", "tokens", "words"]
    for screen_name, table in states.items():
        for name, column in _evaluated_counts(table, screen_name, tokens).items():
            rows = rows.append_column(name, column)
            sums.append(name)
    for screen in slicing.flagging():
        for name, column in _flag_counts(measured[screen.name], screen.name, tokens).items():
            rows = rows.append_column(name, column)
            sums.append(name)
    for screen in banded(slicing.screens):
        score = pc.fill_null(measured[screen.name].column(f"{screen.name}_score"), 0.0)
        # An integer sum is the same in any order; a float sum is not.
        rows = rows.append_column(
            f"{screen.name}_score_ppm", pc.cast(pc.round(pc.multiply(score, 1e6)), pa.int64())
        )
        sums.append(f"{screen.name}_score_ppm")
    return _sum_by(rows, dimensions.column_names, sums)


def _flag_counts(table: pa.Table, screen: str, tokens: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    counts = _evaluated_counts(table, screen, tokens)
    evaluated = counts[f"{screen}_evaluated"]
    flagged = pc.cast(pc.fill_null(table.column(f"{screen}_flagged"), False), pa.int64())
    flagged = pc.multiply(flagged, evaluated)
    return counts | {
        f"{screen}_flagged": flagged,
        f"{screen}_flagged_tokens": pc.multiply(flagged, tokens),
    }


def _evaluated_counts(table: pa.Table, screen: str, tokens: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    evaluated = pc.cast(pc.is_null(table.column("state")), pa.int64())
    return {
        f"{screen}_evaluated": evaluated,
        f"{screen}_evaluated_tokens": pc.multiply(evaluated, tokens),
    }


def _finding_cells(dimensions: pa.Table, measured: Mapping[str, pa.Table]) -> pa.Table:
    """Findings and documents by screen, kind, severity and reported dimensions."""
    keys = ["screen", "kind", "severity", *REPORTED]
    tables = [_FINDING_CELLS.empty_table()]
    for screen, table in measured.items():
        lists = table.column("findings").combine_chunks()
        rows = pc.list_parent_indices(lists)
        hits = pc.list_flatten(lists)
        if len(hits) == 0:
            continue
        flat = dimensions.select(list(REPORTED)).take(rows)
        flat = flat.append_column(
            "screen", pa.array([screen]).take(pa.nulls(len(hits), pa.int32()).fill_null(0))
        )
        flat = flat.append_column("kind", pc.struct_field(hits, "kind"))
        flat = flat.append_column("severity", pc.struct_field(hits, "severity"))
        flat = flat.append_column("row", rows)
        grouped = flat.group_by(keys, use_threads=False).aggregate(
            [("row", "count"), ("row", "count_distinct")]
        )
        grouped = grouped.rename_columns([*keys, "findings", "documents"])
        tables.append(grouped.select(_FINDING_CELLS.names).cast(_FINDING_CELLS))
    return pa.concat_tables(tables).sort_by([(key, "ascending") for key in keys])


_FINDING_CELLS = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("screen", "kind", "severity", *REPORTED)),
        pa.field("findings", pa.int64()),
        pa.field("documents", pa.int64()),
    ]
)


def _sum_by(rows: pa.Table, keys: Sequence[str], sums: Sequence[str]) -> pa.Table:
    """Sums by key, and the longest document, which bounds the weight that a sampled one can have."""
    wanted = [*((name, "sum") for name in sums), ("tokens", "max")]
    grouped = rows.group_by(list(keys), use_threads=False).aggregate(wanted)
    renamed = {f"{name}_sum": name for name in sums}
    renamed["tokens_max"] = "max_tokens"
    table = grouped.rename_columns([renamed.get(name, name) for name in grouped.column_names])
    return table.select([*keys, *sums, "max_tokens"]).sort_by([(key, "ascending") for key in keys])
