"""The plan of a run's review: what a budget of judgements is likely to decide, gate by gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit import drawing, frozen_plan
from audit.config import AuditConfig
from audit.coverage import Coverage
from audit.dimensions import REPORTED, conditions
from audit.drawing import Drawing
from audit.errors import ConfigurationError
from audit.evidence import judged_draws
from audit.gate_evidence import Charged, charge
from audit.model import WHOLE
from audit.policy import Gate
from audit.run import Run
from audit.screens.toxicity import Toxicity
from audit.statistics.census import Unit
from audit.statistics.estimation import FIXED, LABELS, completed_prefix
from audit.statistics.planning import Fixed, Forecast, Frame, Target, evidence, foresee
from audit.statistics.predictions import Labels, Prediction, adjusted, doubted
from audit.statistics.sequential import FARTHEST, size_at
from audit.statistics.strata import Design
from audit.toxicity.toxicity_model import packaged_card

#: Predicted shares of yes are also doubled and halved: no prediction is exact.
FACTORS = (0.5, 1.0, 2.0)
#: A gate is decided by a budget that passes or fails it in so many of the replicates.
POWER = 0.8
_SMALLEST, _GROWTH, _LARGEST = 50, 2**0.5, 50_000
_REPLICATES = 100
#: Replicates at the budget itself whose limits are computed, for the range of their widths.
_RANGED = 79
_QUICK = 9
#: Assumed of a question that nothing predicts: this share of its strictest limit.
_ASSUMED = 0.25


def plan(run: Run, budget: int | None = None) -> dict[str, Any]:
    """What several budgets are likely to decide; the run must be locked.

    Args:
        run: A run whose sample was drawn.
        budget: Judgements in all, those that stand included; by default what the sample was drawn for.

    Returns:
        ``budget``; ``judged``, ``predictions`` and ``bases`` (scores alone, or judgements so far) by
        question; ``gates``; ``forecasts`` at the budget, one per factor, and ``if_right``: as if the
        prediction were exact; ``ladder``: forecasts as predicted at growing budgets; ``decided_by``: gate
        -> budget or null; ``verdict_by``; ``fixed``: gates that no judgement changes; ``obstacle`` to any GO.

    Raises:
        ConfigurationError: No document was drawn, or no gate rests on judgements.
    """
    config = run.config()
    drawn = _standing(run, config)
    cells = _merged(drawn)
    frame = _frame(drawn, cells)
    targets, others = _targets(config, cells)
    if not targets:
        raise ConfigurationError(
            "no gate of the policy rests on judgements, so there is nothing to plan",
            key="policy.gates",
            remedy=f"Name a gate whose metric is one of {', '.join(config.sampling.metrics)}",
        )
    coverage = Coverage(**run.scorecard()["accounting"]["coverage"])
    targets = [_charged(frame, target, drawn.design, coverage) for target in targets]
    with run.connect() as db:
        share = config.sampling.adjudication_share
        predictions = [
            _doubted(_prediction(db, question, screen, frame, cells, targets, share), frame, screen)
            for question in dict.fromkeys(target.question for target in targets)
            for screen in (config.detectors().get(question),)
        ]
        fixed = _fixed(db, others)
    judged = max(len(p.judged.cell) for p in predictions)

    def at(how: Design, factor: float = 1.0, *, right: bool = False, limits_of: int = _QUICK) -> Forecast:
        believed = [p.as_if_right() for p in predictions] if right else predictions
        rule = config.sampling.rule
        return foresee(
            frame,
            believed,
            targets,
            fixed,
            how,
            rule=rule,
            factor=factor,
            replicates=_REPLICATES,
            limits_of=limits_of,
        )

    chosen = _of_size(drawn.design, budget or drawn.design.size, judged)
    ladder = [at(_of_size(drawn.design, size, judged)) for size in _budgets(drawn.design, judged)]
    return {
        "budget": chosen.size,
        "declared": chosen.declared,
        "judged": {p.question: len(p.judged.cell) for p in predictions},
        "predictions": {p.question: p.basis for p in predictions},
        "bases": {p.question: p.rests_on for p in predictions},
        "gates": [
            {
                "gate": t.gate.name,
                "metric": t.gate.metric,
                "slice": t.gate.slice,
                "limit": t.gate.limit,
                "question": t.question,
            }
            for t in targets
        ],
        "forecasts": [asdict(at(chosen, factor, limits_of=_RANGED)) for factor in FACTORS],
        "if_right": asdict(at(chosen, right=True, limits_of=_RANGED)),
        "ladder": [asdict(forecast) for forecast in ladder],
        "decided_by": {t.gate.name: _decided_by(ladder, i) for i, t in enumerate(targets)},
        "verdict_by": _first(ladder, [f.go + f.no_go for f in ladder]),
        "fixed": [{"gate": one.gate.name, "outcome": one.outcome} for one in fixed],
        "obstacle": coverage.obstacle(),
        "power": POWER,
        "replicates": _REPLICATES,
    }


def _standing(run: Run, config: AuditConfig) -> Drawing:
    size = drawing.size_drawn(run.sample)
    if size is None:
        raise ConfigurationError(
            "no sample was drawn", file=run.place, remedy="Run the audit to its end first"
        )
    return frozen_plan.draw(run, config, frozen_plan.standing(run, config), size)


def _merged(drawn: Drawing) -> pa.Table:
    """The corpus by stratum and reported dimensions; what else tells cells apart, a stratum need not know."""
    keys = ["stratum", *REPORTED]
    counts = [f.name for f in drawn.cells.schema if f.type != pa.string()]
    wanted = [(name, "max" if name == "max_tokens" else "sum") for name in counts]
    merged = drawn.cells.group_by(keys, use_threads=False).aggregate(wanted)
    renamed = {f"{name}_{how}": name for name, how in wanted}
    return merged.rename_columns([renamed.get(name, name) for name in merged.column_names])


def _frame(drawn: Drawing, cells: pa.Table) -> Frame:
    strata = drawn.design.strata.column("stratum").combine_chunks()
    return Frame(
        tuple(strata.to_pylist()),
        np.asarray(pc.index_in(cells.column("stratum"), value_set=strata), np.int64),
        *(np.asarray(cells.column(name), np.int64) for name in ("documents", "tokens", "max_tokens")),
    )


def _targets(config: AuditConfig, cells: pa.Table) -> tuple[list[Target], list[Gate]]:
    """Gates that judgements decide, and the others."""
    targets: list[Target] = []
    others: list[Gate] = []
    for gate in config.policy.gates:
        question = gate.metric.removesuffix(".tokens")
        members = _members(cells, gate.slice)
        if question in config.sampling.metrics and members.any():
            unit: Unit = "documents" if question == gate.metric else "tokens"
            targets.append(Target(gate, question, members, unit))
        else:
            others.append(gate)
    return targets, others


def _charged(frame: Frame, target: Target, how: Design, coverage: Coverage) -> Target:
    """The target with what was not read of its slice, as the evaluation charges it."""
    whole = Target(
        replace(target.gate, slice=WHOLE), target.question, np.ones_like(target.members), target.unit
    )
    of = {
        (one.gate.metric, one.gate.slice): evidence(frame, Labels.none(), one, how, FIXED)
        for one in (whole, target)
    }
    found = charge(of, coverage)[target.gate.metric, target.gate.slice]
    return replace(target, unread=found.unread) if isinstance(found, Charged) else target


def _members(cells: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    mask = np.ones(len(cells), bool)
    for dimension, value in conditions(name).items():
        mask &= np.asarray(pc.equal(cells.column(dimension), value).to_numpy(), bool)
    return mask


def _prediction(
    db: duckdb.DuckDBPyConnection,
    question: str,
    screen: str | None,
    frame: Frame,
    cells: pa.Table,
    targets: Sequence[Target],
    again: float,
) -> Prediction:
    judged = _judged(judged_draws(db, question), frame, cells, again)
    documents = np.maximum(frame.documents, 1)
    if screen is not None and f"{screen}_score_ppm" in cells.column_names:
        expected = np.asarray(drawing.expected_harm(cells, screen))
        return Prediction(question, expected / documents, judged, f"scores of the screen {screen!r}")
    if screen is not None and f"{screen}_flagged" in cells.column_names:
        flagged, evaluated = (np.asarray(cells.column(f"{screen}_{n}")) for n in ("flagged", "evaluated"))
        overall = flagged.sum() / max(evaluated.sum(), 1)
        shares = np.where(evaluated > 0, flagged / np.maximum(evaluated, 1), overall)
        return Prediction(question, shares, judged, f"what the screen {screen!r} flags")
    strictest = min(target.gate.limit for target in targets if target.question == question)
    basis = f"no screen predicts it; assumed {_ASSUMED:.0%} of its strictest limit"
    return Prediction(question, np.full(len(cells), _ASSUMED * strictest), judged, basis)


def _doubted(prediction: Prediction, frame: Frame, screen: str | None) -> Prediction:
    """What judgements say, or else what the screen's scores were worth on labelled data."""
    slopes: tuple[float, ...] = ()
    if screen == Toxicity.name:
        slopes = held_out_slopes()
    return doubted(adjusted(prediction), frame.documents, slopes)


