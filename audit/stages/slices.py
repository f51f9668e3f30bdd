"""Dimensions and additive counts of every shard, from its parts."""

from __future__ import annotations

from collections.abc import Sequence

from audit import slicing
from audit.config import AuditConfig
from audit.current_pass import Pass
from audit.dimensions import PRESENT, flagging
from audit.domains import Classification
from audit.slicing import SliceTask, Slicing
from audit.storage.store import Part, Receipt
from audit.tasks import Screening, ShardReport
from audit.workers.stage_times import Timing


def slicing_of(
    config: AuditConfig, screening: Screening, classification: Classification | None = None
) -> Slicing:
    """How shards are sliced; ``classification`` is the user's, of hosts and addresses."""
    screens = screening.screens
    present = tuple(s.name for s in flagging(screens) if f"{s.name}{PRESENT}" in config.strata())
    return Slicing(screening.store, screens, config.sampling.bands, present, classification)


def slice_all(
    current: Pass, reports: Sequence[ShardReport], classification: Classification | None
) -> tuple[list[Part], list[Receipt]]:
    """Bring the slices of all shards up to date.

    Args:
        current: Of these reports.
        classification: The user's, of hosts and addresses.

    Returns:
        The parts, and receipts of what is new.
    """
    how = slicing_of(current.config, current.screening, classification)
    work = [SliceTask(how, r.shard.shard, dict(r.keys)) for r in reports if r.keys]
    parts = [list(slicing.slice_keys(task).values()) for task in work]
    standing = current.run.store.standing(part for some in parts for part in some)
    stale = [task for task, some in zip(work, parts, strict=True) if not standing.issuperset(some)]
    receipts: list[Receipt] = []
    with current.report.stage("slice", 0) as stage:
        for outcome in current.engine.map(Timing("slice", slicing.slice_shard), stale, stage.advance):
            if outcome.result is None:
                receipts += slicing.slice_shard(outcome.task)
            else:
                receipts += outcome.result.result
                current.ledger.take(outcome.result.seconds, peak_bytes=outcome.result.peak_bytes)
    return [part for some in parts for part in some], receipts
