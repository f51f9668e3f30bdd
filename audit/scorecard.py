"""The scorecard as data: accounting, estimates, gates, verdict and evidence of one run.

It reads the additive counts, never the documents, so that its cost does not grow with the corpus; and it
holds nothing of the clock: the same evidence gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from audit import disk_budget
from audit import scorecard_queries as queries
from audit.aggregation.aggregate_queries import ALARM_DOCUMENTS, ALARM_SHARE
from audit.errors import FatalError
from audit.model import WHOLE, Estimate, GateResult, Verdict

SCHEMA_VERSION = "1.0"

#: The name under which ``slice_counts`` holds the copies that all duplicate screens found together.
DUPLICATES = "duplicates"

Row = dict[str, Any]


def build(
    db: duckdb.DuckDBPyConnection,
    *,
    run_id: str,
    corpus: str,
    verdict: Verdict,
    gates: Sequence[GateResult],
    provenance: Mapping[str, Any],
    statistics: Mapping[str, Mapping[str, float]],
    sampling: Mapping[str, Any],
    previews: Mapping[str, Mapping[str, Sequence[str]]],
    probes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Gather the scorecard of a run and check that its sums agree.

    Args:
        db: Read-only connection with the run's tables and views, and the views ``slice_counts``,
            ``finding_counts`` and ``cluster_counts``. ``shards.documents`` counts screened documents.
        run_id: Names the run.
        corpus: Name of the data set.
        verdict: What the policy came to.
        gates: Every gate of the policy, in its order.
        provenance: Digests, versions, seed: JSON values, nothing of the clock.
        statistics: A key for each corpus-wide (duplicate) screen that ran, with its counts
            (``candidates``, ``accepted``, ``rejected`` …), possibly none.
        sampling: Settings of the design: JSON values.
        previews: Screen -> kind -> a few masked previews.
        probes: The section on probes; None where none is configured.

    Returns:
        JSON values only, as ``schemas/scorecard.schema.json`` describes them.

    Raises:
        FatalError: Documents do not add up: the evidence is damaged.
    """
    accounting = _accounting(db)
    screens = _rows(db, queries.SCREENS)
    flagged = _rows(db, queries.FLAGGED)
    alarms = _alarm_count(db)
    card = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "corpus": corpus,
        "verdict": verdict.verdict,
        "verdict_reason": verdict.reason,
        "next_steps": _next_steps(verdict, gates, accounting, screens, alarms, probes),
        "accounting": accounting,
        "gates": [_gate(result) for result in gates],
        "estimates": _rows(db, queries.ESTIMATES),
        "screens": screens,
        "not_evaluated": _rows(db, queries.NOT_EVALUATED),
        "slices": _slices(db),
        "findings": {"flagged": flagged, **_findings(db, previews)},
        "duplicates": _duplicates(db, flagged, statistics),
        "repeated_paragraphs": _repeated_paragraphs(db),
        "sampling": {
            "settings": sampling,
            "strata": _rows(db, queries.STRATA),
            "judgements": _judgements(db),
        },
        "probes": probes,
        "agreement": {},
        "canaries": [],
        "remediation": [],
        "provenance": provenance,
    }
    plain: dict[str, Any] = _plain(card)
    return plain


def _rows(
    db: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any] | None = None
) -> list[Row]:
    cursor = db.execute(query, parameters)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _plain(value: Any) -> Any:
    """Only what JSON knows; a number that is not finite is no evidence."""
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    raise TypeError(f"a {type(value).__name__} has no place in a scorecard")


def _accounting(db: duckdb.DuckDBPyConnection) -> Row:
    _reconcile(db)
    states = dict.fromkeys(("complete", "truncated", "failed"), 0)
    states |= {row["status"]: row["shards"] for row in _rows(db, queries.SHARD_STATES)}
    totals = _rows(db, queries.TOTALS)[0]
    return {
        **totals,
        "disk": disk_budget.section(_rows(db, queries.PART_SIZES), totals["screened"]),
        "shards": {"total": sum(states.values()), **states},
        "incomplete_shards": _rows(db, queries.INCOMPLETE_SHARDS),
        "rejects": _rows(db, queries.REJECTS),
    }


def _reconcile(db: duckdb.DuckDBPyConnection) -> None:
    """Refuse evidence whose sums disagree, shard by shard, so that errors cannot cancel out."""
    if row := db.execute(queries.UNBALANCED_REJECTS).fetchone():
        raise FatalError(f"accounting of shard {row[0]}: {row[1]} records rejected, {row[2]} listed")
    if row := db.execute(queries.UNBALANCED_SCREENS).fetchone():
        raise FatalError(
            f"accounting of shard {row[0]}: {row[2]} documents screened, "
            f"but screen {row[1]!r} accounts for {row[3]}"
        )
    if row := db.execute(queries.UNBALANCED_COUNTS).fetchone():
        raise FatalError(f"counts of screen {row[0]!r} speak of {row[1]} documents, {row[2]} were screened")


def _gate(result: GateResult) -> Row:
    row = dataclasses.asdict(result)
    row["estimate"] = _estimate(result.estimate)
    return row


def _estimate(estimate: Estimate | None) -> Row | None:
    if estimate is None:
        return None
    row = dataclasses.asdict(estimate)
    return {key: row[key] for key in ("value", "low", "high", "n", "confidence", "method")}


