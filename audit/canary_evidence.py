"""What the canaries of a run say: which screens were seen to work, and which gates they leave undecided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from audit.gate_evidence import Evidence, Missing
from audit.screens import Screen

#: The metrics of the screen whose clusters are the run's.
_DUPLICATES = "duplicates"
_SUMMARY = """
SELECT screen, canary, control, expected, shards, passed, failure, found, paths
FROM canary_counts ORDER BY ALL
"""


def section(db: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The scorecard's section: a row a canary, over all shards."""
    cursor = db.execute(_SUMMARY)
    names = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        row["outcome"] = row.pop("failure") or "passed"
        row["found"] = row["found"] or []
    return rows


def failures(rows: Sequence[Mapping[str, Any]], screens: Sequence[Screen]) -> dict[str, str]:
    """Screen -> why its counts cannot be relied on, for screens that need such a one, too.

    Args:
        rows: Of ``section``.
        screens: Of the run, each after those that it needs.
    """
    found: dict[str, str] = {}
    for row in rows:
        if row["outcome"] != "passed" and row["screen"] not in found:
            found[row["screen"]] = _reason(row)
    for screen in screens:
        bad = next((name for name in screen.needs if name in found), None)
        if bad is not None and screen.name not in found:
            found[screen.name] = f"the screen {screen.name!r} rests on {bad!r}, and {found[bad]}"
    return found


def withhold(
    evidence: Mapping[tuple[str, str], Evidence | Missing],
    failed: Mapping[str, str],
    duplicate_screen: str | None,
) -> dict[tuple[str, str], Evidence | Missing]:
    """The evidence, without the counts of screens whose canaries failed; what people say stands."""
    reasons = dict(failed)
    if duplicate_screen in reasons:
        reasons[_DUPLICATES] = reasons[duplicate_screen]
    kept = dict(evidence)
    for (metric, where), found in evidence.items():
        reason = reasons.get(metric.rpartition(".")[0])
        if reason is not None and not isinstance(found, Missing) and not found.reviewed:
            kept[metric, where] = Missing(reason)
    return kept


def _reason(row: Mapping[str, Any]) -> str:
    missed = row["shards"] - row["passed"]
    what = "the negative control" if row["outcome"] == "fired" else "the canary"
    verb = "set it off" if row["outcome"] == "fired" else "was missed"
    where = f"in {missed:,} of {row['shards']:,} shards"
    return (
        f"{what} {row['canary']!r} of the screen {row['screen']!r} {verb} {where} "
        f"(expected {row['expected']}, found {', '.join(row['found'])}): the screen is not seen to work"
    )
