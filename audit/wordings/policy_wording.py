"""What both pages say of waivers, of the frozen plan and of canaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

WAIVER_NOTE = (
    "A waiver hides nothing: the outcome above is the true one. Until the last day named it does not block; "
    "afterwards it blocks again."
)
CANARY_NOTE = (
    "Documents that each screen must react to, and negative controls that it must not react to, shown to it "
    "beside every shard, in the shard's own format and in the same process; they are in no other count. They "
    "prove that the plumbing works, not how much a screen finds. Where one fails, gates on that screen stay "
    "undecided."
)


@dataclass(frozen=True)
class Rows:
    """A table: a name that ends in ``#`` is a column of numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def waivers(card: Mapping[str, Any]) -> Rows | None:
    """Waivers of the gates; None where there is none."""
    rows = tuple(
        (
            gate["gate"],
            gate["outcome"],
            gate["waived_by"],
            gate["waiver_reason"],
            gate["waiver_expires"],
            "does not block" if gate["waived"] else "expired: counts again",
        )
        for gate in card["gates"]
        if gate.get("waived_by")
    )
    header = ("Gate", "Outcome", "Waived by", "Reason", "Until", "Effect")
    return Rows("Waivers", header, rows) if rows else None


def canaries(card: Mapping[str, Any]) -> Rows | None:
    """What the canaries came to; None where none were shown."""
    rows = tuple(
        (
            row["screen"],
            f"{row['canary']} (control)" if row["control"] else row["canary"],
            row["expected"],
            row["outcome"] if not row["found"] else f"{row['outcome']}: {', '.join(row['found'])}",
            f"{row['passed']:,} of {row['shards']:,}",
            ", ".join(row["paths"]),
        )
        for row in card["canaries"]
    )
    header = ("Screen", "Canary", "Expected", "Outcome", "Shards passed#", "Read as")
    return Rows("Canaries", header, rows) if rows else None


def without_canaries(card: Mapping[str, Any]) -> str | None:
    """Which screens have no canary; None where all have."""
    shown = {row["screen"] for row in card["canaries"]}
    bare = [row["screen"] for row in card["screens"] if row["screen"] not in shown]
    if not bare:
        return None
    return f"No canary was shown to {', '.join(bare)}: add some under canaries, a file of yours."


def plan(card: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about the frozen plan."""
    told = card.get("plan")
    if not told:
        return
    if not told["number"]:
        yield "The plan is not frozen yet: the first export of the sample or the first judgements do that."
        return
    drawn = ", with a sample drawn anew" if told["new_draw"] else ""
    yield f"Plan {told['number']}, frozen {told['frozen_at']}{drawn}: sha256 {told['digest']}."
    if told["obstacle"]:
        yield f"{told['obstacle'][0].upper()}{told['obstacle'][1:]}."
