"""Profiles: which kinds a rule is about, and how grave each is under it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from audit.errors import ConfigurationError

_FOLDER = files("audit") / "pii_data" / "profiles"
Severity = Literal["low", "medium", "high", "critical"]


class Profile(BaseModel):
    """A selection of kinds.

    Attributes:
        description: What the profile is about, with its source.
        kinds: Names; a ``*`` at the end stands for any rest. Empty: every kind that is on by default.
        severities: Kind (or ``PREFIX*``) -> severity, where it is not the usual one.
        searched: Kinds that are off by default and are searched for besides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    kinds: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
    severities: dict[str, Severity] = Field(default_factory=dict)

    def holds(self, kind: str) -> bool:
        """Whether a kind belongs to the profile."""
        return not self.kinds or any(_covers(name, kind) for name in (*self.kinds, *self.searched))

    def severity(self, kind: str) -> str | None:
        """The profile's own severity of a kind, or None."""
        return next((grade for name, grade in self.severities.items() if _covers(name, kind)), None)


@dataclass(frozen=True)
class LoadedProfile:
    """A profile, its name and the digest of its file (SHA-256, hex)."""

    name: str
    digest: str
    profile: Profile


def names() -> list[str]:
    """Names of the profiles, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml")
    )


@cache
def load(name: str) -> LoadedProfile:
    """Read a profile.

    Raises:
        ConfigurationError: There is none of that name.
    """
    if name not in names():
        remedy = f"Known are {', '.join(names())}"
        raise ConfigurationError(f"unknown profile {name!r}", key="screens.pii.profile", remedy=remedy)
    data = (_FOLDER / f"{name}.yaml").read_bytes()
    content: Any = yaml.safe_load(data)
    return LoadedProfile(name, hashlib.sha256(data).hexdigest(), Profile.model_validate(content))


def _covers(name: str, kind: str) -> bool:
    return kind.startswith(name[:-1]) if name.endswith("*") else kind == name
