"""The second look at a stratum's negative answers: what a document that had one stands for.

Everything else that reviewers said is looked at again in any case; of the documents that all of them called
no a simple random part is (``audit.adjudication``). One of that part stands for ``1 / pi2`` of them, one that
was not taken for none (C.-E. Särndal, B. Swensson, J. Wretman, "Model Assisted Survey Sampling", 1992, §9.3).
Given how many were taken, every negative answer of the stratum is as likely to be among them, in any slice
and at any look; ``pi2`` is that of the look, so that later judgements change nothing about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SecondPhase:
    """Negative answers of a whole stratum, whatever the slice, by their places in its draw order.

    Attributes:
        negatives: Documents that all reviewers called no, within the completed prefix, shape (m,).
        again: Of those, what was taken to be looked at again, shape (r,).
    """

    negatives: Ints
    again: Ints

    def first(self, size: int) -> SecondPhase:
        """The same when only so many draws had been made."""
        return SecondPhase(self.negatives[self.negatives <= size], self.again[self.again <= size])

    @property
    def stands_for(self) -> float:
        """Negative answers that one looked at again stands for: 1 / pi2; at least 1."""
        return len(self.negatives) / len(self.again) if len(self.again) else 1.0

    @property
    def tells_nothing(self) -> bool:
        """Whether there are negative answers, and nobody was to look at one of them again."""
        return len(self.negatives) > 0 and len(self.again) == 0

    def weights(self, ranks: Ints) -> Floats:
        """What reviewed documents stand for: 1, ``stands_for``, or 0 where nobody was to look again.

        Args:
            ranks: Their places in the stratum's draw order, shape (n,).
        """
        negative, again = np.isin(ranks, self.negatives), np.isin(ranks, self.again)
        weights: Floats = np.where(again, self.stands_for, np.where(negative, 0.0, 1.0))
        return weights


def second_phase(ranks: Ints, weights: Floats) -> SecondPhase:
    """From the weights that were stored with the final labels.

    Args:
        ranks: Places in the draw order of a stratum's completed prefix, shape (n,).
        weights: 1 / pi2 of each, 0 for what was not taken; where all negatives were taken nothing tells
            them from other answers, and nothing has to, shape (n,).
    """
    return SecondPhase(ranks[weights != 1], ranks[weights > 1])
