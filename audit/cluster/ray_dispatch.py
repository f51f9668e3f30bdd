"""Handing tasks to the workers of a Ray cluster, and to others where workers or nodes are lost.

A task is safe to run twice, so one whose node went silent is handed out again at once. A task whose worker
died while its node lived is under suspicion: it is tried again at the end, in a worker next to which nothing
else runs on its node, and is lost when that one dies too.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from audit.cluster.ray_cluster import Node
from audit.cluster.ray_pool import Pool, Seat
from audit.cluster.ray_worker import Answer, Partial
from audit.cluster.task_packing import Packer
from audit.errors import RetryableError
from audit.workers.worker_main import Raised
from audit.workers.worker_pool import Bounds, Ended, WorkerTraceback

Task = TypeVar("Task")
Result = TypeVar("Result")
#: Called with documents and bytes done since the last call.
Advance = Callable[[int, int], None]
#: Tells the nodes that may work, by id; lets only those in that are as the driver is.
Survey = Callable[[], dict[str, Node]]

_POLL_SECONDS, _SURVEY_SECONDS = 0.3, 5.0
_LAST_ANSWERS_SECONDS = 5.0
#: A task that saw so many nodes go is taken to be what they died of.
_MOST_NODES = 4
#: Nothing runs, and no worker starts, for so long: the run is given up. Clusters that grow take minutes.
_PATIENCE_SECONDS = 900.0


@dataclass
class _Job(Generic[Task]):
    """A task, and what became of the workers that had it."""

    task: Task
    suspect: bool = False
    nodes_lost: int = 0


class Dispatch(Generic[Task, Result]):
    """One ``Engine.map`` over a pool of workers."""

    def __init__(
        self,
        pool: Pool,
        survey: Survey,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        advance: Advance,
        note: Callable[[str], None],
    ) -> None:
        work = list(tasks)
        self._pool, self._survey, self._note = pool, survey, note
        self._packer = Packer(function, work)
        self._fresh, self._suspects = deque(_Job(task) for task in work), deque[_Job[Task]]()
        self._flying: dict[Any, tuple[Seat, _Job[Task]]] = {}
        self._nodes: dict[str, Node] = {}
        self._surveyed = self._moved = float("-inf")
        self._progress = _Progress(pool, advance)

    def run(self) -> Iterator[Ended[Task, Result]]:
        """Yield every task as it ends.

        Raises:
            Exception: What the function raised in a worker.
            RetryableError: The cluster has no place for a worker.
        """
        for seat in self._pool.seats:
            self._pool.begin(seat, self._packer.common)
        self._moved = time.monotonic()
        while self._fresh or self._suspects or self._flying:
            self._staff()
            self._hand_out()
            yield from self._collect()
            self._progress.tell()
        self._progress.tell()

    def _staff(self) -> None:
        now = time.monotonic()
        if now - self._surveyed > _SURVEY_SECONDS:
            self._nodes, self._surveyed = self._survey(), now
        wanted = len(self._fresh) + len(self._suspects) + len(self._flying)
        for seat in self._pool.fit(wanted, self._nodes):
            self._pool.begin(seat, self._packer.common)
        if self._flying:
            self._moved = now
        elif now - self._moved > _PATIENCE_SECONDS:
            cores = sum(node.cpus for node in self._nodes.values())
            raise RetryableError(
                f"no worker could start in {_PATIENCE_SECONDS:g} s on {len(self._nodes)} nodes with {cores} "
                "CPUs: others may hold them; the same command goes on from here"
            )

    def _hand_out(self) -> None:
        watched = {seat.node for seat, job in self._flying.values() if job.suspect}
        seats = [seat for seat in self._pool.ready if seat.node in self._nodes and seat.node not in watched]
        # A second one lies ready behind the first, but for the last ones, which may go to whoever is free.
        for depth in (1, 2) if len(self._fresh) > len(seats) else (1,):
            for seat in seats:
                if self._fresh and len(seat.held) < depth:
                    self._give(seat, self._fresh.popleft())
        if not self._fresh and all(job.suspect for _, job in self._flying.values()):
            for seat in {seat.node: seat for seat in seats}.values():
                if self._suspects:
                    self._give(seat, self._suspects.popleft())

    def _give(self, seat: Seat, job: _Job[Task]) -> None:
        bounds = None if not job.suspect else self._alone(seat)
        answer = seat.handle.run.remote(self._packer.pack(job.task), bounds)
        self._flying[answer] = (seat, job)
        seat.held.append(answer)

    def _alone(self, seat: Seat) -> Bounds:
        """Of a worker next to which nothing runs: it may hold what all of the node hold together."""
        beside = sum(other.node == seat.node for other in self._pool.seats)
        memory = self._pool.bounds.memory
        return Bounds(None if memory is None else memory * beside, self._pool.bounds.stall_seconds)

    def _collect(self) -> Iterator[Ended[Task, Result]]:
        ray, awaited = self._pool.ray, [*self._flying, *self._pool.starting]
        if not awaited:
            time.sleep(_POLL_SECONDS)
            return
        if ray.wait(awaited, timeout=_POLL_SECONDS)[0]:
            for reference in ray.wait(awaited, num_returns=len(awaited), timeout=0)[0]:
                if reference in self._flying:
                    yield from self._take(reference)
                elif seat := self._pool.starting.get(reference):
                    self._seat(seat)

    def _seat(self, seat: Seat) -> None:
        try:
            seat.node = self._pool.ray.get(seat.starting)
        except self._pool.ray.exceptions.RayError:
            self._pool.dismiss(seat)  # with its node: another one is started
            return
        if seat.node not in self._nodes:
            self._surveyed = float("-inf")

    def _take(self, reference: Any) -> Iterator[Ended[Task, Result]]:
        """An answer, or the end of its worker."""
        try:
            answer: Answer = self._pool.ray.get(reference)
        except self._pool.ray.exceptions.RayError as error:
            yield from self._lose(self._flying[reference][0], error)
            return
        seat, job = self._flying.pop(reference)
        seat.held.remove(reference)
        self._progress.finished(seat, answer)
        told = pickle.loads(answer.packed)  # noqa: S301 - from a worker of this run
        if isinstance(told, Raised):
            raise told.error from WorkerTraceback(told.trace)
        yield Ended(job.task, told.result)

    def _lose(self, seat: Seat, error: Exception) -> Iterator[Ended[Task, Result]]:
        """A worker is gone; what it had not begun goes to others as if nothing had been."""
        for reference in [each for each in seat.held if self._answered(each)]:
            yield from self._take(reference)
        if not seat.held:
            self._pool.dismiss(seat)
            return
        words, where = self._cause(seat, error), self._nodes.get(seat.node or "")
        first, *rest = [self._flying.pop(reference)[1] for reference in seat.held]
        self._pool.dismiss(seat)
        self._fresh.extendleft(rest[::-1])
        place = "a node" if where is None else f"node {where.address}"
        if words is None:
            self._note(f"{place} was lost; its tasks go to other workers")
            first.nodes_lost += 1
            if first.nodes_lost < _MOST_NODES:
                self._fresh.appendleft(first)
            else:
                yield Ended(first.task, None, f"{_MOST_NODES} workers were lost with their nodes")
        elif first.suspect:
            yield Ended(first.task, None, f"its worker died twice ({words})")
        else:
            self._note(f"a worker on {place} died ({words}); its task is tried again at the end, on its own")
            first.suspect = True
            self._suspects.append(first)

    def _answered(self, reference: Any) -> bool:
        """Whether an answer came before the end: of that task the worker did not die."""
        try:
            self._pool.ray.get(reference, timeout=_LAST_ANSWERS_SECONDS)
        except self._pool.ray.exceptions.RayError:
            return False
        return True

    def _cause(self, seat: Seat, error: Exception) -> str | None:
        """What a worker died of; None when its node is gone, or does not answer."""
        exceptions = self._pool.ray.exceptions
        self._nodes, self._surveyed = self._survey(), time.monotonic()
        if seat.node not in self._nodes or isinstance(error, exceptions.ActorUnavailableError):
            return None
        if isinstance(error, exceptions.OutOfMemoryError):
            return "out of memory: Ray ended it before its node ran out"
        return self._pool.last_words(seat) or "killed, or a crash in native code"


class _Progress:
    """Documents and bytes of all workers: of finished tasks, and of those under way."""

    def __init__(self, pool: Pool, advance: Advance) -> None:
        self._pool, self._advance = pool, advance
        self._finished, self._told = (0, 0), (0, 0)
        self._asked: Any = None
        self._partial: dict[int, Partial] = {}

    def finished(self, seat: Seat, answer: Answer) -> None:
        """Count a finished task."""
        seat.finished += 1
        self._finished = (self._finished[0] + answer.documents, self._finished[1] + answer.size)

    def tell(self) -> None:
        """Tell what is new; never less than before, though work of a lost worker is done again."""
        self._look()
        under_way = [
            partial
            for seat in self._pool.ready
            if (partial := self._partial.get(seat.number)) and partial.serial == seat.finished + 1
        ]
        documents = self._finished[0] + sum(partial.documents for partial in under_way)
        size = self._finished[1] + sum(partial.size for partial in under_way)
        new = max(0, documents - self._told[0]), max(0, size - self._told[1])
        if any(new):
            self._advance(*new)
            self._told = (self._told[0] + new[0], self._told[1] + new[1])

    def _look(self) -> None:
        ray = self._pool.ray
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            asked, self._asked = self._asked, None
            try:
                self._partial = ray.get(asked)
            except ray.exceptions.RayError:
                self._partial = {}  # its node is gone; what is finished is counted all the same
        elif self._asked is None:
            self._asked = self._pool.board.read.remote()
