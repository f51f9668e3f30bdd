"""What reviewers are expected to answer, and how judgements move it."""

import numpy as np
import pytest
from scipy.special import expit, logit

from audit.statistics.estimation import NO, UNSURE, YES
from audit.statistics.predictions import Labels, Prediction, adjusted

SHARES = np.array([0.001, 0.01, 0.1, 0.5])


def judged(cells: list[int], labels: list[int]) -> Labels:
    return Labels(np.array(cells, np.int64), np.array(labels, np.int8), np.full(len(cells), 10))


def prediction(of: Labels) -> Prediction:
    return Prediction("toxicity", SHARES, of, "scores")


def answers(rng: np.random.Generator, truth: np.ndarray, size: int) -> Labels:
    cells = rng.integers(len(truth), size=size)
    return judged(cells.tolist(), np.where(rng.random(size) < truth[cells], YES, NO).tolist())


def test_without_judgements_the_scores_stand_and_nothing_is_drawn_around_them() -> None:
    plain = adjusted(prediction(Labels.none()))
    assert plain.shares is SHARES
    assert np.array_equal(plain.drawn(1.0, np.random.default_rng(1)), SHARES)
    assert np.allclose(plain.drawn(4.0, np.random.default_rng(1)), [0.004, 0.04, 0.4, 1.0])


def test_unsure_answers_say_nothing() -> None:
    assert adjusted(prediction(judged([0, 3], [UNSURE, UNSURE]))).shares is SHARES


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.4, 1.5), (1.5, -1.0)])
def test_many_judgements_find_the_truth(slope: float, shift: float) -> None:
    truth = expit(slope * logit(SHARES) + shift)
    found = adjusted(prediction(answers(np.random.default_rng(7), truth, 20_000)))
    assert found.shares == pytest.approx(truth, rel=0.25, abs=0.002)
    drawn = np.array([found.drawn(1.0, np.random.default_rng(i)) for i in range(50)])
    assert np.median(drawn, axis=0) == pytest.approx(found.shares, rel=0.05)


def test_few_judgements_move_little_and_leave_doubt() -> None:
    found = adjusted(prediction(judged([0] * 20, [NO] * 20)))
    assert found.shares == pytest.approx(SHARES, rel=0.2)
    drawn = np.array([found.drawn(1.0, np.random.default_rng(i))[2] for i in range(200)])
    assert drawn.std() > 0.3 * drawn.mean()
    assert ((drawn > 0) & (drawn < 1)).all()


def test_labels_far_from_the_scores_do_not_throw_the_fit_off() -> None:
    """A full Newton step from slope 1 would overshoot here."""
    truth = np.array([0.48, 0.6, 0.7, 0.8])
    found = adjusted(prediction(answers(np.random.default_rng(3), truth, 100)))
    assert found.shares == pytest.approx(truth, abs=0.15)
