"""The sample that probes look at: how many documents, drawn how, and what is kept of it.

Probe and review are two phases over one corpus. Let m and n be the documents that they draw in a stratum
of N, and pi1 = m/N, pi = n/N.

- Independent: the probe's numbers come from another salt and its strata are formed for its own size. A
  document is in both samples with probability pi1 · pi.
- Nested: strata and numbers are the review's, so the m and the n smallest numbers of a stratum are
  drawn, and the smaller sample lies in the larger one. Given the set of the m, their numbers are in random
  order, so that the review is a simple random sample of n of them: pi2|1 = n/m. Over both phases pi* =
  pi1 · pi2|1 = (m/N)(n/m) = n/N = pi (C.-E. Särndal, B. Swensson, J. Wretman, "Model Assisted Survey
  Sampling", 1992, ch. 9): the review's own probabilities stay those of its design, whether the probe ran or
  not. A document is in both with probability min(pi1, pi).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import drawing
from audit.config import AuditConfig
from audit.drawing import Drawing, Phase
from audit.duplicates.exchange import Runner, threads
from audit.partindex import Catalogue
from audit.permanent_numbers import salted_seed
from audit.probes import Throughput
from audit.storage.store import Store, write_atomically

PHASE = "probe"
_RECORD = "probes.json"


@dataclass(frozen=True)
class ProbeStatus:
    """A configured probe.

    Attributes:
        resources: Libraries and models by name: version or digest.
        missing: Why it could not run; None where it did.
        cost: What the try-out measured, where the size followed from a time budget.
    """

    name: str
    version: str
    resources: Mapping[str, str]
    missing: str | None = None
    cost: Throughput | None = None


@dataclass(frozen=True)
class ProbeRecord:
    """What the probe phase was.

    Attributes:
        size: Documents to draw.
        minutes, workers: The time budget that the size follows from; None where it was given.
        nested: Whether it shares the review's numbers.
    """

    size: int
    minutes: float | None
    workers: int | None
    nested: bool
    probes: tuple[ProbeStatus, ...]


def folder(sample: Path) -> Path:
    """Where the probe sample is kept, below the run's ``sample`` folder."""
    return sample / PHASE


def save(sample: Path, record: ProbeRecord) -> None:
    """Keep the record beside the draws."""
    folder(sample).mkdir(parents=True, exist_ok=True)
    text = json.dumps(dataclasses.asdict(record), sort_keys=True, indent=2) + "\n"
    write_atomically(folder(sample) / _RECORD, text.encode())


def load(sample: Path) -> ProbeRecord | None:
    """The record of the last probe phase; None when there was none."""
    path = folder(sample) / _RECORD
    if not path.exists():
        return None
    plain: dict[str, Any] = json.loads(path.read_bytes())
    return ProbeRecord(**{**plain, "probes": tuple(_status(each) for each in plain["probes"])})


def _status(plain: Mapping[str, Any]) -> ProbeStatus:
    cost = plain["cost"]
    return ProbeStatus(**{**plain, "cost": Throughput(**cost) if cost else None})


def draw(
    sample: Path,
    store: Store,
    config: AuditConfig,
    parts: Catalogue,
    size: int,
    runner: Runner = threads,
) -> Drawing:
    """Draw the documents that the probes look at, or recall them; see ``drawing.draw``."""
    phase = Phase(PHASE) if config.sampling.probe.nested else Phase(PHASE, formed_for=size, salt=PHASE)
    return drawing.draw(folder(sample), store, config, parts, size, phase, runner)


def seeds(config: AuditConfig, seed: bytes) -> tuple[bytes, ...]:
    """Seeds of all samples that are drawn: the review's, and the probe's where that is independent."""
    independent = config.probes and not config.sampling.probe.nested
    return (seed, salted_seed(seed, PHASE)) if independent else (seed,)


def joint_probability(probe: float, review: float, *, nested: bool) -> float:
    """Probability that a document is in both samples, given its probability in each."""
    return min(probe, review) if nested else probe * review