def held_out_slopes(left_out: str = "") -> tuple[float, ...]:
    """Slopes of recalibrating the toxicity scores on the data sets of the model's card, out of fold.

    Args:
        left_out: A data set that is itself to be planned for.
    """
    sets = packaged_card()["data_sets"]
    return tuple(
        row["calibration"]["slope"] for row in sets if "calibration" in row and row["data_set"] != left_out
    )


def _judged(draws: pa.Table, frame: Frame, cells: pa.Table, again: float) -> Labels:
    """The completed prefix of each stratum."""
    keys = ["stratum", *REPORTED]
    rows = {tuple(row.values()): cell for cell, row in enumerate(cells.select(keys).to_pylist())}
    cell = np.array([rows[tuple(row.values())] for row in draws.select(keys).to_pylist()], np.int64)
    label = np.array([LABELS.get(label, -1) for label in draws.column("label").to_pylist()], np.int8)
    draw, stratum = draws.column("draw").to_numpy(), frame.stratum[cell]
    counts = np.zeros(len(cell), bool)
    for h in np.unique(stratum):
        inside = np.flatnonzero(stratum == h)
        counts[inside] = completed_prefix(draw[inside], label[inside] >= 0)
    tokens, stored = draws.column("tokens").to_numpy()[counts], draws.column("weight")
    if stored.null_count == len(stored):
        return Labels(cell[counts], label[counts], tokens)
    return Labels(cell[counts], label[counts], tokens, stored.to_numpy().astype(float)[counts], again)


