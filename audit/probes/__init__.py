"""Probes: expensive models that look at a probability sample. They measure, they never decide.

Adding a probe is one file in this folder, of the same form as a screen: a frozen dataclass whose fields are
its parameters, whose class variables are its identity and whose docstring is its help. What differs is who is
shown to it: a sample whose size follows from the time that may be spent.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol, runtime_checkable

import pyarrow as pa

from audit.model import ScreenResult
from audit.screens import ScreenContext
from audit.workers.stage_times import peak_memory

ENTRY_POINT_GROUP = "audit.probes"


@runtime_checkable
class Probe(Protocol):
    """An expensive detector over batches of sampled documents.

    Class variables:
        name: Snake case; prefixes its measurement columns.
        version: Raised whenever the same input may give another result.
        measures: Measure -> Arrow type; ``flagged`` (bool) says whether the document is a hit.
        uses_key: Whether it hashes personal values.
        shares: Optional: measures (yes or no, or counts) of which the share of documents is estimated where
            they are true or above 0; ``flagged`` alone where it is not given.
        gpu_memory: Optional: bytes of a GPU's memory that a worker takes where there is one; 0 where it is
            not given, or where a GPU is of no use. May be a property.
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


def shares(probe: Probe) -> tuple[str, ...]:
    """Measures of which a share of documents is estimated."""
    named: tuple[str, ...] = getattr(type(probe), "shares", ("flagged",))
    return tuple(name for name in named if name in probe.measures)


def gpu_memory(probe: Probe) -> int:
    """Bytes of a GPU's memory that a worker takes; 0 for a probe that runs on cores."""
    wanted: int = getattr(probe, "gpu_memory", 0)
    return wanted


def together(costs: Sequence[Throughput]) -> Throughput:
    """The cost of several probes on the same documents, one after the other."""
    return Throughput(
        min(cost.documents for cost in costs),
        sum(cost.seconds * min(c.documents for c in costs) / cost.documents for cost in costs),
        sum(cost.loading_seconds for cost in costs),
        max(cost.memory_bytes for cost in costs),
    )


class Measuring(Protocol):
    """What a try-out needs of a probe."""

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> object:
        """Measure one batch."""
        ...


def try_out(probe: Measuring, batch: pa.RecordBatch, context: ScreenContext) -> Throughput:
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
    memory = peak_memory()
    began = time.perf_counter()
    probe.measure(batch.slice(0, 1), context)
    loaded = time.perf_counter()
    probe.measure(batch.slice(1), context)
    ended = time.perf_counter()
    seconds = max(ended - loaded, 1e-9)
    return Throughput(batch.num_rows - 1, seconds, loaded - began, peak_memory() - memory)


@cache
def available() -> Mapping[str, type[Any]]:
    """All probes by name: those of this package and those of installed plug-ins.

    Raises:
        ImportError: A probe's module cannot be imported.
        ValueError: Two probes claim one name.
    """
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    members: list[tuple[str, Any]] = [(m.__name__, member) for m in modules for member in vars(m).values()]
    found: dict[str, type[Any]] = {}
    own = [member for module, member in members if _is_probe(member, module)]
    for probe in (*own, *(point.load() for point in entry_points(group=ENTRY_POINT_GROUP))):
        if probe.name in found:
            raise ValueError(f"two probes are named {probe.name!r}")
        found[probe.name] = probe
    return found


def _is_probe(member: Any, module: str) -> bool:
    own = isinstance(member, type) and member.__module__ == module and dataclasses.is_dataclass(member)
    return own and all(hasattr(member, attribute) for attribute in ("name", "version", "measures"))
