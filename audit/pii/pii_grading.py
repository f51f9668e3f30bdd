"""How grave a finding is beyond its kind: whose address, which network, whether it is a version.

The rules look at the value and the words before it, and are stated in docs/personal_data.md. A finding that
is probably no private person's keeps its kind and gets severity ``low``.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from ipaddress import ip_address

LOW = "low"

_ROLE_FILE = files("audit") / "pii_data" / "role_addresses.txt"
_ROLE_PARTS = re.compile(r"[._+-]")
_COUNTRY_OR_NUMBER = re.compile(r"[a-z]{2}|\d{1,4}")

#: National and international toll-free, shared-cost and premium numbers: US/CA (NANP), GB, DE, FR, ES, and
#: +800 (ITU-T E.169.1), as their numbering plans assign them.
_SERVICE_NUMBER = re.compile(
    r"""(?x)
    \+?1?(?:800|833|844|855|866|877|888)\d{7} | (?:\+|00)800\d{8}
    | (?:0|\+44|0044)(?:800|808|3\d\d|84\d|87\d)\d{6,7} | (?:0|\+49|0049)(?:800|180|900)\d{5,9}
    | (?:0|\+33|0033)(?:80\d|81\d|82\d)\d{6} | (?:\+34|0034)?(?:900|901|902)\d{6}
    """
)
#: The extension of a German or Austrian exchange: ``+49 30 23125-0``.
_SWITCHBOARD = re.compile(r"\d\s?[-–/]\s?0{1,3}$")
_COMPANY_WORDS = re.compile(
    r"(?i)\b(?:switchboard|toll[- ]?free|hotline|help ?line|help ?desk|call cent(?:er|re)"
    r"|customer (?:service|care|support)|front desk|reception|zentrale|service-?nummer|kundenservice"
    r"|standard téléphonique|numéro vert"
    r"|centralita|atención al cliente)\W{0,12}(?:\w+\W{1,4}){0,2}$"
)

_VERSION_BEFORE = re.compile(
    r"(?i)(?:\b(?:version|versión|versione|ver|release|rel|build|firmware|revision|rev|upgrade to|"
    r"updated? to|"
    r"section|chapter|clause|figure|table|oid)\b[.:]?\s{0,3}v?|\bv|\b[a-z][\w.+-]*/|\d\.|§\s{0,2})$"
)
_VERSION_AFTER = re.compile(r"\.\d")


#: A local part as people have it. RFC 5322 allows more, and Presidio reads it, so that what stands before an
#: address in a URL (``/list?user=``) becomes part of it.
_LOCAL_PART = re.compile(r"[\w.%+-]+@[^@]*$")


def leading_rest(value: str) -> int:
    """Return how many characters before an e-mail address belong to the URL or code around it.

    Args:
        value: An address as Presidio finds it.
    """
    match = _LOCAL_PART.search(value)
    return match.start() if match else 0


@cache
def roles() -> frozenset[str]:
    """Local parts that stand for a function: RFC 2142, and what web sites use besides."""
    lines = _ROLE_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def roles_digest() -> str:
    """SHA-256 of the list of roles, hex."""
    return hashlib.sha256(_ROLE_FILE.read_bytes()).hexdigest()


def is_role_address(value: str) -> bool:
    """Whether an e-mail address is a function's: its local part is a role, or a role and a country or number.

    Args:
        value: An address; what follows a plus sign is not read.
    """
    local = value.rsplit("@", 1)[0].casefold().partition("+")[0]
    known = roles()
    if local in known:
        return True
    parts = _ROLE_PARTS.split(local)
    return any(part in known for part in parts) and all(
        part in known or _COUNTRY_OR_NUMBER.fullmatch(part) for part in parts
    )


def is_company_number(value: str, before: str) -> bool:
    """Whether a phone number is a company's: toll-free or shared-cost, ``…-0``, or announced as such.

    Args:
        value: As written.
        before: The text before it.
    """
    digits = re.sub(r"(?<!^)\D|^[^\d+]", "", value.strip().lstrip("("))
    return bool(
        _SERVICE_NUMBER.fullmatch(digits) or _SWITCHBOARD.search(value) or _COMPANY_WORDS.search(before)
    )


def is_version(value: str, before: str, after: str) -> bool:
    """Whether four numbers with dots are a version, a section or part of an object identifier.

    Args:
        value: As written.
        before, after: The text around it; a few characters after suffice.
    """
    return ":" not in value and bool(_VERSION_BEFORE.search(before) or _VERSION_AFTER.match(after))


def is_public_address(value: str) -> bool:
    """Whether an IP address is globally reachable: not private, reserved, documentation (RFC 6890, 5737)."""
    try:
        return ip_address(value.split("/")[0].split("%")[0].strip("[]")).is_global
    except ValueError:
        return False


def severity(kind: str, value: str, before: str, usual: str) -> str:
    """Return the severity of a finding: the usual one, or ``low`` where a rule lowers it.

    Args:
        kind: Of the finding.
        value, before: What was found, and the text before it.
        usual: The kind's own severity.
    """
    if kind == "EMAIL_ADDRESS" and is_role_address(value):
        return LOW
    if kind == "PHONE_NUMBER" and is_company_number(value, before):
        return LOW
    if kind == "IP_ADDRESS":
        return usual if is_public_address(value) else LOW
    return usual