def _fixed(db: duckdb.DuckDBPyConnection, gates: Sequence[Gate]) -> list[Fixed]:
    outcomes: dict[str, str] = dict(db.execute("SELECT gate, outcome FROM gates").fetchall())
    return [Fixed(gate, outcomes[gate.name]) for gate in gates]


def _of_size(how: Design, size: int, judged: int) -> Design:
    """The design with another size, which is the declared one as long as nothing is judged."""
    resized = how.resized(size)
    return resized if judged else replace(resized, declared=size)


def _budgets(how: Design, judged: int) -> list[int]:
    """Growing sizes up to a limit; once something is judged, those at which the review may be looked at."""
    most = min(int(how.strata.column("documents").to_numpy().sum()), _LARGEST)
    if judged:
        looks = (size_at(how.declared, look) for look in range(-FARTHEST, FARTHEST + 1))
        return [size for size in looks if max(judged, _SMALLEST) <= size <= most] or [most]
    steps = int(np.log(max(most / _SMALLEST, 1.0)) / np.log(_GROWTH)) + 1
    return [*(round(_SMALLEST * _GROWTH**step) for step in range(steps)), most]


def _decided_by(ladder: Sequence[Forecast], gate: int) -> int | None:
    return _first(ladder, [f.gates[gate].passes + f.gates[gate].fails for f in ladder])


def _first(ladder: Sequence[Forecast], shares: Sequence[float]) -> int | None:
    """The smallest budget from which on a share stays at or over the power."""
    found = None
    for forecast, share in zip(reversed(ladder), reversed(shares), strict=True):
        if share < POWER:
            break
        found = forecast.budget
    return found
