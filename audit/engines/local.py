"""Processes on one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from audit.engines import CORES, Advance, Needs, Outcome, Result, Task, one_map
from audit.workers import accelerators
from audit.workers.memory import Division
from audit.workers.worker_pool import Bounds, Ended, Worker, WorkerPool

if TYPE_CHECKING:  # a worker starts before what they import is loaded
    from audit.model import Shard
    from audit.storage.store import Store

#: Seconds without a sign of progress after which a worker is ended; see ``run.stall_seconds``.
STALL_SECONDS = 600.0


@dataclass
class _Staff:
    """Workers that stay, and what they are for."""

    needs: Needs = CORES
    pool: WorkerPool | None = None
    opened: bool = False
    mapping: bool = False

    def dismiss(self) -> None:
        if self.pool is not None:
            self.pool.close()
            self.pool = None


@dataclass(frozen=True)
class LocalEngine:
    """Spawned processes on this machine.

    As a context it keeps them from one ``map`` to the next that has the same needs; all are gone when it
    ends. Otherwise they are gone when their ``map`` ends.

    Attributes:
        workers: At most so many at once.
        share: Resident bytes that each may hold; None: no limit. One that runs on its own, as a task does
            whose worker died, may hold what all have together.
        stall_seconds: Crash guard: a worker that does no step of its work for so long is ended.
        first: A worker that was started ahead of the context, to which it then belongs.
    """

    workers: int
    share: int | None = None
    stall_seconds: float = STALL_SECONDS
    first: Worker | None = None
    _staff: _Staff = field(default_factory=_Staff, init=False, repr=False, compare=False)

    def __enter__(self) -> LocalEngine:
        """Keep workers from now on."""
        self._staff.opened = True
        if self.first is not None:
            self._pool(CORES).adopt(self.first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staff.opened = False
        self._staff.dismiss()

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
        work = list(tasks)
        with one_map(self._staff):
            try:
                yield from self._tried_twice(function, work, advance, needs)
            finally:
                if not self._staff.opened:
                    self._staff.dismiss()

    def _tried_twice(
        self, function: Callable[[Task], Result], work: Sequence[Task], advance: Advance, needs: Needs
    ) -> Iterator[Outcome[Task, Result]]:
        again: list[Task] = []
        for ended in self._pool(needs).run(function, work, advance):
            if ended.death is None:
                yield Outcome(ended.task, ended.result)
            else:
                again.append(ended.task)
        if again:
            self._staff.dismiss()  # one on its own may hold what all hold together
            for ended in self._alone(function, again, advance):
                lost = None if ended.death is None else f"its worker died twice ({ended.death})"
                yield Outcome(ended.task, ended.result, lost)

    def _alone(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], advance: Advance
    ) -> Iterator[Ended[Task, Result]]:
        pool = WorkerPool(1, Bounds(Division(self.workers, self.share).whole, self.stall_seconds))
        try:
            yield from pool.run(function, tasks, advance)
        finally:
            pool.close()

    def _pool(self, needs: Needs) -> WorkerPool:
        """Workers for such needs; those for others are let go, since they hold memory and models."""
        staff = self._staff
        if staff.pool is None or staff.needs != needs:
            staff.dismiss()
            staff.needs = needs
            staff.pool = WorkerPool(self.capacity(needs), Bounds(self.share, self.stall_seconds))
        return staff.pool
