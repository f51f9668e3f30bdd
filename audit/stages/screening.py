"""The first stage: every screen over every shard."""

from __future__ import annotations

from collections.abc import Sequence

from audit import facts, isolating, tasks
from audit.current_pass import Pass
from audit.inputs import SeenInputs
from audit.model import Shard
from audit.tasks import ShardReport, ShardTask


def screen(current: Pass, shards: Sequence[Shard]) -> list[ShardReport]:
    """Run every screen over every shard; what stands already is not computed again.

    Returns:
        A report a shard, by shard id.
    """
    run, fresh, report = current.run, current.fresh, current.report
    seen = SeenInputs(run.cache / "inputs.jsonl")
    before = set() if fresh else run.store.shards(facts.FAMILY)
    work = [
        ShardTask(current.screening, shard, None if fresh else seen.digest(shard), shard.shard in before)
        for shard in shards
    ]
    with report.stage("screen", sum(shard.size for shard in shards)) as stage:
        reports = tasks.recall(work)
        stage.advance(sum(r.documents for r in reports), sum(r.shard.size for r in reports))
        done = {r.shard.shard for r in reports}
        rest = [task for task in work if task.shard.shard not in done]
        for result in isolating.screen_shards(current.engine, rest, stage.advance, report.note):
            if result.digest is not None:
                seen.saw(result.shard, result.digest)
            reports.append(result)
    for each in reports:
        current.ledger.take(each.seconds, text_bytes=each.text_bytes, peak_bytes=each.peak_bytes)
    return sorted(reports, key=lambda r: r.shard.shard)
