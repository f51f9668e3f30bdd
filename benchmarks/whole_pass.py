"""What a whole pass costs, stage by stage: all default screens over real pages, as `audit run` tells it.

    python -m benchmarks.whole_pass DATA [--megabytes 300]       # one worker, the stage table
    python -m benchmarks.whole_pass DATA --start                 # from the command to the first document
    python -m benchmarks.whole_pass DATA --scaling               # two workers against one
    python -m benchmarks.whole_pass DATA --growth [--gigabytes 0.1 0.3 1 3 10]

The corpus is that of ``benchmarks.page_corpus``, as ``.jsonl.gz``, in ``--scratch``, from where it is
removed. Each option replaces its own part of ``--out`` (benchmarks/results/whole_pass.json) and keeps the
others. Core seconds are CPU time; rates are per byte of text. Run it on a quiet machine all the same: shared
caches and clocks are not in CPU time. ``--growth`` takes about a minute and 0.7 GB of disk a gigabyte, one
size after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audit.workers.stage_times import START_UP, StageRow, lines, table
from benchmarks import page_corpus, pass_growth, pass_scaling
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "whole_pass.json"
GOAL_HOURS, LIMIT_HOURS, GOAL_START, GOAL_SCALING = 35.0, 50.0, 3.0, 0.95
_POLL = 0.005


def write_config(folder: Path, corpus: Path) -> Path:
    """A configuration with every screen at its defaults."""
    policy = {"gates": [{"name": "toxicity", "metric": "toxicity", "limit": 0.02, "severity": "block"}]}
    config = {"corpus": {"name": "pages", "inputs": [f"{corpus}/*"]}, "policy": policy}
    path = folder / "audit.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")  # YAML, too
    return path


def command(config: Path, run: Path, workers: int) -> list[str]:
    """`audit run` with its result as JSON."""
    options = ["--workers", str(workers), "--fresh", "--quiet", "--json"]
    audit = Path(sys.executable).with_name("audit")
    return [str(audit), "run", str(config), "--out", str(run), *options]


def environment(scratch: Path) -> dict[str, str]:
    """One thread a process; keys and caches of texts beside the corpus."""
    own = {"AUDIT_HMAC_KEY_FILE": str(scratch / "key"), "AUDIT_TEXT_CACHE": str(scratch / "texts")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return {**os.environ, **threads, **own}


def audit_run(corpus: Path, scratch: Path, workers: int) -> dict[str, Any]:
    """Audit a corpus; returns what it spent, with the seconds of wall time."""
    config = write_config(scratch, corpus)
    began = time.monotonic()
    done = subprocess.run(
        command(config, scratch / "run", workers),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(scratch),
    )
    seconds = time.monotonic() - began
    spent: dict[str, Any] = json.loads(done.stdout)["spent"]
    return {**spent, "wall_seconds": seconds}


def summary(spent: Mapping[str, Any]) -> dict[str, float | None]:
    """Core-hours per TB of text: of the screens' pass, and of the driver's stages beside it."""
    rows = [row for row in table(spent) if row.stage not in (START_UP, "all")]
    return {
        "pass_core_hours_per_tb": _hours([row for row in rows if row.where == "worker"]),
        "driver_core_hours_per_tb": _hours([row for row in rows if row.where == "driver"]),
        "goal_core_hours_per_tb": GOAL_HOURS,
        "limit_core_hours_per_tb": LIMIT_HOURS,
        "start_up_core_seconds": float(spent["workers"][START_UP] + spent["driver"][START_UP]),
    }


def _hours(rows: Sequence[StageRow]) -> float:
    return sum(row.hours_per_terabyte or 0.0 for row in rows)


def whole_pass(data: Path, megabytes: float, scratch: Path) -> dict[str, Any]:
    """Audit pages with one worker, after a run that fills the caches of compiled kernels."""
    pages = page_corpus.load(data)
    page_corpus.write(pages, page_corpus.WARM_UP_BYTES, scratch / "small")
    audit_run(scratch / "small", scratch, 1)
    page_corpus.write(pages, int(megabytes * 1e6), scratch / "corpus")
    spent = audit_run(scratch / "corpus", scratch, 1)
    print("\n".join(lines(spent)))
    return {**summary(spent), **spent}


def start(data: Path, scratch: Path, times: int = 5) -> dict[str, Any]:
    """Seconds of wall time from the command to the first document's parts, caches warm; median and all."""
    corpus = scratch / "corpus"
    corpus.mkdir()
    first = page_corpus.load(data).texts[0].as_py()
    (corpus / "one.jsonl").write_text(json.dumps({"id": "1", "text": first}) + "\n", encoding="utf-8")
    audit_run(corpus, scratch, 1)
    config, taken = write_config(scratch, corpus), []
    for number in range(times):
        run = scratch / f"start-{number}"
        began = time.monotonic()
        process = subprocess.Popen(
            command(config, run, 1), stdout=subprocess.DEVNULL, env=environment(scratch)
        )
        while not list(run.glob("parts/toxicity/*.parquet")) and process.poll() is None:
            time.sleep(_POLL)
        taken.append(time.monotonic() - began)
        if process.wait():
            raise RuntimeError("the audit failed")
    return {"seconds": sorted(taken)[times // 2], "all": taken, "goal_seconds": GOAL_START}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with web_docs.parquet, pii.parquet, toxicity.parquet")
    parser.add_argument("--megabytes", type=float, default=300.0, help="of text, without an option below")
    parser.add_argument("--start", action="store_true", help="time the warm start")
    parser.add_argument("--scaling", action="store_true", help="compare two workers with one")
    parser.add_argument("--growth", action="store_true", help="time and memory by size")
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.1, 0.3, 1.0, 3.0, 10.0])
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="for --growth")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def measure(options: argparse.Namespace, scratch: Path) -> tuple[str, dict[str, Any]]:
    """The part that the options ask for, and its name."""
    if options.start:
        return "start", start(options.data, scratch)
    if options.scaling:
        return "scaling", {**pass_scaling.scaling(options.data, scratch), "goal": GOAL_SCALING}
    if options.growth:
        plot = options.out.with_name("whole_pass_growth.svg")
        sizes = pass_growth.Sizes(tuple(options.gigabytes), options.workers, plot)
        return "growth", pass_growth.growth(options.data, scratch, sizes, audit_run)
    return "pass", whole_pass(options.data, options.megabytes, scratch)


def main() -> None:
    options = _options()
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="whole-pass-", dir=options.scratch) as name:
        part, figures = measure(options, Path(name))
    figures["load_before"] = load
    kept = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    result = {**kept, "machine": machine(), part: figures}
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    told = {
        key: value for key, value in figures.items() if key not in ("stages", "rows", "workers", "driver")
    }
    print(json.dumps({part: told}, indent=1))
    print(f"{time.monotonic() - began:.0f} s, load {load:.1f} at the start")


if __name__ == "__main__":
    main()