def _slices(db: duckdb.DuckDBPyConnection) -> list[Row]:
    """Per dimension the largest values, each with what every screen flagged there."""
    dimensions: dict[str, Row] = {}
    members: dict[tuple[str, str], Row] = {}
    for row in _rows(db, queries.SLICES):
        dimension = dimensions.setdefault(
            row["dimension"], {"dimension": row["dimension"], "values": row["total"], "largest": []}
        )
        key = (row["dimension"], row["value"])
        if key not in members:
            members[key] = {
                "value": row["value"],
                "documents": row["size"],
                "tokens": row["tokens"],
                "screens": {},
            }
            dimension["largest"].append(members[key])
        counts = ("evaluated", "flagged", "evaluated_tokens", "flagged_tokens")
        members[key]["screens"][row["screen"]] = {name: row[name] for name in counts}
    return list(dimensions.values())


def _findings(db: duckdb.DuckDBPyConnection, previews: Mapping[str, Mapping[str, Sequence[str]]]) -> Row:
    kinds = _rows(db, queries.FINDING_KINDS)
    for row in kinds:
        row["previews"] = list(previews.get(row["screen"], {}).get(row["kind"], ()))
    return {
        "total": sum(row["findings"] for row in kinds),
        "kinds": kinds,
        "slices": _rows(db, queries.FINDING_SLICES),
    }


def _duplicates(
    db: duckdb.DuckDBPyConnection, flagged: Sequence[Row], statistics: Mapping[str, Mapping[str, float]]
) -> Row:
    clusters = _rows(db, queries.CLUSTERS)
    ids = [row["cluster_id"] for row in clusters]
    members: dict[str, list[str]] = {cluster: [] for cluster in ids}
    for row in _rows(db, queries.CLUSTER_MEMBERS, {"clusters": ids}) if ids else ():
        members[row["cluster_id"]].append(row["doc_id"])
    for row in clusters:
        row["members"] = members[row["cluster_id"]]
        row["min_jaccard"] = _rounded(row["min_jaccard"])
    diffs = _rows(db, queries.CLUSTER_DIFFS)
    for row in diffs:
        row |= {"jaccard": _rounded(row["jaccard"]), "hunks": json.loads(row["hunks"])}
    copies = next((row for row in flagged if row["screen"] == DUPLICATES), None)
    return {
        "copies": copies,
        "searches": [{"screen": name, "statistics": statistics[name]} for name in sorted(statistics)],
        "largest_clusters": clusters,
        "differences": diffs,
        "alarms": _rows(db, queries.ALARMS),
        "alarm_rule": {
            "share": ALARM_SHARE,
            "minimum_documents": ALARM_DOCUMENTS,
            "total": _alarm_count(db),
        },
    }


def _rounded(jaccard: float | None) -> float | None:
    return None if jaccard is None else round(jaccard, 4)


def _alarm_count(db: duckdb.DuckDBPyConnection) -> int:
    return sum(number for (number,) in db.execute(queries.ALARM_COUNT).fetchall())


def _repeated_paragraphs(db: duckdb.DuckDBPyConnection) -> Row | None:
    """Bytes in paragraphs that many documents share, and which these are; None where nobody looked."""
    whole = next(iter(_rows(db, queries.PARAGRAPHS)), None)
    return whole and {**whole, "most_repeated": _rows(db, queries.REPEATED_PARAGRAPHS)}


def _judgements(db: duckdb.DuckDBPyConnection) -> Row:
    return {**_rows(db, queries.JUDGEMENTS)[0], "labels": _rows(db, queries.QUESTIONS)}


def _next_steps(
    verdict: Verdict,
    gates: Sequence[GateResult],
    accounting: Row,
    screens: Sequence[Row],
    alarms: int,
    probes: Mapping[str, Any] | None,
) -> list[Row]:
    """What the reader should do, most binding first."""
    steps = [_gate_step(result) for result in sorted(gates, key=_urgency) if result.outcome != "pass"]
    unread = accounting["shards"]["truncated"] + accounting["shards"]["failed"]
    if unread:
        steps.append(
            {
                "kind": "input",
                "subject": "shards",
                "text": f"{unread:,} of {accounting['shards']['total']:,} shards were read in part or not at "
                "all. Fetch or repair them and run the audit again: it reads only what changed.",
            }
        )
    members = probes["members"] if probes else []
    steps += [_missing_probe_step(row) for row in members if row["missing"]]
    failed = {row["screen"]: row["failed"] for row in screens if row["failed"]}
    failed |= {row["probe"]: row["failed"] for row in members if row["failed"] and not row["missing"]}
    if failed:
        text = (
            f"{sum(failed.values()):,} evaluations failed ({', '.join(failed)}). Those documents do not "
            "count as clean; the reasons stand under what was not evaluated."
        )
        steps.append({"kind": "screen", "subject": "screens", "text": text})
    if alarms:
        text = (
            f"Removing copies would take more than {ALARM_SHARE:.0%} of the documents of {alarms:,} "
            "sources or domains. Look at them under duplicates before anything is removed."
        )
        steps.append({"kind": "remediate", "subject": "duplicates", "text": text})
    if verdict.verdict == "GO":
        text = "Keep the run folder with the data set: `audit verify` shows later that no byte was changed."
        steps.append({"kind": "keep", "subject": "run", "text": text})
    return steps


def _missing_probe_step(row: Row) -> Row:
    text = (
        f"It did not run: {row['missing'].rstrip('.')}. Then run the audit again: only probes are computed."
    )
    return {"kind": "screen", "subject": f"probe {row['probe']}", "text": text}


def _urgency(result: GateResult) -> tuple[bool, bool]:
    return (result.severity != "block", result.outcome != "fail")


def _gate_step(result: GateResult) -> Row:
    where = "the corpus" if result.slice == WHOLE else result.slice
    if result.outcome == "fail":
        text = (
            f"{result.metric} is over its limit in {where}. "
            "Remove or repair what the findings point at, then audit what is left."
        )
        return {"kind": "remediate", "subject": result.gate, "text": text}
    text = f"Not decided for {where}: {result.reason}"
    return {"kind": "evidence", "subject": result.gate, "text": text}
