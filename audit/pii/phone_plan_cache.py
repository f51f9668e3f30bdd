"""Compiled phone plans on disk, so that a process does not compile them again.

Plans lie in the user's cache folder (``$XDG_CACHE_HOME``, else ``~/.cache``), one file a region, named by the
digest of the metadata's version, the compiler's code and the region. A file begins with the digest of what
follows; one that does not match it, or is of another shape, is compiled again. A folder that cannot be
written, or is missing, costs the time alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import phonenumbers

from audit import user_cache
from audit.kernels import automata
from audit.pii import digit_automata, digit_patterns, phone_plans
from audit.pii.digit_automata import Automaton
from audit.pii.phone_plans import Plan

_DIGEST_BYTES = 32
_COMPILER = (digit_automata, digit_patterns, phone_plans, automata)


def folder() -> Path | None:
    """Return where plans are kept; None where the user has no home."""
    try:
        return user_cache.folder("phone-plans")
    except RuntimeError:
        return None


@cache
def plan_of(region: str) -> Plan | None:
    """Return a region's plan as ``phone_plans.plan_of`` does, from disk where it stands.

    Args:
        region: ISO 3166, one of ``phonenumbers.SUPPORTED_REGIONS``.
    """
    place = folder()
    if place is None:
        return phone_plans.plan_of(region)
    path = place / f"{region}-{_key(region)}.plan"
    known, plan = _read(path)
    if not known:
        plan = phone_plans.plan_of(region)
        _write(path, plan)
    return plan


def trouble() -> str | None:
    """Return why plans cannot be kept here, in words; None when they can."""
    place = folder()
    if place is None:
        return "there is no home folder, and XDG_CACHE_HOME is not set"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{place} cannot be made ({type(error).__name__})"
    return None if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written"


@cache
def _code() -> bytes:
    digest = hashlib.sha256(phonenumbers.__version__.encode())
    for name in sorted(str(module.__file__) for module in _COMPILER):
        digest.update(Path(name).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.digest()


def _key(region: str) -> str:
    return hashlib.sha256(_code() + region.encode()).hexdigest()[:24]


def _read(path: Path) -> tuple[bool, Plan | None]:
    """Whether a plan stands, and the plan; None when the region is known to have none."""
    try:
        data = path.read_bytes()
    except OSError:
        return False, None
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return False, None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        if not arrays.files:
            return True, None
        automata_found = [
            Automaton(arrays[f"{name}_moves"], arrays[f"{name}_outputs"]) for name in ("plain", "plus")
        ]
    return True, Plan(*automata_found)


def _write(path: Path, plan: Plan | None) -> None:
    buffer = io.BytesIO()
    named = {} if plan is None else {"plain": plan.plain, "plus": plan.plus}
    arrays: dict[str, Any] = {f"{name}_moves": each.moves for name, each in named.items()}
    arrays |= {f"{name}_outputs": each.outputs for name, each in named.items()}
    np.savez(buffer, **arrays)
    content = buffer.getvalue()
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".plan-", delete=False) as file:
            temporary = Path(file.name)
            file.write(hashlib.sha256(content).digest() + content)
        temporary.replace(path)
    except OSError:  # no cache here: the plan in memory serves; audit doctor says so
        if temporary is not None:
            temporary.unlink(missing_ok=True)
