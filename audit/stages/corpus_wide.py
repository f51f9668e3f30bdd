"""What depends on the whole corpus: duplicates, repeated paragraphs, matches, the largest clusters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from audit import cluster_report, resolving
from audit.current_pass import Pass
from audit.engine_runner import grouped
from audit.resolving import Resolution, StoredSketches
from audit.screens import CorpusScreen, MatchingCorpusScreen, duplicate_screen, is_corpus_wide
from audit.storage.store import Part
from audit.tasks import Screening, ShardReport


def resolve(current: Pass, reports: Sequence[ShardReport]) -> list[Resolution]:
    """The second stage of the corpus-wide screens."""
    standing = _standing(reports)
    resolutions = []
    for member in current.screening.screens:
        if isinstance(member, CorpusScreen) and is_corpus_wide(member) and standing:
            stage = f"resolve {member.name}"
            with current.report.stage(member.name.replace("_", " "), 0):
                resolutions.append(resolving.resolve(member, _spread(current, standing, member.name, stage)))
            current.ledger.lap(stage)
    return resolutions


def match_references(current: Pass, reports: Sequence[ShardReport]) -> list[Part]:
    """What the corpus shares with the references that are configured."""
    standing = _standing(reports)
    parts = []
    for member in current.screening.screens:
        if isinstance(member, MatchingCorpusScreen) and member.references and standing:
            with current.report.stage("match references", 0):
                sketches = _spread(current, standing, member.name, "match references")
                parts.append(resolving.match(member, sketches))
    return parts


def compare_clusters(
    current: Pass, reports: Sequence[ShardReport], resolutions: Sequence[Resolution]
) -> list[Part]:
    """Differences of members of the largest clusters, while their texts are at hand."""
    standing = _standing(reports)
    name = duplicate_screen(current.screening.screens)
    found = [resolution for resolution in resolutions if resolution.screen == name]
    keys = {shard: r.keys for shard, r in standing.items()}
    runner = current.runner("compare clusters")
    with current.report.stage("compare clusters", 0):
        return [
            cluster_report.compare(each, _sketches(current.screening, standing, each.screen), keys, runner)
            for each in found
        ]


def _standing(reports: Sequence[ShardReport]) -> dict[str, ShardReport]:
    """The shards that have parts."""
    return {report.shard.shard: report for report in reports if report.keys}


def _sketches(screening: Screening, standing: Mapping[str, ShardReport], name: str) -> StoredSketches:
    return StoredSketches(
        screening.store,
        {shard: Part(name, shard, r.keys[name]) for shard, r in standing.items()},
        {shard: r.shard for shard, r in standing.items()},
        screening.columns,
        screening.limits,
    )


def _spread(current: Pass, standing: Mapping[str, ShardReport], name: str, stage: str) -> StoredSketches:
    """The sketches of a screen, with the engine's workers for its tasks."""
    sketches = _sketches(current.screening, standing, name)
    groups = grouped(sketches.shards, current.engine.workers)
    return dataclasses.replace(sketches, runner=current.over_files(stage), groups=groups)
