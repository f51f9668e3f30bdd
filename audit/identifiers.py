"""Personal values in what a source calls a document: ids, addresses and labels, masked before they are kept.

An id may be an e-mail address, and the query of a URL may hold one, a phone number, a card or a token. What
looks like one is replaced by its masked preview; the rest of the identifier stays, so that it can still be
told from others. Where two become the same, documents keep their place by shard and position.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from audit.masking import mask
from audit.pii.pii_budget import Budget
from audit.pii.pii_checks import luhn, mod97
from audit.pii.pii_patterns import search_patterns
from audit.pii.pii_recognisers import Recogniser, built_in, compile_pattern

#: Characters of an identifier that are looked at: of a longer one only its length is shown.
LONGEST = 8192
#: A user name and password before the host.
_USER = r"://[^/?#\s@]+@"
#: The sign may be percent-encoded (also twice), an entity or full-width; the name may be in any script.
_SIGN = r"(?:@|%(?:25)*40|&#64;|&#[xX]40;|&commat;|＠)"
_NAME = r"\p{L}\p{M}\p{N}"
_EMAIL = rf"[{_NAME}.!#$%&'*+_\-]*[{_NAME}_]{_SIGN}[{_NAME}\-]+(?:\.[{_NAME}\-]+)+"
#: Only in a spelling that means a phone: bare digits are the commonest kind of id.
_PHONE = (
    r"(?:\+|%2[Bb])[1-9](?:[ ().\-]|%20)?(?:[0-9][ ().\-]{0,2}){6,13}[0-9]"
    r"|\(?\b[2-9][0-9]{2}\)?[ .\-][2-9][0-9]{2}[ .\-][0-9]{4}\b"
    r"|\b(?i:tel|phone|mobile|fax|whatsapp|msisdn)[=:/]/?[0-9][0-9 ().\-]{5,}[0-9]"
)
_GAP = r"(?:[ +\-]|%20)"
#: Digits that can hold a card, and letters and digits that can hold an IBAN; what does is checked.
_DIGITS = rf"[2-6][0-9]{{3}}(?:{_GAP}?[0-9]){{10,}}"
_COUNTED = rf"\b[A-Z]{{2}}[0-9]{{2}}(?:{_GAP}?[A-Z0-9]){{11,}}"
#: A query's parameter whose name says that its value is a secret.
_SECRET = (
    r"[?&;#](?i:[a-z0-9_.\-]*(?:token|secret|passw|pwd|api[_-]?key|signature|credential|sess(?:ion)?[_-]?id)"
    r"[a-z0-9_.\-]*|sig|auth)=[^&#\s]{4,}"
)
_ANY = (
    f"(?P<user>{_USER})|(?P<email>{_EMAIL})|(?P<secret>{_SECRET})|(?P<phone>{_PHONE})"
    f"|(?P<card>{_DIGITS})|(?P<iban>{_COUNTED})"
)
#: What every match of ``_ANY`` holds, in an expression that costs little to compile and to run.
_SUSPECT = (
    rf"{_SIGN}|[0-9](?:[^A-Za-z0-9]{{0,4}}[0-9]){{6}}|[A-Z][A-Z][0-9][0-9]|[?&;#][A-Za-z0-9_.\-]+="
    r"|(?i:tel|phone|mobile|fax|whatsapp|msisdn)[=:/]"
)
#: How cards are written (ISO/IEC 7812): digits of the groups, and the issuers' first digits.
_CARDS = (
    ({(16,), (4, 4, 4, 4)}, re.compile(r"4|5[1-5]|2[2-7]|6011|64[4-9]|65|35|62")),
    ({(15,), (4, 6, 5)}, re.compile(r"3[47]")),
    ({(14,), (4, 6, 4)}, re.compile(r"3(?:0[0-5]|6|8)")),
)
_MOST_GROUPS = 9
#: Countries with IBANs (ISO 13616), and how long these are.
_IBAN_COUNTRY = re.compile(
    r"A[DELTZ]|B[AEGHIRY]|C[HRYZ]|D[EJKO]|E[EGS]|F[IKOR]|G[BEILRT]|H[RU]|I[ELQST]|JO|K[WZ]|L[BCITUVY]"
    r"|M[CDEKNRTU]|N[ILO]|OM|P[KLST]|QA|R[OSU]|S[ACDEIKMOTV]|T[LNR]|UA|V[AG]|XK|YE"
)
_IBAN_LENGTHS = range(15, 35)


def mask_identifiers(column: pa.Array) -> pa.Array:
    """Mask e-mail addresses, phone and card numbers, IBANs and secrets; drop the user name of a URL.

    Args:
        column: n strings, nulls allowed. Of one over ``LONGEST`` characters only the length stays.

    Returns:
        n strings; the same array where nothing had to be masked.
    """
    long = pc.fill_null(pc.greater(pc.utf8_length(column), LONGEST), False)
    if pc.any(long).as_py():
        lengths = pc.cast(pc.utf8_length(column), pa.string())
        hidden = pc.binary_join_element_wise("[", lengths, " characters]", "")
        column = pc.if_else(long, hidden.cast(column.type), column)
    suspect = pc.fill_null(pc.match_substring_regex(column, _SUSPECT), False)
    if pc.any(suspect).as_py():
        masked = [_values().sub(_masked, value) for value in column.filter(suspect).to_pylist()]
        column = pc.replace_with_mask(column, suspect, pa.array(masked, column.type))
    return _without_tokens(column)


def mask_identifier(text: str) -> str:
    """The same for one text, such as the name of a file."""
    masked: str = mask_identifiers(pa.array([text], pa.string()))[0].as_py()
    return masked


@cache
def _values() -> Any:
    return compile_pattern(_ANY)


def _masked(match: Any) -> str:
    """What stands for a match of ``_ANY``."""
    value: str = match[0]
    if match["user"]:
        return "://"
    if match["email"]:
        return mask(re.sub(_SIGN, "@", value), "EMAIL_ADDRESS")
    if match["secret"]:
        return f"{value[: value.index('=')]}={mask(value, 'SECRET_TOKEN')}"
    if match["phone"]:
        return mask(value, "PHONE_NUMBER")
    if match["card"]:
        return _groups_masked(value, _is_card, "CREDIT_CARD")
    return _groups_masked(value, _is_iban, "IBAN_CODE")


def _groups_masked(value: str, is_one: Callable[[list[str]], bool], kind: str) -> str:
    """Mask neighbouring groups of letters and digits that together are a number of a kind."""
    parts = re.split(f"({_GAP})", value)
    at = 0
    while at < len(parts):
        for stop in range(at + 1, min(len(parts), at + 2 * _MOST_GROUPS) + 1, 2):
            if is_one(parts[at:stop:2]):
                parts[at:stop] = [mask("".join(parts[at:stop]), kind)]
                break
        at += 2
    return "".join(parts)


def _is_card(groups: list[str]) -> bool:
    digits, sizes = "".join(groups), tuple(map(len, groups))
    return any(sizes in forms and issuer.match(digits) for forms, issuer in _CARDS) and luhn(digits)


def _is_iban(groups: list[str]) -> bool:
    plain = "".join(groups)
    return len(plain) in _IBAN_LENGTHS and bool(_IBAN_COUNTRY.match(plain)) and mod97(plain)


@cache
def _tokens() -> tuple[Recogniser, ...]:
    """Formats of the well-known services; passwords in URLs are gone with their users."""
    return tuple(each for each in built_in("secrets").recognisers if each.kind != "SECRET_URL_PASSWORD")


def _without_tokens(column: pa.Array) -> pa.Array:
    texts = pc.fill_null(column, "")
    hits, over = search_patterns(texts, _tokens(), Budget())
    spans: dict[int, list[tuple[int, int]]] = {}
    for hit in hits:
        spans.setdefault(hit.row, []).append((hit.span.start, hit.span.end))
    for flags in over.values():
        for row in flags.nonzero()[0].tolist():
            spans[row] = [(0, len(texts[row].as_py()))]  # too much to look at: nothing of it is shown
    if not spans:
        return column
    values = column.to_pylist()
    for row, found in spans.items():
        values[row] = _cut(values[row], found)
    return pa.array(values, column.type)


def _cut(text: str, spans: list[tuple[int, int]]) -> str:
    """Put a mask in the place of spans, from the last to the first; of overlapping ones one stays."""
    done = len(text)
    for start, end in sorted(spans, key=lambda span: (span[1], -span[0]), reverse=True):
        if start < done:
            text = f"{text[:start]}{mask('', 'SECRET_TOKEN')}{text[min(end, done) :]}"
            done = start
    return text
