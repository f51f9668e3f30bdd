"""One audit of a simulated corpus: strata, draws, reviewers, and what the package makes of them.

The allocation, the estimators and the limits are the package's own. Two things are done here, since they are
done two thousand times per cell:

- Draws. The n documents with the smallest permanent random numbers of a stratum, in their order, are a
  simple random sample without replacement in random order, so that is what is drawn.
- Adjudication of many documents at once, by the rule of ``audit.adjudication``: whom its own numbers select
  is a Bernoulli sample, so that is what is drawn; ``tests/test_coverage_study.py`` holds both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.config import SamplingSection
from audit.statistics.adjudicated_limits import adjudicated_values
from audit.statistics.estimation import FIXED, NO, SEQUENTIAL, UNSURE, Prevalence, StratumSample
from audit.statistics.second_phase import SecondPhase
from audit.statistics.sequential import DECLARED, share_of_alpha
from audit.statistics.strata import Design, design
from audit.statistics.stratified_limits import JudgedValues, p_value_at_least, p_value_at_most
from benchmarks.covering import Cell
from benchmarks.simulated_corpora import Corpus, banded, sliced

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
Booleans = npt.NDArray[np.bool_]

DOCUMENTS = 1_000_000
#: Chance of a reviewer's no to harm, and yes to none; the adjudicator does not err.
MISSED, FALSE_ALARM = 0.1, 0.005
#: Share of the negatives that is looked at again.
ADJUDICATED = SamplingSection().adjudication_share
#: A sequential review is declared with this part of what it ends with, and looks at halves of that, too.
_DECLARED = 4
#: Strata are formed for so many draws; none of them is sparse then.
_FORMED_FOR = 20_000
#: A look of fewer documents is of no interest.
_FEWEST = 10
_TOKENS = 100


@dataclass(frozen=True, eq=False)
class Setting:
    """What all replicates of a cell share.

    Attributes:
        cell: The condition.
        corpus: The documents.
        sizes: Draws by stratum at the last look, shape (strata,).
        looks: Draws by stratum at each look of the package, by doublings from the declared size.
        names: Of the strata.
    """

    cell: Cell
    corpus: Corpus
    sizes: Ints
    looks: Mapping[int, Ints]
    names: tuple[str, ...]

    def peeks(self) -> list[int]:
        """The looks that somebody takes, in their order: all that have a draw of each stratum."""
        if self.cell.looks == "fixed":
            return [DECLARED]
        return [
            look
            for look, sizes in sorted(self.looks.items())
            if sizes.sum() >= _FEWEST and (sizes > 0).all() and (sizes <= self.sizes).all()
        ]


def setting(cell: Cell, rng: np.random.Generator, documents: int = DOCUMENTS) -> Setting:
    """A corpus and its design; strata are kept apart however few draws they get."""
    make = banded if cell.design == "score bands" else sliced
    corpus = make(documents, cell.prevalence, cell.strata, cell.auc, rng)
    declared = cell.n if cell.looks == "fixed" else cell.n // _DECLARED
    how = replace(_design(corpus, cell.design).resized(cell.n), declared=declared)
    names = tuple(how.strata.column("stratum").to_pylist())
    reached = {look for sizes in how.looks.values() for look in sizes}
    looks = {look: np.array([how.looks[name][look] for name in names]) for look in sorted(reached)}
    return Setting(cell, corpus, how.strata.column("size").to_numpy(), looks, names)


def _design(corpus: Corpus, how: str) -> Design:
    """The package's design for the corpus' strata, formed for a sample in which none of them is sparse."""
    columns = {
        "slice": pa.array([f"{h:03d}" for h in range(len(corpus.sizes))]),
        "documents": pa.array(corpus.sizes),
        "tokens": pa.array(corpus.sizes * _TOKENS),
        "expected": pa.array(corpus.expected),
    }
    allocation = "proportional" if how == "proportional" else "neyman"
    return design(pa.table(columns), ["slice"], _FORMED_FOR, allocation=allocation)


@dataclass(frozen=True, eq=False)
class Review:
    """What reviewers and the adjudicator said of a sample, stratum after stratum, in draw order.

    Attributes:
        starts: First draw of each stratum, and the end of the last, shape (strata + 1,).
        truth: What the adjudicator says where asked, shape (n,).
        positive: What the reviewer said, shape (n,).
        again: Whether the adjudicator is asked about a negative, shape (n,).
    """

    starts: Ints
    truth: Booleans
    positive: Booleans
    again: Booleans

    def labels(self, stratum: int, size: int) -> Labels:
        """Labels of the first draws of a stratum, for an estimator that knows one phase only."""
        first = self.starts[stratum]
        truth, positive, again = (
            part[first : first + size] for part in (self.truth, self.positive, self.again)
        )
        asked = positive | again
        if not again[~positive].any():
            asked[np.flatnonzero(~positive)[:1]] = True  # one negative at least
        doubted = (truth & asked & ~positive).any()
        return np.where(asked, truth, UNSURE if doubted else NO).astype(np.int8)

    def second(self, stratum: int, size: int) -> SecondPhase | None:
        """The second look at the first draws of a stratum; None where everything has one."""
        if self.again.all():
            return None
        first = self.starts[stratum]
        negative = ~self.positive[first : first + size]
        again = negative & self.again[first : first + size]
        if not again.any():
            again[np.flatnonzero(negative)[:1]] = True  # one negative at least
        return SecondPhase(np.flatnonzero(negative) + 1, np.flatnonzero(again) + 1)

    def counts(self, sizes: Ints) -> tuple[Ints, Ints]:
        """Draws that count as yes for the upper limit and for the lower one, shape (strata,).

        The same as counting ``labels``, for all strata at once.
        """
        asked = self.truth & (self.positive | self.again)
        overturned = self.truth & self.again & ~self.positive
        yes = self._count(asked, sizes)
        unasked = self._count(~self.positive & ~self.again, sizes)
        doubted = self._count(overturned, sizes) > 0
        alone = (self._count(~self.positive & self.again, sizes) == 0) & (unasked > 0)
        harm = np.zeros_like(alone)
        for h in np.flatnonzero(alone):
            stratum = slice(self.starts[h], self.starts[h + 1])
            harm[h] = self.truth[stratum][np.flatnonzero(~self.positive[stratum])[0]]
        yes = yes + harm
        return yes + np.where(doubted | harm, unasked - alone, 0), yes

    def adjudicated(self, shares: Floats, sizes: Ints) -> JudgedValues:
        """What the adjudicator said of the first draws, each with the chance of being asked about."""
        negative, again = ~self.positive, ~self.positive & self.again
        positives, asked = self._count(self.positive, sizes), self._count(again, sizes)
        overturned = self._count(again & self.truth, sizes)
        for h in np.flatnonzero((asked == 0) & (positives < sizes)):
            stratum = slice(self.starts[h], self.starts[h + 1])
            overturned[h] = self.truth[stratum][np.flatnonzero(negative[stratum])[0]]
            asked[h] = 1
        upheld = self._count(self.positive & self.truth, sizes)
        return adjudicated_values(shares, positives, upheld, sizes - positives, asked, overturned)

    def _count(self, what: Booleans, sizes: Ints) -> Ints:
        total = np.concatenate(([0], np.cumsum(what)))
        return total[self.starts[:-1] + sizes] - total[self.starts[:-1]]


def reviewed(shared: Setting, rng: np.random.Generator) -> Review:
    """Draw and review a sample."""
    corpus = shared.corpus
    drawn = [
        start + rng.choice(documents, size, replace=False)
        for start, documents, size in zip(corpus.starts, corpus.sizes, shared.sizes, strict=False)
    ]
    truth = corpus.harmful[np.concatenate(drawn)]
    starts = np.concatenate(([0], np.cumsum(shared.sizes)))
    if shared.cell.reviewers == "exact":
        return Review(starts, truth, truth, np.ones_like(truth))
    wrong = rng.random(len(truth)) < np.where(truth, MISSED, FALSE_ALARM)
    return Review(starts, truth, truth ^ wrong, rng.random(len(truth)) < ADJUDICATED)


def evidence(shared: Setting, review: Review, sizes: Ints) -> Prevalence:
    """What the package makes of the first draws of each stratum.

    Args:
        shared: The cell's corpus and design.
        review: Of the whole sample.
        sizes: How many draws were judged by then, shape (strata,).
    """
    rule = FIXED if shared.cell.looks == "fixed" else SEQUENTIAL
    samples = tuple(
        StratumSample(
            name,
            documents,
            documents * _TOKENS,
            review.labels(h, size),
            np.full(size, _TOKENS),
            _TOKENS,
            drawn=size,
            looks={look: int(draws[h]) for look, draws in shared.looks.items()},
            second=review.second(h, size),
        )
        for h, (name, documents, size) in enumerate(
            zip(shared.names, shared.corpus.sizes.tolist(), sizes.tolist(), strict=True)
        )
    )
    return Prevalence("harm", "all", samples, rule=rule)


class Surprises:
    """P-values of the truth, each outcome computed once.

    The same as those of ``evidence`` at a look alone, without a list of documents on the way; where reviewers
    err, those ``after_adjudication`` are.
    """

    def __init__(self, shared: Setting) -> None:
        self._shared = shared
        self._shares = shared.corpus.sizes / shared.corpus.sizes.sum()
        self._known: dict[tuple[int, bytes, bytes], tuple[float, float]] = {}

    def at(self, look: int, review: Review) -> tuple[float, float]:
        """Of "at least the truth" for the upper limit, and of "at most" for the lower one."""
        for_upper, for_lower = review.counts(self._shared.looks[look])
        key = look, for_upper.tobytes(), for_lower.tobytes()
        if key not in self._known:
            self._known[key] = self._compute(look, for_upper, for_lower)
        return self._known[key]

    def _compute(self, look: int, for_upper: Ints, for_lower: Ints) -> tuple[float, float]:
        sizes = self._shared.looks[look]
        return self.of(
            look,
            JudgedValues.of_counts(self._shares, sizes, for_upper),
            JudgedValues.of_counts(self._shares, sizes, for_lower),
        )

    def of(self, look: int, for_upper: JudgedValues, for_lower: JudgedValues) -> tuple[float, float]:
        """The same of any values, at the look's share of alpha."""
        truth = self._shared.corpus.truth
        share = 1.0 if self._shared.cell.looks == "fixed" else share_of_alpha(look)
        least, most = p_value_at_least(for_upper, truth), p_value_at_most(for_lower, truth)
        return min(least / share, 1.0), min(most / share, 1.0)

    def after_adjudication(self, look: int, review: Review) -> tuple[float, float]:
        """As ``at``, by the two-phase limits of ``adjudicated_limits``: those of ``evidence``."""
        values = review.adjudicated(self._shares, self._shared.looks[look])
        return self.of(look, values, values)
