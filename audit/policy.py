"""Gates on estimates, and the verdict they come to.

A gate passes when the one-sided upper limit of its estimate is at or under its limit, fails when the lower
is over it, and has insufficient evidence otherwise. GO needs every blocking gate to pass, an
intersection-union test: its error is alpha at most, without correction (R. L. Berger, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 24, 1982). NO-GO needs one failure among many
gates, so failures are corrected over all blocking ones (S. Holm, "A simple sequentially rejective multiple
test procedure", Scandinavian Journal of Statistics 6, 1979, with the gates' alphas as weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from audit.coverage import Coverage
from audit.gate_evidence import Charged, Evidence, Missing
from audit.model import WHOLE, Estimate, GateResult, Verdict

__all__ = [
    "FAIL",
    "GO",
    "INSUFFICIENT",
    "NO_GO",
    "PASS",
    "UNDECIDED",
    "Coverage",
    "Evidence",
    "Gate",
    "Missing",
    "decide",
    "holm",
    "judge_gates",
    "needs_review",
    "usable_evidence",
]

#: Prefix and plural of a bound, as reasons name it.
_SIDES = (("upper ", ""), ("lower ", ""), ("", "s"))
PASS, FAIL, INSUFFICIENT = "pass", "fail", "insufficient evidence"
GO, NO_GO, UNDECIDED = "GO", "NO-GO", "INSUFFICIENT EVIDENCE"


@dataclass(frozen=True)
class Gate:
    """A rule of the policy: a metric of a slice must not exceed a limit.

    Attributes:
        name: Unique name of the gate.
        metric: What is limited, as estimates name it.
        limit: Largest share that is acceptable.
        slice: ``all``, or ``dimension=value``, joined by ``&``.
        alpha: Chance of passing although the share is just over the limit.
        severity: ``block`` decides the verdict; ``warn`` is shown, and blocks under ``--strict``.
        minimum_n: Fewest observations without which the gate stays open.
        requires_review: Whether only human judgements count, not what a detector says. By default they do
            for a detector of what people are asked about, too: see ``needs_review``.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  (pydantic reads it; dataclasses must not)

    name: Annotated[str, Field(min_length=1)]
    metric: Annotated[str, Field(min_length=1)]
    limit: Annotated[float, Field(ge=0, le=1)]
    slice: Annotated[str, Field(min_length=1)] = WHOLE
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    severity: Literal["block", "warn"] = "block"
    minimum_n: Annotated[int, Field(ge=0)] = 0
    requires_review: bool | None = None


def needs_review(gate: Gate, questions: Sequence[str]) -> bool:
    """Whether only human judgements count for a gate.

    Where the policy does not say, they do for ``X.…`` when people are asked the question ``X``: how often
    a detector fires is no answer to how much is there, and here there is one.
    """
    if gate.requires_review is not None:
        return gate.requires_review
    return _asked(gate.metric, questions) is not None


def _asked(metric: str, questions: Sequence[str]) -> str | None:
    """The question that people are asked of what a metric measures."""
    return next((q for q in questions if metric == q or metric.startswith(f"{q}.")), None)


def judge_gates(
    gates: Sequence[Gate],
    evidence: Mapping[tuple[str, str], Evidence | Missing],
    *,
    strict: bool = False,
    questions: Sequence[str] = (),
) -> list[GateResult]:
    """Outcome of each gate, in the order given.

    Args:
        gates: The policy.
        evidence: By metric and slice.
        strict: Whether warn gates block, and so join the family that failures are corrected over.
        questions: That reviewers are asked.
    """
    if strict:
        gates = [replace(gate, severity="block") for gate in gates]
    usable = [usable_evidence(gate, evidence, questions) for gate in gates]
    outcomes: dict[int, GateResult] = {}
    for severity in ("block", "warn"):
        family = [i for i, gate in enumerate(gates) if gate.severity == severity]
        # A gate without evidence stays in the family: its size is fixed by the policy, not by the data.
        p_values = [
            1.0 if isinstance(found := usable[i], Missing) else found.p_value_at_most(gates[i].limit)
            for i in family
        ]
        failed = holm([p / gates[i].alpha for p, i in zip(p_values, family, strict=True)])
        for i, over in zip(family, failed, strict=True):
            outcomes[i] = _judge(gates[i], usable[i], over, len(family))
    return [outcomes[i] for i in range(len(gates))]


def decide(
    results: Sequence[GateResult], *, coverage: Coverage, strict: bool = False, obstacle: str | None = None
) -> Verdict:
    """The verdict: a failed blocking gate outranks missing evidence, which outranks passing.

    Args:
        results: Outcomes of all gates.
        coverage: How much was screened; what stands in the way of GO.
        strict: Whether warn gates block.
        obstacle: What else stands in the way of GO, in words: a plan that was changed after the first label.
    """
    binding = [r for r in results if strict or r.severity == "block"]
    blocking = [r for r in binding if not r.waived]
    failed = [r for r in blocking if r.outcome == FAIL]
    undecided = [r for r in blocking if r.outcome != FAIL and r.outcome != PASS]
    if failed:
        return Verdict(NO_GO, _because("failed", failed, len(blocking)))
    if why := obstacle or coverage.obstacle():
        return Verdict(UNDECIDED, f"{why[0].upper()}{why[1:]}.")
    if not blocking:
        none = "All blocking gates are waived" if binding else "The policy has no blocking gate"
        return Verdict(UNDECIDED, f"{none}, so nothing was decided.")
    if undecided:
        return Verdict(UNDECIDED, _because("lacks evidence", undecided, len(blocking)))
    which = f"All {len(blocking)} blocking gates"
    if waived := [r for r in binding if r.waived]:
        named = "; ".join(
            f"{r.gate!r} ({r.outcome}) by {r.waived_by} until {r.waiver_expires}" for r in waived
        )
        return Verdict(GO, f"{which} that are not waived passed, each at its own level. Waived: {named}.")
    return Verdict(GO, f"{which} passed, each at its own level.")


