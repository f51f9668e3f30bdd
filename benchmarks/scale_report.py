"""Renders ``docs/scale.md``: measured speed, and the arithmetic for 10 TB that follows from it.

python -m benchmarks.scale_report [--results benchmarks/results] [--out docs/scale.md]

Reads what ``whole_pass``, ``near_duplicates_scale``, ``scorecard_scale``, ``peers``, ``cluster`` and
``forecast_check`` wrote; a study that has not been run is named as such. No figure is typed by hand but for
the sizes, prices and limits in ``Assumptions``.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.workers.stage_times import table as stage_table

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
_STUDIES = (
    "whole_pass",
    "near_duplicates_scale",
    "scorecard_scale",
    "peers",
    "cluster",
    "forecast_check",
)


@dataclass(frozen=True)
class Assumptions:
    """Of the arithmetic: what is not measured here.

    Attributes:
        terabytes: Of text.
        documents: Of the corpus.
        shard_bytes: Cut of shards (``run.shard_bytes``).
        families: Parts of a shard.
        row_bytes, sketch_bytes: A document, at most (the disk budget).
        pack_bytes: Of a compacted file.
        price: Dollars of a core-hour.
        cores: Clusters.
    """

    terabytes: float = 10.0
    documents: float = 1e10
    shard_bytes: float = 256 * (1 << 20)
    families: int = 16
    row_bytes: int = 150
    sketch_bytes: int = 256
    pack_bytes: float = 256 * (1 << 20)
    price: float = 0.04
    cores: tuple[int, ...] = (64, 1024)


def render(studies: Mapping[str, Any], assumed: Assumptions = Assumptions()) -> str:
    """The page."""
    parts = [
        _head(studies),
        _pass(studies.get("whole_pass", {})),
        _growth(studies.get("whole_pass", {})),
        _scaling(studies.get("whole_pass", {})),
        _peers(studies.get("peers")),
        _cluster(studies.get("cluster")),
        _scorecard(studies.get("scorecard_scale")),
        _forecast(studies.get("forecast_check")),
        _arithmetic(studies, assumed),
        _DISTANCE,
        _BREAKS,
    ]
    return "\n".join(line for part in parts for line in (*part, "")).rstrip() + "\n"


def _head(studies: Mapping[str, Any]) -> list[str]:
    missing = [name for name in _STUDIES if name not in studies]
    whole = studies.get("whole_pass", {}).get("machine", {})
    lines = [
        "# Scale",
        "",
        *_prose(
            "Rendered by `python -m benchmarks.scale_report` from `benchmarks/results/`. Core-hours are CPU "
            "time per TB of text (UTF-8, decompressed). Everything was measured on one small machine: "
            f"{whole.get('processor', 'unknown')}, {whole.get('cores', '?')} cores, "
            f"{whole.get('memory_gb', 0):.0f} GB. What is said of clusters is arithmetic."
        ),
    ]
    if missing:
        lines += ["", f"**Not measured yet:** {', '.join(f'`benchmarks.{name}`' for name in missing)}."]
    return lines


def _pass(whole: Mapping[str, Any]) -> list[str]:
    found = whole.get("pass")
    if found is None:
        return ["## The whole pass", "", "Not measured yet."]
    rows = [row for row in stage_table(found) if row.stage != "all"]
    lines = [
        "## The whole pass",
        "",
        *_prose(
            "`python -m benchmarks.whole_pass DATA`: every screen that is on by default, "
            f"{found['text_bytes'] / 1e6:,.0f} MB of web pages as `.jsonl.gz`, one worker: "
            f"**{found['pass_core_hours_per_tb']:.1f} core-hours per TB** in the workers (limit "
            f"{found['limit_core_hours_per_tb']:.0f}, goal {found['goal_core_hours_per_tb']:.0f}), and "
            f"{found['driver_core_hours_per_tb']:.1f} in the driver, most of which is fixed at this size. A "
            f"worker held at most {found['worker_peak_bytes'] / 1e6:,.0f} MB, the driver "
            f"{found['driver_peak_bytes'] / 1e6:,.0f}."
        ),
        "",
        "| where | stage | core-seconds | core-hours per TB |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        hours = "-" if row.hours_per_terabyte is None else f"{row.hours_per_terabyte:.2f}"
        lines.append(f"| {row.where} | {row.stage} | {row.seconds:.2f} | {hours} |")
    begun = whole.get("start")
    if begun is not None:
        lines += [
            "",
            *_prose(
                f"Warm start (`--start`): {begun['seconds']:.2f} s of wall time from the command to the "
                f"parts of the first document (goal {begun['goal_seconds']:.0f})."
            ),
        ]
    return lines


def _growth(whole: Mapping[str, Any]) -> list[str]:
    found = whole.get("growth")
    if found is None:
        return ["## Growth", "", "Not measured yet."]
    lines = [
        "## Growth",
        "",
        f"`--growth`, {found['workers']} workers:",
        "",
        "| GB of text | wall, s | workers, CPU s | driver, CPU s | worker, MB | driver, MB | run folder, MB "
        "|",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    names = ("wall_seconds", "worker_seconds", "driver_seconds", "worker_peak_mb", "driver_peak_mb", "disk")
    for row in found["rows"]:
        lines.append(f"| {row['text_gb']:.2f} | " + " | ".join(f"{row[name]:,.0f}" for name in names) + " |")
    fits = {
        "wall_seconds": "Wall time",
        "worker_seconds": "Workers' CPU time",
        "driver_seconds": "The driver's CPU time",
    }
    for name, words in fits.items():
        fitted = found.get(name)
        if fitted:
            residuals = ", ".join(f"{value:+.1%}" for value in fitted["residuals"])
            lines += [
                "",
                *_prose(
                    f"{words} = {fitted['fixed']:.1f} s + {fitted['per_gb']:.1f} s a GB; residuals "
                    f"{residuals}; exponent between the two largest {fitted['largest_exponent']:.3f}."
                ),
            ]
    lines += [
        "",
        *_prose(_memory(found["rows"])),
    ]
    return [*lines, "", "![Time and memory by size](../benchmarks/results/whole_pass_growth.svg)"]


def _memory(rows: Sequence[Mapping[str, float]]) -> str:
    least, most = rows[0], rows[-1]
    grown = {who: most[f"{who}_peak_mb"] / least[f"{who}_peak_mb"] - 1 for who in ("worker", "driver")}
    return (
        f"Memory is the largest resident set, with pages of mapped files: over {most['text_gb']:g} GB a "
        f"worker's is {grown['worker']:+.0%} and the driver's {grown['driver']:+.0%} of what it is over "
        f"{least['text_gb']:g} GB, {most['text_gb'] / least['text_gb']:.0f} times less."
    )


def _scaling(whole: Mapping[str, Any]) -> list[str]:
    found = whole.get("scaling")
    if found is None:
        return ["## Two workers against one", "", "Not measured yet."]
    return [
        "## Two workers against one",
        "",
        *_prose(
            f"`--scaling`: the pass is {found['pass_speed_up']:.3f} times as fast with two workers as with "
            f"one; a kernel without shared state, in turns with it, {found['reference_speed_up']:.3f} times: "
            f"**{found['of_the_reference']:.1%}** of the reference (goal {found['goal']:.0%})."
        ),
    ]


def _peers(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["## Against what a user would assemble", "", "Not measured yet."]
    from benchmarks.peers import table

    return [
        "## Against what a user would assemble",
        "",
        *_prose(
            "`python -m benchmarks.peers DATA`: datatrove's MinHash signature, Presidio's patterns and "
            "fastText's language, toxicity off on both sides. `benchmarks/peer_sides.py` says what their "
            "defaults and their best settings are."
        ),
        "",
        *table(dict(found)).rstrip().split("\n"),
    ]


def _cluster(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["## Local and a cluster that loses a node", "", "Not measured yet."]
    lines = ["## Local and a cluster that loses a node", ""]
    lines += ["`python -m benchmarks.cluster`, both on a real S3 server:", "", "```json"]
    told = {key: value for key, value in found.items() if key != "machine"}
    return [*lines, *json.dumps(told, indent=1).split("\n"), "```"]


def _scorecard(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["## What a scorecard costs", "", "Not measured yet."]
    rows: Sequence[Mapping[str, Any]] = found["rows"]
    names = [key for key in rows[0] if not isinstance(rows[0][key], dict)]
    steps = [key for key in rows[0] if isinstance(rows[0][key], dict)]
    lines = [
        "## What a scorecard costs",
        "",
        *_prose(
            "`python -m benchmarks.scorecard_scale`: runs put together from the parts of audited shards, of "
            "few documents each, while the counts tell of many. CPU seconds and most memory: `first` is "
            "`audit run` after the screening, `resume` the same with nothing left to do; then the other "
            "commands."
        ),
        "",
        "| " + " | ".join(head.replace("_", " ") for head in [*names, *steps]) + " |",
        "| --- " * len([*names, *steps]) + "|",
    ]
    for row in rows:
        told = [f"{row[name]:,.1f}".removesuffix(".0") for name in names]
        told += [f"{row[step]['cpu_seconds']:,.1f} s, {row[step]['peak_mb']:,.0f} MB" for step in steps]
        lines.append("| " + " | ".join(told) + " |")
    return lines


def _forecast(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["## Is the forecast right?", "", "Not measured yet."]
    from benchmarks.forecast_check import table

    return [
        "## Is the forecast right?",
        "",
        *_prose(
            f"`python -m benchmarks.forecast_check DATA --gigabytes {found['gigabytes']:g}` "
            f"([how](forecast.md); goal: within {found['goal']:.0%}):"
        ),
        "",
        *table(dict(found)).split("\n"),
    ]


def _arithmetic(studies: Mapping[str, Any], assumed: Assumptions) -> list[str]:
    found = studies.get("whole_pass", {}).get("pass")
    if found is None or "near_duplicates_scale" not in studies:
        return ["## 10 TB and 10 billion documents", "", "Not measured yet."]
    screens = assumed.terabytes * found["pass_core_hours_per_tb"]
    largest = studies["near_duplicates_scale"]["rows"][-1]
    search = assumed.documents * largest["resolve_cpu_seconds"] / largest["documents"] / 3600
    shards = assumed.terabytes * 1e12 / assumed.shard_bytes
    rows, sketches = (assumed.documents * each for each in (assumed.row_bytes, assumed.sketch_bytes))
    lines = [
        f"## {assumed.terabytes:g} TB and {assumed.documents / 1e9:g} billion documents",
        "",
        "Not run: arithmetic from the rates above, on idle cores like these.",
        "",
        "| | |",
        "| --- | --- |",
        f"| shards of {assumed.shard_bytes / (1 << 20):.0f} MiB | {shards:,.0f} |",
        f"| parts, {assumed.families} a shard | {shards * assumed.families:,.0f} |",
        f"| compacted, {assumed.pack_bytes / (1 << 20):.0f} MiB, at the disk budget "
        f"| {(rows + sketches) / assumed.pack_bytes:,.0f} files |",
        f"| rows, at most {assumed.row_bytes} B a document | {rows / 1e12:.1f} TB |",
        f"| sketches, at most {assumed.sketch_bytes} B a document | {sketches / 1e12:.1f} TB |",
        f"| screens | {screens:,.0f} core-hours |",
        f"| duplicate search among documents of one size, {3600 * search / assumed.documents * 1e6:.1f} "
        f"CPU-seconds a million | {search:,.0f} core-hours |",
    ]
    growth = studies["whole_pass"].get("growth", {})
    if "driver_seconds" in growth:
        lines += _hours(growth, assumed, max(row["worker_peak_mb"] for row in growth["rows"]) / 1e3)
    return [
        *lines,
        "",
        *_prose(
            "The driver's hours are those of one thread and come on top: while it numbers, leads clusters "
            "or writes its parts, the workers wait. They grow with the documents: 10 TB of these pages are "
            "five billion, and ten billion would double them. What the search holds, and the five runs that "
            "numbering in 32 bits asks for, stand in [near "
            "duplicates](near_duplicates.md#ten-billion-documents)."
        ),
    ]


def _hours(growth: Mapping[str, Any], assumed: Assumptions, worker_gb: float) -> list[str]:
    """Rows of hours and money, from what a GB more costs the workers and the driver."""
    gigabytes = assumed.terabytes * 1e3
    spread, alone = (
        growth[name]["per_gb"] * gigabytes / 3600 for name in ("worker_seconds", "driver_seconds")
    )
    lines = [
        f"| workers, all stages, {growth['worker_seconds']['per_gb']:.1f} CPU-seconds a GB at the sizes "
        f"above | {spread:,.0f} core-hours |",
        f"| driver, {growth['driver_seconds']['per_gb']:.1f} CPU-seconds a GB | {alone:,.1f} h |",
    ]
    for cores in assumed.cores:
        hours = spread / cores + alone
        lines.append(
            f"| {cores:,} cores | {hours:,.1f} h, {cores * worker_gb:,.0f} GB in workers, "
            f"{hours * cores * assumed.price:,.0f} $ at {assumed.price} $ a core-hour, waiting included |"
        )
    return lines


def _prose(text: str) -> list[str]:
    return textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)


_DISTANCE = [
    "## Between this and 10 core-hours per TB",
    "",
    *_prose(
        "No stage is left that could simply be taken out. Most of the time goes into look-ups in tables by "
        "kernels that each decode the same UTF-8 again (facts, words, terms, n-grams, phone numbers): one "
        "pass that decodes once and feeds them all is the largest step. In personal data much of the rest is "
        "`phonenumbers` in Python, on what the automata leave open. Reading pays for a Python object a "
        "record between orjson and Arrow; a decoder that writes into Arrow's buffers would spare it. "
        "Toxicity looks up a hashed weight for each n-gram; fewer n-grams or a smaller table change the "
        "model, and so its evidence. The floor, decompressing and reading alone, is about 0.4."
    ),
]

_BREAKS = [
    "## What breaks first",
    "",
    *_prose(
        "1. **The duplicate search.** What is left in one process are flat arrays, some 36 bytes a document "
        "of which most lie in mapped files, and the passes that number groups and lead clusters. Documents "
        "are numbered in 32 bits: over four billion, several runs that name the earlier ones as references."
    ),
    *_prose(
        "2. **The driver on a thousand cores.** Its seconds a GB above are few, and one thread: on 1,024 "
        "cores they are more than the workers' share of the time. Writing the parts of duplicates and the "
        "index of parts are the largest."
    ),
    *_prose(
        "3. **A cluster whose run lies on an object store, with no disk that all nodes share.** Stages that "
        "exchange files (duplicates, copies among draws, ids that repeat, domains) run in the driver's "
        "threads there. Nor are there packs: about 15 objects a shard, listed a family at a time; and the "
        "first evaluation on a machine without the staging folder fetches what views read, at most 150 bytes "
        "a document."
    ),
    *_prose(
        "4. **Many tiny files.** A shard costs tens of milliseconds of CPU time whatever is in it, most of "
        "it for writing and reading some 28 Parquet files: a million files of one document are half a day of "
        "one core."
    ),
    *_prose("5. **Sketches cannot be dropped** without a resume reading the corpus again."),
]


def load(folder: Path) -> dict[str, Any]:
    """What the studies wrote, by name."""
    paths = {name: folder / f"{name}.json" for name in _STUDIES}
    return {
        name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    given.out.write_text(render(load(given.results)), encoding="utf-8")


if __name__ == "__main__":
    main()
