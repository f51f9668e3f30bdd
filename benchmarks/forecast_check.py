"""How well `audit forecast` predicts: a mixed corpus is made, forecast, then audited, and both are compared.

    python -m benchmarks.forecast_check DATA [--gigabytes 5] [--seconds 60] [--workers N] [--scratch FOLDER]
        [--out FILE.json]

DATA is the folder that ``benchmarks.page_corpus`` reads. The corpus holds plain and compressed JSONL and
Parquet in shards of 2% to 25% of the text. Both commands run as a user would give them, in processes of
their own, with every screen on and no probes, a key and a text cache of their own. Wall time is that of the
whole command. Peak memory is what the run's own accounts say (the most that a process held at once), disk
the size of the run folder. The goal is 25%; wall time is only fair on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from audit import hmac_key, text_cache
from benchmarks import forecast_corpus
from benchmarks.machine import machine

GOAL = 0.25
_POLICY = {"gates": [{"name": "personal-data", "metric": "pii.flagged", "limit": 0.05, "severity": "warn"}]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--gigabytes", type=float, default=5.0, help="of text")
    parser.add_argument("--seconds", type=float, default=60.0, help="of `audit forecast`")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch) as name:
        result = check(given.data, Path(name), given.gigabytes, given.seconds, given.workers)
    print(table(result))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def check(data: Path, folder: Path, gigabytes: float, seconds: float, workers: int) -> dict[str, Any]:
    """Make, forecast, audit, compare."""
    forecast_corpus.make(data, folder / "corpus", int(gigabytes * 1e9))
    config = folder / "audit.yaml"
    settings = {
        "corpus": {"name": "forecast-check", "inputs": ["corpus"]},
        "policy": _POLICY,
        "run": {"workers": workers},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    (folder / "home").mkdir(mode=0o700)
    os.environ[hmac_key.ENVIRONMENT_VARIABLE] = str(folder / "home" / "hmac.key")
    os.environ[text_cache.ENVIRONMENT_VARIABLE] = str(folder / "home" / "texts")
    load = os.getloadavg()[0]
    predicted, forecast_wall, forecast_cpu = _command("forecast", config, "--seconds", str(seconds))
    found, wall, cpu = _command("run", config, "--out", str(folder / "run"), "--quiet")
    observed = {
        "seconds": wall,
        "core_seconds": cpu,
        "documents": found["accounting"]["screened"],
        "worker_bytes": found["spent"]["worker_peak_bytes"],
        "driver_bytes": found["spent"]["driver_peak_bytes"],
        "disk_bytes": sum(path.stat().st_size for path in (folder / "run").rglob("*") if path.is_file()),
    }
    return {
        "machine": machine(),
        "load": {"before": load, "after": os.getloadavg()[0]},
        "gigabytes": gigabytes,
        "forecast": predicted,
        "forecast_seconds": forecast_wall,
        "forecast_cpu_seconds": forecast_cpu,
        "spent": found["spent"],
        "goal": GOAL,
        "compared": _compared(predicted, observed),
    }


def _command(name: str, config: Path, *options: str) -> tuple[dict[str, Any], float, float]:
    """What a command prints, its wall time, and the CPU time of it and its workers."""
    begun, before = time.monotonic(), _children()
    command = [sys.executable, "-m", "audit.cli", name, str(config), "--json", *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=config.parent)
    return json.loads(done.stdout), time.monotonic() - begun, _children() - before


def _children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _compared(predicted: dict[str, Any], observed: dict[str, float]) -> dict[str, Any]:
    hours = {key: value * 3600 for key, value in predicted["core_hours"].items()}
    told: dict[str, Any] = {
        "seconds": predicted["seconds"],
        "core_seconds": hours,
        "documents": predicted["corpus"]["documents"],
        "worker_bytes": {"value": predicted["worker_bytes"]},
        "driver_bytes": {"value": predicted["driver_bytes"]},
        "disk_bytes": predicted["disk_bytes"],
    }
    return {
        name: {
            "predicted": told[name]["value"],
            "observed": value,
            "error": told[name]["value"] / value - 1,
            "in_interval": told[name].get("low", 0) <= value <= told[name].get("high", float("inf"))
            if "low" in told[name]
            else None,
        }
        for name, value in observed.items()
    }


def table(result: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    lines = ["| | predicted | observed | error | in the interval |", "| --- | --- | --- | --- | --- |"]
    for name, row in result["compared"].items():
        inside = {True: "yes", False: "no", None: "-"}[row["in_interval"]]
        lines.append(
            f"| {name.replace('_', ' ')} | {row['predicted']:,.0f} | {row['observed']:,.0f} "
            f"| {row['error']:+.1%} | {inside} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
