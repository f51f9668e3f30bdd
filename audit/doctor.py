"""Checks what a run needs, before it starts, and says what each lack costs."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.table import Table

from audit import config as configuration
from audit import hmac_key, sources
from audit.config import AuditConfig
from audit.errors import AuditError, ConfigurationError
from audit.pii import phone_plan_cache
from audit.probe_phase import probe_check
from audit.probes import Probe, available, try_out
from audit.screens import Screen, ScreenContext
from audit.workers import memory

_GIB, _MIB = 1 << 30, 1 << 20
#: What a probe is tried on: short documents, and the time that its sample size is told for.
_SAMPLE = "The river crosses the old town, where the library and the market overlook the stone bridge. " * 10
_TRIES, _PROBE_SECONDS = 17, 600
#: Bytes of parts per byte of text, at most: rows and sketches of short documents weigh most.
_DISK_SHARE = 0.5
_EXTRAS = {
    "datasets": ("huggingface", "hf:// inputs and saved Hugging Face data sets cannot be read"),
}


@dataclass(frozen=True)
class Check:
    """One thing looked at: ``ok``, ``lacks`` (something is lost) or ``fails`` (the run cannot work)."""

    name: str
    state: str
    found: str
    cost: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def examine(path: Path | None) -> list[Check]:
    """Run every check; the configuration's own only when one is given."""
    checks = [_python(), _memory(None), _disk(None), _key(), _phone_plans(), *_extras()]
    if path is None:
        return [*checks, *_probes()]
    try:
        config = configuration.load(path)
    except AuditError as error:
        return [*checks, Check("configuration", "fails", str(error))]
    checks[1] = _memory(config)
    return [
        *checks,
        Check("configuration", "ok", f"digest {config.digest()[:16]}"),
        *_inputs(config, path),
        *_models(config),
        *_configured_probes(config, path),
    ]


def lines(checks: Iterable[dict[str, Any]]) -> list[str | Table]:
    """Lines for people."""
    table = Table("check", "state", "found", "what a lack costs", box=None, pad_edge=False)
    for check in checks:
        table.add_row(check["name"], check["state"], check["found"], check["cost"])
    return [table]


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", "ok" if sys.version_info >= (3, 11) else "fails", found)


def _memory(config: AuditConfig | None) -> Check:
    total, limit = memory.machine_bytes(), config.run.memory_bytes if config else None
    workers = (config.run.workers if config else None) or os.cpu_count() or 1
    if limit is not None:
        return _limited_memory(limit, total, workers)
    found = f"{total / _GIB:.0f} GiB, {workers} workers want about {memory.wanted(workers) / _GIB:.0f}"
    if total >= memory.wanted(workers):
        return Check("memory", "ok", found)
    return Check("memory", "lacks", found, f"set run.workers to {memory.divide(total, workers).workers}")


def _limited_memory(limit: int, total: int, workers: int) -> Check:
    """What ``run.memory`` gives to each worker, and whether it can be kept."""
    divided = memory.divide(limit, workers)
    share = f"{(divided.share or 0) / _GIB:.1f} for each of {divided.workers} workers"
    found = f"run.memory {limit / _GIB:.1f} of {total / _GIB:.0f} GiB, {share}"
    if limit > total:
        return Check("memory", "lacks", found, "the machine has less; lower run.memory")
    if not memory.can_watch():
        return Check(
            "memory", "lacks", found, "this system does not tell what a process holds; it is not kept"
        )
    if divided.share is not None and divided.share < memory.WORKER_BYTES:
        want = memory.wanted(1) / _GIB
        return Check(
            "memory", "lacks", found, f"documents may go unevaluated; one worker wants {want:.1f} in all"
        )
    if divided.workers < workers:
        want = memory.wanted(workers) / _GIB
        return Check("memory", "lacks", found, f"{workers} workers want {want:.1f}; the run takes longer")
    return Check("memory", "ok", found)


def _disk(needed: int | None) -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    want = needed or 0
    found = f"{free / _GIB:.0f} GiB free here" + (f", about {want / _GIB:.1f} wanted" if want else "")
    return Check(
        "disk",
        "ok" if free > want else "fails",
        found,
        "" if free > want else "the run stops when it is full",
    )


def _key() -> Check:
    path = hmac_key.default_path()
    if not path.exists():
        return Check("hmac key", "ok", f"{path} (made by the first run)")
    return _attempt("hmac key", lambda: f"{path}, id {hmac_key.load_or_create(path).key_id}")


