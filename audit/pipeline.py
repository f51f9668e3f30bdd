"""The whole story: from inputs to a verdict.

    plan -> screen every shard -> resolve what repeats -> compare clusters -> slice and count
         -> probe a sample -> evaluate

``evaluate`` (sample, estimate, gates, database, scorecard) reads only what the run folder holds, so
judgements that arrive later cost no second pass.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from audit import (
    canaries,
    cluster_report,
    compaction,
    disk_budget,
    domains,
    drawing,
    facts,
    hmac_key,
    identifiers,
    isolating,
    partindex,
    resolving,
    slicing,
    sources,
    tasks,
    text_cache,
    totals,
)
from audit import reports as shardlog
from audit.aggregation import aggregates
from audit.aggregation.counting import Means
from audit.canaries import Flock
from audit.config import AuditConfig
from audit.dimensions import PRESENT, flagging
from audit.domains import Classification
from audit.duplicates.exchange import Runner
from audit.engine_runner import EngineRunner, grouped, over_files
from audit.engines import Engine
from audit.errors import ConfigurationError
from audit.evaluation import evaluate
from audit.frozen_plan import DOMAINS
from audit.inputs import SeenInputs, resolved
from audit.lineage import manifest
from audit.model import Shard, Verdict
from audit.probe_phase import probe_sample
from audit.probe_phase.probing import ProbePhase, probe
from audit.progress import Reporter
from audit.review import known_answers
from audit.review.judgements import JudgementStore
from audit.run import MANIFEST, Run
from audit.screens import CorpusScreen, MatchingCorpusScreen, duplicate_screen, is_corpus_wide
from audit.slicing import SliceTask, Slicing
from audit.sources import InputPlan
from audit.sources.contracts import MIB
from audit.statistics.sampling import commitment, derive_seed
from audit.storage.store import Part, Receipt, digest_file
from audit.tasks import Screening, ShardReport, ShardTask
from audit.text_cache import TextCache
from audit.workers.stage_times import Ledger, Timing

#: Event of the journal: what the run cost, by stage (``stage_times.Ledger.entry``).
SPENT = "spent"


@dataclass(frozen=True)
class Request:
    """What to audit: a configuration, where it stands, and inputs that override its own."""

    config: AuditConfig
    base: Path
    inputs: tuple[str, ...] = ()


def audit(request: Request, run: Run, engine: Engine, report: Reporter, *, fresh: bool = False) -> Verdict:
    """Audit a corpus into a run folder, or bring an earlier run up to date.

    Raises:
        ConfigurationError: Nothing to read, or a configuration that cannot work.
        FatalError: The folder is in use, the disk is full, or evidence is damaged.
    """
    ledger = Ledger()
    config, planned = request.config, plan(request)
    shards = planned.shards
    _refuse_own_files(shards, request, run)
    flock = _canaries(request)
    with run.locked(report.note):
        key = hmac_key.load_or_create(outside=run.folder)
        seed = commitment(drawing.keep_seed(run.sample, derive_seed(config.corpus.name, key.key)))
        run.journal.append(
            "started",
            {"configuration": config.digest(), "shards": len(shards), "fresh": fresh, "seed": seed},
        )
        run.store.clear_scratch()
        compaction.recover(run.store)
        known_answers.keep(run.sample, _known_answers(request), config.sampling.questions)
        run.store.drop_untrusted(_retired_digest(run))
        if fresh:
            retire(run, [])
        screening = Screening(
            run.store.resolved(),
            config.build_screens(),
            config.corpus.columns,
            config.read_limits(),
            key.key_id,
            key.key,
            flock,
            texts=_text_cache(run, config, shards),
        )
        if (warning := disk_budget.shortage(run.folder, sum(shard.size for shard in shards))) is not None:
            report.note(warning)
        engine.admit(screening.store, shards)
        ledger.lap("plan")
        reports = screen(run, screening, shards, engine, report, fresh=fresh)
        for each in reports:
            ledger.take(each.seconds, text_bytes=each.text_bytes, peak_bytes=each.peak_bytes)
        ledger.lap("screen")
        resolutions = resolve(screening, reports, engine, report, ledger)
        matched = match_references(screening, reports, engine, report, ledger)
        ledger.lap("match references")
        comparing = EngineRunner(engine, ledger, "compare clusters")
        compared = compare_clusters(screening, reports, resolutions, report, comparing)
        ledger.lap("compare clusters")
        kinds = _classification(request)
        slices, receipts = slice_all(run, config, screening, reports, engine, report, ledger, kinds)
        receipts += [receipt for each in reports for receipt in each.receipts]
        ledger.lap("slice")
        sliced = _parts(reports) + slices
        sliced += totals.bring(run.store, sliced, EngineRunner(engine, ledger, "slice"))
        probed = probe(ProbePhase(run, config, screening, reports, sliced, engine, report, ledger, fresh))
        parts = [*sliced, *(r.part for r in resolutions), *matched, *compared, *probed.parts]
        ledger.lap("probe")
        by_shard = {part.family for part in sliced}
        settle_parts(run, config, screening, parts, receipts, by_shard, engine, report, ledger)
        ledger.lap("count and compact")
        models = probed.models if kinds is None else {**probed.models, DOMAINS: kinds.digest()}
        record(run, config, screening, reports, _left_out(planned, request), models)
        ledger.lap("record")
        verdict = evaluate(run, report, runner=over_files(engine, run.store, ledger, "draw"))
        ledger.lap("evaluate")
        run.journal.append(SPENT, ledger.entry())
        return verdict


def _text_cache(run: Run, config: AuditConfig, shards: Sequence[Shard]) -> TextCache | None:
    """Where the pass keeps texts that are likely to be sampled, and which."""
    if config.run.text_cache_mib == 0:
        return None
    seed = drawing.load_seed(run.sample)
    share = text_cache.share_within(config.run.text_cache_mib * MIB, sum(shard.size for shard in shards))
    folder = text_cache.place(commitment(seed))
    return None if folder is None else TextCache(folder, probe_sample.seeds(config, seed), share)


def _known_answers(request: Request) -> Path | None:
    """Where the items with known answers lie, if there are any."""
    name = request.config.sampling.known_answers
    return None if name is None else request.base / name


def _classification(request: Request) -> Classification | None:
    """The user's classification of hosts and addresses, if there is one."""
    name = request.config.sampling.domains
    return None if name is None else domains.load(request.base / name)


