"""What the installed screens are, for ``audit screens``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from audit import screens as family
from audit.config import build_screen
from audit.errors import ConfigurationError


def describe(name: str | None) -> dict[str, Any]:
    """All screens in short, or one at length.

    Raises:
        ConfigurationError: No screen of that name.
    """
    known = family.available()
    if name is None:
        return {"screens": [_short(cls) for _, cls in sorted(known.items())]}
    if name not in known:
        raise ConfigurationError(f"unknown screen {name!r}", remedy=f"Known: {', '.join(sorted(known))}")
    return {**_short(known[name]), **_long(name, known[name])}


def lines(described: Mapping[str, Any]) -> list[str | Table]:
    """Lines for people."""
    if "screens" in described:
        table = Table("screen", "version", "what it measures", box=None, pad_edge=False)
        for row in described["screens"]:
            table.add_row(row["name"], row["version"], row["summary"])
        return [table, "`audit screens NAME` explains one."]
    shown: list[str | Table] = [f"{described['name']} {described['version']}", "", described["help"], ""]
    parameters = Table("parameter", "default", "type", box=None, pad_edge=False)
    for row in described["parameters"]:
        parameters.add_row(row["name"], str(row["default"]), row["type"])
    columns = Table("column in documents", "type", box=None, pad_edge=False)
    for column, kind in described["columns"].items():
        columns.add_row(column, kind)
    shown += [parameters, "", columns, "", "depends on:"]
    shown += [f"  {key} {value}" for key, value in described["resources"].items()]
    for title, rows in described["tables"].items():
        shown += ["", title, _table(rows)]
    return shown


def _short(cls: type[Any]) -> dict[str, Any]:
    summary = (inspect.getdoc(cls) or "").split("\n")[0]
    return {"name": cls.name, "version": cls.version, "summary": summary}


def _long(name: str, cls: type[Any]) -> dict[str, Any]:
    screen = build_screen(name, {})
    explain = getattr(screen, "explain", None)
    parameters = [
        {"name": field.name, "default": getattr(screen, field.name), "type": str(field.type)}
        for field in dataclasses.fields(cls)
    ]
    return {
        "help": inspect.getdoc(cls),
        "needs": list(screen.needs),
        "parameters": parameters,
        "columns": {f"{name}_{measure}": str(kind) for measure, kind in screen.measures.items()},
        "resources": dict(screen.resources()),
        "corpus_wide": family.is_corpus_wide(screen),
        "tables": explain() if explain else {},
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    return table
