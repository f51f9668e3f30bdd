"""The scorecard's cost: evaluation and import of judgements over many shards of few and of more documents.

    python -m benchmarks.scorecard_scale --out benchmarks/results/scorecard_scale.json
        [--shards 1000 100000] [--documents 2 20] [--scratch FOLDER]

A small corpus is audited by the pipeline itself; its parts are then multiplied under other shards, ids and
work keys, packed as a pass leaves them, counted (``audit.totals``, ``audit.aggregates``) and recorded by the
code of a pass. Measured, each in a process of its own: the first evaluation, which draws the sample; a second
one, as `audit scorecard` makes it; and `audit judge` (but for reading its file), which takes in a judgement
of every sampled document and evaluates again. Seconds are CPU time; memory is the peak of the resident set.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit import (
    aggregates,
    compaction,
    evaluation,
    frozen_plan,
    hmac_key,
    packs,
    partindex,
    pipeline,
    totals,
)
from audit import config as configuration
from audit import reports as shardlog
from audit.canaries import Flock
from audit.compaction import PackTask
from audit.engines.local import LocalEngine
from audit.lineage import verification
from audit.packs import Pack
from audit.pipeline import Request
from audit.progress import Quiet
from audit.review.judgements import Judgement, JudgementStore
from audit.run import Run
from audit.slicing import FAMILIES
from audit.store import Part, Store
from audit.tasks import Screening, ShardReport
from benchmarks.machine import machine

SEEDS = 4
_DOCUMENT_IDS = ("doc_id",)
_SAMPLED = """SELECT samples.doc_id, text_digest, shard, position FROM samples
    JOIN sampled_documents USING (shard, position) WHERE phase = 'review' ORDER BY stratum, draw"""


def audited(folder: Path, documents: int) -> Run:
    """A run over ``SEEDS`` shards of so many documents."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for shard in range(SEEDS):
        rows = [_page(shard * documents + n, shard) for n in range(documents)]
        (corpus / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = Run(folder / "base")
    data = {"corpus": {"name": "scale"}, "sampling": {"size": 1000}, "run": {"text_cache_mib": 0}}
    request = Request(configuration.parse(data), folder, (str(corpus),))
    pipeline.audit(request, run, LocalEngine(1), Quiet())
    return run


def _page(number: int, shard: int) -> dict[str, str]:
    words = [hashlib.sha256(f"{number} {n}".encode()).hexdigest()[:7] for n in range(60)]
    mail = f"\nWrite to name{number}@example.com." if number % 3 == 0 else ""
    url = f"https://www.agency{number % 3}.gov/{number}"
    return {"id": f"p{number}", "text": " ".join(words) + mail, "url": url, "source": f"source {shard % 2}"}


@dataclasses.dataclass(frozen=True)
class Multiplied:
    """A store that gives the parts of a few shards under many names; what ``write_pack`` wants of one."""

    base: Store
    folder: Path
    origin: Mapping[tuple[str, str], tuple[Part, int]]
    tables: dict[Part, tuple[pa.Table, dict[str, Any], int]] = dataclasses.field(default_factory=dict)

    @property
    def scratch(self) -> Path:
        return self.folder / ".tmp"

    def _original(self, part: Part) -> tuple[pa.Table, dict[str, Any], int]:
        source, _ = self.origin[part.shard, part.key]
        if source not in self.tables:
            told = self.base.metadata(source)
            self.tables[source] = (self.base.read(source), told, self.base.size(source))
        return self.tables[source]

    def read(self, part: Part) -> pa.Table:
        """The original's rows as those of another shard, with ids and texts of their own."""
        rows, copy = self._original(part)[0], self.origin[part.shard, part.key][1]
        for name in ("shard", *_DOCUMENT_IDS, "url", "text_digest"):
            if name in rows.column_names:
                at, field = rows.schema.get_field_index(name), rows.schema.field(name)
                rows = rows.set_column(at, field, _renamed(rows, name, part, copy))
        return rows

    def metadata(self, part: Part) -> dict[str, Any]:
        """The original's, under another key."""
        return self._original(part)[1] | {"work_key": part.key}

    def size(self, part: Part) -> int:
        """The original's bytes."""
        return self._original(part)[2]


def _renamed(rows: pa.Table, name: str, part: Part, copy: int) -> pa.Array:
    kind, column = rows.schema.field(name).type, rows.column(name)
    if name == "shard":
        same = pa.array([part.shard]).take(pa.array(np.zeros(len(rows), np.int32)))
        return same.cast(kind) if kind == pa.string() else same.dictionary_encode().cast(kind)
    if name == "text_digest":
        tail = copy.to_bytes(6, "little")
        return pa.array([each[:10] + tail for each in column.to_pylist()], kind)
    suffix = pa.scalar(f"-{copy}", pa.string())
    return pc.binary_join_element_wise(column.cast(pa.string()), suffix, "").combine_chunks()


def multiplied(base: Run, folder: Path, shards: int) -> Run:
    """A run of so many shards with the parts of ``base``, packed, counted and recorded as by a pass."""
    run = Run(folder)
    run.store.folder.mkdir(parents=True)
    (folder / "sample").mkdir()
    (folder / "sample" / "seed").write_bytes((base.sample / "seed").read_bytes())
    originals = shardlog.load(base.store.folder / shardlog.FILE)
    catalogue = partindex.Catalogue.recorded(base.store)
    sliced = {(p.family, p.shard): p for family in FAMILIES for p in catalogue.family(family)}
    reports: list[ShardReport] = []
    origin: dict[tuple[str, str], tuple[Part, int]] = {}
    by_family: dict[str, list[Part]] = {}
    for number in range(shards):
        original, copy = originals[number % len(originals)], number // len(originals)
        report, pairs = _copied(original, sliced, copy)
        reports.append(report)
        for source, part in pairs:
            origin[part.shard, part.key] = (source, copy)
            by_family.setdefault(part.family, []).append(part)
    many = Multiplied(base.store, run.store.folder, origin)
    for family, parts in by_family.items():
        ordered = tuple(sorted(parts, key=lambda part: part.shard))
        pack = Pack(run.store.folder, family, hashlib.sha256(family.encode()).hexdigest()[:16])
        compaction.write_pack(PackTask(many, pack, ordered))  # type: ignore[arg-type]
        preliminary = pack.list_path.with_name(f"{pack.list_path.name}.new")
        preliminary.replace(pack.list_path)
    packs.forget()
    _conclude(base, run, reports, [part for parts in by_family.values() for part in parts])
    return run


def _copied(
    report: ShardReport, sliced: Mapping[tuple[str, str], Part], copy: int
) -> tuple[ShardReport, list[tuple[Part, Part]]]:
    """A shard's report and parts under other names."""
    old = report.shard.shard
    new = hashlib.sha256(f"{old} {copy}".encode()).hexdigest()[:16]
    pairs = []
    for family, key in [*report.keys.items(), *((family, sliced[family, old].key) for family in FAMILIES)]:
        pairs.append(
            (Part(family, old, key), Part(family, new, hashlib.sha256(f"{key} {copy}".encode()).hexdigest()))
        )
    keys = {part.family: part.key for _, part in pairs if part.family in report.keys}
    shard = dataclasses.replace(report.shard, shard=new, name=f"{report.shard.name} {copy}")
    return dataclasses.replace(report, shard=shard, keys=keys), pairs


def _conclude(base: Run, run: Run, reports: Sequence[ShardReport], parts: list[Part]) -> None:
    """Corpus-wide parts as they are, sums, counts, index, manifest: the end of a pass."""
    config = base.config()
    recorded = partindex.Catalogue.recorded(base.store)
    for family in ("duplicates", "repeated_paragraphs.resolved", "cluster_diffs"):
        for part in recorded.family(family):
            rows, told = base.store.read(part), base.store.metadata(part)
            run.store.write(part, rows.slice(0, 0) if family != "cluster_diffs" else rows, told)
            parts.append(part)
    parts += totals.bring(run.store, parts)
    judged = JudgementStore(run.judgements).load().select(["doc_id", "text_digest"])
    counted = aggregates.named(config.build_screens(), parts, judged)
    partindex.write(run.store, parts)
    aggregates.bring(run.folder, run.store, config.build_screens(), counted, judged)
    partindex.add(run.store, counted)
    key = hmac_key.load_or_create(outside=run.folder)
    how = (config.build_screens(), config.corpus.columns, config.read_limits(), key.key_id, key.key, Flock())
    screening = Screening(run.store, *how)
    run.journal.append("started", {})
    pipeline.record(run, config, screening, reports, {"files": 0, "bytes": 0, "suffixes": {}}, {})


def judge(run: Run) -> None:
    """What `audit judge` does once it has read its file: a judgement of every sampled document."""
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


def _evaluate(run: Run) -> None:
    with run.locked():
        evaluation.evaluate(run, Quiet())


def _timed(pipe: Any, work: Callable[..., object], *given: object) -> None:
    began = time.process_time()
    work(*given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pipe.send({"cpu_seconds": round(time.process_time() - began, 2), "peak_mb": round(peak / 1e6)})


def timed(work: Callable[..., object], *given: object) -> dict[str, float]:
    """CPU seconds and peak memory of a call in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_timed, args=(there, work, *given))
    process.start()
    there.close()
    result: dict[str, float] = here.recv()
    process.join()
    return result


def measure(folder: Path, shards: int, documents: int) -> dict[str, Any]:
    """One size."""
    base = audited(folder / "small", documents)
    began = time.process_time()
    run = multiplied(base, folder / "run", shards)
    prepared = time.process_time() - began
    found: dict[str, Any] = {
        "shards": shards,
        "documents": shards * documents,
        "counting_cpu_seconds": round(prepared, 1),
    }
    found["first_evaluation"] = timed(_evaluate, run)
    found["scorecard"] = timed(_evaluate, run)
    found["judge"] = timed(judge, run)
    found["files"] = sum(1 for path in run.folder.rglob("*") if path.is_file())
    return found


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
    parser.add_argument("--documents", type=int, nargs="+", default=[2, 20])
    parser.add_argument("--scratch", type=Path)
    given = parser.parse_args()
    rows = []
    for shards in given.shards:
        for documents in given.documents:
            with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
                os.environ["AUDIT_HMAC_KEY_FILE"] = str(Path(folder) / "hmac.key")
                rows.append(measure(Path(folder), shards, documents))
            sys.stdout.write(json.dumps(rows[-1]) + "\n")
            sys.stdout.flush()
    found = {"machine": machine(), "results": rows}
    given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    given.out.with_suffix(".svg").write_text(plot(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
