"""Canaries: documents that a screen must react to, and negative controls that it must not react to.

They prove the plumbing (the format's reader, the column mapping, the models and lists that are loaded, the
kernels), not the recall: a screen that finds a plain insult may miss a veiled one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from audit.config import digest_json
from audit.errors import ConfigurationError
from audit.parameters import nearest

_FOLDER = "canary_data"
_KEY = "canaries"

Scalar = bool | int | float | str | None
Outcome = Literal["passed", "missed", "fired"]


class Range(BaseModel):
    """What a value must satisfy where it need not be one value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_least: float | None = None
    at_most: float | None = None
    holds: str | None = Field(default=None, description="What a list must hold.")

    def takes(self, value: Any) -> bool:
        """Whether a value satisfies it; what is absent satisfies nothing."""
        if self.holds is not None:
            return value is not None and self.holds in value
        return value is not None and (
            (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )


Condition = Scalar | tuple[Scalar, ...] | Range


def satisfies(value: Any, condition: Condition) -> bool:
    """Whether a value is, or lies in, what a condition names."""
    if isinstance(condition, Range):
        return condition.takes(value)
    if isinstance(condition, tuple):
        return list(value or ()) == list(condition)
    return bool(value == condition)


class Canary(BaseModel):
    """Documents that belong together, and what a screen must say of them.

    ``expect`` has one key: a measure of the screen; ``finds``, a kind of finding; ``findings``, their
    number; or ``together``, whether duplicate screens must put all of them into one cluster.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, description="Unique within its screen.")]
    screen: str = Field(default="", description="Set from the file.")
    texts: tuple[str, ...] = ()
    url: str | None = None
    control: bool = Field(default=False, description="A negative control: something that must not be found.")
    expect: dict[str, Condition] = Field(min_length=1, max_length=1)
    when: dict[str, Condition] = Field(
        default={}, description="Parameters of the screen under which it applies."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_text(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "text" in given:
            rest = {key: value for key, value in given.items() if key != "text"}
            if "texts" in rest:
                raise ValueError("give text or texts, not both")
            return {**rest, "texts": (given["text"],)}
        return given

    @model_validator(mode="after")
    def _has_text(self) -> Canary:
        if not self.texts:
            raise ValueError("a canary needs text, or texts")
        return self

    @property
    def expected(self) -> tuple[str, Condition]:
        """The key of ``expect`` and its condition."""
        ((key, condition),) = self.expect.items()
        return key, condition

    def applies(self, screen: Any) -> bool:
        """Whether a screen with these parameters is one that must react so.

        A screen may have a method ``searches_for(kind)``: a kind that is switched off is nothing to find.
        """
        key, condition = self.expected
        searches = getattr(screen, "searches_for", None)
        if key == "finds" and searches is not None and not searches(str(condition)):
            return False
        return all(satisfies(getattr(screen, name, None), value) for name, value in self.when.items())


class _File(BaseModel):
    """One file: the canaries of one screen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    screen: str
    canaries: tuple[Canary, ...]


_FILES = TypeAdapter(_File | tuple[_File, ...])


@cache
def packaged() -> tuple[Canary, ...]:
    """The canaries of this package, by screen and in the order of their files."""
    folder = resources.files("audit") / _FOLDER
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return tuple(c for f in files for c in _parse(f.read_text(encoding="utf-8"), f.name))


def load(path: Path, screens: Sequence[str]) -> tuple[Canary, ...]:
    """Canaries of a user's file: a mapping with ``screen`` and ``canaries``, or a list of them.

    Args:
        path: YAML, UTF-8.
        screens: That are on.

    Raises:
        ConfigurationError: The file cannot be read, is none, or names a screen that is not on.
    """
    try:
        found = _parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the canaries cannot be read ({type(error).__name__})", file=str(path), key=_KEY
        ) from error
    for canary in found:
        if canary.screen not in screens:
            raise ConfigurationError(
                f"canaries of the screen {canary.screen!r}, which is not on",
                file=str(path),
                key=_KEY,
                remedy=nearest(canary.screen, list(screens), "Screens that are on"),
            )
    return found


def _parse(text: str, name: str) -> tuple[Canary, ...]:
    try:
        read = _FILES.validate_python(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigurationError("not valid YAML", file=name, key=_KEY) from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(first["msg"], file=name, key=f"{_KEY}.{place}") from None
    files = read if isinstance(read, tuple) else (read,)
    return tuple(
        canary.model_copy(update={"screen": file.screen}) for file in files for canary in file.canaries
    )


@dataclass(frozen=True)
class Flock:
    """The canaries of a run, and the documents that they are made of.

    Attributes:
        canaries: Of all screens.
    """

    canaries: tuple[Canary, ...] = ()

    def of(self, names: Iterable[str]) -> tuple[Canary, ...]:
        """Canaries of these screens."""
        wanted = set(names)
        return tuple(canary for canary in self.canaries if canary.screen in wanted)

    @property
    def digest(self) -> str:
        """SHA-256 of all of them; part of the work key of their results."""
        return digest_json([canary.model_dump(mode="json") for canary in self.canaries])


@dataclass(frozen=True)
class Sighting:
    """What one canary came to in one shard.

    Attributes:
        screen, canary: Which.
        control: Whether it is a negative control.
        expected, found: In words, without text.
        outcome: ``passed``; ``missed`` (a positive); ``fired`` (a control).
        path: The format that it was read from, or ``records`` where no such file can be made here.
    """

    screen: str
    canary: str
    control: bool
    expected: str
    found: str
    outcome: Outcome
    path: str

    def row(self, shard: str) -> dict[str, Any]:
        """A row of the table."""
        return {"shard": shard, **asdict(self)}


def words(key: str, condition: Condition) -> str:
    """An expectation in words."""
    if isinstance(condition, Range):
        bounds = (
            ("at least", condition.at_least),
            ("at most", condition.at_most),
            ("holds", condition.holds),
        )
        return f"{key} {' and '.join(f'{name} {value}' for name, value in bounds if value is not None)}"
    return f"{key} {condition}"
