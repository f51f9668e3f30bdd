"""What the installed screens and probes are, for ``audit screens``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from audit import probes as probe_family
from audit import screens as family
from audit.config import build_probe, build_screen
from audit.errors import ConfigurationError
from audit.probes import Probe
from audit.screens import Screen


def describe(name: str | None) -> dict[str, Any]:
    """All screens in short, or one at length.

    Raises:
        ConfigurationError: No screen of that name.
    """
    known = family.available()
    probes = probe_family.available()
    if name is None:
        listed = {"screens": known, "probes": probes}
        return {title: [_short(cls) for _, cls in sorted(of.items())] for title, of in listed.items()}
    if name in probes:
        return {**_short(probes[name]), **_long(probes[name], build_probe(name, {}))}
    if name not in known:
        both = ", ".join(sorted([*known, *probes]))
        raise ConfigurationError(f"unknown screen or probe {name!r}", remedy=f"Known: {both}")
    return {**_short(known[name]), **_long(known[name], build_screen(name, {}))}


def lines(described: Mapping[str, Any]) -> list[str | Table]:
    """Lines for people."""
    if "screens" in described:
        tables = [_listing("screen", described["screens"]), _listing("probe", described["probes"])]
        return [tables[0], "", tables[1], "`audit screens NAME` explains one."]
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


def _listing(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title, "version", "what it measures", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["name"], row["version"], row["summary"])
    return table


def _short(cls: type[Any]) -> dict[str, Any]:
    summary = (inspect.getdoc(cls) or "").split("\n")[0]
    return {"name": cls.name, "version": cls.version, "summary": summary}


def _long(cls: type[Any], screen: Screen | Probe) -> dict[str, Any]:
    name = screen.name
    explain = getattr(screen, "explain", None)
    parameters = [
        {"name": field.name, "default": getattr(screen, field.name), "type": str(field.type)}
        for field in dataclasses.fields(cls)
    ]
    return {
        "help": inspect.getdoc(cls),
        "needs": list(getattr(screen, "needs", ())),
        "parameters": parameters,
        "columns": {f"{name}_{measure}": str(kind) for measure, kind in screen.measures.items()},
        "resources": _resources(screen),
        "corpus_wide": family.is_corpus_wide(screen),
        "tables": explain() if explain else {},
    }


def _resources(screen: Screen | Probe) -> dict[str, str]:
    """What it depends on; of a probe whose model is not here, why not."""
    try:
        return dict(screen.resources())
    except ConfigurationError as error:
        return {"missing": error.message}


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    return table
