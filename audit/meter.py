"""Counts documents and bytes inside a worker, for the driver's progress line.

Counters are process-wide by nature: a worker serves one run at a time.
"""

from __future__ import annotations

from multiprocessing.sharedctypes import SynchronizedArray

_shared: SynchronizedArray[int] | None = None


def attach(counters: SynchronizedArray[int]) -> None:
    """Use this pair (documents, bytes) from now on."""
    global _shared
    _shared = counters


def advance(documents: int, size: int) -> None:
    """Add to the counters; outside a pool nothing is counted."""
    if _shared is None:
        return
    with _shared.get_lock():
        _shared[0] += documents
        _shared[1] += size
