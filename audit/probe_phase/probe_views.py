"""SQL of the views over the probes' parts: what they found in the documents that were drawn for them."""

from __future__ import annotations

from collections.abc import Sequence

from audit import views
from audit.probe_phase.probe_sample import PHASE
from audit.probe_phase.probe_tasks import family
from audit.probes import Probe

_DRAWN = "samples.doc_id, samples.shard, samples.position, samples.stratum, samples.draw"
_FINDING = 'kind, start, "end", score, severity, preview, value_hash'
_FINDING_KINDS = {"probe" if name == "screen" else name: kind for name, kind in views.FINDING.items()}
_MEASUREMENT_KINDS = {
    "doc_id": "VARCHAR",
    "shard": "VARCHAR",
    "position": "BIGINT",
    "probe": "VARCHAR",
    "measure": "VARCHAR",
    "value": "DOUBLE",
}


def sampled(probe: Probe, *, standing: bool) -> str:
    """A row a drawn document, with what the probe measured; parts may hold more, of earlier samples."""
    columns = [f"{probe.name}_{measure}" for measure in probe.measures]
    if not standing:
        measures = ", ".join(f"NULL::DOUBLE AS {column}" for column in columns)
        missing = (
            f"(SELECT 'failed: ' || coalesce(missing, 'not run') FROM probes WHERE probe = '{probe.name}')"
        )
        return f"""CREATE VIEW {family(probe.name)} AS
            SELECT {_DRAWN}, samples.inclusion_probability, {missing} AS state, {measures}
            FROM samples WHERE phase = '{PHASE}'"""
    return f"""CREATE VIEW {family(probe.name)} AS
        SELECT {_DRAWN}, samples.inclusion_probability,
            CASE WHEN found.shard IS NULL THEN 'failed: not measured' ELSE found.state END AS state,
            {", ".join(f"found.{column}" for column in columns)}
        FROM samples LEFT JOIN {_once(probe)} AS found USING (shard, position) WHERE phase = '{PHASE}'"""


def measurements(probes: Sequence[Probe]) -> str:
    """A row a drawn document, probe and measure."""
    selects = [
        f"""SELECT doc_id, shard, position, '{probe.name}' AS probe, '{measure}' AS measure,
            CAST({probe.name}_{measure} AS DOUBLE) AS value FROM {family(probe.name)}"""
        for probe in probes
        for measure in probe.measures
    ]
    empty = views.empty(_MEASUREMENT_KINDS)
    return "CREATE VIEW probe_measurements AS " + " UNION ALL ".join(selects or [empty])


def findings(probes: Sequence[Probe]) -> str:
    """A row a finding in a drawn document; of the probes that have parts."""
    hit = ", ".join(f"hit.{name.strip()}" for name in _FINDING.split(","))
    selects = [
        f"""SELECT samples.doc_id, '{probe.name}' AS probe, {hit}, samples.shard, samples.position
        FROM samples JOIN (SELECT shard, position, unnest(findings) AS hit FROM {_once(probe)}) AS found
        USING (shard, position) WHERE phase = '{PHASE}'"""
        for probe in probes
    ]
    return "CREATE VIEW probe_findings AS " + " UNION ALL ".join(selects or [views.empty(_FINDING_KINDS)])


def count(probe: Probe) -> str:
    """What became of each drawn document, by shard."""
    states = ", ".join(f"count(*) FILTER (state LIKE '{outcome}%')" for outcome in ("skipped", "failed"))
    return f"""INSERT INTO evaluations
        SELECT shard, '{probe.name}', count(*) FILTER (state IS NULL), {states}, state
        FROM {family(probe.name)} GROUP BY shard, state ORDER BY ALL"""


def phases(*, nested: bool) -> str:
    """Documents in both samples, with their probabilities; see ``audit.probe_phase.probe_sample``."""
    joint = "least(first.pi, second.pi)" if nested else "first.pi * second.pi"
    drawn = "SELECT doc_id, shard, position, inclusion_probability AS pi FROM samples WHERE phase ="
    return f"""CREATE VIEW phases AS
        SELECT first.doc_id, shard, position, first.pi AS probe_probability,
            second.pi AS review_probability, {joint} AS joint_probability
        FROM ({drawn} '{PHASE}') AS first JOIN ({drawn} 'review') AS second USING (shard, position)"""


def labels(probe: Probe, measure: str, dimensions: Sequence[str]) -> str:
    """The sample in draw order with dimensions, tokens, and the probe's answer as a label.

    What was not evaluated is unsure: harm for the upper limit, none for the lower.
    """
    value = f"CAST({probe.name}_{measure} AS DOUBLE)"
    shown = ", ".join(f"documents.{name}" for name in dimensions)
    return f"""SELECT probed.stratum, probed.draw,
            CASE WHEN state IS NOT NULL OR {value} IS NULL THEN 'unsure'
                WHEN {value} > 0 THEN 'yes' ELSE 'no' END AS label,
            documents.n_tokens AS tokens, {shown}
        FROM {family(probe.name)} AS probed JOIN sampled_documents AS documents USING (shard, position)
        ORDER BY probed.stratum, probed.draw"""


def _once(probe: Probe) -> str:
    """The rows of the probe's parts, each document once: two samples may have shared it."""
    rows = views.parts(family(probe.name))
    return f"(SELECT * FROM {rows} QUALIFY row_number() OVER (PARTITION BY shard, position ORDER BY 1) = 1)"
