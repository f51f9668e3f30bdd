"""Recognisers as data: what to look for, near which literals, how sure, how grave.

The built-in ones (secrets, dates of birth, record numbers) and those of users are YAML of one form::

    recognisers:
      - kind: STAFF_NUMBER          # upper case
        severity: high              # low, medium, high, critical
        patterns:
          - {regex: '\\bEMP-(?P<value>\\d{6})\\b', score: 0.6}
        words: [staff, employee]    # optional: read only near one of these words …
        anchors: [EMP-]             # … or literals (three bytes and more), else the whole text is read
        context: [staff, badge]     # optional: raises the score by 0.35, as in Presidio
        needs_context: false        # a finding only with such a word before it
        checks: [luhn]              # optional: see audit.pii.pii_checks

Patterns are RE2's (linear time, no look-around, no back references), so that none can stall a run. A group
named ``value`` is the finding; without one it is the whole match.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import re2
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from audit.errors import ConfigurationError
from audit.kernels.anchors import SHORTEST
from audit.pii.pii_checks import CHECKS

BUILT_IN = ("secrets", "identifiers")
_KEY = "screens.pii.custom"
#: Bytes of compiled program that one pattern may take (RE2's own default is 8 MB).
_PROGRAM_BYTES = 1 << 20


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PatternSpec(_Model):
    """A pattern in RE2's syntax and the score of its matches."""

    regex: str = Field(min_length=1, max_length=4000)
    score: float = Field(gt=0, le=1)

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str) -> str:
        try:
            compile_pattern(regex)
        except re2.error as error:
            raise ValueError(_refusal(str(error))) from error
        return regex


Literals = tuple[Annotated[str, Field(min_length=SHORTEST)], ...]


class Recogniser(_Model):
    """One kind and how it is found; see the module's text."""

    kind: str = Field(pattern=r"^[A-Z][A-Z0-9_]{1,63}$")
    severity: Literal["low", "medium", "high", "critical"]
    patterns: tuple[PatternSpec, ...] = Field(min_length=1)
    anchors: Literals = ()
    words: Literals = ()
    context: tuple[str, ...] = ()
    needs_context: bool = False
    checks: tuple[str, ...] = ()
    before: int = Field(default=64, ge=0, le=4096, description="Bytes read before an anchor.")
    after: int = Field(default=400, ge=1, le=16384, description="Bytes read after its start.")

    @field_validator("checks")
    @classmethod
    def _known(cls, checks: tuple[str, ...]) -> tuple[str, ...]:
        for check in checks:
            if check not in CHECKS:
                raise ValueError(f"unknown check; known are {', '.join(sorted(CHECKS))}")
        return checks


class _File(_Model):
    recognisers: tuple[Recogniser, ...]


@dataclass(frozen=True)
class RecogniserFile:
    """Recognisers of one file and the digest of its bytes (SHA-256, hex)."""

    digest: str
    recognisers: tuple[Recogniser, ...] = field(repr=False)


def library_versions() -> dict[str, str]:
    """Return the version of the matcher."""
    return {"google-re2": version("google-re2")}


@cache
def compile_pattern(regex: str) -> Any:
    """Compile with RE2, silently.

    Raises:
        re2.error: Not RE2's syntax, or too large.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PROGRAM_BYTES
    return re2.compile(regex, options)


def program_size(regex: str) -> int:
    """Return how many instructions a pattern has: RE2 takes at most so many steps for a byte."""
    size: int = compile_pattern(regex).programsize
    return size


def _refusal(message: str) -> str:
    """RE2's reason in words that say what to change; its own quotes the pattern."""
    if "repetition" in message or "too large" in message:
        return "its repeats are too many: nested counts multiply, to 1,000 and a program of 1 MB at most"
    return "not a pattern of RE2 (no look-around, no back references)"


@cache
def built_in(name: str) -> RecogniserFile:
    """Recognisers of this package: ``secrets`` or ``identifiers``."""
    data = (files("audit") / "pii_data" / "recognisers" / f"{name}.yaml").read_bytes()
    return _parsed(data, f"{name}.yaml")


def custom(path: str) -> RecogniserFile:
    """Read a user's file; relative paths start at the working directory.

    Raises:
        ConfigurationError: It cannot be read, an unknown key, a pattern that RE2 does not take.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        message = f"the file cannot be read ({type(error).__name__})"
        raise ConfigurationError(message, file=path, key=_KEY, remedy="Name a YAML file") from error
    return _parsed(data, path)


@cache
def _parsed(data: bytes, path: str) -> RecogniserFile:
    try:
        content = _File.model_validate(yaml.safe_load(data))
    except yaml.YAMLError:
        raise ConfigurationError("not valid YAML", file=path, key=_KEY, remedy="Check indentation") from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "recognisers"
        raise ConfigurationError(
            first["msg"], file=path, key=f"{_KEY}: {place}", remedy="See docs/personal_data.md"
        ) from None
    return RecogniserFile(hashlib.sha256(data).hexdigest(), content.recognisers)
