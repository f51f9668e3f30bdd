"""The plan of a review: frozen before the first label, and what becomes of later changes.

Estimator, limits, slices, design and questions are fixed, with their digest in the journal, when the sample
is first exported or the first judgements are imported, whichever comes first. Whoever could change them
afterwards could go on until the answer pleases, at any alpha (J. P. Simmons, L. D. Nelson, U. Simonsohn,
"False-positive psychology", Psychological Science 22, 2011; for trials, ICH E9, "Statistical Principles for
Clinical Trials", 1998, section 5.1). So:

- The sample may be extended: the sequential limits are paid for that. A larger ``sampling.size`` is an
  extension, not a change; strata stay those of the frozen size.
- Any other change leaves no gate that rests on judgements decided, until it is put back or declared under
  ``policy.amendments`` with owner and reason. That starts a new plan.
- Where gates only become stricter (new ones, lower limits or alphas, warn to block, larger minimum n, review
  required) or questions are added, GO has become harder, and the sample is kept.
- Else the new plan draws anew, from numbers independent of the old draw and so of all labels that its author
  may have seen. A label that stands counts where its document is drawn again: it is a fact of the document.
- A corpus from which judged documents disappeared, or in which their texts changed, is another corpus than
  the sample was drawn of: what was found to be harm may have been removed while its like stayed. That, too,
  asks for an amendment and a new draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit import drawing
from audit.config import AuditConfig, digest_json
from audit.dimensions import PRESENT
from audit.drawing import Drawing, Phase
from audit.duplicates.exchange import Runner, threads
from audit.lineage.journal import Entry
from audit.partindex import Catalogue
from audit.run import Run

FROZEN, AMENDED = "plan frozen", "plan amended"
#: Name of the estimator that every run of this version uses; raised when a number that it gives changes.
ESTIMATOR = "stratified, completed prefix; Gaffke's limits; 1"
#: The one setting that may change: an extension of the sample.
_SIZE = "design.size"
#: Name of the user's classification of hosts and addresses among the models of a manifest.
DOMAINS = "sampling.domains"
_OPTIONAL = {"allocation", "minimum_per_stratum", "take_all", "cost"}


@dataclass(frozen=True)
class Plan:
    """The plan as it stands.

    Attributes:
        number: From 1; 0 while nothing is frozen.
        content: What it covers, nested; of an unfrozen one what would be.
        frozen_at: UTC; None while nothing is frozen.
        salt: Makes its draws independent of earlier ones; None for the run's own numbers.
        imports: Imports of judgements that came before it.
        changed: Dotted keys in which the configuration differs from it.
    """

    number: int
    content: Mapping[str, Any]
    frozen_at: str | None = None
    salt: str | None = None
    imports: int = 0
    changed: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of what it covers."""
        return digest_json(self.content)

    @property
    def obstacle(self) -> str | None:
        """Why judgements decide nothing as the configuration stands, or None."""
        if not self.changed:
            return None
        keys = ", ".join(self.changed[:5]) + (" …" if len(self.changed) > 5 else "")
        return (
            f"the plan was frozen on {self.frozen_at} and the configuration has changed since ({keys}): put "
            "it back, or declare the change under policy.amendments with owner and reason"
        )

    def summary(self) -> dict[str, Any]:
        """For the scorecard."""
        return {
            "number": self.number,
            "digest": self.digest if self.number else None,
            "frozen_at": self.frozen_at,
            "changed": list(self.changed),
            "new_draw": self.salt is not None,
            "covers": sorted(self.content),
        }


def content(config: AuditConfig, size: int, domains: str | None = None) -> dict[str, Any]:
    """What a plan covers, as plain data.

    Settings of the design that are at their defaults are left out, so that a plan that was frozen before
    they were known still stands.

    Args:
        config: The configuration.
        size: Documents of the declared sample.
        domains: Digest of the user's classification of hosts and addresses.
    """
    sampling, strata = config.sampling, config.strata()
    scoring = {name.removesuffix("_band").removesuffix(PRESENT) for name in strata}
    scoring |= {*sampling.metrics, *config.detectors().values()}
    parameters = config.resolved()["screens"]
    return {
        "estimator": {
            "name": ESTIMATOR,
            "rule": sampling.rule,
            "adjudication_share": sampling.adjudication_share,
        },
        "design": {
            "size": size,
            "strata": list(strata),
            "bands": list(sampling.bands),
            "proportional_share": sampling.proportional_share,
            "screens": {name: parameters[name] for name in sorted(scoring) if name in parameters},
            **({} if domains is None else {"domains": domains}),
            **sampling.model_dump(mode="json", include=_OPTIONAL, exclude_defaults=True),
        },
        "questions": {
            q.name: (plain if isinstance(plain := q.model_dump(mode="json"), dict) else {})
            for q in sampling.questions
        },
        "gates": {
            gate["name"]: {key: value for key, value in gate.items() if key != "name"}
            for gate in config.policy.model_dump(mode="json")["gates"]
        },
        "max_unscreened": config.policy.max_unscreened,
    }


