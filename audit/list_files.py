"""Files of word and domain lists: those of others that come with the package, and those of the user."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

from audit.errors import ConfigurationError, FatalError

#: A file with its time of change (ns) and size: what tells whether it is still the one that was read.
Version: TypeAlias = tuple[str, int, int]

#: File in ``lexicon_data`` -> SHA-256.
DIGESTS = {
    "ldnoobw.json.gz": "70225c94ac46868ddc6250b89cf110356a8da8bb0fc9145eaa190f3d8ae32431",
    "ut1.json.gz": "c3064a105120d5de0c438376ac780b4f89be8f2a3a280a98078654243d67d57b",
}


@cache
def read_packaged(name: str) -> list[dict[str, Any]]:
    """Lists of a packaged file: ``category``, ``entries`` and, for words, ``language``.

    Raises:
        FatalError: The file is not the one whose digest stands here.
    """
    content = (files("audit") / "lexicon_data" / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != DIGESTS[name]:
        raise FatalError(f"the list {name} has an unexpected digest; reinstall corpus-audit")
    lists: list[dict[str, Any]] = json.loads(gzip.decompress(content))["lists"]
    return lists


def read_file(file: str, key: str) -> bytes:
    """Content of a user's list.

    Args:
        file: Its path.
        key: The key of the configuration that names it.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise _unreadable(file, key, error) from error


def versions(files: tuple[str, ...], key: str) -> tuple[Version, ...]:
    """Version of each file; arguments and errors as ``read_file``."""
    found = []
    for file in files:
        try:
            stat = Path(file).stat()
        except OSError as error:
            raise _unreadable(file, key, error) from error
        found.append((file, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def digests(files: tuple[str, ...], key: str) -> Mapping[str, str]:
    """SHA-256 of each file by its number, so that no path is told; arguments and errors as ``read_file``."""
    return {
        f"lists[{number}]": f"sha256:{hashlib.sha256(read_file(file, key)).hexdigest()}"
        for number, file in enumerate(files)
    }


def _unreadable(file: str, key: str, error: OSError) -> ConfigurationError:
    message = f"a list cannot be read ({type(error).__name__})"
    return ConfigurationError(message, file=file, key=key, remedy="Name an existing file")
