"""Counts documents and bytes inside a worker, for the driver's progress line, and shows that it is alive.

Counters are process-wide by nature: a worker serves one run at a time.
"""

from __future__ import annotations

import threading
from collections.abc import MutableSequence

#: Places in the counters: documents and bytes done; steps of the work, whatever they did.
DOCUMENTS, BYTES, BEATS = 0, 1, 2
COUNTERS = 3
_lock = threading.Lock()
_shared: MutableSequence[int] | None = None


def attach(counters: MutableSequence[int]) -> None:
    """Use these ``COUNTERS`` numbers from now on; this process alone writes them."""
    global _shared
    _shared = counters


def advance(documents: int, size: int) -> None:
    """Add to the counters; outside a pool nothing is counted."""
    if _shared is not None:
        with _lock:
            _shared[DOCUMENTS] += documents
            _shared[BYTES] += size
            _shared[BEATS] += 1


def beat() -> None:
    """Show that a step of the work is done: who watches ends a worker that takes none for too long."""
    if _shared is not None:
        with _lock:
            _shared[BEATS] += 1
