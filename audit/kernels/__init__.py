"""Numba kernels over Arrow buffers: pure functions, no I/O, no knowledge of screens.

Every kernel releases the GIL, is cached on disk, and takes tables as arguments (a table frozen into a
kernel as a global would be compiled into it).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from numba import config

from audit import user_cache


def _cache_by_sources() -> None:
    """Give the compiled kernels a cache folder named by the digest of all kernel sources.

    Numba checks only the file of the kernel that is called. A kernel that calls one of another file would
    go on with the old code of that file after a change.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    place = user_cache.folder(f"kernels-{digest.hexdigest()}")
    setattr(config, "CACHE_DIR", str(place))  # noqa: B010


_cache_by_sources()
