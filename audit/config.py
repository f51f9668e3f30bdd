"""YAML -> a validated, frozen configuration with a digest and a JSON Schema."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from audit import probes as probe_family
from audit import screens as screen_family
from audit.dimensions import DEFAULT_STRATA, conditions, dimensions, flagging
from audit.errors import ConfigurationError
from audit.parameters import build_member, nearest
from audit.policy import Gate
from audit.probes import Probe
from audit.questions import Question, metrics
from audit.sampling_settings import BANDS, DETECTORS, PREDICTORS, Cell, JudgingCost
from audit.screens import Screen
from audit.sources import ColumnMapping, ReadLimits
from audit.waivers import Waiver
from audit.waivers import check as check_waivers
from audit.workers import memory

MIB = 1 << 20
#: Columns of the files that reviewers fill in; a question's answers are a column of its name.
RESERVED_COLUMNS = frozenset(
    {
        *("run_id", "doc_id", "text_digest", "url", "text", "comment", "reviewer", "seconds"),
        *("question", "label", "severity", "at", "shard", "position", "phase", "assignment", "spans"),
    }
)
#: A question is a metric, and these are metrics of the screens or of other questions.
_A_SCREENS_METRIC = re.compile(
    r"unscreened|duplicates\..*|.*\.(flagged|flagged_tokens|tokens|model_assisted|three_phase)"
)
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusSection(_Section):
    """What is audited and where its columns are."""

    name: str = Field(min_length=1, description="Name of the data set; versions of it share the name.")
    inputs: tuple[str, ...] = Field(
        default=(), description="Files, folders, globs or hf:// addresses, relative to this file."
    )
    ignore: tuple[str, ...] = Field(
        default=(),
        description="File names (patterns such as README*) in folders that are known not to be data; other "
        "files of unknown format stand in the way of GO.",
    )
    format: str = Field(default="auto", description="auto, or the name of a source, such as jsonl.")
    columns: ColumnMapping = Field(
        default=ColumnMapping(), description="Column names; dotted paths reach into structs."
    )


class ProbeSampling(_Section):
    """How many documents the probes look at: a number, or what a time budget allows."""

    size: int | None = Field(default=None, ge=1, description="Documents drawn for the probes.")
    minutes: float | None = Field(
        default=None,
        gt=0,
        description="Time budget of all probes together, from which the size follows once, by their speed on "
        "documents of the corpus; it is journaled, and kept. Default: 10, where no size is given.",
    )
    nested: bool = Field(
        default=False,
        description="Whether probe and review samples share their numbers, so that the smaller one lies in "
        "the larger one; otherwise they are drawn independently.",
    )
    predicts: dict[str, str] = Field(
        default={},
        description="Question -> PROBE.MEASURE that predicts its answer, from 0 to 1. Default: the scores of "
        "detoxify and bilstm for toxicity, presidio_ner.flagged for personal_data.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_of_both(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        size, minutes = given.get("size"), given.get("minutes")
        if size is not None and minutes is not None:
            raise ValueError("give size or minutes, not both")
        return {**given, "minutes": 10.0} if size is None and minutes is None else given


class SamplingSection(_Section):
    """How documents are drawn for review, and what reviewers are asked."""

    size: int = Field(default=400, ge=1, description="Documents drawn for review.")
    budget: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="In place of size: what judging may cost, in the unit of cost; as many documents are "
        "drawn as are expected to cost no more.",
    )
    cost: JudgingCost | None = Field(
        default=None, description="What judging a document costs; for budget and for allocation: cost."
    )
    strata: tuple[str, ...] | None = Field(
        default=None,
        description="Dimensions by importance; where cells are sparse the last is merged first. "
        "source, domain_class, language, period, SCREEN_band for a screen with a score, or SCREEN_present "
        "(such as pii_present: true, false, or none where not evaluated) for one that flags documents. "
        f"Default: {', '.join(DEFAULT_STRATA)}, as far as their screens are on.",
    )
    bands: Annotated[tuple[float, ...], Field(min_length=1)] = Field(
        default=BANDS,
        description="Cuts of a screen's score into bands, which are kept where they expect enough draws. The "
        "default ones are fine: strata are the few unions of neighbours that suit the declared size best.",
    )
    domains: str | None = Field(
        default=None,
        description="YAML file that says which hosts and addresses are of which domain_class, relative to "
        "this file, in the form of the packaged domains.yaml; default: that one.",
    )
    allocation: Literal["neyman", "proportional", "equal", "cost"] = Field(
        default="neyman",
        description="How the draws go that do not go in proportion to size: where scores predict variance, "
        "all in proportion, to each stratum alike, or by variance and cost.",
    )
    minimum_per_stratum: int = Field(
        default=1, ge=1, description="Least draws of a stratum that has as many documents."
    )
    take_all: tuple[Cell, ...] = Field(
        default=(),
        description="Cells of the strata's dimensions whose documents are all judged, such as "
        "[{source: forum, period: 2024}].",
    )
    proportional_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of the draws in proportion to size, whatever the scores."
    )
    detectors: dict[str, str] = Field(
        default={},
        description="Question -> screen whose scores or flags predict its answer. Default: the screen of the "
        "question's name, and pii for personal_data.",
    )
    missed_at_most: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Share of the harmful documents that a suggested threshold may miss.",
    )
    rule: Literal["sequential", "fixed"] = Field(
        default="sequential",
        description="When limits may be looked at: after every judgement and extension of the sample, or "
        "once, when all of the declared size is judged.",
    )
    questions: Annotated[tuple[Question, ...], Field(min_length=1)] = Field(
        default=(Question(name="toxicity"),),
        description="Questions to reviewers: names (yes or no), or mappings with type, labels, wording and "
        "guideline. Those with labels that count as harm are metrics of their own name.",
    )
    reviewers: int = Field(
        default=1, ge=1, le=1000, description="People the sample is shared out among, a file each."
    )
    overlap: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of the documents that several reviewers judge, where there are several.",
    )
    overlap_reviewers: int = Field(
        default=2, ge=2, description="Reviewers of each of those documents, as far as there are so many."
    )
    known_answers: str | None = Field(
        default=None,
        description="JSON lines with text and answers, relative to this file: items that everybody is given "
        "among the others, to tell how reliable people are. They never enter an estimate.",
    )
    adjudication_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of the negatives of each stratum that adjudication looks at again, beside all "
        "positives and disagreements.",
    )
    probe: ProbeSampling = Field(
        default_factory=lambda: ProbeSampling.model_validate({}),
        description="The sample that the probes look at.",
    )

    @model_validator(mode="before")
    @classmethod
    def _size_or_budget(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("budget") is not None and given.get("size") is not None:
            raise ValueError("give size or budget, not both")
        return given

    @model_validator(mode="after")
    def _bands_ascend(self) -> SamplingSection:
        if list(self.bands) != sorted(set(self.bands)):
            raise ValueError("bands must ascend")
        return self

    @model_validator(mode="after")
    def _costs_are_known(self) -> SamplingSection:
        if self.cost is None and (self.budget is not None or self.allocation == "cost"):
            wanting = "a budget" if self.budget is not None else "allocation: cost"
            raise ValueError(f"{wanting} needs cost, such as {{fixed: 0.5, per_thousand_words: 4}}")
        return self

    @model_validator(mode="after")
    def _questions_are_told_apart(self) -> SamplingSection:
        columns: set[str] = set()
        for question in self.questions:
            names = {question.name, f"{question.name}_severity"}
            if names & (RESERVED_COLUMNS | columns) or _A_SCREENS_METRIC.fullmatch(question.name):
                raise ValueError(f"the question {question.name!r} has a name that is taken; choose another")
            columns |= names
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the questions that have estimates."""
        return metrics(self.questions)