def _canaries(request: Request) -> Flock:
    """The packaged canaries, and the user's."""
    name = request.config.canaries
    screens = [screen.name for screen in request.config.build_screens()]
    mine = () if name is None else canaries.load(request.base / name, screens)
    return Flock((*canaries.packaged(), *mine))


def retire(run: Run, current: Sequence[Part]) -> None:
    """Put aside the parts of other settings, and vouch for them, since they may come back."""
    run.confirm_lock()
    _put_aside(run, current, _listed(run))


def _listed(run: Run) -> dict[str, str]:
    """Digests of the files that the index lists, by path below ``parts``."""
    return {file.path.removeprefix("parts/"): file.sha256 for file in partindex.files(run.store)}


def _put_aside(run: Run, current: Sequence[Part], known: Mapping[str, str]) -> None:
    if digest := run.store.retire(current, known):
        run.journal.append("retired", {"index": digest})


def settle_parts(
    run: Run,
    config: AuditConfig,
    screening: Screening,
    parts: Sequence[Part],
    receipts: Sequence[Receipt],
    by_shard: set[str],
    engine: Engine,
    report: Reporter,
    ledger: Ledger,
) -> None:
    """Put the parts of other settings aside, pack small ones, and count what follows from the parts.

    Args:
        receipts: Of parts that this pass committed.
        by_shard: Families with a part a shard.
    """
    listed, store = _listed(run), run.store
    judged = JudgementStore(run.judgements).load().select(["doc_id", "text_digest"])
    counted = aggregates.named(screening.screens, parts, judged)
    with report.stage("compact", 0):
        run.confirm_lock()
        _put_aside(run, [*parts, *counted], listed)
        standing = [*parts, *(part for part in counted if store.has(part))]
        target = config.run.compact_mib * MIB
        compaction.compact(store, standing, by_shard, engine, target, listed, receipts)
    with report.stage("count", 0):
        means = Means(
            EngineRunner(engine, ledger, "count"),
            over_files(engine, store, ledger, "count"),
            engine.workers,
            config.run.memory_bytes,
        )
        aggregates.bring(store, screening.screens, counted, judged, parts, means)
        partindex.add(store, counted)


def _retired_digest(run: Run) -> str | None:
    """Digest of the index of retired parts, as the journal last told it."""
    digests = [entry.data["index"] for entry in run.journal.read() if entry.event == "retired"]
    return digests[-1] if digests else None


