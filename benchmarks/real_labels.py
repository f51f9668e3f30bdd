"""Coverage and planned widths on labels of people, with data sets as corpora whose whole truth is known.

    python -m benchmarks.real_labels DATA [--replicates 500] [--out benchmarks/results/real_labels.json]

DATA holds ``toxicity.parquet`` and ``web_docs.parquet``. Three of its data sets are audited: comments of
Wikipedia of which 0.6% are toxic, Civil Comments of which 70% are, and tweets in Portuguese, 19%. The
detector is this package's, its scores out of fold. A replicate is a draw under its own seed by the package's
permanent random numbers and design (bands of the score, half of the draws in proportion to size), and the
data set's label is the judgement.

Planned widths: ``planning`` plays the review before a label is seen, from the scores alone, as if they
were right and with the doubt that a run's plan has (slopes of the other data sets on the model's card), and
once more after the first ``PILOT`` judgements of the same sample. They are held against the width that the
replicates then had, from limit to limit, at 95% each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit
from scipy.stats import beta, binom, hypergeom

from audit.permanent_numbers import permanent_random_numbers
from audit.policy import Gate
from audit.review_plan import held_out_slopes
from audit.sampling_settings import BANDS
from audit.statistics.estimation import FIXED, Prevalence, StratumSample
from audit.statistics.neighbouring_bands import FEW
from audit.statistics.planning import Frame, GateForecast, Target, foresee
from audit.statistics.predictions import Labels, Prediction, adjusted, doubted
from audit.statistics.sampling import SmallestNumbers, derive_seed
from audit.statistics.strata import Design, design
from audit.training.crossfit import cross_validate
from audit.training.plan import Plan
from audit.training.toxicity import cross_fitted_logits, read_subject
from benchmarks.machine import machine

CORPORA = {"wiki_context_gn": "en", "civil_toxic_spans": "en", "told_br": "pt"}
SIZES = (300, 600, 1000, 2000)
BAND = "toxicity_band"
ALPHA = 0.05
FAMILY_WISE = 0.05
PILOT = 100
#: Replicates after whose pilot a plan is made.
_PLANS = 20
_PLAYED = 25
#: The same for a plan from scores, of which a range is asked.
_RANGED = 99
_TOKENS = 100

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelledCorpus:
    """A data set as a corpus.

    Attributes:
        name: Of the data set.
        toxic: Labels, shape (n,).
        scores: The detector's probabilities, out of fold, shape (n,).
        band: Code of each document's band, shape (n,).
        cells: A row per band with documents, for a design.
        identity, digests: From which permanent random numbers follow.
    """

    name: str
    toxic: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]
    band: npt.NDArray[np.int64]
    cells: pa.Table
    identity: pa.Array
    digests: pa.Array

    @property
    def truth(self) -> float:
        """Share of toxic documents."""
        return float(self.toxic.mean())


def read_corpora(folder: Path) -> list[LabelledCorpus]:
    """The data sets, scored out of fold by models trained from scratch."""
    subject = read_subject(folder)
    data = subject.data
    margins = cross_validate(subject, Plan(), {})
    logits = cross_fitted_logits(data, margins, sorted(set(CORPORA.values())))
    chosen = {name: data.datasets == name for name in CORPORA}
    return [labelled_corpus(name, data.toxic[rows], expit(logits[rows])) for name, rows in chosen.items()]


def labelled_corpus(
    name: str, toxic: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]
) -> LabelledCorpus:
    """A corpus in the default bands of the configuration."""
    cuts = np.array(BANDS)
    edges = [0.0, *BANDS, 1.0]
    present, band = np.unique(np.searchsorted(cuts, scores, side="right"), return_inverse=True)
    documents = np.bincount(band)
    cells = pa.table(
        {
            BAND: pa.array([f"{edges[code]:g}-{edges[code + 1]:g}" for code in present]),
            "documents": pa.array(documents),
            "tokens": pa.array(documents * _TOKENS),
            "max_tokens": pa.array(np.full(len(documents), _TOKENS)),
            "expected": pa.array(np.bincount(band, scores)),
        }
    )
    identity = pa.array([f"{name} {row}" for row in range(len(toxic))])
    digests = pa.array([bytes(16)] * len(toxic), pa.binary())
    return LabelledCorpus(name, toxic, scores, band, cells, identity, digests)


def draw(corpus: LabelledCorpus, how: Design, replicate: int) -> list[Rows]:
    """Documents of one sample by stratum, in draw order."""
    seed = derive_seed(corpus.name, f"replicate {replicate}".encode())
    numbers = permanent_random_numbers(corpus.identity, corpus.digests, seed)
    keeper = SmallestNumbers.of(how)
    keeper.add(how.assign(corpus.cells)[corpus.band], numbers, "shard", np.arange(len(numbers)))
    drawn = keeper.table()
    positions = np.asarray(drawn.column("position"))
    at = drawn.column("stratum").combine_chunks().dictionary_encode()
    codes = np.asarray(at.indices)
    held = {name: positions[codes == code] for code, name in enumerate(at.dictionary.to_pylist())}
    return [held[name] for name in how.strata.column("stratum").to_pylist()]


def reviewed(corpus: LabelledCorpus, how: Design, drawn: Sequence[Rows]) -> Prevalence:
    """What the package makes of the labels of a sample."""
    names = how.strata.column("stratum").to_pylist()
    documents = how.strata.column("documents").to_pylist()
    samples = tuple(
        StratumSample(
            name,
            size,
            size * _TOKENS,
            corpus.toxic[rows].astype(np.int8),
            np.full(len(rows), _TOKENS),
            _TOKENS,
        )
        for name, size, rows in zip(names, documents, drawn, strict=True)
    )
    return Prevalence("toxicity", "all", samples)


def planned(corpus: LabelledCorpus, how: Design, judged: Labels, *, right: bool = False) -> GateForecast:
    """What a plan foresees from limit to limit, from the scores and what was judged.

    Args:
        corpus: The data set; what its own labels say of the scores is not used.
        how: Design and size.
        judged: Judgements so far.
        right: Whether the scores are taken for right.
    """
    strata = how.strata
    documents = strata.column("documents").to_numpy()
    codes = how.assign(corpus.cells)[corpus.band]
    frame = Frame(
        tuple(strata.column("stratum").to_pylist()),
        np.arange(len(documents)),
        documents,
        documents * _TOKENS,
        np.full(len(documents), _TOKENS),
    )
    prediction = Prediction(
        "toxicity", np.bincount(codes, corpus.scores) / documents, judged, "scores out of fold"
    )
    gate = Gate("toxicity", "toxicity", limit=1.0, alpha=ALPHA)
    target = Target(gate, "toxicity", np.ones(len(documents), bool), "documents")
    believed = doubted(adjusted(prediction), documents, held_out_slopes(corpus.name))
    plays = _PLAYED if right or len(judged.cell) else _RANGED
    (forecast,) = foresee(
        frame,
        [believed.as_if_right() if right else believed],
        [target],
        [],
        how,
        rule=FIXED,
        replicates=plays,
        limits_of=plays,
    ).gates
    return forecast


def pilot(corpus: LabelledCorpus, how: Design, drawn: Sequence[Rows]) -> Labels:
    """The first judgements of a sample."""
    first = how.resized(PILOT).strata.column("size").to_numpy()
    rows = [rows[:size] for rows, size in zip(drawn, first, strict=True)]
    stratum = np.repeat(np.arange(len(rows)), [len(some) for some in rows])
    labels = corpus.toxic[np.concatenate(rows)].astype(np.int8)
    return Labels(stratum, labels, np.full(len(labels), _TOKENS))


def simulate(corpus: LabelledCorpus, n: int, replicates: int) -> dict[str, Any]:
    """Coverage and widths of one corpus at one number of judgements."""
    started = time.process_time()
    how = design(corpus.cells, [BAND], n, most_bands=FEW)
    covered = {"upper": 0, "lower": 0}
    widths, after_pilot = [], []
    for replicate in range(replicates):
        drawn = draw(corpus, how, replicate)
        found = reviewed(corpus, how, drawn)
        lower, upper = found.lower_limit(ALPHA), found.upper_limit(ALPHA)
        covered["upper"] += upper >= corpus.truth
        covered["lower"] += lower <= corpus.truth
        widths.append(upper - lower)
        if replicate < _PLANS:
            after_pilot.append(planned(corpus, how, pilot(corpus, how, drawn)).width)
    seen = float(np.median(widths))
    right = planned(corpus, how, Labels.none(), right=True).width
    alone = planned(corpus, how, Labels.none())
    simple = simple_random_width(corpus, n)
    return {
        "corpus": corpus.name,
        "documents": len(corpus.toxic),
        "truth": corpus.truth,
        "n": n,
        "strata": len(how.strata),
        "replicates": replicates,
        **{side: count / replicates for side, count in covered.items()},
        "width_seen": seen,
        "width_planned_if_scores_are_right": right,
        "width_planned_from_scores": alone.width,
        "width_range_from_scores": [alone.narrowest, alone.widest],
        "in_range": alone.narrowest <= seen <= alone.widest,
        "width_planned_after_pilot": [float(w) for w in after_pilot],
        "planned_over_seen_if_scores_are_right": right / seen,
        "planned_over_seen_from_scores": alone.width / seen,
        "planned_over_seen_after_pilot": float(np.median(after_pilot)) / seen,
        "width_over_simple_random": seen / simple,
        "seconds": round(time.process_time() - started, 2),
    }


def simple_random_width(corpus: LabelledCorpus, n: int) -> float:
    """Median width of Clopper-Pearson on as many simple random labels."""
    yes = hypergeom(len(corpus.toxic), int(corpus.toxic.sum()), n).median()
    return float(beta.ppf(1 - ALPHA, yes + 1, n - yes) - beta.ppf(ALPHA, yes, n - yes + 1))


def study(corpora: Sequence[LabelledCorpus], replicates: int) -> dict[str, Any]:
    """All corpora at all sizes."""
    rows = [simulate(corpus, n, replicates) for corpus in corpora for n in SIZES]
    level = FAMILY_WISE / (2 * len(rows))
    least = float(binom.ppf(level, replicates, 1 - ALPHA)) / replicates
    return {
        "nominal": 1 - ALPHA,
        "tolerated": least,
        "bad": [row for row in rows if min(row["upper"], row["lower"]) < least],
        "pilot": PILOT,
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "machine": machine(),
        "results": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    text = json.dumps(study(read_corpora(arguments.data), arguments.replicates), indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
