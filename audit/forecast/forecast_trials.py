"""Trial audits of blocks of a corpus, in a process of their own: the pipeline itself, in a temporary folder.

Three runs tell fixed costs from those of a shard and of a document: one block; a few shards of one
document; all blocks that the time allows. A first one, of the same block as the next, tells what is loaded
once. The process has a throw-away key and text cache, so nothing of the user's is read or written.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from audit import hmac_key, pipeline, text_cache
from audit.config import AuditConfig
from audit.engines import Engine
from audit.engines.local import LocalEngine
from audit.errors import AuditError, FatalError, InputError
from audit.forecast import forecast_blocks
from audit.forecast.forecast_blocks import COPY_COLUMNS, Block, BlockTask, JoinTask
from audit.forecast.forecast_recording import Recording, StageWalls, Wave, disk_use
from audit.run import Run
from audit.stages.request import Request
from audit.tasks import ShardReport
from audit.workers.stage_times import START_UP

#: Shards of one document in the second trial.
TINY_SHARDS = 24
#: Blocks that are read as one file, so that a worker meets a shard of many batches.
JOINED = 8
#: Of the time that is left, what the screening of the last trial may take; the rest is for its other stages.
_SCREENING = 0.6
_READING = 0.25


@dataclass(frozen=True)
class TrialTask:
    """What to try.

    Attributes:
        request: The user's; its inputs are not read by the trials, only by the tasks.
        blocks: To read, in an order of which every beginning is a sample.
        folder: Empty and private.
        workers: Processes at once.
        seconds: For everything.
    """

    request: Request
    blocks: tuple[BlockTask, ...]
    folder: Path
    workers: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """One audit.

    Attributes:
        start_up: CPU seconds of all workers until they work.
        screened: CPU seconds of the screening by shard, in their order, with start-up and reading.
        waves: What the stages over the whole corpus gave to the workers.
        driver: Stage -> CPU seconds.
        wall, screen_wall: Seconds: of everything, and of the screening.
        worker_peak, driver_peak: Most bytes of memory.
        disk: Family of parts, or file -> bytes.
        shards_cpu: Name of a shard -> CPU seconds of its screening, without start-up and reading.
    """

    shards: int
    documents: int
    text_bytes: int
    start_up: float
    screened: Sequence[float]
    waves: Sequence[Wave]
    driver: Mapping[str, float]
    wall: float
    screen_wall: float
    worker_peak: int
    driver_peak: int
    disk: Mapping[str, int]
    shards_cpu: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Trials:
    """All that was measured.

    Attributes:
        blocks: Those that were screened.
        joined: Names of the blocks that made one shard.
        failed: Blocks that could not be read.
        pool: Workers of the audits.
        start: CPU seconds of a process until it has loaded the package.
        one, tiny, all: The audits.
        loading: Stage -> CPU seconds that the driver takes for it only once: what it loads and looks up.
    """

    blocks: tuple[Block, ...]
    joined: tuple[str, ...]
    failed: int
    pool: int
    start: float
    one: Trial
    tiny: Trial
    all: Trial
    loading: Mapping[str, float]


def measure(task: TrialTask) -> Trials:
    """Run the trials in a process of their own, which is gone afterwards.

    Raises:
        InputError: No document could be read.
        AuditError: What the pipeline raised.
        FatalError: The process was lost.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(task, theirs), name="forecast")
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        raise FatalError("the trial was lost: its process died, perhaps for want of memory") from None
    finally:
        if process.is_alive():
            process.join(_FAREWELL)
            process.terminate()
        process.join()
    if isinstance(found, AuditError):
        raise found
    result: Trials = found
    return result


_FAREWELL = 5.0


def _serve(task: TrialTask, answer: Any) -> None:
    os.environ[hmac_key.ENVIRONMENT_VARIABLE] = str(task.folder / "secret" / "hmac.key")
    os.environ[text_cache.ENVIRONMENT_VARIABLE] = str(task.folder / "texts")
    try:
        answer.send(run(task, LocalEngine(task.workers)))
    except AuditError as error:
        answer.send(error)


def run(task: TrialTask, engine: Engine) -> Trials:
    """Read blocks, then try; see ``measure``."""
    begun, start = time.monotonic(), time.process_time()
    (task.folder / "secret").mkdir(mode=0o700)
    blocks, failed = _read(task, engine, begun + _READING * task.seconds)
    corpora, first = task.folder / "corpora", blocks[0]
    _tiny(task.folder / "blocks" / first.copy, corpora / "tiny")
    _link(task.folder / "blocks", [first], corpora / "one")
    _link(task.folder / "blocks", [first], corpora / "warm-up")
    first_use = _audit(task, engine, corpora / "warm-up")
    one = _audit(task, engine, corpora / "one")
    tiny = _audit(task, engine, corpora / "tiny")
    left = task.seconds - (time.monotonic() - begun)
    chosen = _affordable(blocks, one, left, task.workers)
    joined = _corpus(task.folder / "blocks", chosen, corpora / "all", engine)
    everything = _audit(task, engine, corpora / "all")
    return Trials(
        tuple(chosen), joined, failed, task.workers, start, one, tiny, everything, _loading(first_use, one)
    )


