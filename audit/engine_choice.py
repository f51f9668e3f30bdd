"""Which engine a command runs on, by its options and the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.engines import Engine
from audit.engines.local import LocalEngine
from audit.errors import ConfigurationError
from audit.workers import memory
from audit.workers.worker_pool import Worker

if TYPE_CHECKING:  # a worker starts before what they import is loaded
    from audit.config import AuditConfig
    from audit.progress import Reporter

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class EngineOptions:
    """What was given with a command; None: as configured.

    Attributes:
        engine: ``local`` or ``ray``.
        address: Of a Ray cluster.
        workers: At most so many.
    """

    engine: str | None = None
    address: str | None = None
    workers: int | None = None


@contextmanager
def chosen_engine(
    config: AuditConfig, options: EngineOptions, report: Reporter, first: Worker | None = None
) -> Iterator[Engine]:
    """The engine, connected for as long as the context lasts.

    Args:
        config, options, report: Of the command.
        first: A worker of this machine that was started ahead; ended where the engine has no use for it.

    Raises:
        ConfigurationError: There is no such engine, or it cannot be reached.
    """
    name = options.engine or config.run.engine
    if name not in ENGINES:
        raise ConfigurationError(
            f"unknown engine {name!r}", key="--engine", remedy=f"Known: {', '.join(ENGINES)}"
        )
    if name == "local":
        if options.address is not None:
            raise ConfigurationError(
                "an address is that of a cluster", key="--address", remedy="Give --engine ray with it"
            )
        with _local(config, options.workers, report, first) as engine:
            yield engine
        return
    from audit.engines.ray import Cluster, RayEngine  # with what it imports, which no other engine needs

    if first is not None:
        first.dismiss()
    where = Cluster(
        options.address or config.run.address,
        options.workers or config.run.workers,
        config.run.memory_bytes,
        config.run.stall_seconds,
    )
    with RayEngine(where, report.note) as cluster:
        report.note(f"ray: {cluster.workers} workers")
        yield cluster


def _local(config: AuditConfig, workers: int | None, report: Reporter, first: Worker | None) -> LocalEngine:
    """This machine, with as many workers as the memory allows."""
    asked, limit = workers or config.run.workers or os.cpu_count() or 1, config.run.memory_bytes
    if limit is not None and not memory.can_watch():
        report.note("run.memory: this system does not tell what a process holds, so the limit is not kept")
    divided = memory.divide(limit, asked)
    if divided.workers < asked:
        report.note(f"run.memory: {config.run.memory} are enough for {divided.workers} workers, not {asked}")
    return LocalEngine(divided.workers, divided.share, config.run.stall_seconds, first)
