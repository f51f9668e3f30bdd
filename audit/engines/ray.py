"""A cluster of machines, by the tasks and actors of Ray Core."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType, TracebackType

from audit.cluster import node_checks, ray_cluster
from audit.cluster.ray_cluster import Node
from audit.cluster.ray_dispatch import Dispatch
from audit.cluster.ray_pool import Pool, Size
from audit.engines import CORES, Advance, Needs, Outcome, Result, Task, one_map
from audit.errors import FatalError
from audit.model import Shard
from audit.storage.store import Store
from audit.workers import accelerators
from audit.workers.memory import WORKER_BYTES
from audit.workers.worker_pool import Bounds

AUTO = "auto"


@dataclass(frozen=True)
class Cluster:
    """Where tasks run, and within which bounds.

    Attributes:
        address: See ``ray_cluster.connected``.
        workers: At most so many; None: as many as the nodes' CPUs hold, now and later.
        memory: Bytes that the workers of one node may hold together; None: no limit.
        stall_seconds: Crash guard: a worker that does no step of its work for so long is ended.
    """

    address: str = AUTO
    workers: int | None = None
    memory: int | None = None
    stall_seconds: float = 600.0


class RayEngine:
    """Workers on the nodes of a Ray cluster; to be used as a context, which is the connection.

    Workers stay warm from one ``map`` to the next, as long as these have the same needs. Nodes that join
    while tasks run are used; what the workers of a node that goes had begun, others do again.
    """

    def __init__(self, cluster: Cluster, note: Callable[[str], None]) -> None:
        self._cluster, self._note = cluster, note
        self._open = ExitStack()
        self._ray: ModuleType | None = None
        self._pool: Pool | None = None
        self._storage: tuple[Store, Sequence[Shard]] | None = None
        self._same: set[str] = set()
        self._met: set[str] = set()
        self.mapping = False

    def __enter__(self) -> RayEngine:
        """Connect, and compare every node with this process.

        Raises:
            ConfigurationError: Ray is missing, there is no such cluster, or a node differs.
        """
        with ExitStack() as stack:
            self._ray = stack.enter_context(
                ray_cluster.connected(self._cluster.address, self._cluster.workers)
            )
            stack.callback(self._dismiss)
            self._survey()
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def workers(self) -> int:
        """See ``Engine``."""
        return self.capacity(CORES)

    @property
    def elsewhere(self) -> bool:
        """See ``Engine``."""
        return True

    def capacity(self, needs: Needs) -> int:
        """See ``Engine.capacity``: of the nodes as they are now."""
        return max(1, self._size(needs).fitting(ray_cluster.nodes(self._module)))

    def admit(self, store: Store, shards: Sequence[Shard]) -> None:
        """See ``Engine.admit``; nodes that join later are asked the same."""
        self._storage = store, shards
        self._met.clear()
        self._survey()

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        advance: Advance,
        needs: Needs = CORES,
    ) -> Iterator[Outcome[Task, Result]]:
        """See ``Engine.map``; a worker or node that is lost is told of."""
        work = list(tasks)
        with one_map(self):
            pool = self._workers_for(needs)
            try:
                for ended in Dispatch(pool, self._survey, function, work, advance, self._note).run():
                    yield Outcome(ended.task, ended.result, ended.death)
            except BaseException:  # what the others do is not wanted any more
                self._dismiss()
                raise

    @property
    def _module(self) -> ModuleType:
        if self._ray is None:
            raise FatalError("the engine is not connected: use it as a context")
        return self._ray

    def _workers_for(self, needs: Needs) -> Pool:
        size, bounds = self._size(needs), self._bounds()
        if self._pool is None or self._pool.size != size:
            self._dismiss()  # other workers hold what these are to have
            self._pool = Pool(self._module, size, bounds)
        return self._pool

    def _dismiss(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _size(self, needs: Needs) -> Size:
        nodes, most = ray_cluster.nodes(self._module), self._cluster.workers
        if needs.gpu_memory and any(node.gpus for node in nodes.values()):
            memory = ray_cluster.gpu_memory(self._module, nodes)
            return Size(1, 1 / accelerators.workers_per_gpu(memory, needs.gpu_memory), most)
        return Size(self._cores(nodes.values()), 0.0, most)

    def _cores(self, nodes: Iterable[Node]) -> int:
        """Cores of a worker: more than one where the memory allows fewer workers than a node has cores."""
        cores, memory = max((node.cpus for node in nodes), default=1), self._cluster.memory
        if memory is None:
            return 1
        return math.ceil(cores / max(1, min(cores, memory // WORKER_BYTES)))

    def _bounds(self) -> Bounds:
        memory = self._cluster.memory
        if memory is not None:
            nodes = ray_cluster.nodes(self._module).values()
            memory //= max(1, max((node.cpus for node in nodes), default=1) // self._cores(nodes))
        return Bounds(memory, self._cluster.stall_seconds)

    def _survey(self) -> dict[str, Node]:
        """Nodes that may work.

        Raises:
            ConfigurationError: A new one differs, or does not see inputs and run folder.
        """
        nodes = {name: node for name, node in ray_cluster.nodes(self._module).items() if node.cpus}
        new = {name: node for name, node in nodes.items() if name not in self._same}
        self._same |= ray_cluster.check_identity(self._module, new)
        unmet = {name: node for name, node in nodes.items() if name in self._same - self._met}
        if self._storage is not None and unmet:
            with node_checks.meeting(*self._storage) as met:
                self._met |= ray_cluster.check_storage(self._module, met, unmet)
        known = self._same if self._storage is None else self._met
        return {name: node for name, node in nodes.items() if name in known}