def _loading(first: Trial, again: Trial) -> dict[str, float]:
    """What a process' first audit of the same corpus takes beyond its second one."""
    return {stage: max(0.0, seconds - again.driver[stage]) for stage, seconds in first.driver.items()}


def _read(task: TrialTask, engine: Engine, deadline: float) -> tuple[list[Block], int]:
    """Blocks in the order of the tasks, and how many failed."""
    tasks = [dataclasses.replace(each, deadline=deadline) for each in task.blocks]
    order = {each.copy.name: number for number, each in enumerate(tasks)}
    found: list[Block] = []
    failed = 0
    for outcome in engine.map(forecast_blocks.read_block, tasks, _ignore):
        if outcome.result is not None:
            found.append(outcome.result)
        elif time.monotonic() < deadline:
            failed += 1
    if not found:
        raise InputError("unreadable", "no document could be read for the forecast")
    return sorted(found, key=lambda block: order[block.copy]), failed


def _ignore(documents: int, size: int) -> None:
    """Progress of blocks is not shown."""


def _tiny(copy: Path, corpus: Path) -> None:
    """Shards of one document."""
    corpus.mkdir(parents=True)
    documents = pq.read_table(copy, partitioning=None)
    for number in range(TINY_SHARDS):
        pq.write_table(documents.slice(number % len(documents), 1), corpus / f"tiny-{number:03d}.parquet")


def _link(blocks: Path, chosen: Sequence[Block], corpus: Path) -> None:
    corpus.mkdir(parents=True)
    for block in chosen:
        os.link(blocks / block.copy, corpus / block.copy)


def _affordable(blocks: Sequence[Block], one: Trial, left: float, workers: int) -> list[Block]:
    """As many blocks, from the first, as can be screened in the time that is left."""
    rate = sum(one.shards_cpu.values()) / max(1, one.text_bytes)
    budget = _SCREENING * max(0.0, left - one.wall) * workers
    chosen: list[Block] = []
    for block in blocks:
        budget -= rate * block.text_bytes
        if budget < 0 and len(chosen) >= forecast_blocks.FIRST * len({each.kind for each in blocks}):
            break
        chosen.append(block)
    return chosen


def _corpus(blocks: Path, chosen: Sequence[Block], corpus: Path, engine: Engine) -> tuple[str, ...]:
    """The blocks as shards; some of them, from all parts of the order, as one.

    A worker joins them, lest their texts count as memory of the driver.
    """
    step = max(1, len(chosen) // JOINED)
    together = list(chosen[::step])[:JOINED] if len(chosen) >= 2 * JOINED else []
    alone = [block for block in chosen if block not in together]
    _link(blocks, alone, corpus)
    if together:
        copies = tuple(blocks / block.copy for block in together)
        task = JoinTask(copies, corpus / "joined.parquet")
        list(engine.map(forecast_blocks.join, [task], _ignore))
    return tuple(block.copy for block in together)


def _audit(task: TrialTask, engine: Engine, corpus: Path) -> Trial:
    """One audit, and what it cost."""
    recording, clock = Recording(engine), StageWalls()
    run_folder = Run(task.folder / "runs" / corpus.name)
    request = Request(_config(task.request.config), task.request.base, (str(corpus),))
    begun = time.monotonic()
    with recording:
        pipeline.audit(request, run_folder, recording, clock)
    wall = time.monotonic() - begun
    spent = [entry.data for entry in run_folder.journal.read() if entry.event == pipeline.SPENT][-1]
    reports = sorted(recording.reports, key=lambda report: report.shard.name)
    return Trial(
        len(reports),
        sum(report.documents for report in reports),
        spent["text_bytes"],
        spent["workers"].get(START_UP, 0.0),
        [sum(report.seconds.values()) for report in reports],
        recording.waves,
        spent["driver"],
        wall,
        clock.seconds["screen"],
        spent["worker_peak_bytes"],
        spent["driver_peak_bytes"],
        disk_use(run_folder.folder),
        {report.shard.name: _screening(report) for report in reports},
    )


def _screening(report: ShardReport) -> float:
    return sum(seconds for stage, seconds in report.seconds.items() if stage not in (START_UP, "read"))


def _config(config: AuditConfig) -> AuditConfig:
    """The configuration, for the copies: without probes, whose time is a budget, and without references."""
    screens = {
        name: {key: value for key, value in parameters.items() if key != "references"}
        for name, parameters in (config.screens or {}).items()
    }
    corpus = config.corpus.model_copy(update={"format": "auto", "columns": COPY_COLUMNS})
    return config.model_copy(
        update={
            "corpus": corpus.model_copy(update={"name": f"forecast-{secrets.token_hex(4)}"}),
            "screens": screens if config.screens is not None else None,
            "probes": {},
        }
    )
