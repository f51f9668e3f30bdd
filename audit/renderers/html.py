"""The scorecard as one self-contained page: no request leaves it, no script is needed to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2

from audit import disk_budget
from audit.model import WHOLE
from audit.wordings import (
    agreement_wording,
    figures,
    policy_wording,
    quality_wording,
    toxicity_wording,
    wording,
)
from audit.wordings.charts import Scale, scale_for

_FILTERS = (
    figures.count,
    figures.share,
    figures.limit,
    figures.rarity,
    figures.size,
    figures.tame,
    figures.flatten,
    figures.words,
    wording.slice_name,
)

#: A scale of shares that is as good as linear, for ratios that may lie anywhere.
_EVEN = Scale(knee=100.0, top=1.0)


def render(scorecard: Mapping[str, Any]) -> str:
    """Render the page. Everything that stands in it is escaped, and long tables are cut with a count."""
    return (
        _environment()
        .get_template("scorecard.html.j2")
        .render(
            card=scorecard,
            gate_scale=_gate_scale(scorecard["gates"]),
            overview=_overview(scorecard),
            metrics=_metrics(scorecard),
            levels=sorted({1 - 2 * gate["alpha"] for gate in scorecard["gates"]}),
            flagging=[row["screen"] for row in scorecard["findings"]["flagged"]],
            reliability_scale=_reliability_scale(scorecard),
            quality_scale=_EVEN,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("audit.renderers"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {function.__name__: function for function in _FILTERS}
    environment.globals |= {
        "ABSENT": figures.ABSENT,
        "MAX_ROWS": figures.MAX_ROWS,
        "MEANING": wording.MEANING,
        "MARK": wording.MARK,
        "SEVERITY": wording.SEVERITY,
        "FLAGGED_NOTE": wording.FLAGGED_NOTE,
        "DIFFERENCE_NOTE": wording.DIFFERENCE_NOTE,
        "PARAGRAPH_NOTE": wording.PARAGRAPH_NOTE,
        "PROBE_NOTE": wording.PROBE_NOTE,
        "disk_sentence": disk_budget.sentence,
        "probe_sample": wording.probe_sample,
        "models": wording.models,
        "alarm_rule": wording.alarm_rule,
        "remainder": wording.remainder,
        "interval": figures.interval,
        "ratio": figures.ratio,
        "tally": wording.tally,
        "toxicity": toxicity_wording,
        "agreement": agreement_wording,
        "detectors": quality_wording,
        "policy": policy_wording,
    }
    return environment


def _gate_scale(gates: Sequence[Mapping[str, Any]]) -> Scale:
    estimates = [gate["estimate"] for gate in gates if gate["estimate"]]
    return scale_for([gate["limit"] for gate in gates] + _shares(estimates))


def _reliability_scale(scorecard: Mapping[str, Any]) -> Scale:
    """One scale for scores and for shares of toxic documents."""
    rows = (scorecard.get("calibration") or {"reliability": []})["reliability"]
    return scale_for(row[key] for row in rows for key in ("predicted", "observed", "observed_high"))


def _shares(estimates: Sequence[Mapping[str, Any]]) -> list[float | None]:
    return [row[key] for row in estimates for key in ("value", "high")]


def _with_limits(scorecard: Mapping[str, Any]) -> list[dict[str, Any]]:
    limits = wording.limits(scorecard["gates"])
    return [{**row, "limit": limits.get((row["metric"], row["slice"]))} for row in scorecard["estimates"]]


def _overview(scorecard: Mapping[str, Any]) -> dict[str, Any]:
    """One row a metric, for the whole corpus, on one scale."""
    rows = [row for row in _with_limits(scorecard) if row["slice"] == WHOLE]
    return {"rows": rows, "scale": scale_for(_shares(rows) + [row["limit"] for row in rows])}


def _metrics(scorecard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Metrics that were estimated by slice, each on its own scale."""
    groups = wording.by_metric(_with_limits(scorecard))
    return [
        {
            "metric": metric,
            "rows": rows,
            "scale": scale_for(_shares(rows) + [row["limit"] for row in rows]),
            "methods": sorted({row["method"] for row in rows}),
        }
        for metric, rows in groups
        if len(rows) > 1
    ]
