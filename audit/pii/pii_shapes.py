"""Which of Presidio's recognisers are reached through the shapes of ``audit.kernels.identifier_shapes``.

A shape was written for certain patterns. Where a version of Presidio has others, their digest differs,
and the recogniser reads the wider windows of its kind's trigger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from audit.kernels.identifier_numbers import CARD, ITIN, LICENCE, NHS, PASSPORT, SIN, SSN, UK_PASSPORT
from audit.kernels.identifier_scan import EMAIL, IBAN, IP, MAC, MBI, NINO, NUMBER, WALLET


class Shape(NamedTuple):
    """A group of windows, and the kinds among them as bits."""

    group: int
    bit: int


#: Entity -> digest of its patterns, and the windows that hold all their matches.
_SHAPES: Mapping[str, tuple[str, Shape]] = {
    "CA_SIN": ("a788c96d9851fa39", Shape(NUMBER, SIN)),
    "CREDIT_CARD": ("ae99c629e9463404", Shape(NUMBER, CARD)),
    "CRYPTO": ("12ea767c505e472b", Shape(WALLET, 1)),
    "EMAIL_ADDRESS": ("457257c8c64fb2d5", Shape(EMAIL, 1)),
    "IBAN_CODE": ("dcd22bca6216b3a5", Shape(IBAN, 1)),
    "IP_ADDRESS": ("d8ce1a43471a1c13", Shape(IP, 1)),
    "MAC_ADDRESS": ("5d4db445cd282ded", Shape(MAC, 1)),
    "MEDICAL_LICENSE": ("ba956a8ca9ad4e9e", Shape(NUMBER, LICENCE)),
    "UK_NHS": ("4a3c66a290ac7dc5", Shape(NUMBER, NHS)),
    "UK_NINO": ("633cf8045f13a851", Shape(NINO, 1)),
    "UK_PASSPORT": ("9fe4a44962f0a738", Shape(NUMBER, UK_PASSPORT)),
    "US_ITIN": ("270d4951e0185e73", Shape(NUMBER, ITIN)),
    "US_MBI": ("69a6c93d79006c95", Shape(MBI, 1)),
    "US_PASSPORT": ("dd5062e9bca830f4", Shape(NUMBER, PASSPORT)),
    "US_SSN": ("d0fddc846eedb27b", Shape(NUMBER, SSN)),
}


def shape_of(recogniser: Any) -> Shape | None:
    """Return the windows of a recogniser; None where its patterns are not those that they were made for."""
    known = _SHAPES.get(recogniser.supported_entities[0])
    return known[1] if known and known[0] == patterns_digest(recogniser) else None


def patterns_digest(recogniser: Any) -> str:
    """Return a digest of what a recogniser matches: its patterns and how they are compiled."""
    parts = [pattern.regex for pattern in getattr(recogniser, "patterns", ())]
    parts.append(str(int(recogniser.global_regex_flags)))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
