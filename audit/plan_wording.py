"""A plan of the review for people: what it rests on, the budget in detail, others, what each gate needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from audit.statistics.predictions import ALONE

#: Place of the forecast whose shares are those predicted, among the factors.
_MIDDLE = 1


def lines(result: Mapping[str, Any]) -> list[str | Table]:
    """What the command shows of a plan."""
    shown: list[str | Table] = [
        f"{question}: {basis}; {result['judged'][question]:,} judgements count already. "
        f"Basis: {result['bases'][question]}"
        for question, basis in result["predictions"].items()
    ]
    shown.append(_budget_table(result))
    shown.append(_width_table(result))
    if ALONE in result["bases"].values():
        shown.append(
            "Where the basis is scores alone, each play takes them to be off as they were on labelled data "
            "sets, and the share to be off by a factor of three or so. A hundred judgements tell more: judge "
            "those, and plan again."
        )
    shown.append(_ladder_table(result))
    for gate in result["gates"]:
        needed = result["decided_by"][gate["gate"]]
        shown.append(f"{gate['gate']}: {_needed(needed, result['ladder'])}")
    shown.append(f"the verdict: {_needed(result['verdict_by'], result['ladder'])}")
    for one in result["fixed"]:
        shown.append(f"{one['gate']}: {one['outcome']}, whatever people judge")
    if result["obstacle"]:
        shown.append(f"No GO whatever people judge: {result['obstacle']}")
    shown.append(
        f"Shares of {result['replicates']} reviews played on the computer, give or take 10 points; right as "
        "far as the prediction is. Numbers of judgements count those that stand."
    )
    return shown


def _budget_table(result: Mapping[str, Any]) -> Table:
    table = Table(title=f"{result['budget']:,} judgements")
    for column in ("gate", "limit", "if the share is", "median bounds", "passes", "fails"):
        table.add_column(column, justify="left" if column == "gate" else "right")
    for i, gate in enumerate(result["gates"]):
        for forecast in result["forecasts"]:
            row = forecast["gates"][i]
            table.add_row(
                gate["gate"],
                _percent(gate["limit"]),
                _percent(row["predicted"]),
                f"{_percent(row['lower'])} – {_percent(row['upper'])}",
                f"{row['passes']:.0%}",
                f"{row['fails']:.0%}",
            )
    for forecast in result["forecasts"]:
        what = f"{forecast['factor']:g} × predicted"
        table.add_row("verdict", "", what, "", f"GO {forecast['go']:.0%}", f"NO-GO {forecast['no_go']:.0%}")
    return table


def _width_table(result: Mapping[str, Any]) -> Table:
    """Widths of the intervals: at best, expected, and what 19 plays in 20 lie between."""
    table = Table(title=f"from bound to bound after {result['budget']:,} judgements")
    for column in ("gate", "basis", "if the prediction is right", "expected", "19 in 20 between"):
        table.add_column(column, justify="left" if column in ("gate", "basis") else "right")
    expected = result["forecasts"][_MIDDLE]["gates"]
    for gate, row, right in zip(result["gates"], expected, result["if_right"]["gates"], strict=True):
        table.add_row(
            gate["gate"],
            result["bases"][gate["question"]],
            _percent(right["width"]),
            _percent(row["width"]),
            f"{_percent(row['narrowest'])} – {_percent(row['widest'])}",
        )
    return table


def _ladder_table(result: Mapping[str, Any]) -> Table:
    table = Table(title="other numbers of judgements, if all is as predicted: passes / fails")
    for column in ("judgements", *(gate["gate"] for gate in result["gates"]), "GO", "NO-GO"):
        table.add_column(column, justify="right")
    for forecast in result["ladder"][::2]:
        cells = [f"{row['passes']:.0%} / {row['fails']:.0%}" for row in forecast["gates"]]
        table.add_row(f"{forecast['budget']:,}", *cells, f"{forecast['go']:.0%}", f"{forecast['no_go']:.0%}")
    return table


def _needed(budget: int | None, ladder: Sequence[Mapping[str, Any]]) -> str:
    if budget is None:
        return f"not decided by {ladder[-1]['budget']:,} judgements, if all is as predicted"
    return f"decided by about {budget:,} judgements, if all is as predicted"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
