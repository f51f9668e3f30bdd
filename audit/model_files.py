"""Files of models that are not part of this package: where they lie, and whether they are the right ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from audit.errors import ConfigurationError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """Digest of a file, 64 hex digits; computed once for a file that stays as it is.

    Raises:
        OSError: The file cannot be read.
    """
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    del size, mtime_ns  # they only name the state of the file
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_sha256(path: Path, expected: str, *, key: str) -> str:
    """Return a file's digest if it is the expected one.

    Args:
        path: The file.
        expected: 64 hex digits, in either case.
        key: Parameter that names the expected digest, for the error.

    Raises:
        ConfigurationError: The file is missing or another one, or the expected digest is none.
    """
    if not _SHA256.fullmatch(expected.lower()):
        raise ConfigurationError(
            "the file's SHA-256 is required, 64 hex digits",
            key=key,
            remedy=f"run sha256sum on {path.name} where you trust it, and copy the digest",
        )
    if not path.is_file():
        raise ConfigurationError(f"{path} is no file", key=key.rpartition(".")[0] or key)
    found = sha256_of(path)
    if found != expected.lower():
        raise ConfigurationError(
            f"{path.name} has digest {found[:16]}…, expected {expected.lower()[:16]}…",
            key=key,
            remedy="fetch the file again from where you trust it; it was not loaded",
        )
    return found


def versions(packages: Sequence[str], *, extra: str, key: str) -> dict[str, str]:
    """Versions of installed packages.

    Args:
        packages: Their names.
        extra: The extra of this package that installs them.
        key: What needs them, for the error.

    Raises:
        ConfigurationError: One is not installed.
    """
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            raise ConfigurationError(
                f"the package {name} is not installed",
                key=key,
                remedy=f'pip install "corpus-audit[{extra}]"',
            ) from None
    return found
