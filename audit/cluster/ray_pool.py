"""A pool of warm workers on a Ray cluster: as many as its nodes hold, replaced where they end."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from audit.cluster import ray_cluster
from audit.cluster.ray_cluster import Node
from audit.cluster.ray_worker import Board, Worker
from audit.workers.worker_pool import THREAD_LIMITS, Bounds

#: Ray keeps arguments over 100 kB in its object store, which may spill to disk; shorter ones stay in memory.
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Size:
    """What a worker takes of a node, and how many there may be.

    Attributes:
        cpus: Cores of a worker, as Ray counts them.
        gpus: Share of a GPU, 1/n; 0 for none.
        most: Workers at most; None: as many as fit.
    """

    cpus: int = 1
    gpus: float = 0.0
    most: int | None = None

    def fitting(self, nodes: Mapping[str, Node]) -> int:
        """Workers that fit on the nodes, as far as they are allowed."""
        fit = sum(self._on(node) for node in nodes.values())
        return fit if self.most is None else min(fit, self.most)

    def _on(self, node: Node) -> int:
        by_cores = node.cpus // self.cpus
        return min(by_cores, node.gpus * round(1 / self.gpus)) if self.gpus else by_cores


@dataclass(eq=False)
class Seat:
    """One worker.

    Attributes:
        number: Never given twice.
        handle: The actor.
        starting: Tells its node once it runs.
        node: Where it runs; None while it starts.
        finished: Serial number of the last task that it answered.
        held: What it was handed and has not answered, in order: it is busy with the first.
    """

    number: int
    handle: Any
    starting: Any
    node: str | None = None
    finished: int = 0
    held: list[Any] = field(default_factory=list)


class Pool:
    """Workers of one size; all end with ``close``."""

    def __init__(self, ray: ModuleType, size: Size, bounds: Bounds) -> None:
        self.ray, self.size, self.bounds = ray, size, bounds
        self.seats: list[Seat] = []
        self._numbers = itertools.count(1)
        self.board = (
            ray.remote(num_cpus=0, max_restarts=-1)(Board)
            .options(scheduling_strategy=ray_cluster.here(ray))
            .remote()
        )
        self._actor = ray.remote(
            num_cpus=size.cpus,
            num_gpus=size.gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": _environment(size)},
        )(Worker)

    @property
    def ready(self) -> list[Seat]:
        """Workers that run."""
        return [seat for seat in self.seats if seat.node is not None]

    @property
    def starting(self) -> dict[Any, Seat]:
        """Workers that do not run yet, by the reference that tells when they do."""
        return {seat.starting: seat for seat in self.seats if seat.node is None}

    def fit(self, wanted: int, nodes: Mapping[str, Node]) -> list[Seat]:
        """Start workers, up to what is wanted and fits; take back those that found no place any more.

        Returns:
            The new ones.
        """
        # A number that the user chose is asked for even where it does not fit: the cluster may grow.
        fitting = self.size.fitting(nodes) if self.size.most is None else self.size.most
        target = min(wanted, fitting)
        surplus = len(self.seats) - max(target, len(self.ready))
        for seat in list(self.starting.values())[: max(0, surplus)]:
            self.dismiss(seat)
        new = [self._start() for _ in range(target - len(self.seats))]
        self.seats += new
        return new

    def begin(self, seat: Seat, common: bytes) -> None:
        """Hand a worker what the tasks to come share."""
        pieces = [common[at : at + _PIECE_BYTES] for at in range(0, len(common), _PIECE_BYTES)]
        seat.handle.begin.remote(self.bounds, *pieces)

    def dismiss(self, seat: Seat) -> None:
        """End a worker at once: what it does is safe to lose."""
        self.seats.remove(seat)
        self._kill(seat.handle)

    def close(self) -> None:
        """End all workers."""
        for seat in self.seats:
            self._kill(seat.handle)
        self._kill(self.board)
        self.seats.clear()

    def last_words(self, seat: Seat) -> str | None:
        """Why a worker ended itself; None when it did not, or when nobody can tell."""
        with suppress(self.ray.exceptions.RayError):  # the board's node may be gone too
            told: str | None = self.ray.get(self.board.last_words.remote(seat.number), timeout=10)
            return told
        return None

    def _start(self) -> Seat:
        number = next(self._numbers)
        handle = self._actor.remote(number, self.board)
        return Seat(number, handle, handle.where.remote())

    def _kill(self, handle: Any) -> None:
        with suppress(self.ray.exceptions.RayError):  # it is gone already
            self.ray.kill(handle, no_restart=True)


def _environment(size: Size) -> dict[str, str]:
    threads = dict.fromkeys(THREAD_LIMITS, "1")
    # Without a GPU of its own a worker must not use one that it sees.
    return threads if size.gpus else {**threads, "CUDA_VISIBLE_DEVICES": ""}
