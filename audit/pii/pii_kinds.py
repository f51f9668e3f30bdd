"""What is known of each kind of personal data: how grave, where it can be, whether it needs context.

Names are Presidio's entities. The choices follow from looking at hits on web pages and e-mails: a number
that only a check digit confirms is a coincidence in one of ten or eleven cases, so in product numbers,
ISBNs and phone numbers such kinds fire without end; they count only near a word that says what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Trigger(Enum):
    """Which windows of a text a recogniser has to see to find what it would find in the whole."""

    EMAIL = "email"  # tokens with an @
    DIGITS = "digits"  # seven digits and more, at most one sign between two
    NUMBER = "number"  # groups of six digits and more
    HOST = "host"  # groups of digits or hex digits with colons, dots or hyphens
    WALLET = "wallet"  # long runs of letters and digits
    PHONE = "phone"  # read by ``audit.pii.phones``, not through windows
    URL = "url"  # tokens with a dot before two letters
    DATE = "date"  # tokens with a digit beside a hyphen, slash or dot
    LICENCE = "licence"  # tokens with a digit beside a letter, or six digits
    TEXT = "text"  # all of it


@dataclass(frozen=True)
class Kind:
    """How a kind is treated.

    Attributes:
        severity: One of ``SEVERITIES``.
        trigger: Where it can be.
        needs_context: Counts only with one of its context words before it.
        default: Searched for when its country is switched on (or always, when it has none).
    """

    severity: str = "high"
    trigger: Trigger = Trigger.TEXT
    needs_context: bool = False
    default: bool = False


_ALONE = Kind("critical", Trigger.NUMBER, default=True)
_DIGITS_ALONE = Kind("critical", Trigger.DIGITS, default=True)
_DIGITS_IN_CONTEXT = Kind("critical", Trigger.DIGITS, needs_context=True, default=True)
_IN_CONTEXT = Kind("critical", Trigger.NUMBER, needs_context=True, default=True)

#: In order of precedence where score and length are equal. Kinds that are not here are searched for in
#: the whole text, have severity high, and are on only when they are named.
KINDS: Mapping[str, Kind] = {
    "EMAIL_ADDRESS": Kind("medium", Trigger.EMAIL, default=True),
    "CREDIT_CARD": _DIGITS_ALONE,
    "IBAN_CODE": Kind("high", Trigger.NUMBER, default=True),
    "US_SSN": _DIGITS_ALONE,
    "US_ITIN": _DIGITS_ALONE,
    "US_MBI": _IN_CONTEXT,
    "US_PASSPORT": _DIGITS_IN_CONTEXT,
    "UK_NINO": _ALONE,
    "UK_NHS": _DIGITS_IN_CONTEXT,
    "UK_PASSPORT": _IN_CONTEXT,
    "CA_SIN": _IN_CONTEXT,
    "AU_TFN": _IN_CONTEXT,
    "AU_MEDICARE": _IN_CONTEXT,
    "IN_AADHAAR": _IN_CONTEXT,
    "SG_NRIC_FIN": _IN_CONTEXT,
    "ES_NIF": _ALONE,
    "ES_NIE": _ALONE,
    "IT_FISCAL_CODE": Kind("critical", Trigger.TEXT, default=True),  # digits may be written as letters
    "PL_PESEL": _IN_CONTEXT,
    "DE_TAX_ID": _IN_CONTEXT,
    "DE_SOCIAL_SECURITY": _IN_CONTEXT,
    "DE_HEALTH_INSURANCE": _IN_CONTEXT,
    "FI_PERSONAL_IDENTITY_CODE": _ALONE,
    "KR_RRN": _IN_CONTEXT,
    "SE_PERSONNUMMER": _IN_CONTEXT,
    "TH_TNIN": _IN_CONTEXT,
    "TR_NATIONAL_ID": _IN_CONTEXT,
    "ZA_ID_NUMBER": _IN_CONTEXT,
    "NG_NIN": _IN_CONTEXT,
    "MEDICAL_LICENSE": Kind("high", Trigger.DIGITS, needs_context=True, default=True),
    "CRYPTO": Kind("medium", Trigger.WALLET, default=True),
    "IP_ADDRESS": Kind("medium", Trigger.HOST, default=True),  # low unless public
    "MAC_ADDRESS": Kind("low", Trigger.HOST, default=True),
    "PHONE_NUMBER": Kind("medium", Trigger.PHONE, default=True),
    "US_BANK_NUMBER": Kind("high", Trigger.DIGITS, needs_context=True),
    "US_DRIVER_LICENSE": Kind("high", Trigger.LICENCE, needs_context=True),
    "ABA_ROUTING_NUMBER": Kind("low", Trigger.NUMBER, needs_context=True),
    "US_NPI": Kind("low", Trigger.NUMBER, needs_context=True),
    "UUID": Kind("low", Trigger.NUMBER),
    "DATE_TIME": Kind("low", Trigger.DATE),
    "URL": Kind("low", Trigger.URL),
}

#: Context words besides Presidio's, which are English: labels of phone numbers in other languages, and fax.
MORE_CONTEXT: Mapping[str, tuple[str, ...]] = {
    "PHONE_NUMBER": (
        *("tel", "fax", "whatsapp", "sms", "telf", "tlf", "tfno", "tfn", "teléfono", "telefono", "móvil"),
        *("movil", "contacto telefónico", "téléphone", "portable", "télécopie", "telefon", "telefonnummer"),
        *("handy", "mobil", "mobiltelefon", "rufnummer", "durchwahl", "telefax", "cellulare", "telefone"),
    ),
}

_RANKS = {name: rank for rank, name in enumerate(KINDS)}


def kind_of(entity: str) -> Kind:
    """Return how an entity is treated, listed or not."""
    return KINDS.get(entity, Kind())


def rank(entity: str) -> int:
    """Return an entity's precedence; smaller wins."""
    return _RANKS.get(entity, len(_RANKS))
