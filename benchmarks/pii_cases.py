"""Texts with made-up identifiers, half of them spoilt, for kinds that real text holds too rarely."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import phonenumbers
from presidio_analyzer import predefined_recognizers as stock

_TEMPLATES = (
    "{}",
    "Please note {} for the record.",
    "id:{}, valid until May",
    "({}) — geprüft",
    "Ref {}\nnext line 12 of 300",
    "😀 {} 😀",
    "<b>{}</b>",
    "x{}y",
)
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")


def texts(kind: str, n: int, seed: int) -> list[str]:
    """Return n texts, each with one value of a kind; every second value has a character changed."""
    draw = random.Random(f"{kind} {seed}")
    cases = []
    for k in range(n):
        value = _GENERATORS[kind](draw)
        cases.append(draw.choice(_TEMPLATES).format(_spoilt(value, draw) if k % 2 else value))
    return cases


def _spoilt(value: str, draw: random.Random) -> str:
    at = draw.randrange(len(value))
    return value[:at] + draw.choice("0123456789A- ") + value[at + 1 :]


def _filled(shape: str, draw: random.Random) -> str:
    """Fill a shape: ``#`` is a digit, ``A`` a capital, ``h`` a hexadecimal digit."""
    alphabets = {"#": "0123456789", "A": "ABCDEFGHJKLMPRSTUX", "h": "0123456789abcdefABCDEF"}
    return "".join(draw.choice(alphabets[c]) if c in alphabets else c for c in shape)


def _shapes(*shapes: str) -> Callable[[random.Random], str]:
    return lambda draw: _filled(draw.choice(shapes), draw)


def _checked(recogniser: object, *shapes: str) -> Callable[[random.Random], str]:
    """Draw until a check digit is right, as one in about ten is."""

    def generate(draw: random.Random) -> str:
        while True:
            value = _filled(draw.choice(shapes), draw)
            if recogniser.validate_result(value):  # type: ignore[attr-defined]
                return value

    return generate


def _iban(draw: random.Random) -> str:
    country, shape = draw.choice((("GB", "AAAA##############"), ("DE", "#" * 18), ("FR", "#" * 23)))
    account = _filled(shape, draw)
    digits = "".join(str(int(c, 36)) for c in account + country + "00")
    value = f"{country}{98 - int(digits) % 97:02d}{account}"
    return " ".join(value[k : k + 4] for k in range(0, len(value), 4)) if draw.random() < 0.5 else value


def _wallet(draw: random.Random) -> str:
    payload = draw.choice((b"\x00", b"\x05")) + draw.randbytes(20)
    whole = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, encoded = int.from_bytes(whole, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        encoded = _BASE58[rest] + encoded
    return "1" * (len(whole) - len(whole.lstrip(b"\0"))) + encoded


def _phone(draw: random.Random) -> str:
    number = phonenumbers.example_number_for_type(draw.choice(_REGIONS), draw.choice((0, 1, 3)))
    if number is None:
        return _phone(draw)
    number.national_number += draw.randrange(100)
    extension = draw.choice(("", "", "", " ext. 12", "x345", " #7"))
    return phonenumbers.format_number(number, draw.choice((0, 1, 2, 2, 2))) + extension


def _mail(draw: random.Random) -> str:
    return _filled("aAhA.A##@", draw).lower() + draw.choice(
        ("example.com", "mail.example.co.uk", "example.zz")
    )


def _url(draw: random.Random) -> str:
    host = _filled("www.AAh-AA.", draw).lower() + draw.choice(("com", "org", "zzz", "co.uk", "example"))
    return draw.choice(("https://", "", '"http://')) + host + draw.choice(("", "/a/b?c=1#d", '/x"'))


_GENERATORS: dict[str, Callable[[random.Random], str]] = {
    "CREDIT_CARD": _checked(
        stock.CreditCardRecognizer(),
        "4### #### #### ####",
        "5#############34",
        "3###-######-####",
        "6" + "#" * 15,
    ),
    "CRYPTO": _wallet,
    "DATE_TIME": _shapes(
        "20##-0#-1#",
        "1#/0#/19##",
        "1-MAY-20##",
        "0#.1#.20##",
        "20##-0#-1#T1#:3#:4#Z",
        "0#/##",
        "JAN-##",
        "0#/20##",
    ),
    "EMAIL_ADDRESS": _mail,
    "IBAN_CODE": _iban,
    "IP_ADDRESS": _shapes(
        "192.0.2.#",
        "10.1##.2#.#/2#",
        "2001:db8::h:hhhh",
        "fe80::hhh:hhhh:hhh:hhhh",
        "::1",
        "::ffff:192.0.2.#",
        "2001:db8:hhhh:h:hh:hhhh:0:hhhh",
        "::",
    ),
    "MAC_ADDRESS": _shapes("hh:hh:hh:hh:hh:hh", "hh-hh-hh-hh-hh-hh", "hhhh.hhhh.hhhh"),
    "MEDICAL_LICENSE": _checked(stock.MedicalLicenseRecognizer(), "AA#######", "A9#######"),
    "PHONE_NUMBER": _phone,
    "UK_NHS": _checked(stock.NhsRecognizer(), "###-###-####", "### ### ####", "##########"),
    "URL": _url,
    "US_BANK_NUMBER": _shapes("#" * 8, "#" * 12, "#" * 17, "#" * 18),
    "US_DRIVER_LICENSE": _shapes(
        "A#######", "AA######", "########A", "#########", "A#A#A", "###AA####", "H########"
    ),
    "US_ITIN": _shapes("9##-7#-####", "9##7#####", "9## 8# ####", "9##-9#####"),
    "US_PASSPORT": _shapes("#########", "A########"),
    "US_SSN": _shapes("###-##-####", "### ## ####", "#########", "#####-####", "###.##.####"),
    "UUID": _shapes("hhhhhhhh-hhhh-4hhh-8hhh-hhhhhhhhhhhh"),
}