class Amendment(_Section):
    """Leave to change a plan that was frozen; each is used once."""

    owner: str = Field(min_length=1, description="Who answers for the change.")
    reason: str = Field(min_length=1, description="Why it is made after labels may have been seen.")


class PolicySection(_Section):
    """What must hold before anybody trains."""

    gates: tuple[Gate, ...] = ()
    waivers: tuple[Waiver, ...] = Field(
        default=(),
        description="Gates that need not block until a day; their outcomes are shown as they are.",
    )
    amendments: tuple[Amendment, ...] = Field(
        default=(),
        description="Changes of the plan after the sample was first exported: append one for each. Unless "
        "gates only become stricter, a new sample is drawn, independent of the labels so far.",
    )
    max_unscreened: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Largest share of records or bytes that may stay unread or rejected; over it: no GO. "
        "Under it, what was not read counts as harm in every gate's upper limit.",
    )

    @model_validator(mode="after")
    def _gates_can_be_judged(self) -> PolicySection:
        names: set[str] = set()
        for gate in self.gates:
            conditions(gate.slice)
            if gate.name in names:
                raise ValueError(f"two gates are named {gate.name!r}")
            names.add(gate.name)
        return self


class RunSection(_Section):
    """How it is run; none of it changes a result, but for ``shard_bytes``, which moves the cuts."""

    engine: Literal["local", "ray"] = "local"
    address: str = Field(
        default="auto",
        min_length=1,
        description="Of the Ray cluster: auto (the one that this machine is part of, or $RAY_ADDRESS), "
        "host:port, ray://host:port, or local for one of this machine alone.",
    )
    workers: int | None = Field(default=None, ge=1, description="Processes; default: one per core.")
    shard_bytes: int = Field(default=256 * MIB, ge=1024, description="Files over it are cut into shards.")
    batch_rows: int = Field(default=4096, ge=1)
    batch_bytes: int = Field(default=16 * MIB, ge=1024)
    max_document_bytes: int = Field(default=128 * MIB, ge=1024, le=1 << 30)
    compact_mib: int = Field(
        default=256,
        ge=0,
        description="Small parts of a family are packed into files of so much, once they are many. 0: never; "
        "nor is it done on an object store.",
    )
    memory: str | None = Field(
        default=None,
        description="Memory of the run on one machine, such as 8GiB, divided among the workers, fewer where "
        "each would get too little. A worker that goes beyond its share is ended, and the document at fault "
        "isolated; default: no limit.",
    )
    stall_seconds: float = Field(
        default=600.0,
        gt=0,
        description="Crash guard: a worker that takes no step of its work for so long (no batch through any "
        "screen) is ended, and the document at fault isolated. Budgets count work, so that no result depends "
        "on this, but where something hangs.",
    )
    text_cache_mib: int = Field(
        default=1024,
        ge=0,
        description="Texts that are likely to be sampled, kept privately outside the run so that they need "
        "not be read again; about so much, compressed, and at most 5% of the corpus. 0: none.",
    )

    @field_validator("memory")
    @classmethod
    def _memory_is_a_size(cls, text: str | None) -> str | None:
        if text is not None and memory.parse_size(text) < memory.LEAST_BYTES:
            raise ValueError(f"a run needs {memory.LEAST_BYTES // MIB} MiB at least")
        return text

    @property
    def memory_bytes(self) -> int | None:
        """What ``memory`` says; None: no limit."""
        return None if self.memory is None else memory.parse_size(self.memory)


