"""All that the gates of a run are held against, with what takes it from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from audit import assisted_estimates, canary_evidence, evidence, partindex
from audit import screens as screen_family
from audit.config import AuditConfig
from audit.coverage import Coverage
from audit.drawing import Drawing
from audit.gate_evidence import Evidence, Missing, charge
from audit.policy import Gate
from audit.probe_phase import probe_evidence
from audit.reports import ShardLog
from audit.resolving import FAMILY as DUPLICATES
from audit.resolving import MATCHES, RESOLVED
from audit.screens import Screen, duplicate_screen
from audit.storage.store import Store


@dataclass(frozen=True)
class Inputs:
    """What gates are judged on.

    Attributes:
        measured: Evidence of what was read, as estimates show it.
        by_name: Evidence for gates, by metric and slice: charged with what was not read; of screens whose
            canaries failed, and of judgements under a plan that was changed, the reason instead.
        coverage: What was read.
        canaries: Rows of the scorecard's section.
    """

    measured: tuple[evidence.Evidence | probe_evidence.ProbeShare, ...]
    by_name: Mapping[tuple[str, str], Evidence | Missing]
    coverage: Coverage
    canaries: Sequence[Mapping[str, Any]]


def gather(
    db: duckdb.DuckDBPyConnection,
    config: AuditConfig,
    shards: ShardLog,
    entries: Sequence[partindex.Entry],
    drawn: Drawing | None,
    probed: probe_evidence.Probed | None,
    *,
    left_out: int,
    obstacle: str | None,
) -> Inputs:
    """All evidence of a run.

    Args:
        db: Filled, up to estimates and gates.
        config: Of the run.
        shards: How they came out.
        entries: Of the parts that speak of the whole corpus.
        drawn: The review sample.
        probed: The probe phase.
        left_out: Bytes of files that no source reads.
        obstacle: Why judgements decide nothing, if they do not.
    """
    screens = config.build_screens()
    wanted = [gate.slice for gate in config.policy.gates]
    found = evidence.gather(
        db,
        drawn,
        config.sampling.metrics,
        wanted,
        statistics(entries).get(duplicate_screen(screens) or "", {}),
        screened=shards.documents,
        lost=shards.lost,
        rule=config.sampling.rule,
    )
    by_name: dict[tuple[str, str], Evidence | Missing] = {(e.metric, e.slice): e for e in found}
    by_probes = probe_evidence.gather(db, probed, wanted)
    by_name.update(by_probes.items())
    shares = [share for share in by_probes.values() if not isinstance(share, Missing)]
    covered = coverage(config, shards, left_out)
    canaries = canary_evidence.section(db)
    failed = canary_evidence.failures(canaries, screens)
    charged = canary_evidence.withhold(charge(by_name, covered), failed, duplicate_screen(screens))
    if obstacle is not None:
        charged = {key: Missing(obstacle) if _reviewed(e) else e for key, e in charged.items()}
    charged.update(_absent(config.policy.gates, charged, screens))
    return Inputs((*found, *shares), charged, covered, canaries)


def _reviewed(found: Evidence | Missing) -> bool:
    return not isinstance(found, Missing) and found.reviewed


def _absent(
    gates: Sequence[Gate], found: Mapping[tuple[str, str], Evidence | Missing], screens: Sequence[Screen]
) -> dict[tuple[str, str], Missing]:
    """Why gates have no evidence at all, where a screen that is off is the cause."""
    on = {screen.name for screen in screens}
    reasons = {}
    for gate in gates:
        name = gate.metric.rpartition(".")[0]
        if (gate.metric, gate.slice) in found:
            continue
        if gate.metric.rpartition(".")[2] in assisted_estimates.SUFFIXES:
            reasons[gate.metric, gate.slice] = Missing(assisted_estimates.REFUSED)
        elif name == "duplicates" and duplicate_screen(screens) is None:
            reasons[gate.metric, gate.slice] = Missing("no screen for duplicates was run: none is on")
        elif name in screen_family.available() and name not in on:
            reasons[gate.metric, gate.slice] = Missing(f"the screen {name!r} was not run: it is off")
    return reasons


def corpus_wide(store: Store) -> list[partindex.Entry]:
    """Entries of the parts that speak of the whole corpus: few, whatever its size."""
    return list(partindex.read(store, _is_corpus_wide))


def _is_corpus_wide(family: str) -> bool:
    return family in (DUPLICATES, MATCHES) or family.endswith(RESOLVED)


def statistics(entries: Sequence[partindex.Entry]) -> dict[str, dict[str, float]]:
    """What the corpus-wide screens counted, by screen."""
    counts: dict[str, dict[str, float]] = {}
    for e in entries:
        if _is_corpus_wide(e.part.family):
            counts.setdefault(e.part.shard, {}).update(e.metadata["statistics"])
    return counts


def coverage(config: AuditConfig, shards: ShardLog, left_out: int) -> Coverage:
    """How much was read; of a truncated shard nobody knows how much is missing, so all counts as unread."""
    total = shards.bytes
    return Coverage(
        screened=shards.documents,
        rejected=shards.lost,
        shards=len(shards),
        failed_shards=shards.failed,
        unread_share=shards.unread_bytes / total if total else 0.0,
        left_out_share=left_out / (left_out + total) if left_out else 0.0,
        max_unscreened=config.policy.max_unscreened,
    )
