"""Near duplicates at scale: time and memory of finding clusters, from 0.1 to 10 million documents.

    python -m benchmarks.near_duplicates_scale --out benchmarks/results/near_duplicates_scale.json
        [--millions 0.1 0.3 1 3 10] [--scratch FOLDER] [--workers N]

Synthetic documents (``benchmarks.synthetic_documents``) are sketched by the screen into Parquet parts; then
``resolve`` is timed, each size in a process of its own, with the exact Jaccard similarity of doubtful pairs
from the texts. Memory is the resident set without the pages of files: ``RssAnon + RssShmem`` of
/proc/self/status, read every 5 ms; what the process held before (libraries, compiled kernels, one small
search) is taken off. Mapped pages of files, which the kernel can drop, are ``RssFile``. Linux only.

With ``--workers`` the tasks run in so many processes of the local engine, and time and memory are those of
the driver; without, in threads of one process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from audit.duplicates.exchange import Runner, threads
from audit.engine_runner import EngineRunner
from audit.engines.local import LocalEngine
from audit.screens.near_duplicates import NearDuplicates
from audit.workers.stage_times import Ledger
from benchmarks.machine import machine
from benchmarks.synthetic_documents import SyntheticSketches

SIZES = (0.1, 0.3, 1.0, 3.0, 10.0)


class MemoryPeak:
    """Peaks of this process' resident memory while a block runs, in MB (10**6 bytes)."""

    def __enter__(self) -> MemoryPeak:
        self.before = _resident()
        self.peak = dict(self.before)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            for name, value in _resident().items():
                self.peak[name] = max(self.peak[name], value)


def _resident() -> dict[str, float]:
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {
        line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Rss")
    }
    return {"own": sizes["RssAnon"] + sizes["RssShmem"], "files": sizes["RssFile"]}


def search(documents: int, scratch: Path, workers: int) -> dict[str, float | Mapping[str, float]]:
    """Sketch and search one corpus in this process, or in so many workers."""
    screen, ledger = NearDuplicates(), Ledger()
    with tempfile.TemporaryDirectory(dir=scratch) as folder, LocalEngine(workers) as engine:
        runner: Runner = EngineRunner(engine, ledger, "resolve") if workers else threads
        _resolve(screen, 40_000, Path(folder) / "warm", runner)
        start = time.monotonic()
        (Path(folder) / "parts").mkdir()
        sketches = SyntheticSketches(screen, documents, Path(folder) / "parts")
        sketches.runner = runner
        before = ledger.workers.get("resolve", 0.0)
        sketched = time.monotonic() - start
        (Path(folder) / "work").mkdir()
        start, cpu = time.monotonic(), time.process_time()
        with MemoryPeak() as memory, _DiskPeak(Path(folder) / "work") as disk:
            rows = sum(len(table) for table in screen.resolve(sketches, Path(folder) / "work"))
        return {
            "documents": documents,
            "sketch_seconds": sketched,
            "resolve_seconds": time.monotonic() - start,
            "resolve_cpu_seconds": time.process_time() - cpu,
            "workers_cpu_seconds": ledger.workers.get("resolve", 0.0) - before,
            "worker_peak_mb": ledger.peak_bytes / 1e6,
            "memory_before_mb": memory.before["own"],
            "memory_peak_mb": memory.peak["own"] - memory.before["own"],
            "mapped_files_peak_mb": memory.peak["files"] - memory.before["files"],
            "scratch_peak_mb": disk.peak / 1e6,
            "rows": rows,
            "counts": screen.statistics(),
        }


class _DiskPeak(MemoryPeak):
    """Peak of the bytes on disk below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.peak = 0.0

    def __enter__(self) -> _DiskPeak:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self.peak = max(self.peak, float(sum(_blocks(path) for path in self._folder.iterdir())))


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _resolve(screen: NearDuplicates, documents: int, folder: Path, runner: Runner) -> None:
    for name in ("parts", "work"):
        (folder / name).mkdir(parents=True)
    sketches = SyntheticSketches(screen, documents, folder / "parts")
    sketches.runner = runner
    list(screen.resolve(sketches, folder / "work"))


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Exponent of growth: the slope of log(value) against log(size); 1 is linear."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What the sizes together say."""
    millions = [row["documents"] / 1e6 for row in rows]
    return {
        "time_exponent": slope(millions, [row["resolve_seconds"] for row in rows]),
        "cpu_time_exponent": slope(millions, [row["resolve_cpu_seconds"] for row in rows]),
        "memory_exponent": slope(millions, [row["memory_peak_mb"] for row in rows]),
        "largest_seconds_per_million": rows[-1]["resolve_seconds"] / millions[-1],
        "largest_cpu_seconds_per_million": rows[-1]["resolve_cpu_seconds"] / millions[-1],
        "largest_memory_mb_per_million": rows[-1]["memory_peak_mb"] / millions[-1],
        "marginal_memory_mb_per_million": (rows[-1]["memory_peak_mb"] - rows[0]["memory_peak_mb"])
        / (millions[-1] - millions[0]),
    }


def plot(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw time and memory against size, both axes logarithmic, beside lines of slope 1."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    millions = np.array([row["documents"] / 1e6 for row in rows])
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    shown = {
        "resolve_seconds": "seconds to find clusters",
        "memory_peak_mb": "peak memory beyond the files, MB",
    }
    for axis, (key, label) in zip(axes, shown.items(), strict=True):
        values = np.array([row[key] for row in rows])
        axis.loglog(millions, values, "o-", label="measured")
        if key == "resolve_seconds":
            axis.loglog(
                millions, [row["resolve_cpu_seconds"] for row in rows], "s-", label="CPU time, measured"
            )
        axis.loglog(millions, values[-1] * millions / millions[-1], "--", color="grey", label="linear")
        if key == "memory_peak_mb":
            axis.loglog(millions, 100 * millions, ":", color="tab:red", label="100 MB a million")
        axis.set(xlabel="million documents", ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file; the plot lies beside it")
    parser.add_argument("--millions", type=float, nargs="+", default=list(SIZES))
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: threads of one process")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        json.dump(search(arguments.one, arguments.scratch, arguments.workers), sys.stdout)
        return
    rows = []
    for millions in arguments.millions:
        load = os.getloadavg()[0]
        command = [sys.executable, "-m", "benchmarks.near_duplicates_scale", "--out", "-"]
        command += ["--one", str(int(millions * 1e6)), "--scratch", str(arguments.scratch)]
        command += ["--workers", str(arguments.workers)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append({**json.loads(done.stdout), "load_before": load})
        print(f"{millions:g} M: {rows[-1]['resolve_seconds']:.1f} s, {rows[-1]['memory_peak_mb']:.0f} MB")
        result = {"machine": machine(), "python": platform.python_version(), "rows": rows}
        result["summary"] = summary(rows) if len(rows) > 1 else {}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if len(rows) > 1:
        plot(rows, arguments.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
