"""Work keys: a digest of all that a part's content depends on.

Two parts with one key have the same content; whoever changes code, parameters, models, libraries or
the content itself gets another key, so nothing stale is ever reused. Code that only brings bytes is left
out: a part depends on which bytes came, and their digest is in its key.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
import json
import platform
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

from audit.config import digest_json
from audit.screens import Screen

_PACKAGE = "audit"
#: Where syntax trees hold statements.
_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")
#: Packages and modules that carry bytes and decide none of them: every read asks for one version and counts
#: its bytes, and what came is digested. They import each other and errors alone, so nothing that decides
#: hides behind them.
TRANSPORT = ("objects", "sources.objects")
_HOLE = re.compile(r'"\\u0000([^"\\]+)\\u0000"')
#: Holes of a screen's template; the others are named after the screens that it needs.
CONTENT, READING = "the content", "the reading"
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def is_transport(module: str) -> bool:
    """Whether a module of this package, by its full name, is one of ``TRANSPORT``."""
    return any(f"{module}.".startswith(f"{_PACKAGE}.{name}.") for name in TRANSPORT)


def hole(name: str) -> str:
    """Stands in what a ``KeyTemplate`` digests for a value that differs from part to part."""
    return f"\0{name}\0"


class KeyTemplate:
    """A work key as a function of a few values: what all shards share is gathered and written once.

    Args:
        value: JSON data with a ``hole`` for each of the values.
    """

    def __init__(self, value: object) -> None:
        self._pieces = _HOLE.split(_encode(value))

    def key(self, values: Mapping[str, object]) -> str:
        """``digest_json`` of the JSON data, each hole filled with the value of its name."""
        pieces = self._pieces.copy()
        pieces[1::2] = [_encode(values[name]) for name in pieces[1::2]]
        return hashlib.sha256("".join(pieces).encode()).hexdigest()


def screen_key(screen: Screen, content: str, reading: str, upstream: Mapping[str, str], key_id: str) -> str:
    """Work key of a screen's part.

    Args:
        screen: The screen with its parameters.
        content: Digest of the shard's content.
        reading: Digest of how the shard becomes documents (``reading_key``).
        upstream: Screen name -> work key, for the screens that it needs.
        key_id: Id of the HMAC key; counts only for screens that use it.
    """
    return screen_template(screen, key_id).key({**upstream, CONTENT: content, READING: reading})


def screen_template(screen: Screen, key_id: str) -> KeyTemplate:
    """The work keys of a screen's parts; see ``screen_key``."""
    return KeyTemplate(
        {
            "family": screen.name,
            "version": screen.version,
            "parameters": parameters_without(screen, "resolve_parameters"),
            "resources": dict(screen.resources()),
            "code": code_digest(type(screen).__module__),
            "runtime": runtime(),
            "content": hole(CONTENT),
            "reading": hole(READING),
            "upstream": {name: hole(name) for name in screen.needs},
            "hmac_key": key_id if screen.uses_key else None,
        }
    )


def parameters_without(screen: object, attribute: str) -> dict[str, object]:
    """A screen's parameters, but for those that a class variable of it names.

    A corpus-wide screen may name ``resolve_parameters``, on which no sketch depends, and
    ``match_parameters``, on which no cluster does: changing one does not compute the others again.
    """
    others: tuple[str, ...] = getattr(type(screen), attribute, ())
    plain = dataclasses.asdict(screen)  # type: ignore[call-overload]
    return {name: value for name, value in plain.items() if name not in others}


def derived_key(family: str, module: str, inputs: Sequence[str], parameters: object) -> str:
    """Work key of a part that is computed from other parts."""
    return digest_json(_derived(family, module, list(inputs), parameters))


def derived_template(family: str, module: str, inputs: object, parameters: object) -> KeyTemplate:
    """The work keys of parts that are computed from others; ``inputs`` or ``parameters`` hold the holes."""
    return KeyTemplate(_derived(family, module, inputs, parameters))


def _derived(family: str, module: str, inputs: object, parameters: object) -> dict[str, object]:
    return {
        "family": family,
        "code": code_digest(module),
        "runtime": runtime(),
        "inputs": inputs,
        "parameters": parameters,
    }


@cache
def runtime() -> dict[str, str]:
    """What every kernel and column rests on: interpreter, Unicode tables, array libraries."""
    libraries = {name: version(name) for name in ("numba", "numpy", "pyarrow", "scipy")}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "unicode": unicodedata.unidata_version, **libraries}


@cache
def code_digest(module: str) -> str:
    """SHA-256 over the sources of a module and of every module of this package that it imports.

    ``TRANSPORT`` is left out.
    A plug-in's module counts by the distributions that hold its top package, with their versions.
    """
    top = module.split(".")[0]
    if top != _PACKAGE:
        holders = packages_distributions().get(top, [])
        return digest_json(
            [module, *sorted(f"{name} {version(name)}" for name in holders), _own_files(module)]
        )
    sources = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _reachable(module).items()
    }
    return digest_json(sources)


def _own_files(module: str) -> str | None:
    """Digest of a plug-in's own source, which may change without a new version while it is developed."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def _reachable(module: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = None if is_transport(name) else _source(name)
        if path is not None and name not in found:
            found[name] = path
            waiting += _imports(path)
    return dict(sorted(found.items()))


@cache
def _imports(path: Path) -> frozenset[str]:
    """Modules that a file imports, wherever in it: parsed once for all modules that reach it."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in _statements(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            # A name may be a submodule; those that are not have no source and fall away.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(block: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements of a block and of the blocks inside; expressions, most of a tree, hold none."""
    for field in _BLOCKS:
        for node in getattr(block, field, ()):
            yield node
            yield from _statements(node)


@cache
def _source(module: str) -> Path | None:
    # Other packages count by version (`resources`); plug-ins by their own top module.
    if module.split(".")[0] != _PACKAGE:
        return None
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
