"""Plots of the simulation study, as SVG without a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from benchmarks.covering import PREVALENCES

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 980, 250, 64, 64, 56
_PANELS = {
    "upper": "upper 95% limit at or over the truth",
    "lower": "lower 95% limit at or under the truth",
    "no_false_go": "no GO at a limit just under the truth, whoever peeks",
}
#: Marks by how often one looks and whether reviewers err; told apart by shape, not by colour alone.
_MARKS = {
    ("fixed", "exact"): ("circle", "#1f6f8b", "fixed n"),
    ("sequential", "exact"): ("square", "#7a4fa3", "sequential"),
    ("fixed", "erring"): ("diamond", "#b8620b", "fixed n, reviewers err"),
    ("sequential", "erring"): ("triangle", "#a3224f", "sequential, reviewers err"),
}
_INK, _FAINT = "#333", "#ccc"


def coverage_plot(found: Mapping[str, Any]) -> str:
    """Every cell's coverage by prevalence, a panel per statement, with what is nominal and tolerated."""
    rows: Sequence[Mapping[str, Any]] = found["results"]
    lowest = min(min(row[s] for s in _PANELS) for row in rows)
    floor = min(0.92, int(lowest * 100 - 0.5) / 100)
    height = _TOP + len(_PANELS) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>Coverage of the one-sided limits by simulation</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        *_legend(found),
    ]
    for number, (statement, title) in enumerate(_PANELS.items()):
        top = _TOP + number * (_HEIGHT + _GAP) + 24
        parts += _panel(rows, statement, title, top, floor, found["tolerated"])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(found: Mapping[str, Any]) -> list[str]:
    parts = [
        _text(_LEFT, 22, f"{found['cells']} cells, {found['replicates']:,} replicates each", weight="bold")
    ]
    at = _LEFT
    for shape, colour, name in _MARKS.values():
        parts += [_mark(shape, colour, at, 42), _text(at + 10, 46, name)]
        at += 24 + 8 * len(name)
    return parts


def _panel(
    rows: Sequence[Mapping[str, Any]], statement: str, title: str, top: float, floor: float, tolerated: float
) -> list[str]:
    def height_of(share: float) -> float:
        return top + _HEIGHT * (1 - (share - floor) / (1 - floor))

    parts = [_text(_LEFT, top - 10, title, weight="bold")]
    for percent in range(round(100 * floor), 101, 1 if floor > 0.89 else 2):
        y = height_of(percent / 100)
        parts += [_line(y, _FAINT, "0"), _text(_LEFT - 8, y + 4, f"{percent}%", anchor="end")]
    parts += [_line(height_of(0.95), _INK, "0"), _line(height_of(tolerated), "#b00020", "6 4")]
    step = (_WIDTH - _LEFT) / len(PREVALENCES)
    for column, prevalence in enumerate(PREVALENCES):
        inside = [row for row in rows if row["prevalence"] == prevalence]
        parts.append(
            _text(
                _LEFT + (column + 0.5) * step,
                top + _HEIGHT + 18,
                f"prevalence {prevalence:g}",
                anchor="middle",
            )
        )
        for place, row in enumerate(sorted(inside, key=_order)):
            x = _LEFT + step * (column + 0.06 + 0.88 * (place + 0.5) / len(inside))
            shape, colour, _ = _MARKS[row["looks"], row["reviewers"]]
            label = (
                ", ".join(f"{k} {row[k]}" for k in ("n", "strata", "auc", "design"))
                + f": {row[statement]:.3f}"
            )
            parts.append(_mark(shape, colour, x, height_of(row[statement]), label))
    return parts


def _order(row: Mapping[str, Any]) -> tuple[object, ...]:
    return row["reviewers"] == "erring", row["looks"], row["n"]


def _line(y: float, colour: str, dashes: str) -> str:
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH - 4}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" '
        f'stroke-dasharray="{dashes}"/>'
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{_INK}">'
        f"{escape(words)}</text>"
    )


def _mark(shape: str, colour: str, x: float, y: float, label: str = "") -> str:
    title = f"<title>{escape(label)}</title>" if label else ""
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}" fill-opacity=".75">{title}</circle>'
    corners = {
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "triangle": ((0, -5), (5, 4), (-5, 4)),
    }[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{colour}" fill-opacity=".75">{title}</polygon>'
