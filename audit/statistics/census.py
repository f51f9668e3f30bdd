"""A screen's own count over all documents: what it flagged, not how much is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from audit.model import Estimate

Unit = Literal["documents", "tokens", "bytes"]


@dataclass(frozen=True)
class Census:
    """Counts of one screen in one slice; evidence for gates.

    Attributes:
        metric, slice: As gates name them.
        total: Documents (or tokens, or bytes) of the slice.
        evaluated: Of those, in documents that the screen evaluated.
        flagged: Of those, in documents that it flagged.
        n: Documents evaluated.
        unit: What the counts are of.
        method: What was counted, in words; by default a detector's hits.
    """

    metric: str
    slice: str
    total: int
    evaluated: int
    flagged: int
    n: int
    unit: Unit = "documents"
    method: str | None = None

    reviewed: ClassVar[bool] = False
    unjudged: ClassVar[tuple[str, ...]] = ()
    waiting: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if not 0 <= self.flagged <= self.evaluated <= self.total:
            raise ValueError(f"{self.metric} in {self.slice}: counts do not nest")

    @property
    def value(self) -> float | None:
        """Flagged among evaluated; None where nothing was evaluated."""
        return self.flagged / self.evaluated if self.evaluated else None

    def upper_limit(self, alpha: float) -> float:
        """The share, had the screen flagged all that it did not evaluate, whatever the alpha."""
        del alpha  # nothing was sampled
        return (self.total - self.evaluated + self.flagged) / self.total if self.total else 1.0

    def lower_limit(self, alpha: float) -> float:
        """The share, had the screen flagged nothing of what it did not evaluate, whatever the alpha."""
        del alpha
        return self.flagged / self.total if self.total else 0.0

    def p_value_at_most(self, limit: float) -> float:
        """0 where the count is over the limit, else 1."""
        return 0.0 if self.lower_limit(0.0) > limit else 1.0

    def estimate(self, alpha: float) -> Estimate:
        """The count as an estimate; its limits say nothing of the screen's errors."""
        observed = self.evaluated > 0
        return Estimate(
            self.metric,
            self.slice,
            self.value,
            self.lower_limit(alpha) if observed else None,
            self.upper_limit(alpha) if observed else None,
            self.n,
            1.0,
            self.method
            or f"the detector's own count over all {self.unit}, not a prevalence; limits: none or all of "
            "what it did not evaluate",
        )

    def labels_to_decide(self, limit: float, alpha: float) -> None:
        """None: no judgement changes a screen's count."""
        del limit, alpha