def _content(run: Run, config: AuditConfig) -> dict[str, Any]:
    parts = Catalogue.recorded(run.store)
    size = drawing.declared_size(run.store, config, parts)
    return content(config, size, run.header()["models"].get(DOMAINS))


def settle(run: Run, config: AuditConfig) -> Plan:
    """The plan as it stands, after amendments that the configuration declares; the run must be locked."""
    plan, entries = standing(run, config), list(run.journal.read())
    used = {(e.data["owner"], e.data["reason"]) for e in entries if e.event == AMENDED}
    declared = [a for a in config.policy.amendments if (a.owner, a.reason) not in used]
    lost = plan.number > 0 and _lost_since(plan, entries)
    if not declared or not (plan.changed or lost):
        return plan
    now = _content(run, config)
    kept = not lost and is_only_stricter(plan.content, now)
    number = plan.number + 1
    data = {
        "number": number,
        "digest": digest_json(now),
        "plan": now,
        "owner": declared[-1].owner,
        "reason": declared[-1].reason,
        "changed": list(plan.changed),
        "salt": plan.salt if kept else f"plan {number}",
        "imports": plan.imports if kept else _imports(run),
    }
    run.journal.append(AMENDED, data)
    return standing(run, config)


def freeze(run: Run, because: str) -> None:
    """Write the plan down unless one stands; the run must be locked.

    Args:
        run: Whose configuration is the plan.
        because: What is about to happen: ``export`` or ``judgements``.
    """
    config = run.config()
    if standing(run, config).number:
        return
    plan = _content(run, config)
    data = {"number": 1, "digest": digest_json(plan), "plan": plan, "because": because}
    run.journal.append(FROZEN, {**data, "salt": None, "imports": _imports(run)})


def standing(run: Run, config: AuditConfig) -> Plan:
    """The plan as the journal tells it, against the configuration."""
    now = _content(run, config)
    last: Entry | None = None
    for entry in run.journal.read():
        last = entry if entry.event in (FROZEN, AMENDED) else last
    if last is None:
        return Plan(0, now)
    plan = last.data["plan"]
    changed = tuple(key for key in changes(plan, now) if key != _SIZE)
    return Plan(last.data["number"], plan, last.at, last.data["salt"], last.data["imports"], changed)


def draw(run: Run, config: AuditConfig, plan: Plan, size: int, runner: Runner = threads) -> Drawing:
    """Draw the review sample that a plan asks for, or recall it; the run must hold documents."""
    declared = config.sampling.model_copy(update={"size": plan.content["design"]["size"]})
    parts = Catalogue.recorded(run.store)
    phase = Phase(salt=plan.salt, formed_for=declared.size)
    return drawing.draw(run.sample, run.store, config, parts, size, phase, runner)


def note_lost(run: Run, plan: Plan, lost: int) -> str | None:
    """Why judgements decide nothing when judged documents are no longer in the corpus; None where all are.

    It is journaled, so that an amendment can answer for it.
    """
    if not lost or not plan.number:
        return None
    if not _lost_since(plan, list(run.journal.read())):
        run.journal.append("judged documents lost", {"documents": lost, "plan": plan.number})
    return (
        f"{lost:,} documents that were judged are no longer in the corpus, or their texts changed, so the "
        "sample is not one of this corpus: declare it under policy.amendments with owner and reason, and a "
        "new sample is drawn"
    )


def _lost_since(plan: Plan, entries: list[Entry]) -> bool:
    return any(e.event == "judged documents lost" and e.data["plan"] == plan.number for e in entries)


def _imports(run: Run) -> int:
    """Imports of judgements so far; their files count up."""
    return len(list(run.judgements.glob("*.jsonl")))


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys whose values differ, sorted."""
    for key in sorted(set(old) | set(new)):
        before, after, name = old.get(key), new.get(key), f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from changes(before, after, f"{name}.")
        elif before != after or (key in old) != (key in new):
            yield name


def is_only_stricter(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether GO can only have become harder: then labels that were seen cannot have led to it."""
    fixed = all(
        not [k for k in changes(old[p], new[p], f"{p}.") if k != _SIZE] for p in ("estimator", "design")
    )
    questions = all(new["questions"].get(name) == question for name, question in old["questions"].items())
    gates = all(
        name in new["gates"] and _is_stricter(gate, new["gates"][name]) for name, gate in old["gates"].items()
    )
    return fixed and questions and gates and new["max_unscreened"] <= old["max_unscreened"]


def _is_stricter(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    same = (old["metric"], old["slice"]) == (new["metric"], new["slice"])
    blocks = new["severity"] == "block" or old["severity"] == "warn"
    reviewed = new["requires_review"] in (True, old["requires_review"]) or old["requires_review"] is False
    smaller = new["limit"] <= old["limit"] and new["alpha"] <= old["alpha"]
    return same and blocks and reviewed and smaller and new["minimum_n"] >= old["minimum_n"]
