"""A forecast in words, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
#: Families of parts that are shown one by one.
_SHOWN = 6


def lines(found: Mapping[str, Any]) -> list[str | Table]:
    """The lines that `audit forecast` prints."""
    corpus, cluster, sample = found["corpus"], found["cluster"], found["sample"]
    shown: list[str | Table] = [
        f"{corpus['shards']:,} shards, {size(corpus['bytes'])}: about {_count(corpus['documents'])} "
        f"documents, {size(corpus['text_bytes'])} of text",
        f"on {cluster['nodes']} node(s) of {cluster['cores']} cores, {found['confidence']:.0%} intervals:",
        f"  time         {_between(found['seconds'], duration)}",
        f"  core-hours   {_between(found['core_hours'], hours)}",
    ]
    if found["cost"] is not None:
        cost = _between(found["cost"], money)
        shown.append(f"  cost         {cost} (all cores, at {cluster['price']:g} an hour)")
    return [
        *shown,
        f"  memory       {size(found['worker_bytes'])} a worker, {size(found['driver_bytes'])} the driver",
        f"  run folder   {_between(found['disk_bytes'], size)}",
        *_largest(found["disk"]),
        *_stages(found["stages"]),
        "what breaks first, as the corpus grows:",
        *(f"  {_documents(limit['documents'])} documents: {limit['what']}" for limit in found["limits"]),
        _sampled(sample),
        *(f"note: {note}" for note in found["notes"]),
    ]


def _sampled(sample: Mapping[str, Any]) -> str:
    told = f"{sample['documents']:,} documents, {size(sample['text_bytes'])} of text"
    busy = (
        f"; the machine was busy: a second of work took {sample['busy']:.1f}" if sample["busy"] > 1.3 else ""
    )
    return f"from {sample['blocks']} blocks, {told}{busy}"


def _largest(disk: Mapping[str, float]) -> list[str]:
    chosen = sorted(disk.items(), key=lambda item: -item[1])[:_SHOWN]
    return [f"    {name.replace('_', ' '):<28}{size(value):>10}" for name, value in chosen]


def _stages(stages: Mapping[str, float]) -> list[str]:
    total = sum(stages.values()) or 1.0
    chosen = [(name, value) for name, value in stages.items() if value >= 0.01 * total]
    return ["stages:", *(f"    {name.replace('_', ' '):<28}{duration(value):>10}" for name, value in chosen)]


def _between(found: Mapping[str, float], words: Any) -> str:
    return f"{words(found['value'])} ({words(found['low'])} to {words(found['high'])})"


def _count(found: Mapping[str, float]) -> str:
    return f"{found['value']:,.0f} ({found['low']:,.0f} to {found['high']:,.0f})"


def _documents(number: float) -> str:
    return f"{number / 1e9:,.2f} billion" if number >= 1e9 else f"{number / 1e6:,.1f} million"


def size(number: float) -> str:
    """Bytes, in a unit that fits (powers of 1,000)."""
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def hours(number: float) -> str:
    """Hours."""
    return f"{number:,.3g}" if number < 100 else f"{number:,.0f}"


def money(number: float) -> str:
    """An amount in the currency of the price."""
    return f"{number:,.2f}" if number >= 1 else f"{number:.2g}"
