"""The whole story: from inputs to a verdict.

    plan -> screen every shard -> resolve what repeats -> compare clusters -> slice and count
         -> probe a sample -> evaluate

``evaluate`` (sample, estimate, gates, database, scorecard) reads only what the run folder holds, so
judgements that arrive later cost no second pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from audit import totals
from audit.current_pass import Pass
from audit.engines import Engine
from audit.evaluation import evaluate
from audit.frozen_plan import DOMAINS
from audit.model import Verdict
from audit.probe_phase.probing import ProbePhase, probe
from audit.progress import Reporter
from audit.run import Run
from audit.stages import corpus_wide
from audit.stages.opening import open_run
from audit.stages.recording import record
from audit.stages.request import Request, left_out, plan, refuse_own_files
from audit.stages.screening import screen
from audit.stages.settling import settle_parts
from audit.stages.slices import slice_all
from audit.storage.store import Part
from audit.tasks import ShardReport
from audit.workers.stage_times import Ledger

#: Event of the journal: what the run cost, by stage (``stage_times.Ledger.entry``).
SPENT = "spent"


def audit(request: Request, run: Run, engine: Engine, report: Reporter, *, fresh: bool = False) -> Verdict:
    """Audit a corpus into a run folder, or bring an earlier run up to date.

    Raises:
        ConfigurationError: Nothing to read, or a configuration that cannot work.
        FatalError: The folder is in use, the disk is full, or evidence is damaged.
    """
    ledger = Ledger()
    planned = plan(request)
    refuse_own_files(planned.shards, request, run)
    flock = request.canaries()
    with run.locked(report.note):
        screening = open_run(request, planned.shards, run, flock, report, fresh=fresh)
        engine.admit(screening.store, planned.shards)
        current = Pass(run, request.config, screening, engine, report, ledger, fresh)
        ledger.lap("plan")
        reports = screen(current, planned.shards)
        ledger.lap("screen")
        resolutions = corpus_wide.resolve(current, reports)
        matched = corpus_wide.match_references(current, reports)
        ledger.lap("match references")
        compared = corpus_wide.compare_clusters(current, reports, resolutions)
        ledger.lap("compare clusters")
        kinds = request.classification()
        slices, receipts = slice_all(current, reports, kinds)
        receipts += [receipt for each in reports for receipt in each.receipts]
        ledger.lap("slice")
        sliced = _parts(reports) + slices
        sliced += totals.bring(run.store, sliced, current.runner("slice"))
        probed = probe(ProbePhase(current, reports, sliced))
        ledger.lap("probe")
        parts = [*sliced, *(each.part for each in resolutions), *matched, *compared, *probed.parts]
        settle_parts(current, parts, receipts, by_shard={part.family for part in sliced})
        ledger.lap("count and compact")
        models = probed.models if kinds is None else {**probed.models, DOMAINS: kinds.digest()}
        record(current, reports, left_out(planned, request), models)
        ledger.lap("record")
        verdict = evaluate(run, report, runner=current.over_files("draw"))
        ledger.lap("evaluate")
        run.journal.append(SPENT, ledger.entry())
        return verdict


def _parts(reports: Sequence[ShardReport]) -> list[Part]:
    return [Part(family, r.shard.shard, key) for r in reports for family, key in r.keys.items()]
