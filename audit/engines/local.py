"""Processes on one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from audit import accelerators
from audit.engines import CORES, Advance, Needs, Outcome, Result, Task
from audit.memory import Division
from audit.model import Shard
from audit.store import Store
from audit.worker_pool import Bounds, WorkerPool

#: Seconds without a sign of progress after which a worker is ended; see ``run.stall_seconds``.
STALL_SECONDS = 600.0


@dataclass(frozen=True)
class LocalEngine:
    """Spawned processes on this machine.

    Attributes:
        workers: At most so many at once.
        share: Resident bytes that each may hold; None: no limit. One that runs on its own, as a task does
            whose worker died, may hold what all have together.
        stall_seconds: Crash guard: a worker that does no step of its work for so long is ended.
    """

    workers: int
    share: int | None = None
    stall_seconds: float = STALL_SECONDS

    @property
    def elsewhere(self) -> bool:
        """See ``Engine``: no."""
        return False

    def capacity(self, needs: Needs) -> int:
        """See ``Engine.capacity``."""
        memory = accelerators.gpu_memory() if needs.gpu_memory else ()
        if not memory:
            return self.workers
        # Processes of this pool all use the first GPU; a cluster of this machine alone would share them out.
        return min(self.workers, accelerators.workers_per_gpu(memory[:1], needs.gpu_memory))

    def admit(self, store: Store, shards: Sequence[Shard]) -> None:
        """See ``Engine.admit``: workers of this machine see what the driver sees."""

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        advance: Advance,
        needs: Needs = CORES,
    ) -> Iterator[Outcome[Task, Result]]:
        """See ``Engine.map``; a task whose worker died is tried again after the others, on its own."""
        again = []
        with WorkerPool(function, self.capacity(needs), self._bounds(self.share), advance) as pool:
            for ended in pool.run(tasks):
                if ended.death is None:
                    yield Outcome(ended.task, ended.result)
                else:
                    again.append(ended.task)
        if not again:
            return
        alone = Division(self.workers, self.share).whole
        with WorkerPool(function, 1, self._bounds(alone), advance) as pool:
            for ended in pool.run(again):
                lost = None if ended.death is None else f"its worker died twice ({ended.death})"
                yield Outcome(ended.task, ended.result, lost)

    def _bounds(self, memory: int | None) -> Bounds:
        return Bounds(memory, self.stall_seconds)
