"""Figures for people: grouped counts, shares with sensible digits, text from hostile input made tame."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

#: What stands for a value that nobody observed. It is never zero.
ABSENT = "no evidence"

MAX_ROWS = 20
MAX_TEXT = 160

_RARE = 0.01
# Control characters, bidirectional overrides and surrogates change how the text around them reads.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+"
)
_ACRONYMS = {
    word.lower().replace("-", ""): word
    for word in ("PII", "IP", "URL", "US", "SSN", "IBAN", "JSON", "UTF-8", "HMAC")
}
_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")


def count(value: float | None) -> str:
    """``12,345``; what is not a whole number with four significant digits."""
    if value is None:
        return ABSENT
    return f"{int(value):,}" if value == int(value) else f"{value:,.4g}"


def share(value: float | None) -> str:
    """A share as a percentage, two significant digits or more: ``0.012%``, ``4.56%``, ``31.4%``."""
    if value is None:
        return ABSENT
    percent = value * 100
    if percent == 0:
        return "0%"
    digits = 1 if abs(percent) >= 10 else max(2, 1 - math.floor(math.log10(abs(percent))))
    text = f"{percent:.{digits}f}%"
    return ">99.9%" if text == "100.0%" and value < 1 else text


def limit(value: float) -> str:
    """A limit as it was set, without trailing zeros: ``0.1%``."""
    return f"{value * 100:.6g}%"


def rarity(value: float | None) -> str:
    """``1 in 8,300`` for a rare share; nothing for others, and nothing for zero."""
    if value is None or not 0 < value < _RARE:
        return ""
    one_in = 1 / value
    return f"1 in {round(one_in, 1 - math.floor(math.log10(one_in))):,.0f}"


def interval(low: float | None, high: float | None) -> str:
    """``0.12% to 0.45%``."""
    if low is None or high is None:
        return ABSENT
    return f"{share(low)} to {share(high)}"


def ratio(part: int | None, whole: int | None) -> float | None:
    """A share, absent where there is nothing to divide by."""
    return None if part is None or not whole else part / whole


def size(value: int) -> str:
    """Bytes in decimal units: ``1.2 GB``."""
    scaled, unit = float(value), 0
    while scaled >= 1000 and unit < len(_UNITS) - 1:
        scaled, unit = scaled / 1000, unit + 1
    return f"{value:,} bytes" if unit == 0 else f"{scaled:.1f} {_UNITS[unit]}"


def tame(value: object, longest: int = MAX_TEXT) -> str:
    """One line, bounded, without characters that hide or reorder text. Not escaped for any markup."""
    text = _UNSAFE.sub(" ", str(value)).strip()
    if len(text) <= longest:
        return text
    return f"{text[: longest * 2 // 3]}…{text[-(longest // 4) :]}"


def flatten(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted keys, sorted, with printable values."""
    rows: list[tuple[str, str]] = []
    for key in sorted(settings):
        value, name = settings[key], f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flatten(value, f"{name}.")
        else:
            rows.append((name, _setting(value)))
    return rows


def _setting(value: object) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if any(isinstance(member, Mapping) for member in value):
            return f"{len(value):,} entries"
        return tame(", ".join(_setting(member) for member in value))
    return tame(value)


def words(name: str) -> str:
    """A name in snake case as words: ``broken_json`` -> ``broken JSON``."""
    return " ".join(_ACRONYMS.get(word, word) for word in name.split("_"))
