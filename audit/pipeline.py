"""The whole story: from inputs to a verdict.

    plan -> screen every shard -> resolve what repeats -> compare clusters -> slice and count
         -> probe a sample -> evaluate

``evaluate`` (sample, estimate, gates, database, scorecard) reads only what the run folder holds, so
judgements that arrive later cost no second pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from audit import (
    canaries,
    cluster_report,
    domains,
    drawing,
    facts,
    hmac_key,
    identifiers,
    partindex,
    resolving,
    slicing,
    sources,
    tasks,
)
from audit import reports as shardlog
from audit.canaries import Flock
from audit.config import AuditConfig
from audit.dimensions import PRESENT, flagging
from audit.domains import Classification
from audit.engines import Engine
from audit.errors import ConfigurationError
from audit.evaluation import evaluate
from audit.frozen_plan import DOMAINS
from audit.inputs import SeenInputs
from audit.lineage import manifest
from audit.model import Shard, Verdict
from audit.probing import ProbePhase, probe
from audit.progress import Reporter
from audit.review import known_answers
from audit.run import MANIFEST, Run
from audit.sampling import commitment, derive_seed
from audit.screens import CorpusScreen, MatchingCorpusScreen, duplicate_screen, is_corpus_wide
from audit.slicing import SliceTask, Slicing
from audit.sources import InputPlan
from audit.store import Part, digest_file
from audit.tasks import Screening, ShardReport, ShardTask


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
    config, planned = request.config, plan(request)
    shards = planned.shards
    _refuse_own_files(shards, request, run)
    flock = _canaries(request)
    with run.locked():
        key = hmac_key.load_or_create(outside=run.folder)
        seed = commitment(drawing.keep_seed(run.sample, derive_seed(config.corpus.name, key.key)))
        run.journal.append(
            "started",
            {"configuration": config.digest(), "shards": len(shards), "fresh": fresh, "seed": seed},
        )
        run.store.clear_scratch()
        known_answers.keep(run.sample, _known_answers(request), config.sampling.questions)
        run.store.drop_untrusted(_retired_digest(run))
        if fresh:
            retire(run, [])
        screening = Screening(
            run.store.folder.resolve(),
            config.build_screens(),
            config.corpus.columns,
            config.read_limits(),
            key.key_id,
            key.key,
            flock,
        )
        reports = screen(run, screening, shards, engine, report, fresh=fresh)
        resolutions = resolve(run, screening, reports, report)
        matched = match_references(run, screening, reports, report)
        compared = compare_clusters(run, screening, reports, resolutions, report)
        kinds = _classification(request)
        slices = slice_all(run, config, screening, reports, engine, report, kinds)
        sliced = _parts(reports) + slices
        probed = probe(ProbePhase(run, config, screening, reports, sliced, engine, report, fresh))
        parts = [*sliced, *(r.part for r in resolutions), *matched, *compared, *probed.parts]
        retire(run, parts)
        models = probed.models if kinds is None else {**probed.models, DOMAINS: kinds.digest()}
        record(run, config, screening, reports, parts, _left_out(planned, config), models)
        return evaluate(run, report)


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
    known = {entry.part.relative: entry.sha256 for entry in partindex.read(run.store)}
    if digest := run.store.retire(current, known):
        run.journal.append("retired", {"index": digest})


def _retired_digest(run: Run) -> str | None:
    """Digest of the index of retired parts, as the journal last told it."""
    digests = [entry.data["index"] for entry in run.journal.read() if entry.event == "retired"]
    return digests[-1] if digests else None


def _left_out(planned: InputPlan, config: AuditConfig) -> dict[str, Any]:
    """Files in the inputs' folders that no source reads, but for hidden ones and those to be ignored."""
    patterns = (".*", "_*", *config.corpus.ignore)
    paths = [Path(path) for path in planned.skipped]
    left = [path for path in paths if not any(fnmatch(path.name, pattern) for pattern in patterns)]
    suffixes = Counter(identifiers.mask_identifier("".join(path.suffixes[-2:])) for path in left)
    size = sum(path.stat().st_size for path in left if path.is_file())
    return {"files": len(left), "bytes": size, "suffixes": dict(sorted(suffixes.items()))}


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
    folder = run.folder.resolve()
    above = [address for address in inputs if "://" not in address and _holds(base / address, folder)]
    if above or any(Path(shard.uri).resolve().is_relative_to(folder) for shard in shards):
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
        reports = [standing for task in work if (standing := tasks.recall(task)) is not None]
        stage.advance(sum(r.documents for r in reports), sum(r.shard.size for r in reports))
        done = {r.shard.shard for r in reports}
        rest = [task for task in work if task.shard.shard not in done]
        for outcome in engine.map(tasks.screen_shard, rest, stage.advance):
            result = outcome.result or ShardReport(
                outcome.task.shard, "failed", reason=f"lost: {outcome.lost}"
            )
            if result.digest is not None:
                seen.saw(result.shard, result.digest)
            reports.append(result)
    return sorted(reports, key=lambda r: r.shard.shard)


