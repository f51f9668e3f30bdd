"""Width of the limits against Clopper-Pearson on as many simple random labels, and the naive interval's trap.

    python -m benchmarks.widths [--replicates 400] [--out benchmarks/results/widths.json]

Corpora are those of the simulation study in the default bands of the score, which a run's design joins to the
few that suit the size (``audit.statistics.neighbouring_bands``); drawn with a proportional share of one half.
Compared are median widths at 95% a side: up to the upper limit where there is no harm, from limit to limit
elsewhere. The naive interval is that of an effective sample size: ``p(1 - p)`` over the stratified variance
that the sample shows, in which a stratum without a positive counts as certain. Its width is what one would
like to have, its coverage is what one would get.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import beta, binom

from audit.sampling_settings import BANDS
from audit.statistics.neighbouring_bands import BAND, FEW, LEAST
from audit.statistics.strata import design
from audit.statistics.stratified_limits import JudgedValues, lower_limit, upper_limit
from benchmarks.covering import Cell
from benchmarks.machine import machine
from benchmarks.simulated_audits import Floats, Setting, reviewed, setting

ALPHA = 0.05
PROPORTIONAL_SHARE = 0.5
#: (prevalence, n): no harm; under ten harmful documents expected; ten or more; thirty or more.
CASES = (
    (0.0, 300),
    (0.0, 3_000),
    (1e-3, 300),
    (1e-3, 3_000),
    (1e-3, 10_000),
    (0.01, 1_000),
    (0.1, 100),
    (0.3, 100),
    (0.5, 100),
    (1e-3, 30_000),
    (0.01, 3_000),
    (0.01, 10_000),
    (0.1, 300),
    (0.1, 1_000),
    (0.1, 3_000),
    (0.5, 300),
)
AUCS = (0.5, 0.8, 0.95, 0.99)
#: No wider than this: with ten harmful documents expected; with thirty and an AUC of 0.95.
NEVER_OVER, WITH_A_GOOD_DETECTOR = 1.25, 0.65


@dataclass(frozen=True)
class Widths:
    """Limits of the replicates of one case, shape (replicates,) each."""

    lower: Floats
    upper: Floats
    naive_lower: Floats
    naive_upper: Floats


def simulate(prevalence: float, n: int, auc: float, replicates: int, seed: int) -> dict[str, Any]:
    """Median widths of one case, relative to simple random labels, and what the naive interval covers."""
    started = time.process_time()
    rng = np.random.default_rng([seed, n, round(1e6 * prevalence), round(100 * auc)])
    shared = _formed(setting(Cell(prevalence, n, FEW, auc, "score bands", "fixed", "exact"), rng), n)
    found = _limits(shared, replicates, rng)
    truth = shared.corpus.truth
    simple_lower, simple_upper = _simple_random(truth, n)
    simple = simple_upper - (simple_lower if truth else 0.0)
    width = np.median(found.upper - (found.lower if truth else 0.0))
    naive = np.median(found.naive_upper - found.naive_lower)
    return {
        "prevalence": prevalence,
        "n": n,
        "auc": auc,
        "strata": len(shared.sizes),
        "expected_positives": prevalence * n,
        "simple_random": simple,
        "ratio": float(width / simple),
        "naive_ratio": float(naive / simple),
        "covered": float(((found.lower <= truth) & (truth <= found.upper)).mean()),
        "naive_covered": float(((found.naive_lower <= truth) & (truth <= found.naive_upper)).mean()),
        "goal": _goal(prevalence * n, auc),
        "replicates": replicates,
        "seconds": round(time.process_time() - started, 2),
    }


def _formed(shared: Setting, n: int) -> Setting:
    """The setting in the strata that a run forms of the default bands for n draws."""
    ends = np.searchsorted(shared.corpus.scores, BANDS)
    held = np.append(ends > np.append(0, ends[:-1]), ends[-1] < len(shared.corpus.scores))
    starts = np.append(0, ends)[held]
    corpus = replace(shared.corpus, starts=np.append(starts, len(shared.corpus.scores)))
    edges = np.array([0.0, *BANDS, 1.0])
    names = [f"{low:g}-{high:g}" for low, high in zip(edges[:-1][held], edges[1:][held], strict=True)]
    columns = {f"score{BAND}": names, "documents": corpus.sizes, "tokens": corpus.sizes}
    cells = pa.table({**columns, "expected": corpus.expected})
    how = design(cells, [f"score{BAND}"], n, most_bands=FEW)
    codes = how.assign(cells)
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    order = codes[first]
    joined = replace(corpus, starts=np.append(corpus.starts[first], corpus.starts[-1]))
    strata = tuple(np.array(how.strata.column("stratum").to_pylist())[order].tolist())
    return replace(shared, corpus=joined, sizes=how.strata.column("size").to_numpy()[order], names=strata)


def _goal(positives: float, auc: float) -> float | None:
    """The widest ratio that was asked for."""
    if positives == 0:
        return 1 / PROPORTIONAL_SHARE
    if positives >= 30 and auc >= 0.95:
        return WITH_A_GOOD_DETECTOR
    return NEVER_OVER if positives >= 10 else None


def _limits(shared: Setting, replicates: int, rng: np.random.Generator) -> Widths:
    shares = shared.corpus.sizes / shared.corpus.sizes.sum()
    rows = []
    for _ in range(replicates):
        yes, _ = reviewed(shared, rng).counts(shared.sizes)
        judged = JudgedValues.of_counts(shares, shared.sizes, yes)
        limits = lower_limit(judged, ALPHA), upper_limit(judged, ALPHA)
        rows.append((*limits, *naive(shares, shared.sizes, yes)))
    return Widths(*np.array(rows).T)


def naive(shares: Floats, drawn: Floats, yes: Floats) -> tuple[float, float]:
    """Normal limits by an effective sample size; certain where no stratum shows both labels."""
    rates = yes / drawn
    point = float(shares @ rates)
    variance = float(shares**2 @ (rates * (1 - rates) / drawn))
    if variance == 0:
        return point, point
    effective = point * (1 - point) / variance
    return (
        float(beta.ppf(ALPHA, point * effective, (1 - point) * effective + 1)),
        float(beta.ppf(1 - ALPHA, point * effective + 1, (1 - point) * effective)),
    )


def _simple_random(truth: float, n: int) -> tuple[float, float]:
    """Median Clopper-Pearson limits."""
    yes = np.arange(n + 1)
    chance = binom.pmf(yes, n, truth)
    lower = np.where(yes > 0, beta.ppf(ALPHA, yes, n - yes + 1), 0.0)
    upper = np.where(yes < n, beta.ppf(1 - ALPHA, yes + 1, n - yes), 1.0)
    widths = upper - (lower if truth else 0.0)
    order = np.argsort(widths)
    middle = order[np.searchsorted(np.cumsum(chance[order]), 0.5)]
    return float(lower[middle]) if truth else 0.0, float(upper[middle])


def study(replicates: int, seed: int, cases: Sequence[tuple[float, int]] = CASES) -> dict[str, Any]:
    """All cases at all AUCs."""
    rows = [simulate(p, n, auc, replicates, seed) for p, n in cases for auc in AUCS]
    return {
        "alpha": ALPHA,
        "cuts": BANDS,
        "most_bands": FEW,
        "joined_under": LEAST,
        "proportional_share": PROPORTIONAL_SHARE,
        "over_goal": [row for row in rows if row["goal"] is not None and row["ratio"] > row["goal"]],
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "machine": machine(),
        "results": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    text = json.dumps(study(arguments.replicates, arguments.seed), indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
