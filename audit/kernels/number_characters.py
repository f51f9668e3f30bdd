"""Which code points are digits."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

DIGIT = 1


@cache
def character_classes() -> npt.NDArray[np.uint8]:
    """Return the classes of all code points: ``DIGIT`` (Unicode Nd), or 0."""
    classes = np.zeros(0x110000, np.uint8)
    for point in range(0x20000):
        if unicodedata.category(chr(point)) == "Nd":
            classes[point] = DIGIT
    return classes
