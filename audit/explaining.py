"""Why a gate came out as it did: the whole derivation, as data and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from audit import drawing, frozen_plan, gate_inputs, reports
from audit.config import AuditConfig
from audit.errors import ConfigurationError
from audit.gate_evidence import Charged, Evidence, Missing
from audit.parameters import nearest
from audit.partindex import Catalogue
from audit.policy import Gate, needs_review, usable_evidence
from audit.probe_phase import probe_sample
from audit.probe_phase.probe_evidence import Probed, ProbeShare
from audit.run import Run
from audit.statistics.estimation import UNSURE, YES, Prevalence

CITATIONS = {
    "review": (
        'limits: N. Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a '
        'nonnegative variable", Mathematical Methods of Statistics 14(4), 2005 (one stratum: C. J. Clopper, '
        "E. S. Pearson, Biometrika 26, 1934)",
        'looks: K. K. G. Lan, D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika '
        "70, 1983",
    ),
    "census": ("none: every document was looked at, nothing was sampled",),
    "decision": (
        'GO: R. L. Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, '
        "1982",
        'NO-GO: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of '
        "Statistics 6, 1979",
    ),
}
_ESTIMANDS = {
    "review": "the share of {unit} in the slice that people would call harm, had they judged every document "
    "and had adjudicators decided where they differ",
    "probe": "the share of {unit} in the slice that the probe would flag, had it looked at every document",
    "census": "what the screens of the run say of the {unit} in the slice; not what people would say",
}


def explain(run: Run, name: str) -> dict[str, Any]:
    """The derivation of a gate's outcome, as of the last evaluation; the run must be locked.

    Args:
        run: A run that was evaluated.
        name: Of the gate.

    Raises:
        ConfigurationError: No gate has that name.
    """
    card, config = run.scorecard(), run.config()
    gates = {gate.name: gate for gate in config.policy.gates}
    if name not in gates:
        raise ConfigurationError(
            f"the policy has no gate {name!r}", key="GATE", remedy=nearest(name, gates, "Known gates")
        )
    gate = gates[name]
    told = next(row for row in card["gates"] if row["gate"] == name)
    evidence = _inputs(run, config, card).by_name
    asked = config.sampling.metrics
    found = usable_evidence(gate, evidence, asked)
    shown = evidence.get((gate.metric, gate.slice))
    held = None if shown is None or isinstance(shown, Missing) else shown
    kind = _kind(held)
    return {
        **told,
        "requires_review": needs_review(gate, asked),
        "minimum_n": gate.minimum_n,
        "estimand": None if held is None else _ESTIMANDS[kind].format(unit=_unit(held)),
        "kind": kind,
        "missing": found.reason if isinstance(found, Missing) else None,
        "bounds": None if held is None else _bounds(gate, held),
        "holm": _holm(config.policy.gates, evidence, gate, asked),
        "unread": _unread(held, card),
        "design": _design(card, held),
        "strata": [] if held is None else list(_strata(held)),
        "canaries": [row for row in card["canaries"] if _concerns(row["screen"], gate.metric, config)],
        "plan": card["plan"],
        "change": None if held is None else _change(gate, held),
        "citations": [*CITATIONS["census" if kind == "census" else "review"], *CITATIONS["decision"]],
        "verdict": card["verdict"],
    }


def _inputs(run: Run, config: AuditConfig, card: Mapping[str, Any]) -> gate_inputs.Inputs:
    """The evidence again, from what stands; nothing is written."""
    plan = frozen_plan.standing(run, config)
    size = drawing.size_drawn(run.sample)
    with run.connect() as db:
        return gate_inputs.gather(
            db,
            config,
            reports.read(run.store.folder / reports.FILE),
            gate_inputs.corpus_wide(run.store),
            None if size is None else frozen_plan.draw(run, config, plan, size),
            _probed(run, config),
            left_out=run.header()["left_out"]["bytes"],
            obstacle=card["plan"]["obstacle"],
        )


def _probed(run: Run, config: AuditConfig) -> Probed | None:
    record = probe_sample.load(run.sample) if config.probes else None
    if record is None:
        return None
    parts = Catalogue.recorded(run.store)
    drawn = probe_sample.draw(run.sample, run.store, config, parts, record.size) if record.size else None
    return Probed(config.build_probes(), record, drawn)


def _read(found: Evidence) -> Evidence:
    return found.read if isinstance(found, Charged) else found


def _sample(found: Evidence) -> Prevalence | None:
    """The sample behind an estimate, where there is one."""
    read = _read(found)
    if isinstance(read, ProbeShare):
        return read.share
    return read if isinstance(read, Prevalence) else None


def _kind(found: Evidence | None) -> str:
    if found is None:
        return "none"
    if _sample(found) is None:
        return "census"
    return "review" if found.reviewed else "probe"


def _unit(found: Evidence) -> str:
    sample = _sample(found)
    unit = sample.unit if sample else getattr(_read(found), "unit", "documents")
    return "tokens (in harmful documents)" if unit == "tokens" else str(unit)


def _bounds(gate: Gate, found: Evidence) -> dict[str, Any]:
    """Both limits, of what was read and of all; a test of each side."""
    read = _read(found)
    return {
        "upper": found.upper_limit(gate.alpha),
        "lower": found.lower_limit(gate.alpha),
        "upper_of_read": read.upper_limit(gate.alpha),
        "lower_of_read": read.lower_limit(gate.alpha),
        "p_value_at_most": found.p_value_at_most(gate.limit),
        "n": found.n,
        "total": found.total,
        "waiting": found.waiting,
    }


def _holm(
    gates: Sequence[Gate],
    evidence: Mapping[tuple[str, str], Evidence | Missing],
    gate: Gate,
    questions: Sequence[str],
) -> dict[str, Any]:
    """The p-value of failing, corrected over the gates of the same severity."""
    family = [each for each in gates if each.severity == gate.severity]
    surprise: list[tuple[float, str]] = []
    for each in family:
        found = usable_evidence(each, evidence, questions)
        p_value = 1.0 if isinstance(found, Missing) else found.p_value_at_most(each.limit)
        surprise.append((p_value / each.alpha, each.name))
    adjusted = 0.0
    for step, (ratio, name) in enumerate(sorted(surprise)):
        adjusted = max(adjusted, min(1.0, ratio * (len(family) - step) * gate.alpha))
        if name == gate.name:
            return {"gates": len(family), "rank": step + 1, "adjusted_p_value": adjusted, "alpha": gate.alpha}
    raise KeyError(gate.name)


def _unread(found: Evidence | None, card: Mapping[str, Any]) -> dict[str, Any]:
    covered = card["accounting"]["coverage"]
    keys = ("rejected", "unread_share", "failed_shards", "left_out_share", "max_unscreened")
    charged = found.unread if isinstance(found, Charged) else 0.0
    return {"charged_to_the_slice": charged, **{key: covered[key] for key in keys}}


def _design(card: Mapping[str, Any], found: Evidence | None) -> dict[str, Any] | None:
    """How the sample behind the gate was drawn."""
    sample = None if found is None else _sample(found)
    if found is None or sample is None:
        return None
    settings = card["sampling"]["settings"]
    keys = ("strata", "proportional_share", "rule", "drawn")
    shown = {key: settings[key] for key in keys if key in settings}
    if not found.reviewed and card["probes"]:
        shown |= {"drawn": card["probes"]["size"]}
    return {**shown, "rule": sample.rule}


def _strata(found: Evidence) -> Iterator[dict[str, Any]]:
    sample = _sample(found)
    for stratum in sample.strata if sample else ():
        judged = len(stratum.labels)
        yield {
            "stratum": stratum.stratum,
            "documents": stratum.documents,
            "tokens": stratum.tokens,
            "drawn": judged + stratum.waiting,
            "judged": judged,
            "positives": int((stratum.labels == YES).sum()),
            "unsure": int((stratum.labels == UNSURE).sum()),
            "waiting": stratum.waiting,
            "weight": stratum.documents / judged if judged else None,
        }


def _change(gate: Gate, found: Evidence) -> dict[str, Any]:
    """About how many more labels would decide, and where they would fall, were they as those so far."""
    more = found.labels_to_decide(gate.limit, gate.alpha)
    strata = list(_strata(found))
    judged = sum(row["judged"] for row in strata)
    spread = {
        row["stratum"]: min(-(-more * row["judged"] // judged), row["documents"] - row["judged"])
        for row in strata
        if more is not None and judged and row["documents"] > row["judged"] > 0
    }
    return {"labels": more, "by_stratum": spread, "unjudged_strata": list(found.unjudged)}


def _concerns(screen: str, metric: str, config: AuditConfig) -> bool:
    """Whether a gate rests on a screen's counts."""
    head = metric.rpartition(".")[0]
    needs = {s.name: set(s.needs) for s in config.build_screens()}
    if head == "duplicates":
        return screen.endswith("duplicates")
    return screen == head or screen in needs.get(head, ())
