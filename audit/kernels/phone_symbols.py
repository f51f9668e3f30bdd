"""What each code point is to libphonenumber when it looks for numbers in a text."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt
from phonenumbers.unicode_util import Block, Category, is_letter

#: 0 to 9 are the ASCII digits. The others tell apart what one of the library's expressions tells apart.
SPACE, OTHER_SPACE, HYPHEN, WIDE_HYPHEN, OTHER, DOT, SLASH = 10, 11, 12, 13, 14, 15, 16
ROUND, OPENING, CLOSING, PLUS = 17, 18, 19, 20
#: May begin an extension within a number: only ``phonenumbers`` itself decides.
MARK = 21
#: A digit of another script.
FOREIGN = 22
#: Not in a number.
NONE = 23
#: Added to the symbol of letters and signs next to which nothing is a number.
FORBIDDEN = 64

_SYMBOLS = {
    " ": SPACE,
    "\u00a0\u3000": OTHER_SPACE,
    "-": HYPHEN,
    "\u2012\u2013\u2014\u2015\uff0d": WIDE_HYPHEN,
    "\u2010\u2011\u2212\u30fc\uff0e\uff0f\u00ad\u200b\u2060\u2053\u223c": OTHER,
    ".": DOT,
    "/": SLASH,
    "(": ROUND,
    "[\uff08\uff3b": OPENING,
    ")]\uff09\uff3d": CLOSING,
    "+\uff0b": PLUS,
    "xX~\uff5e": MARK,
}
_LATIN = (
    Block.BASIC_LATIN,
    Block.LATIN_1_SUPPLEMENT,
    Block.LATIN_EXTENDED_A,
    Block.LATIN_EXTENDED_ADDITIONAL,
    Block.LATIN_EXTENDED_B,
    Block.COMBINING_DIACRITICAL_MARKS,
)


_END_OF_LATIN = 0x1F00


@cache
def phone_symbols() -> npt.NDArray[np.uint8]:
    """Return the symbol of each code point (0x110000 bytes)."""
    symbols = np.full(0x110000, NONE, np.uint8)
    categories = np.array([unicodedata.category(chr(point)) for point in range(0x20000)], "S2")
    symbols[:0x20000][categories == b"Nd"] = FOREIGN
    symbols[48:58] = range(10)
    for characters, symbol in _SYMBOLS.items():
        symbols[[ord(c) for c in characters]] = symbol
    # Latin letters and their marks lie below; beyond, only signs of currencies are forbidden.
    beyond = _END_OF_LATIN + np.flatnonzero(categories[_END_OF_LATIN:] == b"Sc")
    for point in (*range(_END_OF_LATIN), *beyond.tolist()):
        symbols[point] += FORBIDDEN * _forbidden(chr(point))
    return symbols


def _forbidden(character: str) -> bool:
    """``PhoneNumberMatcher._is_latin_letter`` and ``_is_invalid_punctuation_symbol``."""
    category = Category.get(character)
    if character == "%" or category == Category.CURRENCY_SYMBOL:
        return True
    if not is_letter(character) and category != Category.NON_SPACING_MARK:
        return False
    return Block.get(character) in _LATIN
