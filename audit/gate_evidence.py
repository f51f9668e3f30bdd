"""What a gate is judged on, and what unread parts of a corpus do to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from audit.coverage import Coverage
from audit.model import WHOLE, Estimate

#: The metric that is itself the share of records without a document: they are not charged twice.
UNSCREENED = "unscreened"


class Evidence(Protocol):
    """What a gate is judged on."""

    @property
    def n(self) -> int:
        """Observations."""
        ...

    @property
    def total(self) -> int:
        """Documents, tokens or bytes of the slice: what the share is of."""
        ...

    @property
    def reviewed(self) -> bool:
        """Whether people judged."""
        ...

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Strata without a judgement that counts."""
        ...

    @property
    def waiting(self) -> int:
        """Documents that were drawn and have no judgement that counts."""
        ...

    def estimate(self, alpha: float) -> Estimate:
        """The estimate with a two-sided interval at ``1 - 2·alpha``."""
        ...

    def upper_limit(self, alpha: float) -> float:
        """Upper limit, one-sided at level ``1 - alpha``."""
        ...

    def lower_limit(self, alpha: float) -> float:
        """Lower limit, one-sided at level ``1 - alpha``."""
        ...

    def p_value_at_most(self, limit: float) -> float:
        """P-value of "the share is at most ``limit``"."""
        ...

    def labels_to_decide(self, limit: float, alpha: float) -> int | None:
        """About how many more judgements would decide; None where none would."""
        ...


@dataclass(frozen=True)
class Missing:
    """Evidence that a gate should have, and why it has none, in words: the screen failed, did not run …"""

    reason: str


@dataclass(frozen=True)
class Charged:
    """Evidence of what was read, made to speak of the whole slice, the unread part of it included.

    With a share ``u`` unread, the share of harm in all lies between ``(1 - u) * low`` (nothing unread is
    harm) and ``u + (1 - u) * high`` (all of it is). Nobody knows in which slice an unread document belongs,
    so each slice is charged with all of them.

    Attributes:
        read: Evidence of what was read.
        unread: Share of the slice that was not, at most.
    """

    read: Evidence
    unread: float

    @property
    def n(self) -> int:
        """Observations."""
        return self.read.n

    @property
    def total(self) -> int:
        """Of what was read."""
        return self.read.total

    @property
    def reviewed(self) -> bool:
        """Whether people judged."""
        return self.read.reviewed

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Strata without a judgement that counts."""
        return self.read.unjudged

    @property
    def waiting(self) -> int:
        """Documents that were drawn and have no judgement that counts."""
        return self.read.waiting

    def estimate(self, alpha: float) -> Estimate:
        """The point is that of what was read; the limits are those of all."""
        found = self.read.estimate(alpha)
        return dataclasses.replace(
            found,
            low=None if found.low is None else self._low(found.low),
            high=None if found.high is None else self._high(found.high),
            method=f"{found.method}; limits with {100 * self.unread:.3g}% unread, as none or all harm",
        )

    def upper_limit(self, alpha: float) -> float:
        """Upper limit, all that was not read being harm."""
        return self._high(self.read.upper_limit(alpha))

    def lower_limit(self, alpha: float) -> float:
        """Lower limit, nothing that was not read being harm."""
        return self._low(self.read.lower_limit(alpha))

    def p_value_at_most(self, limit: float) -> float:
        """P-value of "the share in all is at most ``limit``", nothing unread being harm."""
        if limit >= 1.0 - self.unread:
            return 1.0
        return self.read.p_value_at_most(limit / (1.0 - self.unread))

    def labels_to_decide(self, limit: float, alpha: float) -> int | None:
        """About how many more judgements would decide; None where what was not read already forbids it."""
        value = self.read.estimate(alpha).value
        if value is None or limit <= self.unread or self.unread >= 1.0:
            return None
        within = (limit - self.unread) / (1.0 - self.unread)
        beyond = min(1.0, limit / (1.0 - self.unread))
        return self.read.labels_to_decide(within if value <= within else beyond, alpha)

    def _low(self, limit: float) -> float:
        return (1.0 - self.unread) * limit

    def _high(self, limit: float) -> float:
        return self.unread + (1.0 - self.unread) * limit


def charge(
    found: Mapping[tuple[str, str], Evidence | Missing], coverage: Coverage
) -> dict[tuple[str, str], Evidence | Missing]:
    """Charge all evidence with what was not read, each slice with all of it.

    Args:
        found: By metric and slice, each metric for the whole corpus too.
        coverage: What was read.
    """
    charged = dict(found)
    for (metric, where), evidence in found.items():
        if isinstance(evidence, Missing):
            continue
        mass = dataclasses.replace(coverage, rejected=0) if metric == UNSCREENED else coverage
        whole = found.get((metric, WHOLE), evidence)
        total = evidence.total if isinstance(whole, Missing) else whole.total
        if unread := _share(mass.unread_mass, total, evidence.total):
            charged[metric, where] = Charged(evidence, unread)
    return charged


def _share(mass: float, whole: int, part: int) -> float:
    """Unread share of a slice of ``part`` documents that holds all that is unread of the corpus."""
    if mass >= 1.0:
        return 1.0
    unread = mass / (1.0 - mass) * whole
    return unread / (unread + part) if unread else 0.0
