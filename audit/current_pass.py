"""The pass at work, as each of its stages sees it."""

from __future__ import annotations

from dataclasses import dataclass

from audit import engine_runner
from audit.config import AuditConfig
from audit.duplicates.exchange import Runner
from audit.engine_runner import EngineRunner
from audit.engines import Engine
from audit.progress import Reporter
from audit.run import Run
from audit.tasks import Screening
from audit.workers.stage_times import Ledger


@dataclass(frozen=True)
class Pass:
    """A pass over a corpus: into which run, by what, and what it has cost so far.

    Attributes:
        run: Locked.
        screening: What its workers are told.
        engine: Its workers.
        ledger: Takes what driver and workers spend, by stage.
        fresh: Whether what stands is computed again.
    """

    run: Run
    config: AuditConfig
    screening: Screening
    engine: Engine
    report: Reporter
    ledger: Ledger
    fresh: bool = False

    def runner(self, stage: str) -> EngineRunner:
        """The workers, for tasks that read and write parts; their time goes to this stage."""
        return EngineRunner(self.engine, self.ledger, stage)

    def over_files(self, stage: str) -> Runner:
        """A runner for tasks that exchange files; see ``engine_runner.over_files``."""
        return engine_runner.over_files(self.engine, self.run.store, self.ledger, stage)
