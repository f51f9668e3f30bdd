"""Draws the review sample of a run from its parts, and keeps it in ``sample/``, without texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from audit import drawing_tasks, facts, sampled_rows, totals
from audit.config import AuditConfig, digest_json
from audit.drawing_tasks import Places
from audit.duplicates.exchange import Runner, threads
from audit.errors import ConfigurationError, FatalError
from audit.partindex import Catalogue
from audit.permanent_numbers import salted_seed
from audit.sampling_settings import BANDS
from audit.slicing import SLICES
from audit.statistics.allocation import affordable
from audit.statistics.neighbouring_bands import FEW
from audit.statistics.strata import Design, design
from audit.storage.store import Part, Store, write_atomically

PHASE = "review"
#: File of the seed in the run's ``sample`` folder. It tells the draws, also of later versions: private.
SEED = "seed"
Floats = npt.NDArray[np.float64]
_DRAWS, _ROWS, _STRATA = "draws.parquet", "rows.parquet", "strata.parquet"


@dataclass(frozen=True)
class Drawing:
    """A drawn sample.

    Attributes:
        design: How it was drawn.
        draws: stratum, shard, position, draw (rank from 1), inclusion_probability.
        cells: The corpus by combination of dimensions, with the ``stratum`` of each.
        rows: What is known of each drawn document (``audit.sampled_rows``).
        phase: Whom it is for.
    """

    design: Design
    draws: pa.Table
    cells: pa.Table
    rows: pa.Table
    phase: str = PHASE

    def strata(self) -> pa.Table:
        """The ``strata`` table of the database."""
        table = self.design.strata
        size = len(table)
        how = f"{_in_words(self.design)}; permanent random numbers"
        return pa.table(
            {
                "phase": pa.array([self.phase] * size, pa.string()),
                "stratum": table.column("stratum"),
                "design": pa.array([how] * size, pa.string()),
                "documents": table.column("documents"),
                "tokens": table.column("tokens"),
                "drawn": table.column("size"),
            }
        )


@dataclass(frozen=True)
class Phase:
    """Whom a sample is for, and how it stands to others.

    Attributes:
        name: As the tables ``strata`` and ``samples`` name it.
        formed_for: Documents that strata are formed for; None: as many as the review's configuration says.
        salt: Makes its numbers independent of the review's; None: they are the same.
    """

    name: str = PHASE
    formed_for: int | None = None
    salt: str | None = None


def draw(
    folder: Path,
    store: Store,
    config: AuditConfig,
    parts: Catalogue,
    size: int,
    phase: Phase = Phase(),
    runner: Runner = threads,
) -> Drawing:
    """Draw a sample, or recall the one that stands when nothing that decides it has changed.

    Args:
        folder: The run's ``sample`` folder.
        store: The run's parts.
        config: Names the strata.
        parts: Of the run. Only the corpus' totals are read where the sample stands.
        size: Documents in all; strata are formed for the configured size, so that a larger one extends.
        phase: Whom the sample is for.
        runner: Runs tasks that read parts, and see the scratch folder of the store.
    """
    seed = load_seed(folder if phase.name == PHASE else folder.parent)
    if phase.salt is not None:
        seed = salted_seed(seed, phase.salt)
    cells = _cells(store, parts, config)
    formed_for = phase.formed_for
    if formed_for is None:
        formed_for = declared_size(store, config, parts)
    how = _designed(cells, config, formed_for, size, whole=phase.salt is None or phase.name == PHASE)
    labels = how.strata.column("stratum").take(pa.array(how.assign(cells)))
    cells = cells.append_column("stratum", labels)
    # The key of the totals digests those of all shards' parts.
    read = [part.key for part in parts.family(totals.FAMILY)]
    inputs = digest_json([seed.hex(), size, read, _plain(how.strata)])
    if _recorded(folder).get("inputs") == inputs:
        draws, rows = (pq.read_table(folder / name) for name in (_DRAWS, _ROWS))
        return Drawing(how, draws, cells, rows, phase.name)
    screens = config.build_screens()
    families = (facts.FAMILY, SLICES, *sampled_rows.detecting(screens))
    by_family = {family: some for family in families if (some := parts.family(family))}
    draws = drawing_tasks.draw(store.resolved(), _shards(by_family), how, seed, runner)
    rows = sampled_rows.gather(store.resolved(), by_family, draws, screens, runner)
    drawing = Drawing(how, draws, cells, rows, phase.name)
    _keep(folder, drawing, {"inputs": inputs, "size": size, "phase": phase.name})
    return drawing


def declared_size(store: Store, config: AuditConfig, parts: Catalogue) -> int:
    """How many documents the configuration asks for: its size, or what its budget is expected to pay for.

    Args:
        store: The run's parts.
        config: Of the run.
        parts: Of the run.

    Raises:
        ConfigurationError: The budget does not pay for one document, or for what is to be judged whole.
    """
    budget = config.sampling.budget
    if budget is None or not parts.family(totals.FAMILY):
        return config.sampling.size
    cells = _cells(store, parts, config)
    if not len(cells):
        return config.sampling.size
    cost, documents = (np.asarray(cells.column(name)) for name in ("cost", "documents"))
    # Strata depend on the size and the costs on the strata; every step goes down, so the last one is paid.
    size = int(min(documents.sum(), budget / (cost / documents).min()))
    while (paid := _paid(cells, config, size, budget)) < size:
        size = paid
    if size < 1:
        raise ConfigurationError(
            "the budget does not pay for a single judgement",
            key="sampling.budget",
            remedy="Give it in the unit of sampling.cost",
        )
    return size


def _paid(cells: pa.Table, config: AuditConfig, size: int, budget: float) -> int:
    """Documents that the budget is expected to pay for in strata that are formed for a size."""
    if size < 1:
        return 0
    how = _designed(cells, config, size, size)
    each = np.asarray(cells.column("cost"), np.float64)
    cost: Floats = np.bincount(how.assign(cells), each, len(how.strata)).astype(np.float64)
    documents = np.asarray(how.strata.column("documents"))
    try:
        return affordable(
            documents, how.target, cost, budget, how.proportional_share, how.minimum, how.taken_whole
        )
    except ValueError as error:
        raise ConfigurationError(
            str(error), key="sampling.budget", remedy="Raise it, or take less whole"
        ) from None


def _designed(
    cells: pa.Table, config: AuditConfig, formed_for: int, size: int, *, whole: bool = True
) -> Design:
    """The configured design; cells are taken whole where that is a matter of this sample.

    Raises:
        ConfigurationError: More is to be taken whole than is drawn.
    """
    sampling = config.sampling
    try:
        return design(
            cells,
            config.strata(),
            formed_for,
            proportional_share=sampling.proportional_share,
            minimum=sampling.minimum_per_stratum,
            allocation=sampling.allocation,
            take_all=sampling.take_all if whole else (),
            most_bands=FEW if sampling.bands == BANDS else None,
        ).resized(size)
    except ValueError as error:
        raise ConfigurationError(
            str(error), key="sampling.take_all", remedy="Raise the size, or take less whole"
        ) from None


_REST = {
    "neyman": "the rest by predicted variance",
    "equal": "the rest to each stratum alike",
    "cost": "the rest by predicted variance and cost",
}


def _in_words(how: Design) -> str:
    rest = _REST.get(how.allocation)
    share = f"{how.proportional_share:.0%} proportional, {rest}" if rest else "proportional"
    least = f", at least {how.minimum} a stratum" if how.minimum > 1 else ""
    whole = ", some strata whole" if how.taken_whole.any() else ""
    return f"{share}{least}{whole}"


def keep_seed(folder: Path, seed: bytes) -> bytes:
    """Keep the seed of a run's draws; the one that stands stays. Returns what stands."""
    path = folder / SEED
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{seed.hex()}\n".encode())
    return load_seed(folder)


