"""A Ray cluster of two nodes on this machine, for tests."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit.progress import Quiet, Stage

STORE_BYTES = 80 << 20
#: No tokens, no reports: the cluster listens on this machine only, for as long as the tests take.
SETTINGS = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


class TwoNodes:
    """A head with a core, and nodes with a core each that may be killed."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=True)
        self._nodes: list[Any] = []

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    @property
    def session(self) -> Path:
        """Where Ray keeps its logs, and what it spills."""
        return Path(self._cluster.head_node.get_session_dir_path())

    def complete(self) -> None:
        """Start the second node, if it does not run."""
        if not self._nodes:
            self._nodes.append(self._cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))

    def kill_node(self) -> None:
        """End the second node's processes without a word to the others."""
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    def stop(self) -> None:
        self._cluster.shutdown()


@contextmanager
def two_nodes(environment: Mapping[str, str]) -> Iterator[TwoNodes]:
    """A cluster whose processes, and this one, have some more in their environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, **environment}.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        before = signal.getsignal(signal.SIGTERM)  # a head replaces it
        cluster = TwoNodes()
        try:
            cluster.complete()
            yield cluster
        finally:
            cluster.stop()
            signal.signal(signal.SIGTERM, before)


class Saboteur(Quiet):
    """Strikes once, when so many documents are screened."""

    def __init__(self, strike: Callable[[], None], documents: int = 1) -> None:
        self._strike, self._left = strike, documents

    @property
    def struck(self) -> bool:
        return self._left <= 0

    @contextmanager
    def stage(self, name: str, total_bytes: int) -> Iterator[Stage]:
        with super().stage(name, total_bytes) as counter:
            yield _Watched(counter, self) if name == "screen" else counter

    def saw(self, documents: int) -> None:
        before, self._left = self.struck, self._left - documents
        if self.struck and not before:
            self._strike()


@dataclass
class _Watched:
    counter: Stage
    saboteur: Saboteur

    def advance(self, documents: int, size: int) -> None:
        self.counter.advance(documents, size)
        self.saboteur.saw(documents)
