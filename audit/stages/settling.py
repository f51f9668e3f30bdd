"""What becomes of parts: those of other settings are put aside, small ones packed, all of them counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audit import compaction, partindex
from audit.aggregation import aggregates
from audit.aggregation.counting import Means
from audit.current_pass import Pass
from audit.review.judgements import JudgementStore
from audit.run import Run
from audit.sources.contracts import MIB
from audit.storage.store import Part, Receipt


def settle_parts(
    current: Pass, parts: Sequence[Part], receipts: Sequence[Receipt], by_shard: set[str]
) -> None:
    """Put the parts of other settings aside, pack small ones, and count what follows from the parts.

    Args:
        current: That the parts belong to.
        parts: All of them.
        receipts: Of parts that this pass committed.
        by_shard: Families with a part a shard.
    """
    run, store, engine, settings = current.run, current.run.store, current.engine, current.config.run
    listed, screens = _listed(run), current.screening.screens
    judged = JudgementStore(run.judgements).load().select(["doc_id", "text_digest"])
    counted = aggregates.named(screens, parts, judged)
    with current.report.stage("compact", 0):
        run.confirm_lock()
        _put_aside(run, [*parts, *counted], listed)
        standing = [*parts, *(part for part in counted if store.has(part))]
        compaction.compact(store, standing, by_shard, engine, settings.compact_mib * MIB, listed, receipts)
    with current.report.stage("count", 0):
        runners = current.runner("count"), current.over_files("count")
        means = Means(*runners, engine.workers, settings.memory_bytes)
        aggregates.bring(store, screens, counted, judged, parts, means)
        partindex.add(store, counted)


def retire(run: Run, kept: Sequence[Part]) -> None:
    """Put aside the parts of other settings, and vouch for them, since they may come back."""
    run.confirm_lock()
    _put_aside(run, kept, _listed(run))


def retired_digest(run: Run) -> str | None:
    """Digest of the index of retired parts, as the journal last told it."""
    digests = [entry.data["index"] for entry in run.journal.read() if entry.event == "retired"]
    return digests[-1] if digests else None


def _listed(run: Run) -> dict[str, str]:
    """Digests of the files that the index lists, by path below ``parts``."""
    return {file.path.removeprefix("parts/"): file.sha256 for file in partindex.files(run.store)}


def _put_aside(run: Run, kept: Sequence[Part], known: Mapping[str, str]) -> None:
    if digest := run.store.retire(kept, known):
        run.journal.append("retired", {"index": digest})
