"""What each code point is to a tokeniser: its class and its case-folding, from Python's own database.

Classes follow Unicode's general categories, with three deviations that word splitting needs:

- Letters of scripts that are written without spaces have a class of their own: each is a word.
- Format characters (soft hyphen, joiners, byte-order mark, direction marks) and variation selectors are
  ignored, as in UAX #29 rule WB4, but for the zero-width space, which separates.
- The underscore joins words, as in Python's ``\\w``.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

CODE_POINTS = 0x110000

OTHER, SPACE, LETTER, NUMBER, MARK, UNSPACED, IGNORED, UNDERSCORE = range(8)

#: Chinese and Japanese (with Bopomofo), and the scripts of South-East Asia whose line breaking needs a
#: dictionary (class SA of UAX #14): Thai, Lao, Burmese, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet, Ahom.
UNSPACED_RANGES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x1950, 0x19DF),
    (0x1A20, 0x1AAF),
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3031, 0x312F),
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAADF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x11700, 0x1174F),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x323AF),
)

#: Where assigned characters are; elsewhere every class is OTHER.
_ASSIGNED = ((0, 0x32400), (0xE0000, 0xE0200))
#: Code points that are looked at together.
_BLOCK = 0x200
_BY_CATEGORY = {"L": LETTER, "N": NUMBER, "M": MARK, "Z": SPACE}
_ZERO_WIDTH_SPACE = 0x200B


class UnicodeTables(NamedTuple):
    """Tables indexed by code point.

    Attributes:
        classes: uint8 (0x110000,): one of the classes above.
        folds: uint32 (0x110000,): full case-folding (``str.casefold``). The low 21 bits are the first
            code point; the rest, when not 0, is 1 + a row of ``expansions``.
        expansions: uint32 (m, 2): second and third code point of a folding that grows; 0 for none.
        plain: uint8 (128,): case-folded ASCII, a space for every kind of white space.
        pairs: uint16 (0x800,): both bytes (the first one low) of what a character of two bytes folds to,
            where that is two bytes again; 0 where it is not, and for spaces and what is ignored.
    """

    classes: npt.NDArray[np.uint8]
    folds: npt.NDArray[np.uint32]
    expansions: npt.NDArray[np.uint32]
    plain: npt.NDArray[np.uint8]
    pairs: npt.NDArray[np.uint16]


@cache
def unicode_tables() -> UnicodeTables:
    """Build the tables, once a process (about 0.1 s)."""
    classes = np.full(CODE_POINTS, OTHER, np.uint8)
    folds = np.arange(CODE_POINTS, dtype=np.uint32)
    expansions: list[tuple[int, int]] = []
    for low in itertools.chain.from_iterable(range(*ends, _BLOCK) for ends in _ASSIGNED):
        characters = list(map(chr, range(low, low + _BLOCK)))
        classes[low : low + _BLOCK] = _classes(low, characters)
        for character, folded in zip(characters, map(str.casefold, characters), strict=True):
            if folded != character:
                first, second, third = (*map(ord, folded), 0, 0)[:3]
                row = 0
                if second:
                    expansions.append((second, third))
                    row = len(expansions)
                folds[ord(character)] = first | row << 21
    for first, last in UNSPACED_RANGES:
        some = classes[first : last + 1]
        some[some == LETTER] = UNSPACED
    plain = np.where(classes[:128] == SPACE, 0x20, folds[:128]).astype(np.uint8)
    further = np.array(expansions, np.uint32).reshape(-1, 2)
    return UnicodeTables(classes, folds, further, plain, _pairs(classes[:0x800], folds[:0x800]))


def _classes(low: int, characters: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Classes of neighbouring code points, the first of which is ``low``."""
    points = np.arange(low, low + len(characters))
    categories = np.array(list(map(unicodedata.category, characters)), "S2")
    spaces = np.fromiter(map(str.isspace, characters), np.bool_, len(characters))
    selectors = ((points >= 0xFE00) & (points <= 0xFE0F)) | ((points >= 0xE0100) & (points <= 0xE01EF))
    classes = np.full(len(points), OTHER, np.uint8)
    for initial, kind in _BY_CATEGORY.items():
        classes[np.char.startswith(categories, initial.encode())] = kind
    classes[spaces] = SPACE
    classes[points == ord("_")] = UNDERSCORE
    classes[(categories == b"Cf") | selectors] = IGNORED
    classes[points == _ZERO_WIDTH_SPACE] = SPACE
    return classes


def _pairs(classes: npt.NDArray[np.uint8], folds: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint16]:
    simple = ~np.isin(classes, (SPACE, IGNORED)) & (folds >= 0x80) & (folds < 0x800)
    entries = (0xC0 | folds >> 6) | (0x80 | folds & 0x3F) << 8
    return np.where(simple & (np.arange(0x800) >= 0x80), entries, 0).astype(np.uint16)
