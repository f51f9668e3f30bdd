"""What probes say of the corpus: their results in the database, and design-weighted shares for gates.

A probe's share is what the probe would flag, had it looked at every document. It is no prevalence: people
may say otherwise, and a gate that ``requires_review`` does not take it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import duckdb
import numpy as np
import pyarrow as pa

from audit import evidence, scorecard_queries
from audit.config import AuditConfig
from audit.database import Builder
from audit.dimensions import REPORTED
from audit.drawing import Drawing
from audit.model import WHOLE, Estimate
from audit.partindex import Catalogue
from audit.policy import Missing
from audit.probe_phase import probe_sample, probe_views
from audit.probe_phase.probe_sample import PHASE, ProbeRecord, ProbeStatus
from audit.probe_phase.probe_tasks import family
from audit.probes import Probe, shares
from audit.run import Run
from audit.statistics.census import Unit
from audit.statistics.estimation import UNSURE, Prevalence

_UNITS: tuple[tuple[Unit, str], ...] = (("documents", ""), ("tokens", "_tokens"))


@dataclass(frozen=True, eq=False)
class ProbeShare:
    """The share that a probe flags, from its probability sample, with limits at any alpha; for gates.

    Attributes:
        share: The same with the probe's answers for people's.
    """

    share: Prevalence

    reviewed: ClassVar[bool] = False
    unjudged: ClassVar[tuple[str, ...]] = ()
    waiting: ClassVar[int] = 0

    @property
    def metric(self) -> str:
        """As gates name it."""
        return self.share.metric

    @property
    def slice(self) -> str:
        """As gates name it."""
        return self.share.slice

    @property
    def total(self) -> int:
        """Documents or tokens of the slice."""
        return self.share.total

    @cached_property
    def n(self) -> int:
        """Documents that the probe evaluated."""
        return sum(int(np.count_nonzero(stratum.labels != UNSURE)) for stratum in self.share.strata)

    def estimate(self, alpha: float) -> Estimate:
        """The share, with a two-sided interval at ``1 - 2·alpha``; absent where nothing was evaluated."""
        estimate = dataclasses.replace(self.share.estimate(alpha), n=self.n)
        method = f"what the probe says, not what people would: {estimate.method}"
        if not self.n:
            return dataclasses.replace(estimate, value=None, low=None, high=None, method=method)
        return dataclasses.replace(estimate, method=method)

    def upper_limit(self, alpha: float) -> float:
        """Upper limit, one-sided at level ``1 - alpha``; what was not evaluated counts as flagged."""
        return self.share.upper_limit(alpha)

    def lower_limit(self, alpha: float) -> float:
        """Lower limit, one-sided at level ``1 - alpha``; what was not evaluated counts as not flagged."""
        return self.share.lower_limit(alpha)

    def p_value_at_most(self, limit: float) -> float:
        """P-value of "the share is at most ``limit``"."""
        return self.share.p_value_at_most(limit)

    def labels_to_decide(self, limit: float, alpha: float) -> int | None:
        """About how many more documents in the sample would decide."""
        return self.share.labels_to_decide(limit, alpha)


@dataclass(frozen=True, eq=False)
class Probed:
    """The probe phase as it stands in a run.

    Attributes:
        drawing: The sample; None when nothing was drawn.
    """

    probes: tuple[Probe, ...]
    record: ProbeRecord
    drawing: Drawing | None


Found = Mapping[tuple[str, str], ProbeShare | Missing]


def fill(builder: Builder, run: Run, config: AuditConfig, parts: Catalogue) -> Probed | None:
    """Bring the probes' results into the database; None where none is configured.

    Args:
        builder: With its views over the parts made.
        run: Whose pass is complete.
        config: Names the probes.
        parts: Of the run.
    """
    record = probe_sample.load(run.sample) if config.probes else None
    probes = config.build_probes() if record is not None else ()
    drawing = None
    if record is not None:
        builder.insert("probes", _rows(record, builder))
        if record.size:
            drawing = probe_sample.draw(run.sample, run.store, config, parts, record.size)
            builder.insert("strata", drawing.strata())
            builder.insert_sampled(drawing.rows)
            builder.insert_draws(PHASE, drawing.draws)
    standing = [probe for probe in probes if builder.stands(family(probe.name))]
    for probe in probes:
        builder.db.execute(probe_views.sampled(probe, standing=probe in standing))
        builder.db.execute(probe_views.count(probe))
    builder.db.execute(probe_views.measurements(probes))
    builder.db.execute(probe_views.findings(standing))
    builder.db.execute(probe_views.phases(nested=record is not None and record.nested))
    return None if record is None else Probed(probes, record, drawing)


def gather(db: duckdb.DuckDBPyConnection, probed: Probed | None, wanted: Sequence[str]) -> Found:
    """Shares by metric and slice, and why there are none.

    Args:
        db: Filled.
        probed: The probe phase.
        wanted: Slices that gates name, beside those that are reported anyway.
    """
    if probed is None:
        return {}
    slices = list(dict.fromkeys([WHOLE, *evidence.reported_slices(db), *wanted]))
    found: dict[tuple[str, str], ProbeShare | Missing] = {}
    for probe, status in zip(probed.probes, probed.record.probes, strict=True):
        for measure in shares(probe):
            metrics = {unit: f"{probe.name}.{measure}{suffix}" for unit, suffix in _UNITS}
            if probed.drawing is None or status.missing is not None:
                why = Missing(_why(probe, status))
                found |= {(metric, name): why for metric in metrics.values() for name in slices}
                continue
            draws = db.sql(probe_views.labels(probe, measure, REPORTED)).to_arrow_table()
            for name in slices:
                for share in _shares(metrics, name, probed.drawing, draws):
                    found[share.metric, share.slice] = share
    return found


def section(db: duckdb.DuckDBPyConnection, probed: Probed | None) -> dict[str, Any] | None:
    """The scorecard's section on probes: JSON values; None where no probe is configured."""
    if probed is None:
        return None
    record = probed.record
    cursor = db.execute(scorecard_queries.PROBES)
    names = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    ((both,),) = db.execute("SELECT count(*) FROM phases").fetchall()
    return {
        "size": record.size,
        "minutes": record.minutes,
        "workers": record.workers,
        "nested": record.nested,
        "in_both_samples": both,
        "members": [{**row, "resources": json.loads(row["resources"])} for row in rows],
    }


def _why(probe: Probe, status: ProbeStatus) -> str:
    reason = status.missing or "the time budget is too small for a single document"
    return f"the probe {probe.name!r} did not run: {reason.rstrip('.')}"


def _shares(
    metrics: Mapping[Unit, str], name: str, drawing: Drawing, draws: pa.Table
) -> Iterator[ProbeShare]:
    samples = evidence.slice_samples(name, drawing, draws)
    for unit, metric in metrics.items():
        if samples:
            yield ProbeShare(Prevalence(metric, name, samples, unit))


def _rows(record: ProbeRecord, builder: Builder) -> pa.Table:
    rows = [
        {
            "probe": each.name,
            "version": each.version,
            "resources": json.dumps(dict(each.resources), sort_keys=True),
            "missing": each.missing,
            "documents_per_second": each.cost and each.cost.per_second,
            "loading_seconds": each.cost and each.cost.loading_seconds,
            "memory_bytes": each.cost and each.cost.memory_bytes,
        }
        for each in record.probes
    ]
    return pa.Table.from_pylist(rows, builder.schema("probes"))
