"""From a request to a run folder that is ready for a pass, and what the workers are told."""

from __future__ import annotations

from collections.abc import Sequence

from audit import compaction, disk_budget, drawing, hmac_key, text_cache
from audit.canaries import Flock
from audit.config import AuditConfig
from audit.model import Shard
from audit.probe_phase import probe_sample
from audit.progress import Reporter
from audit.review import known_answers
from audit.run import Run
from audit.sources.contracts import MIB
from audit.stages.request import Request
from audit.stages.settling import retire, retired_digest
from audit.statistics.sampling import commitment, derive_seed
from audit.tasks import Screening
from audit.text_cache import TextCache


def open_run(
    request: Request, shards: Sequence[Shard], run: Run, flock: Flock, report: Reporter, *, fresh: bool
) -> Screening:
    """Journal the start, put in order what an earlier pass left, and say what the workers are told.

    Args:
        run: Locked.
        flock: The canaries.
        fresh: Whether what stands is put aside.
    """
    config, key = request.config, hmac_key.load_or_create(outside=run.folder)
    seed = commitment(drawing.keep_seed(run.sample, derive_seed(config.corpus.name, key.key)))
    run.journal.append(
        "started", {"configuration": config.digest(), "shards": len(shards), "fresh": fresh, "seed": seed}
    )
    run.store.clear_scratch()
    compaction.recover(run.store)
    known_answers.keep(run.sample, request.known_answers(), config.sampling.questions)
    run.store.drop_untrusted(retired_digest(run))
    if fresh:
        retire(run, [])
    if (warning := disk_budget.shortage(run.folder, sum(shard.size for shard in shards))) is not None:
        report.note(warning)
    return Screening(
        run.store.resolved(),
        config.build_screens(),
        config.corpus.columns,
        config.read_limits(),
        key.key_id,
        key.key,
        flock,
        texts=_text_cache(run, config, shards),
    )


def _text_cache(run: Run, config: AuditConfig, shards: Sequence[Shard]) -> TextCache | None:
    """Where the pass keeps texts that are likely to be sampled, and which."""
    if config.run.text_cache_mib == 0:
        return None
    seed = drawing.load_seed(run.sample)
    share = text_cache.share_within(config.run.text_cache_mib * MIB, sum(shard.size for shard in shards))
    folder = text_cache.place(commitment(seed))
    return None if folder is None else TextCache(folder, probe_sample.seeds(config, seed), share)
