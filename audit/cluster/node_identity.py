"""What results depend on besides a task: interpreter, this package's code, versions of libraries.

Only the standard library is used: the functions travel to nodes by value, and work where this package is
missing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

#: Extras that no task uses.
_TOOLS = re.compile(r"extra == [\"'](dev|bench|train)[\"']")


def describe() -> dict[str, Any]:
    """What results depend on, as this process finds it; for ``differences``."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        "code": _code(),
        "packages": dict(_versions()),
    }


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Why another process would not give the same results, in words; empty when it would.

    A package that only one of both has is no difference: the screen or probe that needs it says so. Nor is
    the build of one (``+cpu``): a probe's device is part of its work key.
    """
    if theirs["code"] is None:
        return ["corpus-audit is not installed there"]
    told = []
    if theirs["code"] != mine["code"]:
        told.append(f"another corpus-audit (code {theirs['code'][:12]}, here {mine['code'][:12]})")
    pairs = {name: (theirs[name], mine[name]) for name in ("python", "machine")}
    both = sorted(set(mine["packages"]) & set(theirs["packages"]))
    pairs |= {name: (theirs["packages"][name], mine["packages"][name]) for name in both}
    return told + [f"{name} {there}, here {here}" for name, (there, here) in pairs.items() if there != here]


def _code() -> str | None:
    """SHA-256 over the files of this package; None where it is not installed."""
    found = importlib.util.find_spec("audit")
    if found is None or not found.submodule_search_locations:
        return None
    folder, digest = Path(found.submodule_search_locations[0]), hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _versions() -> Iterator[tuple[str, str]]:
    try:
        declared = requires("corpus-audit") or []
    except PackageNotFoundError:
        declared = []
    names = [re.split(r"[^\w.-]", line)[0] for line in declared if not _TOOLS.search(line)]
    for name in names:
        try:
            yield name.lower(), version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
