"""The pass against what a user would assemble: datatrove's MinHash signature, Presidio's patterns, fastText.

    python -m benchmarks.peers DATA [--processes 1 2] [--every 1] [--repeats 3] [--out FILE.json]

DATA holds ``web_docs.parquet`` (column ``text``). All sides read the same documents from the same JSONL
files, by turns in the same run, with as many processes, each of one thread, warm before the clock starts;
all write to disk a signature a document, spans with kind, offsets and score, and language with its score.
``benchmarks.peer_sides`` says what each side is, and what its best settings are. Ours is the whole pass of
a worker: it also counts words, finds exact duplicates, secrets, disguised values and national identifiers
that the tools do not look for, hashes and masks what it finds, digests the input, and checks itself by
canaries. Toxicity is off on both sides.

Throughput is by CPU time (of all processes) and by wall time; the quotient is that of the same turn. A
Markdown table is written beside the JSON file. Needs the extra ``peers``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from benchmarks import peer_alone, peer_race
from benchmarks.machine import machine
from benchmarks.peer_sides import BEST, DEFAULT, OURS, SIDES

LIMITS = {DEFAULT: 35.0, BEST: 14.0}
GOALS = {DEFAULT: 60.0, BEST: 25.0}
_VERSIONS = ("datatrove", "spacy", "presidio-analyzer", "phonenumbers", "fasttext-predict", "xxhash")
_WARM_DOCUMENTS = 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--every", type=int, default=1, help="every n-th document, for all sides")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file; the table lies beside it")
    given = parser.parse_args()
    texts = pq.read_table(given.data / "web_docs.parquet", columns=["text"])["text"].to_pylist()
    texts = texts[:: given.every]
    result: dict[str, Any] = {
        "machine": machine() | {name: version(name) for name in _VERSIONS},
        "load_before": os.getloadavg()[0],
        "documents": len(texts),
        "megabytes": sum(len(text.encode()) for text in texts) / 1e6,
        "assembled": assembled(texts, given.processes, given.repeats),
        "alone": peer_alone.compare(texts, given.repeats),
        "limits": LIMITS,
        "goals": GOALS,
        "load_after": os.getloadavg()[0],
    }
    print(table(result))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        given.out.with_suffix(".md").write_text(table(result), encoding="utf-8")


def assembled(texts: Sequence[str], processes: Sequence[int], repeats: int) -> dict[str, Any]:
    """Race the three sides for every number of processes."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, warm = Path(folder) / "corpus", Path(folder) / "warm"
        write(corpus, texts, max(processes))
        write(warm, texts[:: max(1, len(texts) // _WARM_DOCUMENTS)], 1)
        return {str(count): _races(corpus, warm, count, repeats) for count in processes}


def write(folder: Path, texts: Sequence[str], shards: int) -> None:
    """Write texts as JSONL, dealt out to the shards one by one."""
    folder.mkdir()
    for shard in range(shards):
        lines = [
            orjson.dumps({"id": str(i), "text": texts[i]}) + b"\n" for i in range(shard, len(texts), shards)
        ]
        (folder / f"{shard:05d}.jsonl").write_bytes(b"".join(lines))


def _races(corpus: Path, warm: Path, processes: int, repeats: int) -> dict[str, Any]:
    turns: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(repeats):
        for side in SIDES:
            turns[side].append(dataclasses.asdict(peer_race.run(side, corpus, warm, processes)))
    quotients = {
        side: {clock: _quotients(turns[side], turns[OURS], clock) for clock in ("cpu", "wall")}
        for side in (DEFAULT, BEST)
    }
    return {"turns": turns, "times": quotients}


def _quotients(theirs: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]], clock: str) -> list[float]:
    return sorted(their[clock] / our[clock] for their, our in zip(theirs, ours, strict=True))


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    described = result["machine"]
    versions = ", ".join(f"{name} {described[name]}" for name in _VERSIONS)
    lines = [
        f"{result['documents']:,} documents of `web_docs`, {result['megabytes']:.1f} MB of text; "
        f"{described['processor']}, {described['cores']} cores, load {result['load_before']:.1f} before and "
        f"{result['load_after']:.1f} after; {versions}.",
        "",
        "| processes | side | MB/s of CPU time | documents/s of CPU time | MB/s of wall time | times, CPU "
        "(range) | times, wall (range) | at least (goal) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for processes, races in result["assembled"].items():
        lines += [_race_row(processes, side, races, result) for side in SIDES]
    lines += [
        "",
        "| alone, one thread | ours, MB/s | defaults, MB/s | times (range) | best settings, MB/s "
        "| times (range) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_alone_row(name, found) for name, found in result["alone"].items()]
    return "\n".join(lines) + "\n"


def _race_row(processes: str, side: str, races: dict[str, Any], result: dict[str, Any]) -> str:
    turns = races["turns"][side]
    cpu, wall = (statistics.median(turn[clock] for turn in turns) for clock in ("cpu", "wall"))
    size, documents = result["megabytes"], result["documents"]
    rates = f"{size / cpu:.2f} | {documents / cpu:,.0f} | {size / wall:.2f}"
    if side == OURS:
        return f"| {processes} | {side} | {rates} | | | |"
    found = races["times"][side]
    wanted = f"{LIMITS[side]:g} ({GOALS[side]:g})"
    return f"| {processes} | {side} | {rates} | {_times(found['cpu'])} | {_times(found['wall'])} | {wanted} |"


def _alone_row(name: str, found: dict[str, Any]) -> str:
    rates, times = found["mb_per_s"], found["times"]
    theirs = " | ".join(f"{rates[side]:.2f} | {_times(times[side])}" for side in (DEFAULT, BEST))
    return f"| {name} | {rates[OURS]:.1f} | {theirs} |"


def _times(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
