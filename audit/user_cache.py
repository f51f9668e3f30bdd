"""Where this package keeps what may be lost: compiled kernels, phone plans, fetched models, staged runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def folder(name: str) -> Path:
    """A folder of the user's cache; it may not exist.

    ``$XDG_CACHE_HOME`` where it is set, else the platform's own place.

    Args:
        name: Of the folder below ``corpus-audit``.

    Raises:
        RuntimeError: The user has no home folder, and ``XDG_CACHE_HOME`` is not set.
    """
    return _root() / "corpus-audit" / name


def _root() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ".cache"
