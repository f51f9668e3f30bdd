"""From judgements to a prevalence with limits.

Estimand: the share of documents (or of tokens, in documents) that a reviewer would answer yes for, had one
judged every document. Four rules:

- Only the completed prefix of each stratum's draw order counts: what was judged out of turn waits.
- Unsure and skipped count as yes for the upper limit and as no for the lower; the point leaves them out.
- A stratum without a judgement enters the limits as anything from none to all, and there is no point.
- A stratum that was judged to the last document is known, without sampling error.

The limits are those of ``audit.limits``, at any alpha, for a number of judgements fixed beforehand: a gate
passes only when all that was drawn is judged (``waiting`` is 0), since whoever looks at the limits as he
goes chooses where to stop. An extension after a look is a second chance that no alpha pays for yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit import limits
from audit.census import Unit
from audit.limits import WeightedCounts
from audit.model import Estimate

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]

NO, YES, UNSURE = 0, 1, 2
#: Labels of a judgement by code.
LABELS = {"no": NO, "yes": YES, "unsure": UNSURE, "skipped": UNSURE}

#: Beyond so many times the judgements so far, no number of labels is a plan.
_MOST = 1e4

_INTERVAL = "one-sided limits each, by Gaffke's test (Clopper-Pearson where weights are equal)"
_METHODS = {
    "documents": f"stratified share of documents; {_INTERVAL}",
    "tokens": f"stratified ratio of tokens in positive documents to tokens; {_INTERVAL}",
}


@dataclass(frozen=True, eq=False)
class StratumSample:
    """What the review knows of one stratum (or of a slice's part of it).

    Attributes:
        stratum: Label.
        documents, tokens: All there are.
        labels: ``NO``, ``YES`` or ``UNSURE`` of the completed prefix, in draw order, shape (n,).
        judged_tokens: Tokens of the same documents, shape (n,).
        max_tokens: Tokens of the longest document; None: unknown, so it could hold them all.
        waiting: Documents that were drawn and are not in the completed prefix.
    """

    stratum: str
    documents: int
    tokens: int
    labels: Codes
    judged_tokens: npt.NDArray[np.int64]
    max_tokens: int | None = None
    waiting: int = 0

    def __post_init__(self) -> None:
        if len(self.labels) > self.documents or len(self.labels) != len(self.judged_tokens):
            raise ValueError(f"stratum {self.stratum}: judgements do not fit its documents")

    def total(self, unit: Unit) -> int:
        """Documents or tokens in the stratum."""
        return self.documents if unit == "documents" else self.tokens

    def sizes(self, unit: Unit) -> Floats:
        """Documents (1 each) or tokens of the judged documents."""
        return np.ones(len(self.labels)) if unit == "documents" else self.judged_tokens.astype(float)

    def longest(self, unit: Unit) -> float:
        """The most that one document of the stratum can count."""
        if unit == "documents":
            return 1.0
        return float(self.tokens if self.max_tokens is None else self.max_tokens)


def completed_prefix(draw: npt.NDArray[np.int64], judged: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which draws of one stratum count: those before the first without a judgement, in draw order."""
    waiting = draw[~judged]
    first: int | float = waiting.min() if len(waiting) else np.inf
    return np.asarray(draw < first)


def stratum_samples(strata: pa.Table, draws: pa.Table) -> tuple[StratumSample, ...]:
    """Bring draws and judgements together, stratum by stratum.

    Args:
        strata: ``stratum``, ``documents``, ``tokens`` and, for tighter limits of tokens, ``max_tokens``.
            For a slice: of the slice's part of each stratum.
        draws: ``stratum``, ``draw`` (rank from 1), ``label`` (null: not judged yet), ``tokens``. For a
            slice: all draws of the strata all the same, with a boolean column ``member`` that says which
            lie in the slice: the prefix is that of the whole stratum.

    Raises:
        ValueError: A label is unknown, or a draw's stratum is.
    """
    table = draws.sort_by([("stratum", "ascending"), ("draw", "ascending")])
    names = strata.column("stratum").combine_chunks()
    if pc.any(pc.is_null(pc.index_in(table.column("stratum"), value_set=names))).as_py():
        raise ValueError("a draw belongs to no stratum of the design")
    longest = (
        strata.column("max_tokens").to_pylist()
        if "max_tokens" in strata.column_names
        else [None] * len(strata)
    )
    columns = (strata.column(name).to_pylist() for name in ("stratum", "documents", "tokens"))
    codes = _label_codes(table.column("label"))
    at = np.asarray(pc.index_in(table.column("stratum"), value_set=names))
    member = table.column("member").to_numpy() if "member" in table.column_names else np.ones(len(at), bool)
    tokens, draw = table.column("tokens").to_numpy(), table.column("draw").to_numpy()
    samples = []
    for code, (stratum, documents, total, most) in enumerate(zip(*columns, longest, strict=True)):
        rows = np.flatnonzero(at == code)
        counts = completed_prefix(draw[rows], codes[rows] >= 0) & member[rows]
        waiting = int(member[rows].sum() - counts.sum())
        rows = rows[counts]
        if documents:
            samples.append(StratumSample(stratum, documents, total, codes[rows], tokens[rows], most, waiting))
    return tuple(samples)


def _label_codes(labels: pa.ChunkedArray) -> Codes:
    """Codes of the labels, -1 where there is none yet."""
    known = pa.array(list(LABELS), pa.string())
    index = pc.index_in(pc.cast(labels, pa.string()), value_set=known)
    if pc.any(pc.and_(pc.is_null(index), pc.is_valid(labels))).as_py():
        raise ValueError(f"a judgement's label is none of {', '.join(LABELS)}")
    codes = np.array([*LABELS.values(), -1], np.int8)
    coded: Codes = codes[pc.fill_null(index, len(LABELS)).to_numpy()]
    return coded


@dataclass(frozen=True)
class _Part:
    """The population seen from one label.

    Attributes:
        certain: Share that has the label for certain, or could have for all that was judged.
        sampled: Share of the strata that are judged in part.
        counts: What was judged there.
    """

    certain: float
    sampled: float
    counts: WeightedCounts


@dataclass(frozen=True, eq=False)
class Prevalence:
    """The share of yes by human judgement, with limits at any alpha; evidence for gates.

    Attributes:
        metric, slice: As gates name them.
        strata: What the review knows, stratum by stratum; they make up the slice.
        unit: Whether the share is of documents or of tokens.
    """

    metric: str
    slice: str
    strata: tuple[StratumSample, ...]
    unit: Unit = "documents"

    reviewed: ClassVar[bool] = True

    @property
    def n(self) -> int:
        """Judged documents that count."""
        return sum(len(stratum.labels) for stratum in self.strata)

    @property
    def waiting(self) -> int:
        """Documents that were drawn and wait for a judgement that counts."""
        return sum(stratum.waiting for stratum in self.strata)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Strata without a judgement."""
        return tuple(s.stratum for s in self.strata if not len(s.labels) and s.total(self.unit))

    @cached_property
    def total(self) -> int:
        """Documents or tokens of the slice."""
        return sum(stratum.total(self.unit) for stratum in self.strata)

    @cached_property
    def value(self) -> float | None:
        """Point estimate: Hájek ratio of what was decided; None where a stratum has no decided document."""
        if not self.n or not self.total:
            return None
        parts = []
        for stratum in self.strata:
            sizes, decided = stratum.sizes(self.unit), stratum.labels != UNSURE
            if stratum.total(self.unit) and not sizes[decided].sum():
                return None
            yes = sizes[stratum.labels == YES].sum()
            expansion = stratum.documents / max(int(decided.sum()), 1)
            whole = stratum.total(self.unit) if self._is_known(stratum) else sizes[decided].sum() * expansion
            parts.append((yes / max(sizes[decided].sum(), 1.0) * whole, whole))
        return float(sum(yes for yes, _ in parts) / sum(whole for _, whole in parts))

    def upper_limit(self, alpha: float) -> float:
        """Upper limit, one-sided at level ``1 - alpha``; 1 where nothing was judged."""
        return self._upper(alpha, upper=True)

    def lower_limit(self, alpha: float) -> float:
        """Lower limit, one-sided at level ``1 - alpha``; 0 where nothing was judged."""
        return 1.0 - self._upper(alpha, upper=False)

    def p_value_at_most(self, limit: float) -> float:
        """P-value of "the prevalence is at most ``limit``"; under alpha where ``lower_limit`` is over it."""
        return self._p_value(NO, 1 - limit)

    def p_value_at_least(self, limit: float) -> float:
        """P-value of "the prevalence is at least ``limit``": under alpha if ``upper_limit`` is under it."""
        return self._p_value(YES, limit)

    def estimate(self, alpha: float) -> Estimate:
        """The estimate with a two-sided interval at ``1 - 2·alpha``, absent where nothing was judged."""
        value: float | None = None
        low: float | None = None
        high: float | None = None
        if self.n and self.total:
            low, high = self.lower_limit(alpha), self.upper_limit(alpha)
            value = None if self.value is None else min(max(self.value, low), high)
        return Estimate(self.metric, self.slice, value, low, high, self.n, 1 - 2 * alpha, _METHODS[self.unit])

    def labels_to_decide(self, limit: float, alpha: float) -> int | None:
        """About how many more judgements would decide the gate, were they to come out as those so far.

        None where none would: nothing judged, strata without judgement, or a prevalence too near the limit.
        """
        if not self.n or self.unjudged or self.value is None:
            return None
        seen, target = (YES, limit) if self.value <= limit else (NO, 1 - limit)
        part = self._seen[seen]
        if not part.sampled:
            return None
        enough = 1.0
        while self._projected(part, enough, alpha) > target:
            enough *= 1.5
            if enough > _MOST:
                return None
        few = enough / 1.5
        for _ in range(12):
            middle = (few + enough) / 2
            few, enough = (middle, enough) if self._projected(part, middle, alpha) > target else (few, middle)
        more = [min(len(s.labels) * enough, s.documents) - len(s.labels) for s in self.strata]
        return max(int(np.ceil(sum(more))), 1)

    def _p_value(self, side: int, share: float) -> float:
        """P-value of "the share of the label ``side`` is at least ``share``"."""
        part = self._seen[side]
        if self._ceiling(side) < share:
            return 0.0
        if not part.sampled:
            return 1.0
        return limits.p_value_at_least(part.counts, (share - part.certain) / part.sampled)

    def _projected(self, part: _Part, factor: float, alpha: float) -> float:
        share = limits.upper_limit(part.counts.scaled(factor), alpha)
        return part.certain + part.sampled * share

    def _upper(self, alpha: float, *, upper: bool) -> float:
        """Upper limit of the share of yes, or of no."""
        side = YES if upper else NO
        part = self._seen[side]
        bound = part.certain
        if part.sampled:
            bound += part.sampled * limits.upper_limit(part.counts, alpha)
        return min(bound, self._ceiling(side))

    def _ceiling(self, label: int) -> float:
        """The most that the share of a label can be, for certain: all but what was seen to be the other."""
        other = NO if label == YES else YES
        seen = sum(float(s.sizes(self.unit)[s.labels == other].sum()) for s in self.strata)
        return 1.0 - seen / self.total if self.total else 1.0

    def _is_known(self, stratum: StratumSample) -> bool:
        return len(stratum.labels) == stratum.documents

    @cached_property
    def _seen(self) -> dict[int, _Part]:
        """The population seen from either label, unsure counted on that label's side."""
        if not self.total:
            return dict.fromkeys((YES, NO), _Part(1.0, 0.0, _weighted_counts([], self.unit, 0, YES)))
        sampled = [s for s in self.strata if len(s.labels) and not self._is_known(s)]
        whole = sum(s.total(self.unit) for s in sampled)
        unjudged = sum(s.total(self.unit) for s in self.strata if not len(s.labels))
        parts = {}
        for label in (YES, NO):
            known = sum(
                float(s.sizes(self.unit)[(s.labels == label) | (s.labels == UNSURE)].sum())
                for s in self.strata
                if self._is_known(s)
            )
            counts = _weighted_counts(sampled if whole else [], self.unit, whole, label)
            parts[label] = _Part((known + unjudged) / self.total, whole / self.total, counts)
        return parts


def _weighted_counts(strata: Sequence[StratumSample], unit: Unit, total: int, label: int) -> WeightedCounts:
    """Judged documents in groups of equal weight; ``yes`` counts ``label`` and unsure."""
    weights: list[Floats] = [np.empty(0)]
    positive: list[npt.NDArray[np.bool_]] = [np.empty(0, bool)]
    largest = 0.0
    for stratum in strata:
        each = stratum.documents / len(stratum.labels) / total
        weights.append(each * stratum.sizes(unit))
        positive.append((stratum.labels == label) | (stratum.labels == UNSURE))
        largest = max(largest, each * stratum.longest(unit))
    groups, group = np.unique(np.concatenate(weights), return_inverse=True)
    yes = np.bincount(group, np.concatenate(positive).astype(float), len(groups)).astype(float)
    everyone = np.bincount(group, minlength=len(groups)).astype(float)
    return WeightedCounts(groups, yes, everyone - yes, largest)
