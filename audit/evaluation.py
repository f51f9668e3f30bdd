"""From what a run folder holds to its verdict: sample, estimate, judge the gates, render.

Nothing here reads the corpus. The database is rebuilt whole, so an evaluation that is killed leaves
the last one standing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from audit import drawing, evidence, partindex, reports, scorecard
from audit.config import AuditConfig
from audit.database import Builder, building, connect
from audit.drawing import Drawing
from audit.errors import FatalError
from audit.facts import FAMILY as DOCUMENTS
from audit.lineage import manifest, verification
from audit.measuring import EVALUATED
from audit.model import Estimate, GateResult, Verdict
from audit.policy import Coverage, Evidence, Missing, decide, judge_gates
from audit.progress import Reporter
from audit.renderers import RENDERERS, render
from audit.resolving import FAMILY as DUPLICATES
from audit.resolving import MATCHES, RESOLVED
from audit.review.judgements import JudgementStore
from audit.run import MANIFEST, Run
from audit.screens import is_corpus_wide
from audit.store import write_atomically
from audit.tasks import ShardReport

_CONFIDENCE_ALPHA = 0.05
_PARAGRAPHS = f"repeated_paragraphs{RESOLVED}"
#: Masked previews of a kind that the scorecard shows.
_PREVIEWS = 3


@dataclass(frozen=True)
class Result:
    """Everything that the database and the scorecard take from an evaluation."""

    estimates: Sequence[Estimate]
    gates: Sequence[GateResult]
    verdict: Verdict
    strict: Verdict
    coverage: Coverage


def evaluate(run: Run, report: Reporter, size: int | None = None) -> Verdict:
    """Evaluate what stands in the run folder; the run must be locked.

    Args:
        run: A run whose pass is complete.
        report: Shows progress.
        size: Documents to draw in all; by default what was drawn before, or what is configured.
    """
    config = run.config()
    shards = reports.load(run.store.folder / reports.FILE)
    entries = list(partindex.read(run.store))
    with report.stage("evaluate", 0):
        wanted = size or max(config.sampling.size, drawing.size_drawn(run.sample) or 0)
        drawn = _draw(run, config, entries, wanted)
        with building(run.folder, config.build_screens()) as builder:
            result = _fill(run, config, builder, shards, entries, drawn)
            builder.publish()
        _render(run, config, result, entries, wanted)
    _complete(run, result.verdict)
    return result.verdict


def extend(run: Run, size: int, report: Reporter) -> Verdict:
    """Draw more documents, keeping those that were drawn; the run must be locked."""
    standing = drawing.size_drawn(run.sample) or 0
    run.journal.append("extended", {"from": standing, "to": max(size, standing)})
    return evaluate(run, report, max(size, standing))


def _draw(run: Run, config: AuditConfig, entries: Sequence[partindex.Entry], size: int) -> Drawing | None:
    documents = sum(e.metadata["documents"] for e in entries if e.part.family == DOCUMENTS)
    if documents == 0:
        return None
    return drawing.draw(run.sample, run.store, config, [entry.part for entry in entries], size)


def _fill(
    run: Run,
    config: AuditConfig,
    builder: Builder,
    shards: Sequence[ShardReport],
    entries: Sequence[partindex.Entry],
    drawn: Drawing | None,
) -> Result:
    builder.insert("shards", _shard_rows(shards))
    builder.insert("evaluations", _evaluation_rows(entries))
    builder.create_views()
    builder.count()
    builder.insert_paragraphs(_examples(entries))
    if drawn is not None:
        builder.insert("strata", drawn.strata())
        builder.insert_draws(drawing.PHASE, drawn.draws)
    builder.insert("judgements", _judgement_rows(run))
    covered = _coverage(config, shards, run.manifest()["left_out"]["bytes"])
    result = _judge(config, builder, shards, entries, drawn, covered)
    builder.insert("estimates", _plain_rows(result.estimates, "estimates", builder))
    builder.insert("gates", _plain_rows(result.gates, "gates", builder))
    return result


def _judge(
    config: AuditConfig,
    builder: Builder,
    shards: Sequence[ShardReport],
    entries: Sequence[partindex.Entry],
    drawn: Drawing | None,
    covered: Coverage,
) -> Result:
    doubt = statistics(entries).get(builder.duplicate_screen() or "", {})
    wanted = [gate.slice for gate in config.policy.gates]
    found = evidence.gather(
        builder.db,
        drawn,
        config.sampling.questions,
        wanted,
        doubt,
        screened=sum(r.documents for r in shards),
        lost=sum(r.lost for r in shards),
    )
    by_name: dict[tuple[str, str], Evidence | Missing] = {(e.metric, e.slice): e for e in found}
    results = judge_gates(config.policy.gates, by_name)
    strict = judge_gates(config.policy.gates, by_name, strict=True)
    return Result(
        [e.estimate(_CONFIDENCE_ALPHA) for e in found],
        results,
        decide(results, coverage=covered),
        decide(strict, coverage=covered, strict=True),
        covered,
    )


def statistics(entries: Sequence[partindex.Entry]) -> dict[str, dict[str, float]]:
    """What the corpus-wide screens counted, by screen."""
    counts: dict[str, dict[str, float]] = {}
    for e in entries:
        if e.part.family in (DUPLICATES, MATCHES) or e.part.family.endswith(RESOLVED):
            counts.setdefault(e.part.shard, {}).update(e.metadata["statistics"])
    return counts


def _examples(entries: Sequence[partindex.Entry]) -> list[dict[str, Any]]:
    """The most repeated paragraphs, as the screen told them."""
    return [row for e in entries if e.part.family == _PARAGRAPHS for row in e.metadata["examples"]]


def _coverage(config: AuditConfig, shards: Sequence[ShardReport], left_out: int) -> Coverage:
    """How much was read; of a truncated shard nobody knows how much is missing, so all counts as unread."""
    total = sum(r.shard.size for r in shards)
    unread = sum(r.shard.size for r in shards if r.status != "complete")
    return Coverage(
        screened=sum(r.documents for r in shards),
        rejected=sum(r.lost for r in shards),
        shards=len(shards),
        failed_shards=sum(r.status == "failed" for r in shards),
        unread_share=unread / total if total else 0.0,
        left_out_share=left_out / (left_out + total) if left_out else 0.0,
        max_unscreened=config.policy.max_unscreened,
    )


def _shard_rows(shards: Sequence[ShardReport]) -> pa.Table:
    rows = [
        {
            "shard": r.shard.shard,
            "uri": manifest.present(r.shard.uri),
            "name": manifest.present(r.shard.name),
            "bytes": r.shard.size,
            "digest": r.digest,
            "documents": r.documents,
            "rejected": r.rejected,
            "status": r.status,
            "reason": r.reason,
        }
        for r in shards
    ]
    text, count = pa.string(), pa.int64()
    kinds = {"bytes": count, "documents": count, "rejected": count}
    names = ("shard", "uri", "name", "bytes", "digest", "documents", "rejected", "status", "reason")
    return pa.Table.from_pylist(rows, pa.schema([(name, kinds.get(name, text)) for name in names]))


def _evaluation_rows(entries: Sequence[partindex.Entry]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("shard", "screen", "evaluated", "skipped", "failed", "reason")
    }
    for entry in entries:
        for state, count in sorted(entry.metadata.get("evaluations", {}).items()):
            columns["shard"].append(entry.part.shard)
            columns["screen"].append(entry.part.family)
            for column in ("evaluated", "skipped", "failed"):
                columns[column].append(count if state.startswith(column) else 0)
            columns["reason"].append(None if state == EVALUATED else state)
    kinds = [pa.string()] * 2 + [pa.int64()] * 3 + [pa.string()]
    return pa.table([pa.array(v, k) for v, k in zip(columns.values(), kinds, strict=True)], list(columns))


def _judgement_rows(run: Run) -> pa.Table:
    names = [
        "doc_id",
        "question",
        "label",
        "severity",
        "reviewer",
        "seconds",
        "at",
        "text_digest",
        "superseded",
    ]
    return JudgementStore(run.judgements).load().select(names)


def _plain_rows(items: Sequence[Estimate] | Sequence[GateResult], table: str, builder: Builder) -> pa.Table:
    """Dataclasses as rows of a table, in the types that the schema declares."""
    schema = builder.schema(table)
    return pa.Table.from_pylist([dataclasses.asdict(item) for item in items], schema)


def _render(
    run: Run, config: AuditConfig, result: Result, entries: Sequence[partindex.Entry], size: int
) -> None:
    stored = run.manifest()
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
                "strata": list(config.strata()),
                "drawn": size,
                "seed": stored["seed"],
            },
            previews=_previews(db, config),
        )
    card["accounting"]["coverage"] = dataclasses.asdict(result.coverage)
    card["accounting"]["left_out"] = stored["left_out"]
    card["strict"] = {"verdict": result.strict.verdict, "verdict_reason": result.strict.reason}
    for name in RENDERERS:
        write_atomically(run.folder / f"scorecard.{name}", render(card, name).encode())


def _provenance(stored: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("configuration_digest", "code", "packages", "python", "platform", "models", "seed", "hmac_key_id")
    return {**{name: stored[name] for name in kept}, "parts_index": stored["parts_index"]}


def _previews(db: duckdb.DuckDBPyConnection, config: AuditConfig) -> dict[str, dict[str, list[str]]]:
    """A few masked previews of each kind, so that a reader sees what sort of thing was found."""
    if all(is_corpus_wide(screen) for screen in config.build_screens()):
        return {}
    rows = db.execute(
        """SELECT screen, kind, list(DISTINCT preview ORDER BY preview)[:?] FROM findings
        WHERE preview IS NOT NULL GROUP BY ALL ORDER BY ALL""",
        [_PREVIEWS],
    ).fetchall()
    previews: dict[str, dict[str, list[str]]] = {}
    for screen, kind, examples in rows:
        previews.setdefault(screen, {})[kind] = examples
    return previews


def _complete(run: Run, verdict: Verdict) -> None:
    names = [MANIFEST, "audit.duckdb", f"parts/{partindex.FILE}", f"parts/{reports.FILE}"]
    names += [f"scorecard.{name}" for name in RENDERERS]
    names += [path.relative_to(run.folder).as_posix() for path in run.sample.glob("*")]
    missing = [name for name in names if not (run.folder / name).is_file()]
    if missing:
        raise FatalError(f"{missing[0]} is not there; run the audit again")
    files = verification.file_digests(run.folder, names)
    data = {"verdict": verdict.verdict, "reason": verdict.reason, "files": files}
    run.journal.append(verification.COMPLETED, data)