def load_seed(folder: Path) -> bytes:
    """The seed of a run's draws.

    Args:
        folder: The run's ``sample`` folder.

    Raises:
        FatalError: There is none.
    """
    try:
        return bytes.fromhex((folder / SEED).read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise FatalError("the seed of the sample is not there; run the audit again") from error


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


def _cells(store: Store, parts: Catalogue, config: AuditConfig) -> pa.Table:
    """The corpus by cell, with the ``cost`` of judging it and the harm that a screen has us ``expect``."""
    (total,) = parts.family(totals.FAMILY)
    merged = store.read(total)
    if (cost := config.sampling.cost) is not None:
        documents, words = (np.asarray(merged.column(name)) for name in ("documents", "words"))
        each = cost.fixed * documents + cost.per_thousand_words * words / 1000
        merged = merged.append_column("cost", pa.array(each))
    screens = config.detectors().values()
    predictor = next((screen for screen in screens if f"{screen}_score_ppm" in merged.column_names), None)
    if predictor is None:
        return merged
    return merged.append_column("expected", expected_harm(merged, predictor))


def expected_harm(cells: pa.Table, screen: str) -> pa.Array:
    """Harmful documents that a screen predicts by cell; what it did not evaluate is taken for the mean.

    A document without a score is no safer than the others: a prediction of 0 would starve its stratum.
    """
    scored = np.asarray(cells.column(f"{screen}_score_ppm")) / 1e6
    evaluated = np.asarray(cells.column(f"{screen}_evaluated"))
    mean = scored.sum() / max(evaluated.sum(), 1)
    return pa.array(scored + mean * (np.asarray(cells.column("documents")) - evaluated))


def _shards(parts: Mapping[str, Sequence[Part]]) -> list[Places]:
    """Where each shard's documents and dimensions lie, in the corpus' order."""
    slices = {part.shard: part for part in parts[SLICES]}
    ordered = sorted(parts[facts.FAMILY], key=lambda part: part.shard)
    return [Places(part, slices[part.shard]) for part in ordered]


def _keep(folder: Path, drawing: Drawing, recorded: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in ((_STRATA, drawing.strata()), (_DRAWS, drawing.draws), (_ROWS, drawing.rows)):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        write_atomically(folder / name, sink.getvalue().to_pybytes())
    text = json.dumps(recorded, sort_keys=True, indent=2) + "\n"
    write_atomically(folder / "design.json", text.encode())


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
