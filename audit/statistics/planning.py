"""What a number of judgements is likely to decide, before anybody judges.

The review is played on the computer: documents are drawn by the design, labels fall by the predicted share
of yes in each cell of the corpus, and the estimators of the real review are asked. The answer is no better
than the prediction, so it is given for several: as predicted, half of it and twice it.

New labels of a cell are binomial although they are drawn without replacement, since the number of harmful
documents there is itself unknown. Within a cell, lengths are taken to be log-normal: only their mean and
their largest are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from audit.gate_evidence import Charged
from audit.policy import FAIL, PASS, Gate, holm
from audit.statistics.census import Unit
from audit.statistics.estimation import SEQUENTIAL, YES, Prevalence, Rule, StratumSample
from audit.statistics.predictions import Labels, Prediction
from audit.statistics.second_phase import SecondPhase, second_phase
from audit.statistics.strata import Design

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

#: Equally probable classes of length within a cell, and the log-normal's sigma.
_CLASSES, _SIGMA = 8, 1.0
#: Replicates whose limits are computed, not only their p-values; an odd number has a median.
_LIMITS = 9
#: What a range of widths leaves out on either side.
_TAIL = 0.025
#: Beyond, drawing with replacement cannot be told apart, and NumPy's exact draw gives up.
_LARGE = 10**8


@dataclass(frozen=True, eq=False)
class Frame:
    """The corpus by cell; a cell lies in one stratum and in one value of each reported dimension.

    Attributes:
        strata: Labels.
        stratum: Code of each cell's stratum, shape (cells,).
        documents, tokens, max_tokens: Of each cell, shape (cells,).
    """

    strata: tuple[str, ...]
    stratum: Ints
    documents: Ints
    tokens: Ints
    max_tokens: Ints


@dataclass(frozen=True)
class Target:
    """A gate that judgements decide.

    Attributes:
        gate: The rule.
        question: Whose answers it rests on.
        members: Which cells lie in its slice, shape (cells,).
        unit: Whether it speaks of documents or of tokens.
        unread: Share of the slice that was not read, at most; gates take it for none or all harm.
    """

    gate: Gate
    question: str
    members: Booleans
    unit: Unit
    unread: float = 0.0

    @property
    def within(self) -> float:
        """The limit for what was read, all else being harm; under 0 where that alone is over it."""
        return (self.gate.limit - self.unread) / (1 - self.unread) if self.unread < 1 else -1.0


@dataclass(frozen=True)
class Fixed:
    """A gate that no judgement changes, with its outcome as it stands."""

    gate: Gate
    outcome: str


@dataclass(frozen=True)
class GateForecast:
    """What a budget is likely to make of one gate.

    Attributes:
        gate: Its name.
        predicted: Share of yes in the slice that the replicates were played with.
        lower, upper: Median limits at the gate's alpha.
        width: Median distance between them.
        narrowest, widest: What nineteen in twenty of the replicates' widths lie between.
        passes, fails: Share of the replicates.
    """

    gate: str
    predicted: float
    lower: float
    upper: float
    width: float
    narrowest: float
    widest: float
    passes: float
    fails: float


@dataclass(frozen=True)
class Forecast:
    """What a budget is likely to decide, with one prediction.

    Attributes:
        budget: Judged documents in all, those that stand included.
        factor: By which the predicted shares were multiplied.
        gates: One entry per target.
        go, no_go: Share of the replicates with that verdict; the rest lacks evidence.
    """

    budget: int
    factor: float
    gates: tuple[GateForecast, ...]
    go: float
    no_go: float


def foresee(
    frame: Frame,
    predictions: Sequence[Prediction],
    targets: Sequence[Target],
    fixed: Sequence[Fixed],
    how: Design,
    *,
    rule: Rule = SEQUENTIAL,
    factor: float = 1.0,
    replicates: int = 100,
    limits_of: int = _LIMITS,
    seed: int = 0,
) -> Forecast:
    """Play the review at one size of the sample.

    Args:
        frame: The corpus.
        predictions: One per question; adjusted already.
        targets: Gates that the judgements decide.
        fixed: Outcomes of the other gates, which no judgement changes.
        how: Documents drawn by stratum, all judged at the end.
        rule: When the limits may be looked at.
        factor: Multiplies the predicted shares.
        replicates: Reviews that are played.
        limits_of: Of how many of those the limits are computed, and not only the outcomes.
        seed: Of the play; it decides nothing real.

    Returns:
        Shares of outcomes; a share of 1/2 has a standard error of 1 / (2 · sqrt(replicates)).
    """
    rng = np.random.default_rng(seed)
    sizes = how.strata.column("size").to_numpy()
    pass_values, fail_values = np.empty((2, replicates, len(targets)))
    limits = np.empty((min(replicates, limits_of), len(targets), 2))
    for replicate in range(replicates):
        labels = {p.question: play(frame, p.judged, p.drawn(factor, rng), sizes, rng) for p in predictions}
        for t, target in enumerate(targets):
            found = evidence(frame, labels[target.question], target, how, rule)
            charged = Charged(found, target.unread)
            pass_values[replicate, t] = found.p_value_at_least(target.within) if target.within >= 0 else 1.0
            fail_values[replicate, t] = charged.p_value_at_most(target.gate.limit)
            if replicate < len(limits):
                alpha = target.gate.alpha
                limits[replicate, t] = charged.lower_limit(alpha), charged.upper_limit(alpha)
    outcomes = _outcomes(targets, fixed, pass_values, fail_values)
    low, high = np.median(limits, axis=0).T
    widths = np.quantile(limits[..., 1] - limits[..., 0], (0.5, _TAIL, 1 - _TAIL), axis=0).T
    shares = {p.question: p.shares for p in predictions}
    gates = tuple(
        GateForecast(
            target.gate.name,
            predicted_share(frame, shares[target.question] * factor, target),
            float(low[t]),
            float(high[t]),
            float(widths[t, 0]),
            float(widths[t, 1]),
            float(widths[t, 2]),
            float(outcomes.passed[:, t].mean()),
            float(outcomes.failed[:, t].mean()),
        )
        for t, target in enumerate(targets)
    )
    return Forecast(int(sizes.sum()), factor, gates, float(outcomes.go.mean()), float(outcomes.no_go.mean()))


def predicted_share(frame: Frame, shares: Floats, target: Target) -> float:
    """Predicted share of yes in a target's slice."""
    whole = (frame.documents if target.unit == "documents" else frame.tokens) * target.members
    return float(whole @ np.minimum(shares, 1.0) / max(int(whole.sum()), 1))


