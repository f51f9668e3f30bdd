"""Names of the dimensions that documents are sliced and stratified by."""

from __future__ import annotations

from collections.abc import Sequence

from audit.screens import Screen

#: Dimensions that findings and screens are reported by; bands serve strata only.
REPORTED = ("source", "language", "domain_class", "period")
#: By importance, where the configuration does not say; those without their screen fall away.
DEFAULT_STRATA = ("toxicity_band", "domain_class", "language", "period")


def banded(screens: Sequence[Screen]) -> list[Screen]:
    """Screens whose score is one of harm, since it comes with a flag; a confidence does not."""
    return [s for s in screens if {"score", "flagged"} <= set(s.measures)]


def dimensions(screens: Sequence[Screen]) -> tuple[str, ...]:
    """All dimensions under these screens: those reported, and a band per score of harm."""
    return (*REPORTED, *(f"{screen.name}_band" for screen in banded(screens)))
