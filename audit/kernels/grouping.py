"""Numbering groups of documents."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit


@njit(nogil=True, cache=True)
def number_groups(first: npt.NDArray[np.uint32], leads: npt.NDArray[np.uint32]) -> None:
    """Turn each document's first copy into the number of its group, in place.

    Args:
        first: uint32 (documents,): the first document with the same text, which is never a later one.
        leads: uint32 (groups,): filled with the first document of each group, ascending.
    """
    groups = 0
    for document in range(len(first)):
        if first[document] == document:
            leads[groups] = document
            first[document] = groups
            groups += 1
        else:
            first[document] = first[first[document]]