def _left_out(planned: InputPlan, request: Request) -> dict[str, Any]:
    """Files in the inputs' folders that no source reads, but for hidden ones and those to be ignored.

    Objects that came while the corpus was read are among them: the next run takes them in.
    """
    config, late = (
        request.config,
        sources.arrivals(_inputs(request)[0], planned, format=request.config.corpus.format),
    )
    patterns = (".*", "_*", *config.corpus.ignore)
    sizes = {**{path: _size(planned, path) for path in planned.skipped}, **late}
    left = {
        path: size
        for path, size in sizes.items()
        if not any(fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)
    }
    suffixes = Counter(
        identifiers.mask_identifier("".join(PurePosixPath(path).suffixes[-2:])) for path in left
    )
    return {"files": len(left), "bytes": sum(left.values()), "suffixes": dict(sorted(suffixes.items()))}


def _size(planned: InputPlan, path: str) -> int:
    """Bytes of what was skipped; a folder counts by none."""
    if path in planned.skipped_bytes:
        return planned.skipped_bytes[path]
    return Path(path).stat().st_size if Path(path).is_file() else 0


def plan(request: Request) -> InputPlan:
    """The shards of the corpus, in a stable order that no setting of the engine changes."""
    config, (inputs, base) = request.config, _inputs(request)
    if not inputs:
        raise ConfigurationError(
            "there is nothing to read",
            key="corpus.inputs",
            remedy="List files there, or name them after the configuration",
        )
    return sources.inspect_inputs(
        inputs, format=config.corpus.format, shard_bytes=config.run.shard_bytes, base=base
    )


def _inputs(request: Request) -> tuple[tuple[str, ...], Path]:
    """Addresses, and where relative ones start."""
    if request.inputs:
        return request.inputs, Path.cwd()
    return request.config.corpus.inputs, request.base


def _refuse_own_files(shards: Sequence[Shard], request: Request, run: Run) -> None:
    """Refuse to take the run's own files for documents, now or when the run is resumed."""
    inputs, base = _inputs(request)
    if run.remote is None:
        folder = run.folder.resolve()
        above = any("://" not in address and _holds(base / address, folder) for address in inputs)
        files = [shard.uri for shard in shards if "://" not in shard.uri]
        inside = any(resolved(file).startswith(f"{folder}/") for file in files)
    else:
        address = f"{run.remote.address}/"
        above = any(address.startswith(f"{each.rstrip('/')}/") for each in inputs)
        inside = any(shard.uri.startswith(address) for shard in shards)
    if above or inside:
        raise ConfigurationError(
            "the run folder lies inside the corpus, so its files would be read as documents",
            key="--out",
            remedy="Choose a folder outside the inputs, or name the inputs by a glob",
        )


def _holds(path: Path, folder: Path) -> bool:
    return path.is_dir() and folder.is_relative_to(path.resolve())


def screen(
    run: Run, screening: Screening, shards: Sequence[Shard], engine: Engine, report: Reporter, *, fresh: bool
) -> list[ShardReport]:
    """Run every screen over every shard; what stands already is not computed again."""
    seen = SeenInputs(run.cache / "inputs.jsonl")
    before = set() if fresh else run.store.shards(facts.FAMILY)
    work = [
        ShardTask(screening, shard, None if fresh else seen.digest(shard), shard.shard in before)
        for shard in shards
    ]
    with report.stage("screen", sum(shard.size for shard in shards)) as stage:
        reports = tasks.recall(work)
        stage.advance(sum(r.documents for r in reports), sum(r.shard.size for r in reports))
        done = {r.shard.shard for r in reports}
        rest = [task for task in work if task.shard.shard not in done]
        for result in isolating.screen_shards(engine, rest, stage.advance, report.note):
            if result.digest is not None:
                seen.saw(result.shard, result.digest)
            reports.append(result)
    return sorted(reports, key=lambda r: r.shard.shard)


def resolve(
    screening: Screening,
    reports: Sequence[ShardReport],
    engine: Engine,
    report: Reporter,
    ledger: Ledger,
) -> list[resolving.Resolution]:
    """The second stage of the corpus-wide screens."""
    standing = {r.shard.shard: r for r in reports if r.keys}
    resolutions = []
    for member in screening.screens:
        if isinstance(member, CorpusScreen) and is_corpus_wide(member) and standing:
            sketches = _sketches(screening, standing, member.name)
            sketches = _spread(sketches, engine, ledger, f"resolve {member.name}")
            with report.stage(member.name.replace("_", " "), 0):
                resolutions.append(resolving.resolve(member, sketches))
            ledger.lap(f"resolve {member.name}")
    return resolutions


def match_references(
    screening: Screening,
    reports: Sequence[ShardReport],
    engine: Engine,
    report: Reporter,
    ledger: Ledger,
) -> list[Part]:
    """What the corpus shares with the references that are configured."""
    standing = {r.shard.shard: r for r in reports if r.keys}
    parts = []
    for member in screening.screens:
        if isinstance(member, MatchingCorpusScreen) and member.references and standing:
            with report.stage("match references", 0):
                sketches = _sketches(screening, standing, member.name)
                parts.append(resolving.match(member, _spread(sketches, engine, ledger, "match references")))
    return parts


