"""Checks that a recogniser may ask of what its pattern matched: check digits, structure, placeholders."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping

_VERHOEFF_D = [
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
]
_VERHOEFF_P = [
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
]

#: What stands in documentation where a secret would: words, repeated characters, variables.
_PLACEHOLDER = re.compile(
    r"""(?ix)
    .*(?: change[-_ ]?me | example | placeholder | redacted | your[-_ ]?\w* | dummy | sample | <.*> | \$[{(\w]
        | \{\{ | %[({\w]+[)}%] | _here\b | insert | \.\.\. | … ).*
    | (?: \W | x | \* | \. | 0 )+
    | (.)\1*
    | (?: test | foo | bar | foobar | password | passwd | pass | passphrase | secret | mysecret | mypassword
        | none | null | nil | true | false | undefined | unset | empty | required | optional | string | value
        | process\.env.* | os\.environ.* | env\[.* | getenv.* | \w+\(.* | self\..* | this\..* | args\..*
        | 12345?6?7?8?9?0? | abc123 | qwerty )
    """
)


def luhn(value: str) -> bool:
    """ISO/IEC 7812-1, annex B: cards, Canadian SIN, IMEI."""
    digits = [int(c) for c in value if c.isdigit()]
    doubled = [d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(reversed(digits))]
    return len(digits) > 1 and sum(doubled) % 10 == 0


def mod97(value: str) -> bool:
    """ISO 7064 MOD 97-10 with the first four characters moved to the end, as in IBANs (ISO 13616)."""
    plain = "".join(c for c in value.upper() if c.isascii() and c.isalnum())
    return len(plain) > 4 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def verhoeff(value: str) -> bool:
    """Verhoeff (1969), Error Detecting Decimal Codes: Aadhaar."""
    check = 0
    digits = [int(c) for c in reversed(value) if c.isdigit()]
    for i, digit in enumerate(digits):
        check = int(_VERHOEFF_D[check][int(_VERHOEFF_P[i % 8][digit])])
    return len(digits) > 1 and check == 0


def jwt(value: str) -> bool:
    """Whether the first part decodes to a JSON object with ``alg`` (RFC 7515, section 4)."""
    head = value.split(".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, binascii.Error):
        return False
    return isinstance(header, dict) and "alg" in header


def not_placeholder(value: str) -> bool:
    """Whether a secret is none of the stand-ins of documentation (``changeme``, ``<password>``, ``${…}``)."""
    return _PLACEHOLDER.fullmatch(value.strip("\"'`")) is None


def letters_and_digits(value: str) -> bool:
    """Whether there is at least one of each: random tokens have both, words and numbers do not."""
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def url_password(value: str) -> bool:
    """Whether the password of ``scheme://user:password@host`` is one, not a port, mask or variable."""
    password = value.rsplit("@", 1)[0].rsplit(":", 1)[-1]
    return not_placeholder(password)


#: By the name that recognisers use.
CHECKS: Mapping[str, Callable[[str], bool]] = {
    check.__name__: check
    for check in (luhn, mod97, verhoeff, jwt, not_placeholder, letters_and_digits, url_password)
}
