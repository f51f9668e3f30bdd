"""Time and memory of the whole pass by size of the corpus: a line is fitted, its residuals are shown."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audit.workers.stage_times import START_UP
from benchmarks import page_corpus


@dataclass(frozen=True)
class Sizes:
    """What to measure: gigabytes of text, workers, and where the plot goes."""

    gigabytes: tuple[float, ...]
    workers: int
    plot: Path


def growth(
    data: Path, scratch: Path, sizes: Sizes, audit_run: Callable[[Path, Path, int], dict[str, Any]]
) -> dict[str, Any]:
    """Audit corpora of growing size, each made, audited and removed."""
    pages = page_corpus.load(data)
    page_corpus.write(pages, page_corpus.WARM_UP_BYTES, scratch / "small")
    audit_run(scratch / "small", scratch, sizes.workers)
    shutil.rmtree(scratch / "run")
    rows = []
    for gigabytes in sizes.gigabytes:
        began = time.monotonic()
        page_corpus.write(pages, int(gigabytes * 1e9), scratch / "corpus", rounds_per_file=4)
        made = time.monotonic() - began
        spent = audit_run(scratch / "corpus", scratch, sizes.workers)
        rows.append({**_row(spent), "disk": _disk(scratch / "run"), "made_seconds": made})
        print({key: round(value, 2) for key, value in rows[-1].items()})
        for folder in ("corpus", "run", "texts"):
            shutil.rmtree(scratch / folder, ignore_errors=True)
    result: dict[str, Any] = {"workers": sizes.workers, "rows": rows}
    if len(rows) > 2:
        result |= {
            name: fit([row["text_gb"] for row in rows], [row[name] for row in rows])
            for name in ("wall_seconds", "worker_seconds", "driver_seconds")
        }
        plot(rows, sizes.plot)
    return result


def _row(spent: Mapping[str, Any]) -> dict[str, float]:
    return {
        "text_gb": spent["text_bytes"] / 1e9,
        "wall_seconds": spent["wall_seconds"],
        "worker_seconds": sum(s for stage, s in spent["workers"].items() if stage != START_UP),
        "driver_seconds": sum(s for stage, s in spent["driver"].items() if stage != START_UP),
        "worker_peak_mb": spent["worker_peak_bytes"] / 1e6,
        "driver_peak_mb": spent["driver_peak_bytes"] / 1e6,
    }


def _disk(folder: Path) -> float:
    """Megabytes of a run folder."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 1e6


def fit(sizes: Sequence[float], values: Sequence[float]) -> dict[str, Any]:
    """Fit ``value = fixed + per_gb * size`` by least squares of relative errors.

    Returns:
        The line, the residuals as shares of the values, and the exponent of growth between the two largest.
    """
    x, y = np.asarray(sizes), np.asarray(values)
    design = np.stack([np.ones_like(x), x], axis=1) / y[:, None]
    (fixed, per_gb), *_ = np.linalg.lstsq(design, np.ones_like(y), rcond=None)
    residuals = (fixed + per_gb * x - y) / y
    exponent = float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2]))
    return {
        "fixed": float(fixed),
        "per_gb": float(per_gb),
        "residuals": [float(value) for value in residuals],
        "largest_exponent": exponent,
    }


def plot(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw time and memory against size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    sizes = np.array([row["text_gb"] for row in rows])
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for key, label in (("wall_seconds", "wall time"), ("worker_seconds", "workers, CPU time")):
        values = [row[key] for row in rows]
        line = fit(sizes.tolist(), values)
        (mark,) = left.loglog(sizes, values, "o", label=label)
        left.loglog(sizes, line["fixed"] + line["per_gb"] * sizes, "-", color=mark.get_color())
    left.set(xlabel="GB of text", ylabel="seconds; lines: fit")
    for key, label in (("worker_peak_mb", "a worker"), ("driver_peak_mb", "the driver")):
        right.semilogx(sizes, [row[key] for row in rows], "o-", label=label)
    right.set(xlabel="GB of text", ylabel="most memory, MB", ylim=(0, None))
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
