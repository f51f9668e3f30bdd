"""Coverage of the one-sided limits and false GO by simulation, and their width against simple random labels.

    python benchmarks/coverage.py --replicates 2000

Each cell is a corpus in strata of unequal size and prevalence with an unequal allocation. A limit covers
when the test at the true prevalence does not reject it, so no limit has to be solved for. Coverage of the
upper limit is also the false-GO rate's complement: with the limit of the gate just under the truth, the gate
passes exactly where the upper limit misses. The tolerance is a family-wise one: with C cells, the binomial
quantile at 0.05 / C.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import beta, binom

from audit.estimation import Prevalence, StratumSample
from audit.limits import WeightedCounts, p_value_at_least, p_value_at_most, upper_limit

PREVALENCES = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 0.5)
SIZES = (100, 400, 2000)
STRATA = (1, 3, 20)
#: How prevalence and draws relate: no relation; risk in one small stratum that is oversampled; the same
#: risk in a stratum with the largest weight (the detector misleads); all harm in one stratum of many.
SHAPES = ("flat", "informed", "misled", "hidden")
ALPHA = 0.05


@dataclass(frozen=True)
class Cell:
    prevalence: float
    n: int
    strata: int
    shape: str


def cells() -> Iterator[Cell]:
    for prevalence in PREVALENCES:
        for n in SIZES:
            for strata in STRATA:
                for shape in SHAPES if strata > 1 else SHAPES[:1]:
                    yield Cell(prevalence, n, strata, shape)


def population(cell: Cell) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, draws and prevalences of the strata; half of the draws proportional, half by risk."""
    weight = 0.6 ** np.arange(cell.strata)
    weight /= weight.sum()
    risk = np.ones(cell.strata) if cell.shape == "flat" else 1.0 / weight
    draws = cell.n * (0.5 * weight + 0.5 * risk * weight / (risk * weight).sum())
    draws = np.maximum(np.round(draws), 1).astype(int)
    relative = {
        "flat": np.ones(cell.strata),
        "informed": 1.0 / weight,
        "misled": weight,
        "hidden": (np.arange(cell.strata) == 0).astype(float),
    }[cell.shape]
    rates = relative * cell.prevalence / (weight @ relative)
    for _ in range(50):  # rates over 1 spill onto the other strata
        rates = np.minimum(rates, 1.0)
        rates += (cell.prevalence - weight @ rates) * (rates < 1) / max(weight[rates < 1].sum(), 1e-12)
    return weight, draws, np.clip(rates, 0.0, 1.0)


def counts_of(weight: np.ndarray, draws: np.ndarray, yes: np.ndarray) -> WeightedCounts:
    each = weight / draws
    return WeightedCounts(each, yes.astype(float), (draws - yes).astype(float), float(each.max()))


def simulate(cell: Cell, replicates: int, rng: np.random.Generator) -> dict[str, object]:
    weight, draws, rates = population(cell)
    truth = float(weight @ rates)
    outcomes = Counter(map(tuple, rng.binomial(draws, rates, (replicates, cell.strata)).tolist()))
    upper = lower = 0
    for outcome, times in outcomes.items():
        counts = counts_of(weight, draws, np.array(outcome))
        upper += times * (p_value_at_least(counts, truth) >= ALPHA)
        lower += times * (p_value_at_most(counts, truth) >= ALPHA)
    return {**asdict(cell), "upper": upper / replicates, "lower": lower / replicates}


def finite(rng: np.random.Generator, replicates: int) -> dict[str, object]:
    """Whole path on a finite corpus drawn without replacement, skewed tokens, harm in long documents."""
    n_docs, n = np.array([8000, 1500, 500]), np.array([120, 80, 100])
    tokens = [np.ceil(rng.lognormal(5, 1, size)).astype(np.int64) for size in n_docs]
    harm = [
        rng.random(len(t)) < rate * t / t.mean() for t, rate in zip(tokens, (0.003, 0.02, 0.1), strict=True)
    ]
    truth = {
        "documents": sum(h.sum() for h in harm) / n_docs.sum(),
        "tokens": sum(t[h].sum() for t, h in zip(tokens, harm, strict=True)) / sum(t.sum() for t in tokens),
    }
    covered: Counter[str] = Counter()
    for _ in range(replicates):
        drawn = [rng.choice(size, k, replace=False) for size, k in zip(n_docs, n, strict=True)]
        strata = tuple(
            StratumSample(str(i), len(t), int(t.sum()), h[d].astype(np.int8), t[d], int(t.max()))
            for i, (t, h, d) in enumerate(zip(tokens, harm, drawn, strict=True))
        )
        for unit in ("documents", "tokens"):
            sample = Prevalence("toxicity", "all", strata, unit)
            covered[f"{unit}.lower"] += sample.p_value_at_most(truth[unit]) >= ALPHA
            covered[f"{unit}.upper"] += sample.p_value_at_least(truth[unit]) >= ALPHA
    return {key: covered[key] / replicates for key in sorted(covered)}


def widths() -> list[dict[str, object]]:
    """Upper limit at the expected outcome against Clopper-Pearson on as many simple random labels."""
    table = []
    for prevalence, n, shape in [(0.0, 400, "informed"), (0.02, 1000, "informed"), (0.02, 1000, "flat")]:
        weight, draws, rates = population(Cell(prevalence, n, 10, shape))
        yes = draws * rates
        limit = upper_limit(counts_of(weight, draws, yes), ALPHA)
        simple = float(beta.ppf(1 - ALPHA, n * prevalence + 1, n * (1 - prevalence)))
        ratio = (limit - prevalence) / (simple - prevalence)
        table.append({"prevalence": prevalence, "n": n, "shape": shape, "ratio": round(ratio, 3)})
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20261122)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    rows = [simulate(cell, arguments.replicates, rng) for cell in cells()]
    least = binom.ppf(ALPHA / (2 * len(rows)), arguments.replicates, 1 - ALPHA) / arguments.replicates
    worst = {side: min(rows, key=lambda row: row[side]) for side in ("upper", "lower")}
    report = {
        "nominal": 1 - ALPHA,
        "cells": len(rows),
        "replicates": arguments.replicates,
        "tolerated": least,
        "under_tolerance": [row for row in rows if min(row["upper"], row["lower"]) < least],
        "worst": worst,
        "finite_population": finite(rng, min(arguments.replicates, 500)),
        "widths": widths(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