def compare_clusters(
    screening: Screening,
    reports: Sequence[ShardReport],
    resolutions: Sequence[resolving.Resolution],
    report: Reporter,
    runner: Runner,
) -> list[Part]:
    """Differences of members of the largest clusters, while their texts are at hand."""
    standing = {r.shard.shard: r for r in reports if r.keys}
    name = duplicate_screen(screening.screens)
    found = [resolution for resolution in resolutions if resolution.screen == name]
    with report.stage("compare clusters", 0):
        return [
            cluster_report.compare(
                resolution,
                _sketches(screening, standing, resolution.screen),
                {shard: r.keys for shard, r in standing.items()},
                runner,
            )
            for resolution in found
        ]


def _sketches(
    screening: Screening, standing: Mapping[str, ShardReport], name: str
) -> resolving.StoredSketches:
    return resolving.StoredSketches(
        screening.store,
        {shard: Part(name, shard, r.keys[name]) for shard, r in standing.items()},
        {shard: r.shard for shard, r in standing.items()},
        screening.columns,
        screening.limits,
    )


def _spread(
    sketches: resolving.StoredSketches, engine: Engine, ledger: Ledger, stage: str
) -> resolving.StoredSketches:
    """The same, with the engine's workers for the tasks of a screen."""
    runner = over_files(engine, sketches.store, ledger, stage)
    return dataclasses.replace(sketches, runner=runner, groups=grouped(sketches.shards, engine.workers))


def slice_all(
    run: Run,
    config: AuditConfig,
    screening: Screening,
    reports: Sequence[ShardReport],
    engine: Engine,
    report: Reporter,
    ledger: Ledger,
    classification: Classification | None = None,
) -> tuple[list[Part], list[Receipt]]:
    """Dimensions and additive counts of every shard, from its parts; with receipts of what is new."""
    present = tuple(s.name for s in flagging(screening.screens) if f"{s.name}{PRESENT}" in config.strata())
    bands = config.sampling.bands
    how = Slicing(screening.store, screening.screens, bands, present, classification)
    work = [SliceTask(how, r.shard.shard, dict(r.keys)) for r in reports if r.keys]
    parts = [list(slicing.slice_keys(task).values()) for task in work]
    standing = run.store.standing(part for some in parts for part in some)
    stale = [task for task, some in zip(work, parts, strict=True) if not standing.issuperset(some)]
    receipts: list[Receipt] = []
    with report.stage("slice", 0) as stage:
        for outcome in engine.map(Timing("slice", slicing.slice_shard), stale, stage.advance):
            if outcome.result is None:
                receipts += slicing.slice_shard(outcome.task)
            else:
                receipts += outcome.result.result
                ledger.take(outcome.result.seconds, peak_bytes=outcome.result.peak_bytes)
    return [part for some in parts for part in some], receipts


def _parts(reports: Sequence[ShardReport]) -> list[Part]:
    return [Part(family, r.shard.shard, key) for r in reports for family, key in r.keys.items()]


def record(
    run: Run,
    config: AuditConfig,
    screening: Screening,
    reports: Sequence[ShardReport],
    left_out: Mapping[str, Any],
    further_models: Mapping[str, str],
) -> None:
    """Write down what went in and what came out: shards, index of parts, manifest, journal."""
    shardlog.save(run.store.folder / shardlog.FILE, reports)
    inputs = [
        manifest.InputRecord(
            r.shard.shard,
            r.shard.name,
            r.shard.uri,
            r.shard.size,
            r.digest,
            r.documents,
            r.rejected,
            r.status,
        )
        for r in reports
    ]
    index = digest_file(run.store.folder / partindex.FILE)
    built = manifest.build(
        corpus=config.corpus.name,
        configuration=config.resolved(),
        configuration_digest=config.digest(),
        inputs=inputs,
        packages=manifest.package_versions(),
        models={
            **{f"{s.name}.{name}": v for s in screening.screens for name, v in s.resources().items()},
            **further_models,
        },
        seed=drawing.load_seed(run.sample).hex(),
        hmac_key_id=screening.key_id,
        parts_index=index,
        left_out=left_out,
    )
    manifest.write(run.folder / MANIFEST, built)
    run.journal.append(
        "screened",
        {"manifest": digest_file(run.folder / MANIFEST), "parts": index, "run_id": built["run_id"]},
    )