class AuditConfig(_Section):
    """A whole configuration file."""

    corpus: CorpusSection
    screens: dict[str, dict[str, Any]] | None = Field(
        default=None, description="Screen name -> parameters; absent: every screen with its defaults."
    )
    probes: dict[str, dict[str, Any] | Literal[True]] = Field(
        default={}, description="Probe name -> parameters, or true; none by default, since they take time."
    )
    sampling: SamplingSection = SamplingSection()
    policy: PolicySection = PolicySection()
    canaries: str | None = Field(
        default=None,
        description="YAML file of documents that a screen must, or must not, react to, relative to this "
        "file; they are added to the packaged ones.",
    )
    run: RunSection = RunSection()

    def build_screens(self) -> tuple[Screen, ...]:
        """The configured screens, each after those that it needs.

        Raises:
            ConfigurationError: Unknown screen or parameter, or a needed screen that is switched off.
        """
        chosen = self.screens if self.screens is not None else {n: {} for n in screen_family.available()}
        built = {name: build_screen(name, parameters) for name, parameters in chosen.items()}
        return _in_order(built)

    def build_probes(self) -> tuple[Probe, ...]:
        """The configured probes, by name.

        Raises:
            ConfigurationError: Unknown probe or parameter.
        """
        return tuple(
            build_probe(name, {} if parameters is True else parameters)
            for name, parameters in sorted(self.probes.items())
        )

    def strata(self) -> tuple[str, ...]:
        """Dimensions of the strata, by importance.

        Raises:
            ConfigurationError: One that the configured screens do not give.
        """
        known = dimensions(self.build_screens())
        if self.sampling.strata is None:
            return tuple(name for name in DEFAULT_STRATA if name in known)
        for name in self.sampling.strata:
            if name not in known:
                raise ConfigurationError(
                    f"unknown dimension {name!r}",
                    key="sampling.strata",
                    remedy=nearest(name, known, "Known"),
                )
        return self.sampling.strata

    def detectors(self) -> dict[str, str]:
        """Question -> screen that predicts its answer; questions without one are left out.

        Raises:
            ConfigurationError: A configured one is of no question, off, or flags no single documents.
        """
        known = [screen.name for screen in flagging(self.build_screens())]
        given = self.sampling.detectors
        for question, screen in given.items():
            if question not in self.sampling.metrics:
                raise ConfigurationError(
                    f"{question!r} is no question that has an estimate",
                    key="sampling.detectors",
                    remedy=nearest(question, self.sampling.metrics, "Questions"),
                )
            if screen not in known:
                raise ConfigurationError(
                    f"no screen named {screen!r} that is on flags single documents",
                    key=f"sampling.detectors.{question}",
                    remedy=nearest(screen, known, "Known"),
                )
        wanted = {question: DETECTORS.get(question, question) for question in self.sampling.metrics} | given
        return {question: screen for question, screen in wanted.items() if screen in known}

    def predictors(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Question -> (probe, measure) pairs that predict its answer, of the configured probes.

        Raises:
            ConfigurationError: A configured one is of no question, or no measure of a configured probe.
        """
        known = [f"{probe.name}.{measure}" for probe in self.build_probes() for measure in probe.measures]
        given = self.sampling.probe.predicts
        for question, measure in given.items():
            if question not in self.sampling.metrics or measure not in known:
                raise ConfigurationError(
                    f"{question!r}: {measure!r} is no question with a measure of a configured probe",
                    key="sampling.probe.predicts",
                    remedy=nearest(measure, known, "Measures") if known else "Configure the probe",
                )
        wanted = {q: (given[q],) if q in given else PREDICTORS.get(q, ()) for q in self.sampling.metrics}
        return {
            question: tuple(
                (name.partition(".")[0], name.partition(".")[2]) for name in names if name in known
            )
            for question, names in wanted.items()
        }

    def check_take_all(self) -> None:
        """Check that cells to be judged whole are cells of the strata.

        Raises:
            ConfigurationError: One names something that is no dimension of the strata.
        """
        for cell in self.sampling.take_all:
            if unknown := next((name for name in cell if name not in self.strata()), None):
                raise ConfigurationError(
                    f"{unknown!r} is no dimension of the strata",
                    key="sampling.take_all",
                    remedy=f"Add it to sampling.strata, or use {', '.join(self.strata())}",
                )

    def read_limits(self) -> ReadLimits:
        """Bounds of the batches that sources yield."""
        return ReadLimits(
            batch_rows=self.run.batch_rows,
            batch_bytes=self.run.batch_bytes,
            max_document_bytes=self.run.max_document_bytes,
        )

    def resolved(self) -> dict[str, Any]:
        """Plain data with every default filled in, for manifest and digest."""
        plain = self.model_dump(mode="json")
        if self.sampling.budget is not None:
            del plain["sampling"]["size"]  # it follows from the budget
        plain["screens"] = {
            screen.name: json.loads(json.dumps(dataclasses.asdict(screen)))  # type: ignore[call-overload]
            for screen in self.build_screens()
        }
        plain["probes"] = {
            probe.name: json.loads(json.dumps(dataclasses.asdict(probe)))  # type: ignore[call-overload]
            for probe in self.build_probes()
        }
        return plain

    def digest(self) -> str:
        """SHA-256 of everything that can change a result; ``run`` cannot, but for the cuts."""
        plain = self.resolved()
        plain["run"] = {
            "shard_bytes": self.run.shard_bytes,
            "max_document_bytes": self.run.max_document_bytes,
        }
        return digest_json(plain)

    def policy_digest(self) -> str:
        """SHA-256 of the policy, as it is frozen before the first judgement.

        Defaults are left out, so that a later version that knows more settings gives the same digest.
        """
        return digest_json(self.policy.model_dump(mode="json", exclude_defaults=True))


def digest_json(value: object) -> str:
    """SHA-256 of canonical JSON (sorted keys, no white space, UTF-8), hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> AuditConfig:
    """Read and validate a configuration file.

    Raises:
        ConfigurationError: Missing file, bad YAML, unknown key (with the nearest known one), wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the configuration cannot be read ({type(error).__name__})",
            file=str(path),
            remedy="Name an existing UTF-8 file; `audit init` writes one",
        ) from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" near line {mark.line + 1}" if mark else ""
        raise ConfigurationError(
            f"not valid YAML{where}", file=str(path), remedy="Check indentation"
        ) from None
    return parse(data, file=str(path))


def parse(data: object, *, file: str | None = None) -> AuditConfig:
    """Validate plain data; see ``load``."""
    if not isinstance(data, Mapping):
        raise ConfigurationError("expected a mapping at the top", file=file, remedy="Start with `corpus:`")
    try:
        config = AuditConfig.model_validate(data)
    except ValidationError as error:
        raise _explain(error, AuditConfig.model_json_schema(), file) from None
    try:
        config.strata()
        config.detectors()
        config.predictors()
        config.check_take_all()
        config.build_probes()
        check_waivers(config.policy.waivers, [(gate.name, gate.slice) for gate in config.policy.gates])
    except ConfigurationError as error:
        raise ConfigurationError(error.message, file=file, key=error.key, remedy=error.remedy) from None
    return config


def json_schema() -> dict[str, Any]:
    """JSON Schema of the configuration, with the parameters of every screen, for editors."""
    schema = AuditConfig.model_json_schema()
    screens = {name: _member_schema(cls) for name, cls in sorted(screen_family.available().items())}
    schema["properties"]["screens"] = {
        "description": "Screen name -> parameters; absent: every screen with its defaults.",
        "type": "object",
        "properties": screens,
        "additionalProperties": False,
    }
    probes = {name: _member_schema(cls) for name, cls in sorted(probe_family.available().items())}
    schema["properties"]["probes"] = {
        "description": "Probe name -> parameters, or true; none by default, since they take time.",
        "type": "object",
        "properties": {name: {"anyOf": [{"const": True}, member]} for name, member in probes.items()},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "corpus-audit configuration",
    }


def _member_schema(cls: type[Any]) -> dict[str, Any]:
    schema = TypeAdapter(cls).json_schema()
    schema["additionalProperties"] = False
    schema["description"] = (cls.__doc__ or "").strip().split("\n")[0]
    return schema


def build_screen(name: str, parameters: Mapping[str, Any]) -> Screen:
    """A screen with these parameters and defaults for the others.

    Raises:
        ConfigurationError: Unknown screen or parameter, or a value of the wrong type.
    """
    screen: Screen = build_member("screens", screen_family.available(), name, parameters)
    return screen


def build_probe(name: str, parameters: Mapping[str, Any]) -> Probe:
    """A probe with these parameters and defaults for the others; see ``build_screen``."""
    probe: Probe = build_member("probes", probe_family.available(), name, parameters)
    return probe


def _in_order(built: Mapping[str, Screen]) -> tuple[Screen, ...]:
    ordered: dict[str, Screen] = {}

    def place(name: str, wanted_by: str) -> None:
        if name in ordered:
            return
        if name not in built:
            raise ConfigurationError(
                f"screen {wanted_by!r} needs screen {name!r}, which is off",
                key="screens",
                remedy=f"Add `{name}: {{}}` under screens, or take {wanted_by!r} out",
            )
        for needed in built[name].needs:
            place(needed, name)
        ordered[name] = built[name]

    for name in sorted(built):
        place(name, name)
    return tuple(ordered.values())


def _explain(error: ValidationError, schema: dict[str, Any], file: str | None) -> ConfigurationError:
    found = error.errors(include_input=False)
    # A misspelt key is the cause of whatever else is missing.
    first = next((each for each in found if each["type"] in _UNKNOWN_KEY), found[0])
    loc = first["loc"]
    key = ".".join(str(part) for part in loc)
    if first["type"] in _UNKNOWN_KEY:
        siblings = _properties_at(schema, loc[:-1])
        return ConfigurationError(
            f"unknown key {loc[-1]!r}",
            file=file,
            key=key,
            remedy=nearest(str(loc[-1]), siblings, "Known keys"),
        )
    remedy = "See the JSON Schema named in the first line of a file that `audit init` writes"
    return ConfigurationError(first["msg"], file=file, key=key, remedy=remedy)


def _properties_at(schema: dict[str, Any], loc: Sequence[int | str]) -> list[str]:
    node: Any = schema
    for part in (*loc, None):
        while "$ref" in node or "allOf" in node:
            node = node["allOf"][0] if "allOf" in node else schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        # Of what may also be written as a plain value, the mapping has the keys.
        node = next((kind for kind in node.get("anyOf", ()) if "properties" in kind), node)
        if part is None:
            break
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return sorted(node.get("properties", {}))
