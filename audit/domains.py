"""Hosts of addresses, and what kind of site a host is, by a stated and exchangeable classification.

The kind is a dimension of strata and slices, not a verdict on a site: errors cost precision, never
validity. Everything runs on Arrow columns; known hosts are looked up once per unique host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from audit.errors import ConfigurationError

OTHER, UNKNOWN = "other", "unknown"

#: Absolute addresses, scheme-relative ones, and bare ones that start with ``www.``.
_HOST = (
    r"(?i)^\s*(?:(?:[a-z][a-z0-9+.\-]*:)?//(?:[^/?#@\s]*@)?|(?:www\.))"
    r"(?P<host>\[[0-9a-f:.]+\]|[^/?#:@\\\s\[\]]+)"
)
_AFTER_HOST = r"(?i)^\s*(?:(?:[a-z][a-z0-9+.\-]*:)?//)?[^/?#]*"

#: Labels of a host that are stripped one by one to look its parents up.
_DEEPEST = 6


@dataclass(frozen=True)
class Rules:
    """What marks a host as one class; see ``domains.yaml`` for the order in which rules count."""

    hosts: tuple[str, ...] = ()
    host_patterns: tuple[str, ...] = ()
    url_patterns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Classification:
    """Classes in order of precedence, with their rules."""

    version: str
    classes: Mapping[str, Rules] = field(hash=False)

    def digest(self) -> str:
        """SHA-256 of all rules and of the reading of hosts, hex; part of work keys."""
        rules = {name: vars(rule) for name, rule in self.classes.items()}
        content = [self.version, list(rules.items()), _HOST, _AFTER_HOST, _DEEPEST]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def hosts(urls: pa.Array) -> pa.Array:
    """Host of each address: lower case, without ``www.``, port and trailing dot; null where there is none."""
    extracted = pc.extract_regex(pc.cast(urls, pa.string()), _HOST)
    host = pc.utf8_lower(pc.struct_field(extracted, "host"))
    host = pc.replace_substring_regex(host, r"^www\.(.)", r"\1")
    host = pc.utf8_rtrim(host, ".")
    return pc.if_else(pc.equal(host, ""), None, host)


def classify(hosts: pa.Array, urls: pa.Array, classification: Classification | None = None) -> pa.Array:
    """Class of each document's site.

    Args:
        hosts: What ``hosts`` made of the addresses, n strings.
        urls: The addresses, n strings, for rules on the path.
        classification: Default: the bundled one.

    Returns:
        n strings, none null: a class, ``other``, or ``unknown`` where there is no host.
    """
    rules = bundled() if classification is None else classification
    encoded = pc.cast(hosts, pa.string()).dictionary_encode()
    by_host = _by_known_host(encoded.dictionary, rules)
    by_host = pc.coalesce(by_host, _by_pattern(encoded.dictionary, _patterns(rules, "host_patterns")))
    kinds = by_host.take(encoded.indices)
    open_rows = pc.and_(pc.is_null(kinds), pc.is_valid(encoded.indices))
    rest = pc.utf8_lower(pc.replace_substring_regex(urls.filter(open_rows), _AFTER_HOST, ""))
    found = pc.coalesce(_by_pattern(rest, _patterns(rules, "url_patterns")), OTHER)
    return pc.fill_null(pc.replace_with_mask(kinds, open_rows, found), UNKNOWN)


def digest(classification: Classification | None = None) -> str:
    """Digest of the classification in use; default: the bundled one."""
    return (bundled() if classification is None else classification).digest()


@cache
def bundled() -> Classification:
    """The classification that comes with the package."""
    return _parse(files("audit").joinpath("domains.yaml").read_text(encoding="utf-8"), "domains.yaml")


def load(path: Path) -> Classification:
    """Read a classification of one's own; the form is that of the bundled ``domains.yaml``.

    Raises:
        ConfigurationError: It cannot be read, or does not have that form.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "the domain classification cannot be read", file=str(path), remedy="Name an existing UTF-8 file"
        ) from error
    return _parse(text, str(path))


def _parse(text: str, file: str) -> Classification:
    remedy = "Follow the form of the bundled domains.yaml"
    try:
        data = yaml.safe_load(text)
        rules = {
            str(name): Rules(**{kind: tuple(map(str, listed)) for kind, listed in (members or {}).items()})
            for name, members in data["classes"].items()
        }
        classification = Classification(str(data["version"]), rules)
        for kind in ("host_patterns", "url_patterns"):
            _by_pattern(pa.array([""]), _patterns(classification, kind))
    except yaml.YAMLError:
        raise ConfigurationError("not valid YAML", file=file, remedy=remedy) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # Arrow reports a bad pattern as ArrowInvalid, which is a ValueError.
        raise ConfigurationError(f"not a classification ({error})", file=file, remedy=remedy) from None
    return classification


def _patterns(rules: Classification, kind: str) -> list[tuple[str, str]]:
    return [
        (name, "|".join(f"(?:{p})" for p in getattr(rule, kind)))
        for name, rule in rules.classes.items()
        if getattr(rule, kind)
    ]


def _by_known_host(names: pa.Array, rules: Classification) -> pa.Array:
    """Class of each unique host through itself or its closest listed parent; null where none is listed."""
    known = [(host, name) for name, rule in rules.classes.items() for host in rule.hosts]
    listed, kinds = (
        pa.array([h for h, _ in known], pa.string()),
        pa.array([k for _, k in known], pa.string()),
    )
    found = pa.nulls(len(names), pa.string())
    candidate = names
    for _ in range(_DEEPEST):
        found = pc.coalesce(found, kinds.take(pc.index_in(candidate, value_set=listed)))
        candidate = pc.replace_substring_regex(candidate, r"^[^.]*\.", "")
    return found


def _by_pattern(texts: pa.Array, patterns: Sequence[tuple[str, str]]) -> pa.Array:
    """Class of the first pattern found in each text; null where none is."""
    found = pa.nulls(len(texts), pa.string())
    for name, pattern in patterns:
        hit = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
        found = pc.coalesce(found, pc.if_else(hit, name, pa.scalar(None, pa.string())))
    return found
