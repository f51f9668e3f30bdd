"""What may be shown and joined of a personal value: a masked preview and a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from itertools import groupby

MAX_PREVIEW = 32
MAX_RUN = 4

#: Kinds that are compared by their digits alone (spaces, dashes, dots and brackets are spelling).
_DIGITS_ONLY = frozenset(
    {"CREDIT_CARD", "US_SSN", "US_ITIN", "US_BANK_NUMBER", "UK_NHS", "CA_SIN", "AU_TFN", "ABA_ROUTING_NUMBER"}
)
#: Kinds that are compared exactly as written: case carries information.
_VERBATIM = frozenset({"CRYPTO"})
#: Secrets: compared as written, and nothing of their shape is shown.
_SECRET = "SECRET_"
#: Kinds whose letters are compared without case and whose punctuation carries information.
_CASE_FOLDED = frozenset({"EMAIL_ADDRESS", "URL", "IP_ADDRESS"})

_EXTENSION = re.compile(r"(?:;ext=|[,\s]*(?:ext(?:ension)?|x|#)[.:]?)\s*\d{1,9}#?$", re.IGNORECASE)


def mask(value: str, kind: str) -> str:
    """Return a preview that shows the shape of a value and no letter or digit of it.

    The rule, for every kind: letters become ``x``, digits ``#``, white space one space, other ASCII
    characters stay, everything else becomes ``·``. A run of one class longer than four is cut to four,
    so that lengths are not told either, and the whole to 32 characters. E-mail addresses and URLs also
    lose the punctuation left of ``@`` and right of the host, which is the person's own choice. Of secrets
    nothing is shown but ``xxxx``: the shape of a password says too much.

    Args:
        value: The personal value.
        kind: What it is (``EMAIL_ADDRESS``).
    """
    if kind.startswith(_SECRET):
        return "x" * MAX_RUN
    if kind == "EMAIL_ADDRESS" and "@" in value:
        local, _, domain = value.rpartition("@")
        plain = re.sub(r"\W", "x", local)
        return f"{_skeleton(plain)}@{_skeleton(domain)}"[:MAX_PREVIEW]
    if kind == "URL":
        value = re.split(r"(?<![:/])/", value, maxsplit=1)[0]
    return _skeleton(value)[:MAX_PREVIEW]


def value_hash(key: bytes, kind: str, value: str) -> str:
    """Return HMAC-SHA-256 of kind and normalised value, cut to 128 bits, as 32 hex digits.

    Args:
        key: Secret of the run (``HmacKey.key``); without it nobody can test a guess.
        kind: Part of what is hashed: equal digits of two kinds are two values.
        value: As matched; spellings of one value hash alike (see ``normalise``).

    Raises:
        ValueError: The key is empty.
    """
    if not key:
        raise ValueError("an empty key hides nothing")
    message = f"{kind}\0{normalise(kind, value)}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:32]


def normalise(kind: str, value: str) -> str:
    """Return the form in which two spellings of one value are equal.

    Compatibility characters (full-width digits) are folded for all kinds (NFKC). E-mail and IP addresses
    are case-folded; of phone numbers remain the digits, without extension and ``(0)``, and a leading ``+``,
    where ``00`` is read as ``+``; of cards and numeric identifiers the digits; of other identifiers the
    letters and digits in upper case; wallets and secrets stay as they are.
    """
    if kind.startswith(_SECRET):
        return value
    value = unicodedata.normalize("NFKC", value).strip()
    if kind in _VERBATIM:
        return value
    if kind in _CASE_FOLDED:
        return value.casefold()
    if kind == "PHONE_NUMBER":
        return _phone(value)
    if kind in _DIGITS_ONLY:
        return "".join(c for c in value if c.isdigit())
    return "".join(c for c in value if c.isalnum()).upper()


def _phone(value: str) -> str:
    bare = _EXTENSION.sub("", value)
    if "+" in bare[:3]:
        bare = bare.replace("(0)", "")  # a trunk prefix, not dialled from abroad
    digits = "".join(str(unicodedata.digit(c)) for c in bare if c.isdigit())
    if "+" in bare[:3]:
        return f"+{digits}"
    return f"+{digits[2:]}" if digits.startswith("00") else digits


def _skeleton(value: str) -> str:
    runs = ((symbol, sum(1 for _ in run)) for symbol, run in groupby(map(_symbol, value)))
    return "".join(symbol * (1 if symbol == " " else min(length, MAX_RUN)) for symbol, length in runs)


def _symbol(character: str) -> str:
    if character.isalpha():
        return "x"
    if character.isdigit():
        return "#"
    if character.isspace():
        return " "
    return character if character.isascii() and character.isprintable() else "·"
