"""What went into a pass and what came out, written down: shards, manifest, journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit import drawing, partindex
from audit import reports as shardlog
from audit.current_pass import Pass
from audit.lineage import manifest
from audit.run import MANIFEST
from audit.storage.store import digest_file
from audit.tasks import ShardReport


def record(
    current: Pass, reports: Sequence[ShardReport], left_out: Mapping[str, Any], models: Mapping[str, str]
) -> None:
    """Write the log of shards and the manifest, and journal their digests.

    Args:
        current: That is recorded.
        reports: Of its shards.
        left_out: What no source read (``request.left_out``).
        models: That were used besides those of the screens, with their versions.
    """
    run, config, screens = current.run, current.config, current.screening.screens
    shardlog.save(run.store.folder / shardlog.FILE, reports)
    index = digest_file(run.store.folder / partindex.FILE)
    resources = {f"{s.name}.{name}": v for s in screens for name, v in s.resources().items()}
    built = manifest.build(
        corpus=config.corpus.name,
        configuration=config.resolved(),
        configuration_digest=config.digest(),
        inputs=[_input(report) for report in reports],
        packages=manifest.package_versions(),
        models={**resources, **models},
        seed=drawing.load_seed(run.sample).hex(),
        hmac_key_id=current.screening.key_id,
        parts_index=index,
        left_out=left_out,
    )
    manifest.write(run.folder / MANIFEST, built)
    told = {"manifest": digest_file(run.folder / MANIFEST), "parts": index, "run_id": built["run_id"]}
    run.journal.append("screened", told)


def _input(report: ShardReport) -> manifest.InputRecord:
    shard = report.shard
    return manifest.InputRecord(
        shard.shard,
        shard.name,
        shard.uri,
        shard.size,
        report.digest,
        report.documents,
        report.rejected,
        report.status,
    )