def _phone_plans() -> Check:
    """Where the compiled numbering plans are kept; without, every process compiles them."""
    trouble = phone_plan_cache.trouble()
    if trouble is None:
        return Check("phone plans", "ok", str(phone_plan_cache.folder()))
    return Check("phone plans", "lacks", trouble, "each process compiles them, in up to a second")


def _extras() -> list[Check]:
    return [_extra(package, extra, cost) for package, (extra, cost) in _EXTRAS.items()]


def _extra(package: str, extra: str, cost: str) -> Check:
    try:
        return Check(package, "ok", version(package))
    except PackageNotFoundError:
        return Check(package, "lacks", "not installed", f'{cost}; pip install "corpus-audit[{extra}]"')


def _probes() -> list[Check]:
    return [_probe(name, probe()) for name, probe in available().items()]


def _configured_probes(config: AuditConfig, path: Path) -> list[Check]:
    """The configured probes on documents of the corpus, and the sample that the time budget allows."""
    if not config.probes:
        return []
    if not config.corpus.inputs:
        return [_probe(probe.name, probe) for probe in config.build_probes()]
    try:
        found = probe_check.costs(config, path.resolve().parent)
    except (AuditError, ValueError) as error:
        return [Check("probes", "fails", str(error), "no document to try them on")]
    checks = [_cost(each) for each in found]
    size, minutes = probe_check.size(config, found), config.sampling.probe.minutes
    if size is not None:
        workers = probe_check.workers(config)
        told = f"{minutes:g} minutes with {workers} workers allow {size:,} documents"
        cost = "" if size else "no probe looks at any; raise sampling.probe.minutes"
        checks.append(Check("probe sample", "ok" if size else "lacks", told, cost))
    return checks


def _cost(found: probe_check.Cost) -> Check:
    name, cost = f"probe {found.name}", found.cost
    if isinstance(cost, str):
        return Check(name, "lacks", cost, "gates on it have insufficient evidence")
    speed = f"{cost.per_second:,.1f} documents/s of this corpus, {cost.memory_bytes / _MIB:,.0f} MiB a worker"
    return Check(name, "ok", f"{speed}, loaded in {cost.loading_seconds:.1f} s ({found.models})")


def _probe(name: str, probe: Probe) -> Check:
    try:
        return Check(f"probe {name}", "ok", _try_probe(probe))
    except ConfigurationError as error:
        return Check(
            f"probe {name}", "lacks", error.message, f"it cannot be used; {error.remedy or error.key}"
        )


def _try_probe(probe: Probe) -> str:
    """Its model, and what it costs on a few documents; those of a corpus may be longer."""
    versions = ", ".join(f"{name} {value[:16]}" for name, value in probe.resources().items())
    texts = [f"{_SAMPLE} Number {n}." for n in range(_TRIES)]
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    cost = try_out(probe, batch, ScreenContext({}, secrets.token_bytes(32)))
    size = cost.sample_size(_PROBE_SECONDS)
    return (
        f"{cost.per_second:,.0f} documents/s of {len(_SAMPLE)} characters, "
        f"{cost.memory_bytes / _MIB:,.0f} MiB; {_PROBE_SECONDS} s allow {size:,} ({versions})"
    )


def _inputs(config: AuditConfig, path: Path) -> list[Check]:
    if not config.corpus.inputs:
        return [Check("inputs", "lacks", "none in the configuration", "name them after the configuration")]
    try:
        shards = sources.plan(
            config.corpus.inputs,
            format=config.corpus.format,
            shard_bytes=config.run.shard_bytes,
            base=path.resolve().parent,
        )
    except AuditError as error:
        return [Check("inputs", "fails", str(error))]
    size = sum(shard.size for shard in shards)
    return [
        Check("inputs", "ok", f"{len(shards)} shards, {size / 1e6:,.1f} MB"),
        _disk(int(size * _DISK_SHARE)),
    ]


def _models(config: AuditConfig) -> list[Check]:
    return [
        _attempt(f"screen {screen.name}", partial(_resources, screen)) for screen in config.build_screens()
    ]


def _resources(screen: Screen) -> str:
    return ", ".join(f"{name} {value[:16]}" for name, value in screen.resources().items())


def _attempt(name: str, probe: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", probe())
    except (AuditError, OSError, ImportError) as error:
        return Check(name, "fails", f"{type(error).__name__}: {error}")
