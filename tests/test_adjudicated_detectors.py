"""What is said of detectors after adjudication: of what adjudicators would answer, as gates are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import logit

from audit.assisted_estimates import assisted
from audit.detector_evidence import _too_few
from audit.policy import Gate
from audit.recalibration import fit, judged
from audit.scored_draws import Detector, ScoredPart
from audit.statistics.detector_quality import ScoredSample, precision, recall, suggest_threshold
from audit.statistics.estimation import NO, UNSURE, YES
from audit.statistics.planning import Frame, Target, evidence, play
from audit.statistics.predictions import JUDGED, Labels, Prediction, adjusted
from audit.statistics.strata import design
from audit.statistics.two_phase import PhasedStratum, phased_difference
from audit.toxicity.calibration import recalibrate

ALPHA = 0.05
DETECTOR = Detector("toxicity", "toxicity", scored=True)
#: Reviewers miss harm where no word gives it away, and raise false alarms; a part of their negatives is
#: looked at again.
HIDDEN, OPEN, ALARMS, AGAIN = 0.6, 0.1, 0.02, 0.2


class Corpus:
    """Two bands of a calibrated score."""

    def __init__(self, rng: np.random.Generator, documents: int = 30_000) -> None:
        self.scores = np.round(np.sort(rng.beta(0.3, 1.2, documents)), 6)
        self.harmful = rng.random(documents) < self.scores
        cut = int(0.8 * documents)
        self.members = [np.arange(cut), np.arange(cut, documents)]
        self.truth = float(self.harmful.mean())

    def review(self, rng: np.random.Generator, n: int, *, weighted: bool) -> list[ScoredPart]:
        """A review and its adjudication; or as if who was not looked at again were right."""
        parts = []
        for name, members in zip("ab", self.members, strict=True):
            at = rng.choice(members, n, replace=False)
            truth = self.harmful[at]
            said = np.where(
                truth, rng.random(n) >= np.where(self.scores[at] < 0.5, HIDDEN, OPEN), rng.random(n) < ALARMS
            )
            looked = ~said & (rng.random(n) < AGAIN)
            looked[np.flatnonzero(~said)[:1]] |= not looked.any()
            heaviest = float((~said).sum() / looked.sum())
            weights = np.where(said, 1.0, np.where(looked, heaviest, 0.0))
            labels = np.where(said | looked, truth, NO).astype(np.int8)
            scores = self.scores[at]
            parts.append(
                ScoredPart(
                    name,
                    len(members),
                    float(self.scores[members].sum()),
                    float(self.scores[members].min()),
                    float(self.scores[members].max()),
                    labels,
                    scores,
                    scores >= 0.5,
                    np.ones(n, bool),
                    np.arange(n),
                    weights if weighted else None,
                    heaviest if weighted else 1.0,
                )
            )
        return parts

    def share(self, wanted: np.ndarray, among: np.ndarray) -> float:
        return float((wanted & among).sum() / among.sum())


def samples(parts: list[ScoredPart]) -> list[ScoredSample]:
    return [ScoredSample(p.documents, p.scores, p.labels, p.weights, p.heaviest) for p in parts]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(np.random.default_rng(5))


def test_recall_precision_and_assisted_estimates_cover_what_adjudicators_would_say(corpus: Corpus):
    rng, replicates = np.random.default_rng(6), 100
    flagged = corpus.scores >= 0.5
    recalled, right = corpus.share(flagged, corpus.harmful), corpus.share(corpus.harmful, flagged)
    missed = {True: np.zeros(6), False: np.zeros(6)}
    values = []
    for _ in range(replicates):
        seed = rng.integers(2**32)
        for weighted in (True, False):
            parts = corpus.review(np.random.default_rng(seed), 250, weighted=weighted)
            found = recall(samples(parts), 0.5, ALPHA), precision(samples(parts), 0.5, ALPHA)
            (estimate,) = assisted(DETECTOR, "all", parts, ALPHA)
            for k, (one, truth) in enumerate(
                zip((*found, estimate), (recalled, right, corpus.truth), strict=True)
            ):
                missed[weighted][2 * k : 2 * k + 2] += [one.low > truth, one.high < truth]
            if weighted:
                values.append([found[0].value, found[1].value, estimate.value])
    tolerated = ALPHA + 3 * (ALPHA * (1 - ALPHA) / replicates) ** 0.5
    assert (missed[True] / replicates <= tolerated).all()
    # Taking reviewers at their word misses what they miss: recall too high, prevalence too low.
    assert missed[False][0] / replicates > tolerated
    assert missed[False][5] / replicates > tolerated
    assert np.mean(values, axis=0) == pytest.approx([recalled, right, corpus.truth], rel=0.06)


def test_a_suggested_threshold_misses_no_more_than_it_may(corpus: Corpus):
    rng, replicates, wrong = np.random.default_rng(7), 100, 0
    for _ in range(replicates):
        parts = corpus.review(rng, 250, weighted=True)
        found = suggest_threshold(samples(parts), 0.2, ALPHA, (0.02, 0.05, 0.1, 0.2, 0.3, 0.4))
        if found is not None:
            wrong += corpus.share(corpus.scores >= found.threshold, corpus.harmful) < 0.8
    assert wrong / replicates <= ALPHA + 3 * (ALPHA / replicates) ** 0.5


def test_recalibration_finds_the_line_that_adjudicators_would_give(corpus: Corpus):
    rng, lines, covered = np.random.default_rng(8), [], 0
    for _ in range(40):
        found = fit(judged(corpus.review(rng, 500, weighted=True)), ALPHA)
        assert found is not None
        covered += found.intercept_low <= 0 <= found.intercept_high
        lines.append((found.slope, found.intercept))
    assert covered >= 32
    assert np.median(lines, axis=0) == pytest.approx([1, 0], abs=0.15)
    old = [fit(judged(corpus.review(rng, 500, weighted=False)), ALPHA) for _ in range(20)]
    assert np.median([one.intercept for one in old if one]) < -0.25


def test_with_every_negative_looked_at_again_weights_change_nothing(corpus: Corpus):
    parts = corpus.review(np.random.default_rng(9), 200, weighted=False)
    same = [replace(p, weights=np.ones(len(p.labels))) for p in parts]
    assert recall(samples(parts), 0.5, ALPHA) == recall(samples(same), 0.5, ALPHA)
    assert assisted(DETECTOR, "all", parts, ALPHA) == assisted(DETECTOR, "all", same, ALPHA)
    plain, other = judged(parts), judged(same)
    assert np.array_equal(plain.inclusion, other.inclusion)


def test_while_a_document_waits_there_is_no_point(corpus: Corpus):
    parts = corpus.review(np.random.default_rng(10), 200, weighted=True)
    labels = parts[1].labels.copy()
    labels[np.flatnonzero(parts[1].counts > 0)[0]] = UNSURE
    waiting = [parts[0], replace(parts[1], labels=labels)]
    assert "1 judged documents wait for adjudication" in str(_too_few(waiting, 50, 50))
    assert fit(judged(waiting), ALPHA) is None
    (whole,), (found,) = (assisted(DETECTOR, "all", each, ALPHA) for each in (parts, waiting))
    assert found.value is None
    assert found.low <= whole.value <= found.high


def test_inclusion_is_that_of_both_phases(corpus: Corpus):
    parts = corpus.review(np.random.default_rng(11), 300, weighted=True)
    found = judged(parts)
    assert len(found.scores) == sum(int((p.counts > 0).sum()) for p in parts)
    assert (1 / found.inclusion).sum() == pytest.approx(sum(p.documents for p in parts))
    again = recalibrate(logit(found.scores), found.positive, found.inclusion, ALPHA)
    assert again.n == len(found.scores)


def test_three_phases_are_unbiased_after_adjudication(corpus: Corpus):
    rng, values, missed = np.random.default_rng(12), [], np.zeros(2)
    for _ in range(100):
        strata = []
        for part, members in zip(corpus.review(rng, 200, weighted=True), corpus.members, strict=True):
            probed = corpus.scores[rng.choice(members, 2000, replace=False)]
            scores = (probed, probed, part.scores, part.scores)
            mean = part.total / part.documents
            labels = (part.labels == YES).astype(float)
            strata.append(PhasedStratum(part.documents, mean, *scores, labels, part.weights, part.heaviest))
        found = phased_difference(strata, nested=True)
        values.append(found.value)
        missed += [found.lower_limit(ALPHA) > corpus.truth, found.upper_limit(ALPHA) < corpus.truth]
    assert np.mean(values) == pytest.approx(corpus.truth, abs=4 * np.std(values) / 10)
    assert (missed / 100 <= ALPHA + 3 * (ALPHA / 100) ** 0.5).all()


def test_a_plan_plays_the_second_look_too():
    documents = np.array([9_000, 1_000])
    frame = Frame(("band=a", "band=b"), np.arange(2), documents, documents * 50, np.array([50, 50]))
    cells = {"band": ["a", "b"], "documents": documents, "tokens": documents * 50}
    how = design(pa.table(cells), ["band"], 400)
    nothing = np.empty(0)
    sizes = how.strata.column("size").to_numpy()
    target = Target(Gate("g", "toxicity", 0.5), "toxicity", np.ones(2, bool), "documents")
    widths = []
    for judged_so_far in (Labels.none(), replace(Labels.none(), weights=nothing, again=0.2)):
        rng = np.random.default_rng(1)
        labels = play(frame, judged_so_far, np.array([0.02, 0.3]), sizes, rng)
        found = evidence(frame, labels, target, how, "fixed")
        assert found.lower_limit(ALPHA) < 0.048 < found.upper_limit(ALPHA)
        widths.append(found.upper_limit(ALPHA) - found.lower_limit(ALPHA))
    assert widths[1] > 1.3 * widths[0]


def test_a_prediction_learns_from_what_was_looked_at_again():
    shares = np.array([0.01, 0.2])
    cell, label = np.repeat([0, 1], 100), np.zeros(200, np.int8)
    label[:20] = YES  # of the safe cell: found by the second look
    weights = np.r_[np.full(20, 1.0), np.full(80, 0.0), np.full(100, 1.0)]
    weights[20:28] = 10.0
    believed = adjusted(Prediction("q", shares, Labels(cell, label, np.ones(200, np.int64)), "scores"))
    found = adjusted(Prediction("q", shares, Labels(cell, label, np.ones(200, np.int64), weights), "scores"))
    assert found.rests_on == JUDGED
    assert found.shares[0] > shares[0]
    assert found.shares[0] == pytest.approx(believed.shares[0], rel=0.5)