def play(frame: Frame, judged: Labels, shares: Floats, sizes: Ints, rng: np.random.Generator) -> Labels:
    """Draw and judge what the standing judgements leave open, with these shares of yes by cell."""
    left = frame.documents - np.bincount(judged.cell, minlength=len(frame.documents))
    done = np.bincount(frame.stratum[judged.cell], minlength=len(frame.strata))
    drawn = [judged.cell[:0]]
    for h, wanted in enumerate(np.maximum(sizes - done, 0)):
        cells = np.flatnonzero(frame.stratum == h)
        counts = _drawn_by_cell(left[cells], int(wanted), rng)
        drawn.append(rng.permutation(np.repeat(cells, counts)))
    cell = np.concatenate(drawn)
    label = (rng.random(len(cell)) < shares[cell]).astype(np.int8)
    tokens = _lengths(frame)[cell, rng.integers(_CLASSES, size=len(cell))]
    if judged.weights is None:
        return judged + Labels(cell, label, tokens)
    looked = np.where(rng.random(len(cell)) < judged.again, 1 / judged.again, 0.0)
    return judged + Labels(cell, label, tokens, np.where(label == YES, 1.0, looked))


def _drawn_by_cell(left: Ints, wanted: int, rng: np.random.Generator) -> Ints:
    wanted = min(wanted, int(left.sum()))
    if left.sum() > _LARGE:
        return rng.multinomial(wanted, left / left.sum())
    return rng.multivariate_hypergeometric(left, wanted, method="marginals")


def _lengths(frame: Frame) -> Ints:
    """Tokens of a document by cell and class of length, shape (cells, classes)."""
    edges = ndtri(np.linspace(0, 1, _CLASSES + 1))
    relative = _CLASSES * np.diff(ndtr(edges - _SIGMA))  # means of the log-normal's classes; their mean is 1
    mean = frame.tokens / np.maximum(frame.documents, 1)
    return np.minimum(np.rint(np.outer(mean, relative)), frame.max_tokens[:, None]).astype(np.int64)


def evidence(frame: Frame, labels: Labels, target: Target, how: Design, rule: Rule) -> Prevalence:
    """What the review would hold against a gate, with everything judged that was drawn."""
    stratum, member = frame.stratum[labels.cell], target.members[labels.cell]
    samples = []
    adjudicated = labels.weights is not None
    for h in np.unique(frame.stratum[target.members]):
        cells, drawn = target.members & (frame.stratum == h), np.flatnonzero(stratum == h)
        ranks = np.flatnonzero(member[drawn])
        rows = drawn[ranks]
        samples.append(
            StratumSample(
                frame.strata[h],
                int(frame.documents[cells].sum()),
                int(frame.tokens[cells].sum()),
                labels.label[rows],
                labels.tokens[rows],
                int(frame.max_tokens[cells].max()),
                ranks=ranks + 1,
                drawn=len(drawn),
                looks=how.looks[frame.strata[h]],
                second=_second_look(labels.counts[drawn]) if adjudicated else None,
            )
        )
    return Prevalence(target.gate.metric, target.gate.slice, tuple(samples), target.unit, rule)


def _second_look(weights: Floats) -> SecondPhase:
    """Of a whole stratum's negatives at least one is looked at again."""
    weights = weights.copy()
    skipped = np.flatnonzero(weights == 0)
    if len(skipped) and not (weights > 1).any():
        weights[skipped[0]] = len(skipped)
    return second_phase(np.arange(1, len(weights) + 1), weights)


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """Of the replicates: passing and failing targets, shape (replicates, targets), and verdicts."""

    passed: Booleans
    failed: Booleans
    go: Booleans
    no_go: Booleans


def _outcomes(
    targets: Sequence[Target], fixed: Sequence[Fixed], pass_values: Floats, fail_values: Floats
) -> _Outcomes:
    alphas = np.array([target.gate.alpha for target in targets])
    blocking = np.array([target.gate.severity == "block" for target in targets], bool)
    others = [one.outcome for one in fixed if one.gate.severity == "block"]
    passed = pass_values <= alphas
    failed = np.zeros_like(passed)
    for family, certain in ((blocking, others), (~blocking, [])):
        known = [0.0 if outcome == FAIL else np.inf for outcome in certain]
        for replicate, surprise in enumerate(fail_values[:, family] / alphas[family]):
            failed[replicate, family] = holm([*surprise, *known])[: len(surprise)]
    decisive = bool(blocking.any() or others)
    able = decisive and all(outcome == PASS for outcome in others)
    return _Outcomes(
        passed,
        failed,
        go=np.all(passed[:, blocking], axis=1) & able,
        no_go=np.any(failed[:, blocking], axis=1) | (FAIL in others),
    )
