"""From what a run folder holds to its verdict: sample, estimate, judge the gates, render.

Nothing here reads the corpus. The database is rebuilt whole, so an evaluation that is killed leaves
the last one standing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from audit import (
    adjudication_phase,
    agreement,
    assisted_estimates,
    detector_evidence,
    drawing,
    frozen_plan,
    gate_inputs,
    partindex,
    reports,
    scorecard,
    toxicity_report,
    waivers,
)
from audit.aggregation import aggregates
from audit.config import AuditConfig
from audit.coverage import Coverage
from audit.database import Builder, building, connect
from audit.drawing import Drawing
from audit.duplicates.exchange import Runner, threads
from audit.errors import FatalError
from audit.frozen_plan import Plan
from audit.gate_inputs import Inputs, statistics
from audit.lineage import manifest, verification
from audit.model import Estimate, GateResult, Verdict
from audit.partindex import Catalogue
from audit.policy import decide, judge_gates
from audit.probe_phase import probe_evidence
from audit.progress import Reporter
from audit.renderers import RENDERERS, render
from audit.reports import ShardLog
from audit.review.judgements import JudgementStore
from audit.run import MANIFEST, Run
from audit.screens import is_corpus_wide
from audit.standing import evaluation_day
from audit.statistics.sampling import commitment
from audit.storage.store import write_atomically

_CONFIDENCE_ALPHA = 0.05


@dataclass(frozen=True)
class Result:
    """Everything that the database and the scorecard take from an evaluation."""

    estimates: Sequence[Estimate]
    gates: Sequence[GateResult]
    verdict: Verdict
    strict: Verdict
    coverage: Coverage
    probes: Mapping[str, Any] | None
    agreement: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    toxicity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    canaries: Sequence[Mapping[str, Any]] = ()
    strict_gates: Sequence[GateResult] = ()
    plan: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quality: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def evaluate(run: Run, report: Reporter, size: int | None = None, runner: Runner = threads) -> Verdict:
    """Evaluate what stands in the run folder; the run must be locked.

    Args:
        run: A run whose pass is complete.
        report: Shows progress.
        size: Documents to draw in all; by default what was drawn before, or what is configured.
        runner: Runs the tasks of a draw, which see the run's scratch folder.
    """
    config = run.config()
    plan, day = frozen_plan.settle(run, config), evaluation_day(run, config.policy.waivers)
    shards = reports.read(run.store.folder / reports.FILE)
    entries, parts = gate_inputs.corpus_wide(run.store), Catalogue.recorded(run.store)
    sketches = {screen.name for screen in config.build_screens() if is_corpus_wide(screen)}
    with report.stage("evaluate", 0):
        partindex.stage(run.store, lambda family: family not in sketches)
        declared = drawing.declared_size(run.store, config, parts)
        wanted = size or max(declared, drawing.size_drawn(run.sample) or 0)
        held = shards.documents > 0
        drawn = frozen_plan.draw(run, config, plan, wanted, runner) if held else None
        files, memory = aggregates.files(run.store), config.run.memory_bytes
        with building(run.folder, config.build_screens(), files, memory) as builder:
            aggregates.take_over(builder, run.store)
            result = _fill(run, config, builder, shards, entries, drawn, plan, day)
            builder.publish()
        _render(run, config, result, entries, wanted)
    _complete(run, result.verdict, day)
    return result.verdict


def extend(run: Run, size: int, report: Reporter) -> Verdict:
    """Draw more documents, keeping those that were drawn; the run must be locked."""
    standing = drawing.size_drawn(run.sample) or 0
    run.journal.append("extended", {"from": standing, "to": max(size, standing)})
    return evaluate(run, report, max(size, standing))


def _fill(
    run: Run,
    config: AuditConfig,
    builder: Builder,
    shards: ShardLog,
    entries: Sequence[partindex.Entry],
    drawn: Drawing | None,
    plan: Plan,
    day: date,
) -> Result:
    builder.insert("shards", _shard_rows(shards))
    builder.create_views()
    if drawn is not None:
        builder.insert_sampled(drawn.rows)
        builder.insert("strata", drawn.strata())
        builder.insert_draws(drawing.PHASE, drawn.draws)
    probed = probe_evidence.fill(builder, run, config, Catalogue.recorded(run.store))
    builder.insert("judgements", _judgement_rows(run, config))
    said = _agreement(run, config, builder)
    toxicity = toxicity_report.fill(builder, config, run.folder / "cache", drawn)
    obstacle = plan.obstacle or frozen_plan.note_lost(run, plan, _lost_judgements(run, builder, plan.imports))
    left_out = run.header()["left_out"]["bytes"]
    inputs = gate_inputs.gather(
        builder.db, config, shards, entries, drawn, probed, left_out=left_out, obstacle=obstacle
    )
    result = _judge(config, builder, inputs, probed, day, obstacle)
    assisted = assisted_estimates.gather(builder.db, config, drawn, probed, _CONFIDENCE_ALPHA)
    result = dataclasses.replace(result, estimates=[*result.estimates, *assisted])
    builder.insert("estimates", _plain_rows(result.estimates, "estimates", builder))
    builder.insert("gates", _plain_rows(result.gates, "gates", builder))
    return dataclasses.replace(
        result,
        agreement=said,
        toxicity=toxicity,
        plan={**plan.summary(), "obstacle": obstacle},
        quality=detector_evidence.fill(builder, config, drawn, _CONFIDENCE_ALPHA),
    )


def _agreement(run: Run, config: AuditConfig, builder: Builder) -> dict[str, Any]:
    """Final labels, the sample of the adjudication, and what is to be said of reviewers."""
    share = config.sampling.adjudication_share if adjudication_phase.is_open(run.sample) else None
    seed = bytes.fromhex(run.header()["seed"])
    counts = adjudication_phase.fill(builder.db, config.sampling.metrics, share, seed)
    return agreement.report(builder.db, config.sampling.questions, counts)


def _judge(
    config: AuditConfig,
    builder: Builder,
    inputs: Inputs,
    probed: probe_evidence.Probed | None,
    day: date,
    obstacle: str | None,
) -> Result:
    gates, asked, waivers_of = config.policy.gates, config.sampling.metrics, config.policy.waivers
    results = waivers.apply(judge_gates(gates, inputs.by_name, questions=asked), waivers_of, day)
    strict_results = waivers.apply(
        judge_gates(gates, inputs.by_name, strict=True, questions=asked), waivers_of, day
    )
    covered = inputs.coverage
    return Result(
        [e.estimate(_CONFIDENCE_ALPHA) for e in inputs.measured],
        results,
        decide(results, coverage=covered, obstacle=obstacle),
        decide(strict_results, coverage=covered, strict=True, obstacle=obstacle),
        covered,
        probe_evidence.section(builder.db, probed),
        canaries=inputs.canaries,
        strict_gates=strict_results,
    )


def _shard_rows(shards: ShardLog) -> pa.Table:
    rows = shards.rows.drop_columns(["lost"])
    for name in ("uri", "name"):
        shown = pa.array(manifest.present_all(rows.column(name).to_pylist()), pa.string())
        rows = rows.set_column(rows.schema.get_field_index(name), name, shown)
    return rows


def _judgement_rows(run: Run, config: AuditConfig) -> pa.Table:
    """Every answer, with what it says of harm; nothing of questions that are no longer asked."""
    asked = {question.name: question for question in config.sampling.questions}
    table = JudgementStore(run.judgements).load().drop_columns(["shard", "position", "imported"])
    rows = table.select(["question", "label", "spans"]).to_pylist()
    harm = []
    for row in rows:
        question, kinds = asked.get(row["question"]), [span[2] for span in json.loads(row["spans"] or "[]")]
        harm.append(question.verdict(row["label"], kinds) if question else None)
    return table.append_column("harm", pa.array(harm, pa.string()))


def _lost_judgements(run: Run, builder: Builder, imports: int) -> int:
    """Documents judged since that many imports whose texts the corpus no longer holds.

    Only documents of the sample are judged: those that came since the pass are in it still.
    """
    table = JudgementStore(run.judgements).load()
    builder.db.register("judged", table.select(["doc_id", "text_digest", "phase", "imported"]))
    ((lost,),) = builder.db.execute(
        """SELECT count(DISTINCT doc_id) FROM judged
        ANTI JOIN sampled_documents USING (doc_id, text_digest)
        ANTI JOIN judged_documents USING (doc_id, text_digest)
        WHERE imported > ? AND phase <> 'known_answer'""",
        [imports],
    ).fetchall()
    builder.db.unregister("judged")
    return int(lost)


def _plain_rows(items: Sequence[Estimate] | Sequence[GateResult], table: str, builder: Builder) -> pa.Table:
    """Dataclasses as rows of a table, in the types that the schema declares."""
    schema = builder.schema(table)
    return pa.Table.from_pylist([dataclasses.asdict(item) for item in items], schema)


def _render(
    run: Run, config: AuditConfig, result: Result, entries: Sequence[partindex.Entry], size: int
) -> None:
    stored = run.header()
    with connect(run.folder) as db:
        card = scorecard.build(
            db,
            run_id=stored["run_id"],
            corpus=config.corpus.name,
            verdict=result.verdict,
            gates=result.gates,
            provenance=_provenance(stored),
            statistics=statistics(entries),
            sampling={
                **config.sampling.model_dump(mode="json"),
                "size": config.sampling.size if config.sampling.budget is None else None,
                "strata": list(config.strata()),
                "drawn": size,
                "seed": commitment(bytes.fromhex(stored["seed"])),
            },
            previews=_previews(db),
            probes=result.probes,
        )
    card["accounting"]["coverage"] = dataclasses.asdict(result.coverage)
    card["accounting"]["left_out"] = stored["left_out"]
    card["agreement"] = result.agreement
    card |= result.toxicity
    card["detector_quality"] = result.quality
    card["canaries"] = result.canaries
    card["plan"] = result.plan
    card["strict"] = {
        "verdict": result.strict.verdict,
        "verdict_reason": result.strict.reason,
        "gates": [{"gate": r.gate, "outcome": r.outcome, "reason": r.reason} for r in result.strict_gates],
    }
    for name in RENDERERS:
        write_atomically(run.folder / f"scorecard.{name}", render(card, name).encode())


def _provenance(stored: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("configuration_digest", "code", "packages", "python", "platform", "models", "hmac_key_id")
    seed = commitment(bytes.fromhex(stored["seed"]))  # the seed itself would tell the next version's draws
    return {**{name: stored[name] for name in kept}, "seed": seed, "parts_index": stored["parts_index"]}


def _previews(db: duckdb.DuckDBPyConnection) -> dict[str, dict[str, list[str]]]:
    previews: dict[str, dict[str, list[str]]] = {}
    for screen, kind, examples in db.execute("SELECT * FROM previews ORDER BY screen, kind").fetchall():
        previews.setdefault(screen, {})[kind] = examples
    return previews


def _complete(run: Run, verdict: Verdict, day: date) -> None:
    names = [MANIFEST, "audit.duckdb", f"parts/{partindex.FILE}", f"parts/{reports.FILE}"]
    names += [f"scorecard.{name}" for name in RENDERERS]
    names += [p.relative_to(run.folder).as_posix() for p in run.sample.rglob("*") if p.is_file()]
    missing = [name for name in names if not (run.folder / name).is_file()]
    if missing:
        raise FatalError(f"{missing[0]} is not there; run the audit again")
    files = verification.file_digests(run.folder, names)
    data = {"verdict": verdict.verdict, "reason": verdict.reason, "day": day.isoformat(), "files": files}
    run.journal.append(verification.COMPLETED, data)