def _because(what: str, results: Sequence[GateResult], blocking: int) -> str:
    first = results[0]
    others = f" (and {len(results) - 1} more of {blocking} blocking gates)" if len(results) > 1 else ""
    return f"Gate {first.gate!r} {what}{others}: {first.reason}"


def usable_evidence(
    gate: Gate, evidence: Mapping[tuple[str, str], Evidence | Missing], questions: Sequence[str] = ()
) -> Evidence | Missing:
    """The gate's evidence, or why it does not count."""
    found = evidence.get((gate.metric, gate.slice))
    if found is None:
        return Missing(f"nothing measured {gate.metric!r} in {gate.slice!r}")
    if isinstance(found, Missing):
        return found
    if not found.reviewed and needs_review(gate, questions):
        return Missing(_no_review(gate, questions))
    if found.n == 0:
        return Missing("no judgement counts yet" if found.reviewed else "the screen evaluated no document")
    if found.n < gate.minimum_n:
        what = "judgements count in the slice" if found.reviewed else "documents were evaluated in the slice"
        return Missing(f"{found.n:,} {what}, and the policy wants {gate.minimum_n:,} at least")
    return found


def _no_review(gate: Gate, questions: Sequence[str]) -> str:
    if gate.requires_review:
        return "it requires review, and this is a screen's own count"
    question = _asked(gate.metric, questions)
    return (
        f"{gate.metric!r} is what a detector says, and people are asked the question {question!r}: gate "
        "that, or set requires_review: false if the detector's word is what you want"
    )


def _judge(gate: Gate, found: Evidence | Missing, over: bool, family: int) -> GateResult:
    def result(outcome: str, reason: str, estimate: Estimate | None) -> GateResult:
        return GateResult(
            gate.name,
            gate.metric,
            gate.slice,
            gate.limit,
            gate.alpha,
            gate.severity,
            outcome,
            reason,
            estimate,
        )

    if isinstance(found, Missing):
        return result(INSUFFICIENT, f"{found.reason}.", None)
    estimate = found.estimate(gate.alpha)
    upper, lower = found.upper_limit(gate.alpha), found.lower_limit(gate.alpha)
    limit = _percent(gate.limit)
    charged = f" (with {_percent(found.unread)} unread, as harm)" if isinstance(found, Charged) else ""
    # A count over all documents has no sampling error, and so no level.
    upper_name, lower_name, both = (
        (f"{side}{_percent(1 - gate.alpha)} bound{plural}" for side, plural in _SIDES)
        if found.reviewed or estimate.confidence < 1
        else ("upper limit", "lower limit", "limits")
    )
    if upper <= gate.limit and found.waiting:
        reason = (
            f"{upper_name} {_percent(upper)}{charged} would be within the limit {limit}, but "
            f"{found.waiting:,} of the {found.n + found.waiting:,} documents drawn there wait for a "
            "judgement, and a sample that is stopped where it looks good proves nothing: judge them too, if "
            "only as unsure"
        )
        return result(INSUFFICIENT, f"{reason}.", estimate)
    if upper <= gate.limit:
        return result(PASS, f"{upper_name} {_percent(upper)}{charged} is within the limit {limit}.", estimate)
    if over:
        return result(FAIL, f"{lower_name} {_percent(lower)} is over the limit {limit}.", estimate)
    if lower > gate.limit:
        reason = (
            f"{lower_name} {_percent(lower)} is over the limit {limit}, but not once corrected for "
            f"{family} gates"
        )
    else:
        reason = f"the limit {limit} lies between the {both} {_percent(lower)} and {_percent(upper)}{charged}"
    return result(INSUFFICIENT, f"{reason}; {_remedy(gate, found)}.", estimate)


def _remedy(gate: Gate, found: Evidence) -> str:
    """What would suffice, in words."""
    if isinstance(found, Charged) and found.unread >= gate.limit:
        return (
            f"{_percent(found.unread)} of the slice may have gone unread, and counts as harm, which is over "
            "the limit by itself: no label decides, repair the inputs and run again"
        )
    if not found.reviewed and (more := found.labels_to_decide(gate.limit, gate.alpha)) is not None:
        return f"about {_rounded(more):,} more documents in the probe's sample would decide, at these rates"
    if not found.reviewed:
        return "documents that were not evaluated would decide: repair what failed and run again"
    if unjudged := found.unjudged:
        shown = ", ".join(unjudged[:3]) + (" …" if len(unjudged) > 3 else "")
        return f"no judgement counts yet in {len(unjudged)} of the strata ({shown}): label there first"
    more = found.labels_to_decide(gate.limit, gate.alpha)
    if more is None:
        return "no number of further labels is likely to decide: the share is too near the limit"
    return f"about {_rounded(more):,} more labels that come out as those so far would decide"


def _rounded(number: int) -> int:
    """Two leading digits: an estimate of an estimate deserves no more."""
    unit = int(10 ** max(len(str(number)) - 2, 0))
    return -(-number // unit) * unit


def _percent(share: float) -> str:
    """A share as a percentage with three significant digits, so that 0.004% does not read 0.0%."""
    return f"{100 * share:.3g}%"


def holm(surprise: Sequence[float]) -> list[bool]:
    """Which hypotheses Holm's procedure rejects, given their p-values divided by their alphas."""
    rejected = [False] * len(surprise)
    for step, i in enumerate(sorted(range(len(surprise)), key=lambda i: surprise[i])):
        if surprise[i] * (len(surprise) - step) > 1:
            break
        rejected[i] = True
    return rejected
