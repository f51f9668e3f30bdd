"""Waivers: somebody answers, until a day, for a gate that did not pass.

A waiver hides nothing: the gate keeps its outcome, and who waived it, why and until when stands beside it
wherever the gate does. Until its day has passed the gate does not block; afterwards it blocks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints

from audit.errors import ConfigurationError
from audit.model import GateResult
from audit.parameters import nearest

_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True)
class Waiver:
    """Somebody's word that a gate need not block for a time.

    Attributes:
        gate: Name of the gate.
        owner: Who answers for it.
        reason: Why training may go on all the same.
        expires: Last day (UTC) on which it holds.
        slice: The gate's slice, where the writer wants it checked; None: whatever it is.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  (pydantic reads it; dataclasses must not)

    gate: _Words
    owner: _Words
    reason: _Words
    expires: Annotated[date, Field(description="Last day (UTC) on which it holds.")]
    slice: str | None = None


def check(waivers: Sequence[Waiver], gates: Sequence[tuple[str, str]]) -> None:
    """Refuse waivers of gates that do not exist.

    Args:
        waivers: Of the policy.
        gates: Names and slices of its gates.

    Raises:
        ConfigurationError: Naming the waiver and the nearest gate.
    """
    slices = dict(gates)
    for number, waiver in enumerate(waivers):
        if waiver.gate not in slices:
            raise ConfigurationError(
                f"a waiver names the unknown gate {waiver.gate!r}",
                key=f"policy.waivers.{number}.gate",
                remedy=nearest(waiver.gate, slices, "Known gates"),
            )
        if waiver.slice is not None and waiver.slice != slices[waiver.gate]:
            raise ConfigurationError(
                f"the gate {waiver.gate!r} has no slice {waiver.slice!r}",
                key=f"policy.waivers.{number}.slice",
                remedy=f"Its slice is {slices[waiver.gate]!r}; leave the key out to take it",
            )


def apply(results: Sequence[GateResult], waivers: Sequence[Waiver], on: date) -> list[GateResult]:
    """The results with their waivers; of two for one gate the one that expires last counts.

    Args:
        results: Outcomes of gates; they stay what they are.
        waivers: Of the policy.
        on: Day of the evaluation, UTC.
    """
    latest = {waiver.gate: waiver for waiver in sorted(waivers, key=lambda waiver: waiver.expires)}
    return [_waived(r, latest[r.gate], on) if r.gate in latest else r for r in results]


def _waived(result: GateResult, waiver: Waiver, on: date) -> GateResult:
    holds = on <= waiver.expires
    note = (
        f"Waived by {waiver.owner} until {waiver.expires.isoformat()}."
        if holds
        else f"Its waiver by {waiver.owner} expired on {waiver.expires.isoformat()}, so it counts again."
    )
    return replace(
        result,
        reason=f"{result.reason} {note}",
        waived=holds,
        waived_by=waiver.owner,
        waiver_reason=waiver.reason,
        waiver_expires=waiver.expires.isoformat(),
    )
