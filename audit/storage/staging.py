"""Where a run on an object store has its copy on this machine.

The copy may be deleted whenever no command is at work: what is needed is fetched again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from audit import user_cache
from audit.errors import ConfigurationError

ENVIRONMENT_VARIABLE = "AUDIT_STAGING"


def folder(address: str) -> Path:
    """The folder of a run: below ``$AUDIT_STAGING``, or ``runs`` of the user's cache; it may not exist.

    Args:
        address: Of the run, such as ``s3://bucket/run``.

    Raises:
        ConfigurationError: Neither that variable is set nor has the user a home folder.
    """
    name = hashlib.sha256(address.encode()).hexdigest()[:32]
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    try:
        return (Path(named).expanduser() if named else user_cache.folder("runs")).absolute() / name
    except RuntimeError:
        raise ConfigurationError(
            "no place for a copy of the run: the user has no home folder",
            key=f"${ENVIRONMENT_VARIABLE}",
            remedy="Name a folder there, on a disk with room",
        ) from None


def make(path: Path) -> None:
    """Make the folder, for its owner alone.

    Raises:
        ConfigurationError: It cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"no copy of the run can be made there ({error.strerror})",
            file=str(path),
            key=f"${ENVIRONMENT_VARIABLE}",
            remedy="Name another folder there",
        ) from error
