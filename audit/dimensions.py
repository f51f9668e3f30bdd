"""Names of the dimensions that documents are sliced and stratified by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from audit.model import WHOLE
from audit.screens import Screen, is_corpus_wide

#: Dimensions that findings and screens are reported by; bands, and what is present, serve strata only.
REPORTED = ("source", "language", "domain_class", "period")
#: By importance, where the configuration does not say; those without their screen fall away.
DEFAULT_STRATA = ("toxicity_band", "domain_class", "language", "period")
#: What names the dimension of what a screen flagged: true, false, or none where it did not look.
PRESENT = "_present"
_RESERVED = re.compile("[%&=]")


def banded(screens: Sequence[Screen]) -> list[Screen]:
    """Screens whose score is one of harm, since it comes with a flag; a confidence does not."""
    return [s for s in screens if {"score", "flagged"} <= set(s.measures)]


def flagging(screens: Sequence[Screen]) -> list[Screen]:
    """Screens that look at single documents and say whether each is a hit."""
    return [s for s in screens if "flagged" in s.measures and not is_corpus_wide(s)]


def dimensions(screens: Sequence[Screen]) -> tuple[str, ...]:
    """All dimensions under these screens: those reported, bands of scores of harm, and what is flagged."""
    bands = (f"{screen.name}_band" for screen in banded(screens))
    return (*REPORTED, *bands, *(f"{screen.name}{PRESENT}" for screen in flagging(screens)))


def conditions(name: str) -> dict[str, str]:
    """Dimension -> value of a slice's name; empty for the whole corpus.

    Raises:
        ValueError: It is not ``all``, nor ``dimension=value`` joined by ``&``, each dimension once and one
            of those reported.
    """
    if name == WHOLE:
        return {}
    parts = [[unquote(each) for each in part.split("=", 1)] for part in name.split("&")]
    names = [part[0] for part in parts]
    if any(len(part) != 2 for part in parts) or len(set(names)) < len(names):
        raise ValueError(f"the slice {name!r} is not {WHOLE!r}, nor dimension=value joined by &")
    for dimension in names:
        if dimension not in REPORTED:
            raise ValueError(f"unknown dimension {dimension!r} in a slice; known: {', '.join(REPORTED)}")
    return dict(parts)


def slice_name(dimension: str, value: str) -> str:
    """Name of the slice of one value; ``&``, ``=`` and ``%`` in it are percent-encoded."""
    if dimension == WHOLE:
        return WHOLE
    return f"{dimension}={_RESERVED.sub(lambda match: f'%{ord(match[0]):02X}', value)}"
