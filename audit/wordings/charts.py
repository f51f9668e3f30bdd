"""Geometry of the charts. What is drawn is always written beside it; a chart adds no figure of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_DECADES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_TOPS = (*(step * decade for decade in _DECADES[:-1] for step in (1, 2, 5)), 1.0)


@dataclass(frozen=True)
class Scale:
    """A log-like scale for shares that includes 0: linear below ``knee``, logarithmic above it.

    Attributes:
        knee: Where the scale turns from linear to logarithmic.
        top: The share at the right end.
    """

    knee: float
    top: float

    def at(self, value: float) -> float:
        """Position of a share, 0 (left) to 1 (right); values beyond the ends stay at them."""
        inside = min(max(value, 0.0), self.top)
        return math.log1p(inside / self.knee) / math.log1p(self.top / self.knee)

    def ticks(self, apart: float = 0.14) -> list[float]:
        """0, the decades on the scale, and its end, none closer to the next than ``apart``."""
        ticks = [0.0]
        for decade in (*(d for d in _DECADES if d < self.top), self.top):
            if self.at(decade) - self.at(ticks[-1]) >= apart:
                ticks.append(decade)
        return ticks


def scale_for(values: Iterable[float | None]) -> Scale:
    """A scale on which the smallest and the largest of some shares can be told apart."""
    present = [value for value in values if value is not None and value > 0]
    top = next((top for top in _TOPS if top >= max(present, default=1.0)), 1.0)
    knee = min([*present, top / 10]) / 2
    return Scale(knee=max(knee, 1e-6), top=top)
