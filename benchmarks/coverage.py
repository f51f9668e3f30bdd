"""Coverage of the limits and false GO, by simulation: the statistics held against a known truth.

    python -m benchmarks.coverage [--cells 150] [--replicates 2000] [--seed 20261122] [--workers 1]
        [--out benchmarks/results/coverage.json] [--plot docs/images/coverage.svg]

Every cell is a corpus of a million documents with a known share of harm; every replicate draws a sample,
has it reviewed and asks the package for its limits. Three statements are counted per cell:

- the upper 95% limit is at or over the truth,
- the lower 95% limit is at or under the truth,
- a gate whose limit is half a document under the truth does not pass (false GO), at any look: who peeks
  declares GO at the first look at which the gate passes.

Limits are not solved for: one misses exactly where the p-value of the truth is under alpha. The gate is
judged, by ``judge_gates`` and ``decide``, in every replicate in which the upper limit misses (it can pass in
no other, by monotony in the limit) and in some that do not. A cell is bad when its count of a statement would
be a surprise at 0.05 / (3 · cells) were the statement true at 95% exactly (Bonferroni; exact binomial).

The estimand is the share of documents that an adjudicator calls harmful; he does not err. Where reviewers do,
every positive and a tenth of the negatives are adjudicated, and the limits are the two-phase ones. A nested
probe shares its random numbers with the review, so that the review's sample is the first draws of the
probe's: for limits from labels it is a stratified sample like any other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from audit.coverage import Coverage
from audit.policy import GO, Gate, decide, judge_gates
from audit.statistics.estimation import Prevalence
from benchmarks.covering import Cell, covering_cells, uncovered_pairs
from benchmarks.machine import machine
from benchmarks.simulated_audits import Review, Setting, Surprises, evidence, reviewed, setting
from benchmarks.study_plots import coverage_plot

ALPHA = 0.05
FAMILY_WISE = 0.05
STATEMENTS = ("upper", "lower", "no_false_go")
#: The same limits from labels in which negatives that nobody looked at again count as no: a contrast.
BY_LABELS = ("upper_by_labels", "lower_by_labels")
#: Replicates of a cell whose gate is judged although the upper limit does not miss.
_SPOT_CHECKS = 3


def simulate(cell: Cell, replicates: int, seed: np.random.SeedSequence) -> dict[str, Any]:
    """Share of the replicates in which each statement held, with the cell and its cost."""
    started = time.process_time()
    rng = np.random.default_rng(seed)
    shared = setting(cell, rng)
    surprises = Surprises(shared)
    held: Counter[str] = Counter()
    for replicate in range(replicates):
        held.update(_replicate(shared, surprises, rng, check=replicate < _SPOT_CHECKS))
    counted = STATEMENTS if cell.reviewers == "exact" else (*STATEMENTS, *BY_LABELS)
    return {
        **asdict(cell),
        "truth": shared.corpus.truth,
        "draws": [int(size) for size in shared.sizes],
        "peeks": [int(shared.looks[look].sum()) for look in shared.peeks()],
        **{statement: held[statement] / replicates for statement in counted},
        "replicates": replicates,
        "seconds": round(time.process_time() - started, 2),
    }


def _replicate(
    shared: Setting, surprises: Surprises, rng: np.random.Generator, *, check: bool
) -> dict[str, bool]:
    """Look at one review at every look, in order; which statements held at all of them."""
    review = reviewed(shared, rng)
    if shared.cell.reviewers == "erring":
        return _adjudicated(shared, surprises, review, check=check)
    truth, held = shared.corpus.truth, dict.fromkeys(STATEMENTS, True)
    for look in shared.peeks():
        least, most = surprises.at(look, review)
        missed = least < ALPHA
        held["upper"] &= not missed
        held["lower"] &= most >= ALPHA
        if (missed and held["no_false_go"]) or check:
            found = evidence(shared, review, shared.looks[look])
            passed = _says_go(found, truth - 0.5 / len(shared.corpus.harmful))
            held["no_false_go"] &= not passed
            if (passed and held["upper"]) or (missed and found.p_value_at_least(truth) >= ALPHA):
                raise AssertionError(f"the gate does not follow from the limit: {shared.cell}")
    return held


def _adjudicated(shared: Setting, surprises: Surprises, review: Review, *, check: bool) -> dict[str, bool]:
    """The same after adjudication; a gate passes where the limit misses the truth (some are judged)."""
    truth = shared.corpus.truth
    held = dict.fromkeys((*STATEMENTS, *BY_LABELS), True)
    for look in shared.peeks():
        for (upper, lower), p_values in (
            (STATEMENTS[:2], surprises.after_adjudication(look, review)),
            (BY_LABELS, surprises.at(look, review)),
        ):
            held[upper] &= p_values[0] >= ALPHA
            held[lower] &= p_values[1] >= ALPHA
        if check:
            found = evidence(shared, review, shared.looks[look])
            if _says_go(found, truth - 0.5 / len(shared.corpus.harmful)) and held["upper"]:
                raise AssertionError(f"the gate does not follow from the limit: {shared.cell}")
    return held | {"no_false_go": held["upper"]}


def _says_go(found: Prevalence, limit: float) -> bool:
    if limit < 0:
        return False
    gate = Gate("harm", found.metric, limit, alpha=ALPHA)
    results = judge_gates([gate], {(found.metric, found.slice): found})
    return decide(results, coverage=Coverage(screened=1)).verdict == GO


def least_tolerated(replicates: int, cells: int) -> float:
    """Share of replicates under which a statement of nominal level would be a surprise."""
    level = FAMILY_WISE / (len(STATEMENTS) * cells)
    return float(binom.ppf(level, replicates, 1 - ALPHA)) / replicates


def study(cells: Sequence[Cell], replicates: int, seed: int, workers: int = 1) -> dict[str, Any]:
    """All cells, with what was tolerated and which are bad; the same for any number of workers."""
    seeds = np.random.SeedSequence(seed).spawn(len(cells))
    jobs = [(cell, replicates, child) for cell, child in zip(cells, seeds, strict=True)]
    if workers == 1:
        rows = [_announced(simulate(*job)) for job in jobs]
    else:
        with ProcessPoolExecutor(workers) as pool:
            rows = [_announced(row) for row in pool.map(_simulate, jobs)]
    return summary(rows, replicates, seed)


def summary(rows: Sequence[dict[str, Any]], replicates: int, seed: int) -> dict[str, Any]:
    """What was tolerated, which cells are bad, and all cells."""
    least = least_tolerated(replicates, len(rows))
    cells = [Cell(**{field.name: row[field.name] for field in fields(Cell)}) for row in rows]
    return {
        "nominal": 1 - ALPHA,
        "family_wise": FAMILY_WISE,
        "tolerated": least,
        "cells": len(rows),
        "pairs_not_covered": len(uncovered_pairs(cells)),
        "replicates": replicates,
        "seed": seed,
        "bad": [row for row in rows if min(row[s] for s in STATEMENTS) < least],
        "worst": {s: min(rows, key=lambda row: row[s]) for s in STATEMENTS},
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "machine": machine(),
        "results": list(rows),
    }


def _simulate(job: tuple[Cell, int, np.random.SeedSequence]) -> dict[str, Any]:
    return simulate(*job)


def _announced(row: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=150)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--plot", type=Path, help="SVG file for the plot")
    arguments = parser.parse_args()
    found = study(covering_cells(arguments.cells), arguments.replicates, arguments.seed, arguments.workers)
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        arguments.plot.write_text(coverage_plot(found), encoding="utf-8")
    shown = {k: v for k, v in found.items() if k != "results"}
    print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
