"""The limits of a prevalence from what the review knows at one moment, at the full level of one look."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from audit.statistics import stratified_limits as limits
from audit.statistics.adjudicated_limits import adjudicated_values
from audit.statistics.census import Unit
from audit.statistics.stratified_limits import JudgedValues
from audit.statistics.stratum_samples import NO, UNSURE, YES, Floats, StratumSample


@dataclass(frozen=True, eq=False)
class Part:
    """The population seen from one label.

    Attributes:
        certain: Share that has the label for certain, or could have for all that was judged.
        sampled: Share of the strata that are judged in part.
        judged: What was judged there; None where there are none.
    """

    certain: float
    sampled: float
    judged: JudgedValues | None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Limits for a number of judgements that was fixed beforehand.

    Attributes:
        strata: What the review knows; ``audit.statistics.estimation`` tells what counts.
        unit: Whether the share is of documents or of tokens.
    """

    strata: tuple[StratumSample, ...]
    unit: Unit

    @cached_property
    def total(self) -> int:
        """Documents or tokens."""
        return sum(stratum.total(self.unit) for stratum in self.strata)

    def upper_limit(self, alpha: float) -> float:
        """Upper limit of the share of yes, one-sided at level ``1 - alpha``."""
        return self._upper(YES, alpha)

    def lower_limit(self, alpha: float) -> float:
        """Lower limit of the share of yes, one-sided at level ``1 - alpha``."""
        return 1.0 - self._upper(NO, alpha)

    def p_value_at_least(self, limit: float) -> float:
        """P-value of "the share of yes is at least ``limit``"."""
        return self._p_value(YES, limit)

    def p_value_at_most(self, limit: float) -> float:
        """P-value of "the share of yes is at most ``limit``"."""
        return self._p_value(NO, 1 - limit)

    @cached_property
    def seen(self) -> dict[int, Part]:
        """The population seen from either label, unsure counted on that label's side."""
        if not self.total:
            return dict.fromkeys((YES, NO), Part(1.0, 0.0, None))
        sampled = [s for s in self.strata if len(s.labels) and not s.is_known]
        if not sum(s.weights.sum() for s in sampled):
            sampled = []  # reviewed, and what is to be looked at again lies elsewhere
        whole = sum(s.total(self.unit) for s in sampled)
        known_whole = sum(s.total(self.unit) for s in self.strata if s.is_known)
        unjudged = self.total - whole - known_whole
        parts = {}
        for label in (YES, NO):
            known = sum(
                float(s.sizes(self.unit)[(s.final == label) | (s.final == UNSURE)].sum())
                for s in self.strata
                if s.is_known
            )
            judged = None
            if whole:
                judge = _documents if self.unit == "documents" else _tokens
                judged = judge(sampled, whole, label)
            parts[label] = Part((known + unjudged) / self.total, whole / self.total, judged)
        return parts

    def _p_value(self, label: int, share: float) -> float:
        """P-value of "the share of the label is at least ``share``"."""
        part = self.seen[label]
        if self._ceiling(label) < share:
            return 0.0
        if part.judged is None:
            return 1.0
        return limits.p_value_at_least(part.judged, (share - part.certain) / part.sampled)

    def _upper(self, label: int, alpha: float) -> float:
        """Upper limit of the share of the label."""
        part = self.seen[label]
        bound = part.certain
        if part.judged is not None:
            bound += part.sampled * limits.upper_limit(part.judged, alpha)
        return min(bound, self._ceiling(label))

    def _ceiling(self, label: int) -> float:
        """The most that the share of a label can be, for certain: all but what was seen to be the other."""
        other = NO if label == YES else YES
        seen = sum(float(s.sizes(self.unit)[(s.final == other) & (s.weights > 0)].sum()) for s in self.strata)
        return 1.0 - seen / self.total if self.total else 1.0


def _documents(strata: list[StratumSample], whole: int, label: int) -> JudgedValues:
    """Judged documents of some strata; 1 for ``label`` and unsure."""
    counts = np.array([_counts(stratum, label) for stratum in strata], np.int64)
    positives, upheld, negatives, again, overturned = counts.T
    shares = np.array([stratum.documents / whole for stratum in strata])
    stands_for = np.array([stratum.heaviest for stratum in strata])
    return adjudicated_values(shares, positives, upheld, negatives, again, overturned, stands_for)


def _counts(stratum: StratumSample, label: int) -> tuple[int, ...]:
    """What ``adjudicated_values`` wants of a stratum."""
    has = (stratum.final == label) | (stratum.final == UNSURE)
    certain, drawn = stratum.weights == 1, stratum.weights > 1
    positives = int(certain.sum())
    upheld, overturned = int((has & certain).sum()), int((has & drawn).sum())
    return positives, upheld, len(has) - positives, int(drawn.sum()), overturned


def _tokens(strata: list[StratumSample], whole: int, label: int) -> JudgedValues:
    """The same with each document as long as it is, a row each."""
    rows: list[tuple[Floats, ...]] = []
    for code, stratum in enumerate(strata):
        each = stratum.documents / len(stratum.labels) / whole
        seen = stratum.weights > 0
        values = ((stratum.final == label) | (stratum.final == UNSURE))[seen].astype(float)
        weights = each * (stratum.sizes("tokens") * stratum.weights)[seen]
        rows.append((np.full(len(values), code, float), weights, values))
    codes, weights, values = (np.concatenate(column) for column in zip(*rows, strict=True))
    longest = [s.documents / len(s.labels) / whole * s.longest("tokens") * s.heaviest for s in strata]
    return JudgedValues(
        stratum=codes.astype(np.int64),
        weights=weights,
        values=values,
        counts=np.ones(len(values)),
        shares=np.array([stratum.tokens / whole for stratum in strata]),
        largest=np.array(longest),
        low=np.zeros(len(strata)),
        high=np.ones(len(strata)),
    )
