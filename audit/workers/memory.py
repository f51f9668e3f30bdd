"""Memory of a run: sizes as people write them, what a process holds, what each worker may hold."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB, GIB = 1 << 20, 1 << 30
#: Measured peak of a worker with every screen loaded; of the driver while workers run.
WORKER_BYTES, DRIVER_BYTES = int(1.2 * GIB), GIB // 2
#: What a command holds of a finished run while it answers questions, where nothing is configured.
READING_BYTES = GIB
#: Under it not even the driver and a worker that has loaded nothing fit.
LEAST_BYTES = 768 * MIB
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(B|[kKMGT]B|[KMGT]iB)")
_UNITS = {"B": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"Ki": 1 << 10, "Mi": MIB, "Gi": GIB, "Ti": 1 << 40}


@dataclass(frozen=True)
class Division:
    """How a run's memory is divided: so many workers, and resident bytes for each (None: no limit)."""

    workers: int
    share: int | None = None

    @property
    def whole(self) -> int | None:
        """Bytes of a worker that runs on its own."""
        return None if self.share is None else self.share * self.workers


def parse_size(text: str) -> int:
    """Bytes of ``4GiB``, ``512 MiB``, ``1.5GB``.

    Raises:
        ValueError: It is no size.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size; write it like 4GiB or 512MiB")
    number, unit = found.groups()
    return int(float(number) * (_BINARY.get(unit[:-1]) or _UNITS[unit[0]]))


def wanted(workers: int) -> int:
    """Bytes that a run with so many workers takes, without a limit."""
    return DRIVER_BYTES + workers * WORKER_BYTES


def divide(memory: int | None, workers: int) -> Division:
    """Divide a run's memory among at most so many workers, fewer where each would get too little.

    The driver keeps ``DRIVER_BYTES``; a worker gets ``WORKER_BYTES`` at least, but for the last one.
    """
    if memory is None:
        return Division(workers)
    left = memory - DRIVER_BYTES
    fitting = max(1, min(workers, left // WORKER_BYTES))
    return Division(fitting, left // fitting)


def database_bytes(memory: int | None) -> int:
    """Bytes that DuckDB may hold in the driver, whose other half is Python and Arrow."""
    return DRIVER_BYTES if memory is None else DRIVER_BYTES // 2


def reading_bytes(memory: int | None) -> int:
    """Bytes that DuckDB may hold in a command that reads a finished run, when no workers are there."""
    return READING_BYTES if memory is None else max(memory - DRIVER_BYTES, DRIVER_BYTES // 2)


def machine_bytes() -> int:
    """Memory of the machine, or what its control group lets this process have, if that is less."""
    bounds = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError):  # none, or ``max``
        bounds.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(bounds)


def can_watch() -> bool:
    """Whether this system tells what a process holds."""
    return sys.platform == "linux"


def resident(process: int) -> int:
    """Bytes of memory that a process holds, shared libraries included; 0 when it is gone (Linux)."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
