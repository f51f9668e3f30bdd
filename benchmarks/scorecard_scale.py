"""The scorecard's cost by shards and documents: a pass that finds all screened, and the commands after it.

    python -m benchmarks.scorecard_scale --out benchmarks/results/scorecard_scale.json
        [--shards 1000 100000] [--documents 1000000 100000000] [--held 2] [--scratch FOLDER]

The runs are synthetic (``benchmarks.many_shards``): parts of four audited shards under many names, each of
which holds a few documents, while the counts (cells, evaluations, footers) tell of as many as are asked for.
What is measured is the program's own work, each command in a process of its own:

- ``first``: `audit run` on a run that was killed when all shards were screened and sliced: plan, recall,
  duplicates, totals, counts, index, log of shards, manifest, draw, evaluation. It grows with the documents
  that the parts hold; the other commands do not.
- ``resume``: the same command again, with nothing left to do.
- ``scorecard``: `audit scorecard`, an evaluation of what stands.
- ``judge``: `audit judge` but for reading its file: a judgement of every sampled document, and an evaluation.
- ``gate`` and ``verify``: the commands of these names.

Seconds are CPU time, of workers too; memory is the peak of the command's resident set. The results are
written after each size: a hundred thousand shards take some half an hour.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from audit import evaluation, frozen_plan
from audit.lineage import verification
from audit.pipeline import SPENT
from audit.progress import Quiet
from audit.review.judgements import Judgement, JudgementStore
from audit.run import Run
from audit.standing import standing_verdict
from audit.workers.stage_times import peak_memory
from benchmarks import many_shards
from benchmarks.machine import machine

#: Documents that each shard's parts hold, of the run that shows what these cost.
_MANY = 200
#: A size that is measured first and not told: it has every kernel compiled.
_WARM_UP = (20, 40_000, 2)
_SAMPLED = """SELECT samples.doc_id, text_digest, shard, position FROM samples
    JOIN sampled_documents USING (shard, position) WHERE phase = 'review' ORDER BY stratum, draw"""


def audit(folder: Path) -> dict[str, float]:
    """What `audit run` does; returns CPU seconds by stage."""
    run = many_shards.audit(folder)
    (spent,) = [entry.data for entry in run.journal.read() if entry.event == SPENT][-1:]
    stages: dict[str, float] = dict(spent["driver"])
    for stage, seconds in spent["workers"].items():
        stages[f"{stage} (workers)"] = seconds
    return {stage: round(seconds, 1) for stage, seconds in stages.items() if seconds >= 0.05}


def evaluate(folder: Path) -> None:
    """What `audit scorecard` does before it renders."""
    run = Run(folder / "run")
    with run.locked():
        evaluation.evaluate(run, Quiet())


def gate(folder: Path) -> str:
    """What `audit gate` does."""
    return standing_verdict(Run.existing(folder / "run")).verdict


def verify(folder: Path) -> str:
    """What `audit verify` does.

    Raises:
        RuntimeError: It found something.
    """
    found = verification.verify(folder / "run")
    if not found.intact:
        raise RuntimeError(f"the run is not what its journal says: {found.problems[:3]}")
    return f"{found.files} files, {found.bytes / 1e6:.0f} MB"


def judge(folder: Path) -> None:
    """What `audit judge` does once it has read its file: a judgement of every sampled document."""
    run = Run(folder / "run")
    with run.locked():
        with run.connect() as db:
            rows = db.execute(_SAMPLED).fetchall()
        frozen_plan.freeze(run, "judgements")
        asked = [question.name for question in run.config().sampling.questions]
        said = [_judgement(row, question) for row in rows for question in asked]
        receipt = JudgementStore(run.judgements).add(said)
        files = {f"{run.judgements.name}/{name}": digest for name, digest in receipt.files.items()}
        run.journal.append(verification.JUDGED, {"added": len(said), "changed": 0, "files": files})
        evaluation.evaluate(run, Quiet())


def _judgement(row: tuple[str, str, str, int], question: str) -> Judgement:
    doc_id, digest, shard, position = row
    return Judgement(
        doc_id=doc_id,
        question=question,
        label="no",
        severity=None,
        reviewer="r",
        seconds=None,
        at=None,
        shard=shard,
        position=position,
        text_digest=digest,
    )


def _timed(pipe: Any, work: Callable[[Path], object], folder: Path) -> None:
    began = _seconds()
    told = work(folder)
    pipe.send(({"cpu_seconds": round(_seconds() - began, 2), "peak_mb": round(peak_memory() / 1e6)}, told))


def _seconds() -> float:
    """CPU time of this process and of those that it started and that ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def timed(work: Callable[[Path], object], folder: Path) -> tuple[dict[str, float], object]:
    """CPU seconds and peak memory of a call in a process of its own, and what it returned."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_timed, args=(there, work, folder))
    process.start()
    there.close()
    took, told = here.recv()
    process.join()
    return took, told


def measure(folder: Path, shards: int, documents: int, held: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One size: so many shards, documents by their counts, and documents that each shard's parts hold.

    Returns:
        What each command took, and CPU seconds by stage of `audit run`.
    """
    base = many_shards.audited(folder / "small", held)
    factor = max(1, documents // (shards * held))
    began = time.process_time()
    run = many_shards.screened(base, folder / "many", shards, factor)
    found: dict[str, Any] = {
        "shards": shards,
        "documents": shards * held * factor,
        "documents_held": shards * held,
        "preparing_cpu_seconds": round(time.process_time() - began, 1),
    }
    steps = {"first": audit, "resume": audit, "scorecard": evaluate, "judge": judge, "gate": gate}
    stages = {}
    for name, work in {**steps, "verify": verify}.items():
        found[name], told = timed(work, folder / "many")
        if isinstance(told, dict):
            stages[name] = told
    found["files"] = sum(1 for path in run.folder.rglob("*") if path.is_file())
    found["page_kb"] = round((run.folder / "scorecard.html").stat().st_size / 1e3)
    return found, stages


def plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """CPU seconds by shards, a mark a measurement; SVG."""
    width, height, left, base = 640, 320, 70, 270
    most = max(row[what]["cpu_seconds"] for row in rows for what in ("scorecard", "judge"))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="13"><title>CPU seconds of an evaluation by shards and documents</title>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, row in enumerate(rows):
        for at, (what, colour) in enumerate((("scorecard", "#1f6f8b"), ("judge", "#b8620b"))):
            size = row[what]["cpu_seconds"] / most * 200
            x = left + number * 140 + at * 50
            box = f'x="{x}" y="{base - size:.1f}" width="40" height="{size:.1f}"'
            parts.append(f'<rect {box} fill="{colour}"/>')
            label = f"{row[what]['cpu_seconds']:g} s"
            parts.append(f'<text x="{x}" y="{base - size - 6:.1f}" fill="#333">{escape(label)}</text>')
        label = f"{row['shards']:,} shards, {row['documents']:,} documents"
        parts.append(f'<text x="{left + number * 140 - 20}" y="{base + 20}" font-size="10">{label}</text>')
    parts.append(f'<text x="{left}" y="20">blue: audit scorecard; orange: audit judge (CPU seconds)</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Measure, print, write."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--documents", type=int, nargs="+", default=[1_000_000, 100_000_000])
    parser.add_argument("--held", type=int, default=2, help="documents that each shard's parts hold")
    parser.add_argument("--scratch", type=Path)
    given = parser.parse_args()
    rows, stages, load = [], [], os.getloadavg()[0]
    sizes = _sizes(given.shards, given.documents, given.held)
    for number, size in enumerate([_WARM_UP, *sizes]):
        with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
            os.environ["AUDIT_HMAC_KEY_FILE"] = str(Path(folder) / "hmac.key")
            row, spent = measure(Path(folder), *size)
        if number == 0:
            continue
        rows.append(row)
        stages.append({"shards": row["shards"], "documents": row["documents"], **spent})
        sys.stdout.write(json.dumps(row) + "\n" + json.dumps(stages[-1]) + "\n")
        sys.stdout.flush()
        loads = [round(load, 1), round(os.getloadavg()[0], 1)]
        found = {"machine": machine(), "load": loads, "rows": rows, "stages": stages}
        given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        given.out.with_suffix(".svg").write_text(plot(rows), encoding="utf-8")


def _sizes(shards: Sequence[int], documents: Sequence[int], held: int) -> list[tuple[int, int, int]]:
    """Shards, documents, and documents held: every number of one with the fewest or the most of the other."""
    fewest, most = min(shards), max(documents)
    found = [(fewest, each, held) for each in documents]
    if fewest * _MANY <= most:
        found.append((fewest, most, _MANY))
    return found + [(each, most, held) for each in shards if each != fewest]


if __name__ == "__main__":
    main()
