"""Limits of a prevalence after adjudication: reviewers' answers as a first phase, a second look as another.

Every positive answer is looked at again, of the negatives of a stratum a simple random part. A document that
was looked at stands for ``W_h / n_h`` of the population over the chance of its second look: 1 for a positive,
the part that was taken for a negative (C.-E. Särndal, B. Swensson, J. Wretman, "Model Assisted Survey
Sampling", 1992, section 9.3: strata of the first phase, post-strata by its answers). With these weights the
residuals ``a·(y - mu_h)`` of the reviewed documents, 0 where nobody looked again, have mean 0, and
``audit.statistics.stratified_limits`` tests them.

Labels in which negatives that nobody looked at again count as no cannot do this: where the part that was
taken shows no miss, they are taken for certain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audit.statistics.stratified_limits import JudgedValues

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def adjudicated_values(
    shares: Floats,
    positives: Ints,
    upheld: Ints,
    negatives: Ints,
    again: Ints,
    overturned: Ints,
    stands_for: Floats | None = None,
) -> JudgedValues:
    """What was adjudicated, for limits of the share that adjudication would call positive.

    Args:
        shares: Share of each stratum in the population, shape (strata,), sum 1.
        positives: Reviewed documents called positive, all looked at again, shape (strata,).
        upheld: Of those, how many are, shape (strata,).
        negatives: Reviewed documents called negative, shape (strata,).
        again: Of those, how many were looked at again, at least one where there is any, shape (strata,).
        overturned: Of those, how many are positive after all, shape (strata,).
        stands_for: Negatives that one looked at again stands for, at least 1, shape (strata,); None: those
            counted here over ``again``. For a slice that of the whole stratum, since how many of the
            slice's own were taken is chance, and may be none.

    Raises:
        ValueError: Counts do not nest, or nobody looked again at a stratum's negatives.
    """
    if ((upheld > positives) | (overturned > again) | (again > negatives)).any():
        raise ValueError("adjudicated documents are more than those they are of")
    if stands_for is None and ((again == 0) & (negatives > 0)).any():
        raise ValueError("nobody looked again at the negatives of a stratum")
    size = len(shares)
    once = shares / (positives + negatives)
    if stands_for is None:
        stands_for = np.where(negatives > 0, negatives / np.maximum(again, 1), 1.0)
    often = once * stands_for
    return JudgedValues(
        stratum=np.tile(np.arange(size), 4),
        weights=np.concatenate((once, once, often, often)),
        values=np.repeat([1.0, 0.0, 1.0, 0.0], size),
        counts=np.concatenate((upheld, positives - upheld, overturned, again - overturned)).astype(float),
        shares=np.asarray(shares, float),
        largest=often,
        low=np.zeros(size),
        high=np.ones(size),
    )
