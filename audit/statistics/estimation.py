"""From judgements to a prevalence with limits.

Estimand: the share of documents (or of tokens, in documents) that a reviewer would answer yes for, had one
judged every document. Four rules:

- Only the completed prefix of each stratum's draw order counts: what was judged out of turn waits.
- Unsure and skipped count as yes for the upper limit and as no for the lower; the point leaves them out.
- A stratum without a judgement enters the limits as anything from none to all, and there is no point.
- A stratum that was judged to the last document is known, without sampling error.

Once answers are adjudicated the estimand is the share that adjudicators would answer yes for: all of that
rests on adjudicated answers, a negative that was looked at again standing for 1 / pi2 of its stratum's
(``second_phase``). What waits for adjudication, or stays unsure, is unsure, and there is no point.

The limits are those of ``audit.statistics.stratified_limits``, at any alpha, and hold by one of two rules
(``sequential``). ``fixed``: for the declared size, all of it judged; a gate passes only when none of it
waits. ``sequential``: after every judgement, and for every extension of the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from audit.model import Estimate
from audit.statistics import stratified_limits as limits
from audit.statistics.census import Unit
from audit.statistics.sequential import DECLARED, FARTHEST, FIXED, SEQUENTIAL, Rule, share_of_alpha
from audit.statistics.snapshot import Snapshot
from audit.statistics.stratum_samples import (
    LABELS,
    NO,
    UNSURE,
    YES,
    StratumSample,
    completed_prefix,
    stratum_samples,
)

__all__ = [
    "FIXED",
    "LABELS",
    "NO",
    "SEQUENTIAL",
    "UNSURE",
    "YES",
    "Prevalence",
    "Rule",
    "StratumSample",
    "completed_prefix",
    "stratum_samples",
]

#: Beyond so many times the judgements so far, no number of labels is a plan.
_MOST = 1e4

#: Looks that are worth asking: the latest complete ones, and others of which no larger share is missing.
#: Leaving a look out can only widen the limits.
_LATEST, _MISSING = 3, 0.1

_POINTS = {
    "documents": "stratified share of documents",
    "tokens": "stratified ratio of tokens in positive documents to tokens",
}
_REVIEWED = "by reviewers' answers, not adjudicated"
_ADJUDICATED = "in two phases: adjudicated answers, negative ones by a random part that stands for 1/pi2 each"
_INTERVAL = "one-sided limits each, by Gaffke's test in strata (Clopper-Pearson in one)"
_RULES: Mapping[Rule, str] = {
    "fixed": "valid at the declared size only",
    "sequential": "valid after every judgement and extension, half of alpha being for the declared size",
}


@dataclass(frozen=True, eq=False)
class Prevalence:
    """The share of yes by human judgement, with limits at any alpha; evidence for gates.

    Attributes:
        metric, slice: As gates name them.
        strata: What the review knows, stratum by stratum; they make up the slice.
        unit: Whether the share is of documents or of tokens.
        rule: When its limits may be looked at.
    """

    metric: str
    slice: str
    strata: tuple[StratumSample, ...]
    unit: Unit = "documents"
    rule: Rule = FIXED

    reviewed: ClassVar[bool] = True

    @property
    def n(self) -> int:
        """Judged documents that count."""
        return sum(len(stratum.labels) for stratum in self.strata)

    @property
    def waiting(self) -> int:
        """Documents without which a pass would be one of a sample stopped where it looks good.

        None under the sequential rule: its limits hold whatever waits.
        """
        if self.rule == SEQUENTIAL:
            return 0
        return sum(stratum.waiting for _, snapshot in self._looks for stratum in snapshot.strata)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Strata without a judgement."""
        return tuple(s.stratum for s in self.strata if not len(s.labels) and s.total(self.unit))

    @cached_property
    def total(self) -> int:
        """Documents or tokens of the slice."""
        return sum(stratum.total(self.unit) for stratum in self.strata)

    @property
    def is_adjudicated(self) -> bool:
        """Whether answers are adjudicated: negatives that nobody was to look at again count for nothing."""
        return any(stratum.second is not None for stratum in self.strata)

    @cached_property
    def value(self) -> float | None:
        """Point estimate: Hájek ratio of what was decided; None where a stratum has no decided document."""
        if not self.n or not self.total:
            return None
        if self.is_adjudicated:
            return self._adjudicated_value()
        parts = []
        for stratum in self.strata:
            sizes, decided = stratum.sizes(self.unit), stratum.labels != UNSURE
            if stratum.total(self.unit) and not sizes[decided].sum():
                return None
            yes = sizes[stratum.labels == YES].sum()
            expansion = stratum.documents / max(int(decided.sum()), 1)
            whole = stratum.total(self.unit) if stratum.is_known else sizes[decided].sum() * expansion
            parts.append((yes / max(sizes[decided].sum(), 1.0) * whole, whole))
        return float(sum(yes for yes, _ in parts) / sum(whole for _, whole in parts))

    def _adjudicated_value(self) -> float | None:
        """Two-phase estimate (``audit.adjudication.prevalence``); None while a document is undecided."""
        if self.unjudged or any(((s.final == UNSURE) & (s.weights > 0)).any() for s in self.strata):
            return None
        yes = reviewed = 0.0
        for stratum in self.strata:
            sizes = stratum.sizes(self.unit) * stratum.documents / max(len(stratum.labels), 1)
            yes += float((sizes * stratum.weights)[stratum.final == YES].sum())
            reviewed += float(sizes.sum())
        return min(yes / reviewed, 1.0) if reviewed else None

    def upper_limit(self, alpha: float) -> float:
        """Upper limit, one-sided at level ``1 - alpha``; 1 where nothing was judged."""
        return min((look.upper_limit(alpha * share) for share, look in self._looks), default=1.0)

    def lower_limit(self, alpha: float) -> float:
        """Lower limit, one-sided at level ``1 - alpha``; 0 where nothing was judged."""
        return max((look.lower_limit(alpha * share) for share, look in self._looks), default=0.0)

    def p_value_at_most(self, limit: float) -> float:
        """P-value of "the prevalence is at most ``limit``"; under alpha where ``lower_limit`` is over it."""
        p_values = (look.p_value_at_most(limit) / share for share, look in self._looks)
        return min(1.0, min(p_values, default=1.0))

    def p_value_at_least(self, limit: float) -> float:
        """P-value of "the prevalence is at least ``limit``": under alpha if ``upper_limit`` is under it."""
        p_values = (look.p_value_at_least(limit) / share for share, look in self._looks)
        return min(1.0, min(p_values, default=1.0))

    def estimate(self, alpha: float) -> Estimate:
        """The estimate with a two-sided interval at ``1 - 2·alpha``, absent where nothing was judged."""
        value: float | None = None
        low: float | None = None
        high: float | None = None
        if self.n and self.total:
            low, high = self.lower_limit(alpha), self.upper_limit(alpha)
            value = None if self.value is None else min(max(self.value, low), high)
        answers = _ADJUDICATED if self.is_adjudicated else _REVIEWED
        method = f"{_POINTS[self.unit]} {answers}; {_INTERVAL}, {_RULES[self.rule]}"
        return Estimate(self.metric, self.slice, value, low, high, self.n, 1 - 2 * alpha, method)

    def labels_to_decide(self, limit: float, alpha: float) -> int | None:
        """About how many more judgements would decide the gate, were they to come out as those so far.

        None where none would: nothing judged, strata without judgement, or a prevalence too near the limit.
        """
        if not self.n or self.unjudged or self.value is None:
            return None
        alpha = alpha * share_of_alpha(DECLARED) if self.rule == SEQUENTIAL else alpha
        seen, target = (YES, limit) if self.value <= limit else (NO, 1 - limit)
        part = Snapshot(self.strata, self.unit).seen[seen]
        if part.judged is None:
            return None
        judged = part.judged

        def decides(factor: float) -> bool:
            share = limits.upper_limit(judged.scaled(factor), alpha)
            return part.certain + part.sampled * share <= target

        enough = 1.0
        while not decides(enough):
            enough *= 1.5
            if enough > _MOST:
                return None
        few = enough / 1.5
        for _ in range(12):
            middle = (few + enough) / 2
            few, enough = (few, middle) if decides(middle) else (middle, enough)
        more = [min(len(s.labels) * enough, s.documents) - len(s.labels) for s in self.strata]
        return max(int(np.ceil(sum(more))), 1)

    @cached_property
    def _looks(self) -> tuple[tuple[float, Snapshot], ...]:
        """What the limits are made of: snapshots of the review, each with its share of alpha."""
        if self.rule == FIXED:
            return ((1.0, Snapshot(tuple(s.declared() for s in self.strata), self.unit)),)
        return tuple(
            (share_of_alpha(look), Snapshot(strata, self.unit)) for look, strata in self._worthwhile()
        )

    def _worthwhile(self) -> Iterator[tuple[int, tuple[StratumSample, ...]]]:
        complete = 0
        for look in range(FARTHEST, -FARTHEST - 1, -1):
            sizes = [s.size_at(look) for s in self.strata]
            strata = [s.first(size) for s, size in zip(self.strata, sizes, strict=True) if size is not None]
            if len(strata) < len(sizes) or complete == _LATEST:
                continue
            missing, judged = sum(s.waiting for s in strata), sum(len(s.labels) for s in strata)
            if judged and missing <= _MISSING * (judged + missing):
                complete += missing == 0
                yield look, tuple(s.imputed() for s in strata)
