"""A worker that loads what the screens need while the driver loads itself."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audit.workers.worker_pool import Worker, first_worker


@dataclass(frozen=True)
class Preparation:
    """Loads libraries, models and compiled kernels of a configuration's screens; to be called in a worker.

    Attributes:
        config_file: The configuration, which the driver has not read yet.
        scratch: A folder for temporary files.
    """

    config_file: Path
    scratch: Path

    def __call__(self) -> None:
        """Show the packaged canaries to the screens."""
        # Not above: the driver is to send this before it has loaded them itself.
        from audit import canaries, config, tasks
        from audit.storage.store import Store

        chosen = config.load(self.config_file)
        screening = tasks.Screening(
            Store(self.scratch),
            chosen.build_screens(),
            chosen.corpus.columns,
            chosen.read_limits(),
            key_id="",
            hmac_key=secrets.token_bytes(32),
            flock=canaries.Flock(canaries.packaged()),
        )
        tasks.warm_up(screening)


@contextmanager
def prepared_worker(config_file: Path) -> Iterator[Worker]:
    """A worker that prepares for a configuration; it is gone when the context ends."""
    with tempfile.TemporaryDirectory(prefix="audit-") as scratch:
        worker = first_worker(Preparation(config_file, Path(scratch)))
        try:
            yield worker
        finally:
            worker.dismiss()
