"""Probes: expensive models that look at a probability sample. They measure, they never decide.

Adding a probe is one file in this folder, of the same form as a screen: a frozen dataclass whose fields are
its parameters, whose class variables are its identity and whose docstring is its help. What differs is who is
shown to it: a sample whose size follows from the time that may be spent.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol, runtime_checkable

import pyarrow as pa

from audit.model import ScreenResult
from audit.screens import ScreenContext


@runtime_checkable
class Probe(Protocol):
    """An expensive detector over batches of sampled documents.

    Class variables:
        name: Snake case; prefixes its measurement columns.
        version: Raised whenever the same input may give another result.
        measures: Measure -> Arrow type; ``flagged`` (bool) says whether the document is a hit.
        uses_key: Whether it hashes personal values.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    measures: ClassVar[Mapping[str, pa.DataType]]
    uses_key: ClassVar[bool]

    def resources(self) -> Mapping[str, str]:
        """Library and model versions that its result depends on; part of the work key."""
        ...

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Measure one batch (``DOCUMENT_SCHEMA``); loads its model on first use."""
        ...


@dataclass(frozen=True)
class Throughput:
    """What a probe was seen to cost.

    Attributes:
        documents: That it was tried on.
        seconds: Wall time for these, the model being loaded.
        loading_seconds: For the model and the first document.
        memory_bytes: By which the process' peak of resident memory grew.
    """

    documents: int
    seconds: float
    loading_seconds: float
    memory_bytes: int

    @property
    def per_second(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds

    def sample_size(self, budget_seconds: float, workers: int = 1) -> int:
        """Documents that a time budget allows, each worker loading the model once; 0 when it is too small."""
        left = max(0.0, budget_seconds - self.loading_seconds)
        return int(left * self.per_second * workers)


def try_out(probe: Probe, batch: pa.RecordBatch, context: ScreenContext) -> Throughput:
    """Measure a probe's cost on documents like those of the corpus.

    Args:
        probe: Any.
        batch: At least two documents; the first is spent on loading.
        context: With the key, where the probe needs one.

    Raises:
        ValueError: There are fewer than two documents.
    """
    if batch.num_rows < 2:
        raise ValueError("a try-out needs at least two documents")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    probe.measure(batch.slice(0, 1), context)
    loaded = time.perf_counter()
    probe.measure(batch.slice(1), context)
    ended = time.perf_counter()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    return Throughput(batch.num_rows - 1, max(ended - loaded, 1e-9), loaded - began, grown * 1024)


@cache
def available() -> Mapping[str, type[Any]]:
    """All probes of this package by name.

    Raises:
        ImportError: A probe's module cannot be imported.
    """
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    members: list[tuple[str, Any]] = [(m.__name__, member) for m in modules for member in vars(m).values()]
    return {member.name: member for module, member in members if _is_probe(member, module)}


def _is_probe(member: Any, module: str) -> bool:
    own = isinstance(member, type) and member.__module__ == module and dataclasses.is_dataclass(member)
    return own and all(hasattr(member, attribute) for attribute in ("name", "version", "measures"))
