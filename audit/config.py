"""YAML -> a validated, frozen configuration with a digest and a JSON Schema."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from audit import screens as screen_family
from audit.dimensions import DEFAULT_STRATA, conditions, dimensions
from audit.errors import ConfigurationError
from audit.policy import Gate
from audit.screens import Screen
from audit.sources import ColumnMapping, ReadLimits

MIB = 1 << 20
#: Columns of the files that reviewers fill in; a question's answers are a column of its name.
RESERVED_COLUMNS = frozenset(
    {
        *("run_id", "doc_id", "text_digest", "url", "text", "comment", "reviewer", "seconds"),
        *("question", "label", "severity", "at", "shard", "position"),
    }
)
#: A question is a metric, and these are metrics of the screens or of other questions.
_A_SCREENS_METRIC = re.compile(r"unscreened|duplicates\..*|.*\.(flagged|flagged_tokens|tokens)")
Question = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]*$")]
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


class SamplingSection(_Section):
    """How documents are drawn for review, and what reviewers are asked."""

    size: int = Field(default=400, ge=1, description="Documents drawn for review.")
    strata: tuple[str, ...] | None = Field(
        default=None,
        description="Dimensions by importance; where cells are sparse the last is merged first. "
        "source, domain_class, language, period, or SCREEN_band for a screen with a score. "
        f"Default: {', '.join(DEFAULT_STRATA)}, as far as their screens are on.",
    )
    bands: Annotated[tuple[float, ...], Field(min_length=1)] = Field(
        default=(0.01, 0.05, 0.2, 0.5, 0.8), description="Cuts of a screen's score into bands."
    )
    proportional_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of the draws in proportion to size, whatever the scores."
    )
    questions: Annotated[tuple[Question, ...], Field(min_length=1)] = Field(
        default=("toxicity",),
        description="Yes-or-no questions to reviewers; each is a metric of its own name.",
    )

    @model_validator(mode="after")
    def _bands_ascend(self) -> SamplingSection:
        if list(self.bands) != sorted(set(self.bands)):
            raise ValueError("bands must ascend")
        return self

    @model_validator(mode="after")
    def _questions_are_told_apart(self) -> SamplingSection:
        columns: set[str] = set()
        for question in self.questions:
            names = {question, f"{question}_severity"}
            if names & (RESERVED_COLUMNS | columns) or _A_SCREENS_METRIC.fullmatch(question):
                raise ValueError(f"the question {question!r} has a name that is taken; choose another")
            columns |= names
        return self


class PolicySection(_Section):
    """What must hold before anybody trains."""

    gates: tuple[Gate, ...] = ()
    max_unscreened: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Largest share of records or bytes that may stay unread or rejected; over it: no GO.",
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

    engine: Literal["local"] = "local"
    workers: int | None = Field(default=None, ge=1, description="Processes; default: one per core.")
    shard_bytes: int = Field(default=256 * MIB, ge=1024, description="Files over it are cut into shards.")
    batch_rows: int = Field(default=4096, ge=1)
    batch_bytes: int = Field(default=16 * MIB, ge=1024)
    max_document_bytes: int = Field(default=128 * MIB, ge=1024, le=1 << 30)


class AuditConfig(_Section):
    """A whole configuration file."""

    corpus: CorpusSection
    screens: dict[str, dict[str, Any]] | None = Field(
        default=None, description="Screen name -> parameters; absent: every screen with its defaults."
    )
    sampling: SamplingSection = SamplingSection()
    policy: PolicySection = PolicySection()
    run: RunSection = RunSection()

    def build_screens(self) -> tuple[Screen, ...]:
        """The configured screens, each after those that it needs.

        Raises:
            ConfigurationError: Unknown screen or parameter, or a needed screen that is switched off.
        """
        chosen = self.screens if self.screens is not None else {n: {} for n in screen_family.available()}
        built = {name: build_screen(name, parameters) for name, parameters in chosen.items()}
        return _in_order(built)

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
                    remedy=_nearest(name, known, "Known"),
                )
        return self.sampling.strata

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
        plain["screens"] = {
            screen.name: json.loads(json.dumps(dataclasses.asdict(screen)))  # type: ignore[call-overload]
            for screen in self.build_screens()
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
        """SHA-256 of the policy; the sampling seed derives from it and the data set's name.

        Defaults are left out: a later version that knows more settings draws the same sample.
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
    except ConfigurationError as error:
        raise ConfigurationError(error.message, file=file, key=error.key, remedy=error.remedy) from None
    return config


def json_schema() -> dict[str, Any]:
    """JSON Schema of the configuration, with the parameters of every screen, for editors."""
    schema = AuditConfig.model_json_schema()
    screens = {name: _screen_schema(cls) for name, cls in sorted(screen_family.available().items())}
    schema["properties"]["screens"] = {
        "description": "Screen name -> parameters; absent: every screen with its defaults.",
        "type": "object",
        "properties": screens,
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "corpus-audit configuration",
    }


def _screen_schema(cls: type[Any]) -> dict[str, Any]:
    schema = TypeAdapter(cls).json_schema()
    schema["additionalProperties"] = False
    schema["description"] = (cls.__doc__ or "").strip().split("\n")[0]
    return schema


def build_screen(name: str, parameters: Mapping[str, Any]) -> Screen:
    """A screen with these parameters and defaults for the others.

    Raises:
        ConfigurationError: Unknown screen or parameter, or a value of the wrong type.
    """
    known = screen_family.available()
    if name not in known:
        raise ConfigurationError(
            f"unknown screen {name!r}", key=f"screens.{name}", remedy=_nearest(name, known, "Known screens")
        )
    fields = [field.name for field in dataclasses.fields(known[name])]
    for key in parameters:
        if key not in fields:
            raise ConfigurationError(
                f"unknown parameter {key!r}",
                key=f"screens.{name}.{key}",
                remedy=_nearest(key, fields, "Known parameters"),
            )
    try:
        screen: Screen = TypeAdapter(known[name]).validate_python(dict(parameters))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            first["msg"], key=f"screens.{name}.{place}".rstrip("."), remedy=f"See `audit screens {name}`"
        ) from None
    return screen


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


def _nearest(word: str, known: Sequence[str] | Mapping[str, object], label: str) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    listing = f"{label}: {', '.join(sorted(known))}"
    return f"Did you mean {close[0]!r}? {listing}" if close else listing


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
            remedy=_nearest(str(loc[-1]), siblings, "Known keys"),
        )
    remedy = "See the JSON Schema named in the first line of a file that `audit init` writes"
    return ConfigurationError(first["msg"], file=file, key=key, remedy=remedy)


def _properties_at(schema: dict[str, Any], loc: Sequence[int | str]) -> list[str]:
    node: Any = schema
    for part in (*loc, None):
        while "$ref" in node or "allOf" in node:
            node = node["allOf"][0] if "allOf" in node else schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        if part is None:
            break
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return sorted(node.get("properties", {}))