def resolve(
    run: Run, screening: Screening, reports: Sequence[ShardReport], report: Reporter
) -> list[resolving.Resolution]:
    """The second stage of the corpus-wide screens."""
    standing = {r.shard.shard: r for r in reports if r.keys}
    resolutions = []
    for member in screening.screens:
        if isinstance(member, CorpusScreen) and is_corpus_wide(member) and standing:
            sketches = _sketches(run, screening, standing, member.name)
            with report.stage(member.name.replace("_", " "), 0):
                resolutions.append(resolving.resolve(member, sketches))
    return resolutions


def match_references(
    run: Run, screening: Screening, reports: Sequence[ShardReport], report: Reporter
) -> list[Part]:
    """What the corpus shares with the references that are configured."""
    standing = {r.shard.shard: r for r in reports if r.keys}
    parts = []
    for member in screening.screens:
        if isinstance(member, MatchingCorpusScreen) and member.references and standing:
            with report.stage("match references", 0):
                parts.append(resolving.match(member, _sketches(run, screening, standing, member.name)))
    return parts


def compare_clusters(
    run: Run,
    screening: Screening,
    reports: Sequence[ShardReport],
    resolutions: Sequence[resolving.Resolution],
    report: Reporter,
) -> list[Part]:
    """Differences of members of the largest clusters, while their texts are at hand."""
    standing = {r.shard.shard: r for r in reports if r.keys}
    name = duplicate_screen(screening.screens)
    found = [resolution for resolution in resolutions if resolution.screen == name]
    with report.stage("compare clusters", 0):
        return [
            cluster_report.compare(
                resolution,
                _sketches(run, screening, standing, resolution.screen),
                {shard: r.keys for shard, r in standing.items()},
            )
            for resolution in found
        ]


def _sketches(
    run: Run, screening: Screening, standing: Mapping[str, ShardReport], name: str
) -> resolving.StoredSketches:
    return resolving.StoredSketches(
        run.store,
        {shard: Part(name, shard, r.keys[name]) for shard, r in standing.items()},
        {shard: r.shard for shard, r in standing.items()},
        screening.columns,
        screening.limits,
    )


def slice_all(
    run: Run,
    config: AuditConfig,
    screening: Screening,
    reports: Sequence[ShardReport],
    engine: Engine,
    report: Reporter,
    classification: Classification | None = None,
) -> list[Part]:
    """Dimensions and additive counts of every shard, from its parts."""
    present = tuple(s.name for s in flagging(screening.screens) if f"{s.name}{PRESENT}" in config.strata())
    folder, bands = run.store.folder.resolve(), config.sampling.bands
    how = Slicing(folder, screening.screens, bands, present, classification)
    work = [SliceTask(how, r.shard.shard, dict(r.keys)) for r in reports if r.keys]
    stale = [t for t in work if not all(run.store.has(part) for part in slicing.slice_keys(t).values())]
    with report.stage("slice", 0) as stage:
        for outcome in engine.map(slicing.slice_shard, stale, stage.advance):
            if outcome.result is None:
                slicing.slice_shard(outcome.task)
    return [part for task in work for part in slicing.slice_keys(task).values()]


def _parts(reports: Sequence[ShardReport]) -> list[Part]:
    return [Part(family, r.shard.shard, key) for r in reports for family, key in r.keys.items()]


def record(
    run: Run,
    config: AuditConfig,
    screening: Screening,
    reports: Sequence[ShardReport],
    parts: Sequence[Part],
    left_out: Mapping[str, Any],
    further_models: Mapping[str, str],
) -> None:
    """Write down what went in and what came out: shards, index of parts, manifest, journal."""
    shardlog.save(run.store.folder / shardlog.FILE, reports)
    partindex.write(run.store, parts)
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
