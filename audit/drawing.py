"""Draws the review sample of a run from its parts, and keeps it in ``sample/``, without texts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit import facts
from audit.config import AuditConfig, digest_json
from audit.copies import numbered
from audit.sampling import SmallestNumbers, derive_seed, permanent_random_numbers
from audit.slicing import CELLS, SLICES
from audit.store import Part, Store, write_atomically
from audit.strata import Design, design

PHASE = "review"
_FILES = ("design.json", "strata.parquet", "draws.parquet")


@dataclass(frozen=True)
class Drawing:
    """A drawn sample.

    Attributes:
        design: How it was drawn.
        draws: stratum, shard, position, draw (rank from 1), inclusion_probability.
        cells: The corpus by combination of dimensions, with the ``stratum`` of each.
    """

    design: Design
    draws: pa.Table
    cells: pa.Table

    def strata(self) -> pa.Table:
        """The ``strata`` table of the database."""
        table = self.design.strata
        size = len(table)
        share = self.design.proportional_share
        how = f"{share:.0%} proportional, the rest by predicted variance; permanent random numbers"
        return pa.table(
            {
                "phase": pa.array([PHASE] * size, pa.string()),
                "stratum": table.column("stratum"),
                "design": pa.array([how] * size, pa.string()),
                "documents": table.column("documents"),
                "tokens": table.column("tokens"),
                "drawn": table.column("size"),
            }
        )


def draw(folder: Path, store: Store, config: AuditConfig, shards: Sequence[Part], size: int) -> Drawing:
    """Draw a sample, or recall the one that stands when nothing that decides it has changed.

    Args:
        folder: The run's ``sample`` folder.
        store: The run's parts.
        config: Names the strata; the seed follows from the corpus' name and the policy.
        shards: Parts of the families ``documents``, ``slices`` and ``cells``.
        size: Documents in all; strata are formed for the configured size, so that a larger one extends.
    """
    by_family = {
        family: [p for p in shards if p.family == family] for family in (facts.FAMILY, SLICES, CELLS)
    }
    seed = derive_seed(config.corpus.name, config.policy_digest())
    cells = _merged_cells(store, by_family[CELLS], config.sampling.questions)
    how = design(
        cells,
        config.strata(),
        config.sampling.size,
        proportional_share=config.sampling.proportional_share,
    ).resized(size)
    labels = how.strata.column("stratum").take(pa.array(how.assign(cells)))
    cells = cells.append_column("stratum", labels)
    inputs = digest_json([seed.hex(), size, sorted(part.relative for part in shards), _plain(how.strata)])
    if _recorded(folder).get("inputs") == inputs:
        return Drawing(how, pq.read_table(folder / "draws.parquet"), cells)
    draws = _scan(store, by_family, how, seed)
    drawing = Drawing(how, draws, cells)
    _keep(folder, drawing, {"inputs": inputs, "size": size, "seed": seed.hex(), "phase": PHASE})
    return drawing


def size_drawn(folder: Path) -> int | None:
    """How many documents the sample that stands was drawn for; None before the first draw."""
    size: int | None = _recorded(folder).get("size")
    return size


def _recorded(folder: Path) -> dict[str, Any]:
    path = folder / "design.json"
    if not path.exists():
        return {}
    recorded: dict[str, Any] = json.loads(path.read_bytes())
    return recorded


def _merged_cells(store: Store, parts: Sequence[Part], questions: Sequence[str]) -> pa.Table:
    tables = [store.read(part) for part in sorted(parts, key=lambda part: part.shard)]
    cells = pa.concat_tables(tables)
    keys = [field.name for field in cells.schema if field.type == pa.string()]
    counts = [field.name for field in cells.schema if field.type != pa.string()]
    wanted = [(name, "max" if name == "max_tokens" else "sum") for name in counts]
    merged = cells.group_by(keys, use_threads=False).aggregate(wanted)
    renamed = {f"{name}_{how}": name for name, how in wanted}
    merged = merged.rename_columns([renamed.get(name, name) for name in merged.column_names])
    merged = merged.sort_by([(key, "ascending") for key in keys])
    predictor = next((f"{q}_score_ppm" for q in questions if f"{q}_score_ppm" in counts), None)
    if predictor is None:
        return merged
    return merged.append_column("expected", _expected(merged, predictor.removesuffix("_score_ppm")))


def _expected(cells: pa.Table, screen: str) -> pa.Array:
    """Harmful documents that a screen predicts by cell; what it did not evaluate is taken for the mean.

    A document without a score is no safer than the others: a prediction of 0 would starve its stratum.
    """
    scored = np.asarray(cells.column(f"{screen}_score_ppm")) / 1e6
    evaluated = np.asarray(cells.column(f"{screen}_evaluated"))
    mean = scored.sum() / max(evaluated.sum(), 1)
    return pa.array(scored + mean * (np.asarray(cells.column("documents")) - evaluated))


def _scan(store: Store, parts: dict[str, list[Part]], how: Design, seed: bytes) -> pa.Table:
    keeper = SmallestNumbers.of(how)
    slices = {part.shard: part for part in parts[SLICES]}
    ordered = sorted(parts[facts.FAMILY], key=lambda part: part.shard)
    store.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="numbers-", dir=store.scratch) as folder:
        batches = partial(_numbers, store, ordered, seed)
        for part, numbers in zip(ordered, numbered(batches, seed, Path(folder)), strict=True):
            positions = np.asarray(store.read(part, ["position"]).column("position"))
            if len(positions):
                codes = how.assign(store.read(slices[part.shard], list(how.dimensions)))
                keeper.add(codes, numbers, part.shard, positions)
    return keeper.table()


def _numbers(store: Store, parts: Sequence[Part], seed: bytes) -> Iterator[npt.NDArray[np.uint64]]:
    """Permanent random numbers of the parts' documents, a batch per part."""
    for part in parts:
        documents = store.read(part, ["doc_id", "url", "text_digest"]).combine_chunks()
        if len(documents) == 0:
            yield np.empty(0, np.uint64)
            continue
        # A URL outlives a new numbering of the shard; ids may be derived from the position.
        identity = pc.coalesce(documents.column("url"), documents.column("doc_id")).combine_chunks()
        digests = documents.column("text_digest").combine_chunks()
        yield permanent_random_numbers(identity, digests, seed)


def _keep(folder: Path, drawing: Drawing, recorded: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("strata.parquet", drawing.strata()), ("draws.parquet", drawing.draws)):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        write_atomically(folder / name, sink.getvalue().to_pybytes())
    text = json.dumps(recorded, sort_keys=True, indent=2) + "\n"
    write_atomically(folder / "design.json", text.encode())


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
