"""Which code points are digits, and which may stand in a phone number."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

DIGIT, PHONE = 1, 2
_PHONE_PUNCTUATION = (
    "-xX\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u30fc\uff0d\uff0e\uff0f \u00a0\u00ad\u200b\u2060\u3000"
    "()\uff08\uff09\uff3b\uff3d.[]/~\u2053\u223c\uff5e+\uff0b"
)


@cache
def character_classes() -> npt.NDArray[np.uint8]:
    """Return the classes of all code points: ``DIGIT`` (Unicode Nd), ``PHONE`` (digits and punctuation).

    The punctuation is libphonenumber's ``VALID_PUNCTUATION``, plus signs and brackets.
    """
    classes = np.zeros(0x110000, np.uint8)
    for point in range(0x20000):
        if unicodedata.category(chr(point)) == "Nd":
            classes[point] = DIGIT | PHONE
    for character in _PHONE_PUNCTUATION:
        classes[ord(character)] |= PHONE
    return classes
