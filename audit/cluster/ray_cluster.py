"""The connection to a Ray cluster: opened, checked, closed. The cluster itself is left as it was found.

Checked against Ray 2.60 (its Core only).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from audit.cluster import node_checks, node_identity
from audit.cluster.node_checks import Meeting
from audit.errors import ConfigurationError, RetryableError
from audit.workers import accelerators

LOCAL = "local"
_CHECK_SECONDS = 120.0
_VERSION_TROUBLE = "version"


@dataclass(frozen=True)
class Node:
    """A node that lives.

    Attributes:
        node: Its id in Ray.
        address: Its IP address, for people.
        cpus, gpus: That Ray hands out there.
    """

    node: str
    address: str
    cpus: int
    gpus: int


def load() -> ModuleType:
    """Import Ray.

    Raises:
        ConfigurationError: It is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            "the package ray is not installed",
            key="run.engine",
            remedy="Run: pip install 'corpus-audit[ray]', here and on every node",
        ) from error
    return ray  # type: ignore[no-any-return]


@contextmanager
def connected(address: str, workers: int | None) -> Iterator[ModuleType]:
    """Connect this process to a cluster, for as long as the context lasts.

    Args:
        address: ``auto`` (the cluster that this machine is part of, or ``$RAY_ADDRESS``), ``host:port``,
            ``ray://host:port``, or ``local`` for a cluster of this machine alone, started and stopped here.
        workers: CPUs of a ``local`` cluster; default: those of the machine.

    Raises:
        ConfigurationError: There is no cluster at the address, or one of another version.
    """
    ray = load()
    if ray.is_initialized():  # the caller's connection: used, and left open
        yield ray
        return
    before = _signal_handler()
    try:
        with _explained(address):
            own = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        _keep_quiet(ray)
        _restore(before)
        yield ray
    finally:
        ray.shutdown()
        _restore(before)


def nodes(ray: ModuleType) -> dict[str, Node]:
    """Nodes that live, by id."""
    found = {}
    for told in ray.nodes():
        if told["Alive"]:
            held = told["Resources"]
            cpus, gpus = int(held.get("CPU", 0)), int(held.get("GPU", 0))
            found[told["NodeID"]] = Node(told["NodeID"], told["NodeManagerAddress"], cpus, gpus)
    return found


def ask(
    ray: ModuleType, function: Callable[..., Any], chosen: Mapping[str, Node], *given: object
) -> dict[str, Any]:
    """Call a function once on every node; those that died are left out.

    Args:
        ray: Connected.
        function: Gets ``given``.
        chosen: Nodes, by id.
        given: Arguments.

    Raises:
        RetryableError: A node does not answer.
    """
    asked = {
        node: ray.remote(num_cpus=0, max_retries=0)(function)
        .options(scheduling_strategy=_on(ray, node))
        .remote(*given)
        for node in chosen
    }
    late = ray.wait(list(asked.values()), num_returns=len(asked), timeout=_CHECK_SECONDS)[1] if asked else []
    if late:
        silent = next(node for node, ref in asked.items() if ref in late)
        raise RetryableError(f"node {chosen[silent].address} does not answer; see its Ray logs")
    answers = {}
    for node, ref in asked.items():
        try:
            answers[node] = ray.get(ref)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError:
            continue
    return answers


def check_identity(ray: ModuleType, chosen: Mapping[str, Node]) -> set[str]:
    """Compare nodes with this process; returns those that answered.

    Raises:
        ConfigurationError: One would not give the same results.
    """
    by_value(ray)
    mine = node_identity.describe()
    answers = ask(ray, node_identity.describe, chosen)
    for node, theirs in answers.items():
        if told := node_identity.differences(mine, theirs):
            raise ConfigurationError(
                f"node {chosen[node].address} differs from this one: {'; '.join(told)}",
                key="run.engine",
                remedy="Install the same on every node, such as by one container image",
            )
    return set(answers)


def check_storage(ray: ModuleType, met: Meeting, chosen: Mapping[str, Node]) -> set[str]:
    """Ask nodes for the inputs and the run folder; returns those that answered.

    Raises:
        ConfigurationError: One does not see them.
    """
    answers = ask(ray, node_checks.attend, chosen, met)
    for node, trouble in answers.items():
        if trouble is not None:
            raise node_checks.unseen(chosen[node].address, trouble)
        node_checks.await_answer(met, node)
    return set(answers)


def gpu_memory(ray: ModuleType, chosen: Mapping[str, Node]) -> tuple[int, ...]:
    """Bytes of every GPU of the nodes, as far as they tell."""
    by_value(ray)
    answers = ask(ray, accelerators.gpu_memory, {name: node for name, node in chosen.items() if node.gpus})
    return tuple(size for sizes in answers.values() for size in sizes)


def by_value(ray: ModuleType) -> None:
    """Let the checks' own code travel to the nodes, whatever is installed there."""
    for module in (node_identity, accelerators):
        ray.cloudpickle.register_pickle_by_value(module)


def here(ray: ModuleType) -> Any:
    """A scheduling strategy: near this process."""
    return _on(ray, ray.get_runtime_context().get_node_id(), soft=True)


def _on(ray: ModuleType, node: str, *, soft: bool = False) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    del ray
    return NodeAffinitySchedulingStrategy(node, soft=soft)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what Ray raises while connecting into what to do about it."""
    try:
        yield
    except (ConnectionError, TimeoutError) as error:
        raise ConfigurationError(
            f"no Ray cluster is found at {address!r} ({type(error).__name__})",
            key="--address",
            remedy="Start one (`ray start --head`), give its address, or use --address local",
        ) from error
    except ImportError as error:
        raise ConfigurationError(
            "ray:// addresses need the package grpcio",
            key="--address",
            remedy="Run: pip install 'corpus-audit[ray]'",
        ) from error
    except RuntimeError as error:
        if _VERSION_TROUBLE not in str(error).lower():
            raise
        raise ConfigurationError(
            "the cluster runs another version of Ray or Python than this process",
            key="--address",
            remedy="Use the same on every node, such as by one container image",
        ) from error


def _keep_quiet(ray: ModuleType) -> None:
    """Keep messages of the cluster's daemons out of standard output, which may be piped."""
    ray._private.worker._worker_logs_enabled = False


def _signal_handler() -> Any:
    # Ray puts its own in place, which would skip what the driver does when it is asked to end.
    return signal.getsignal(signal.SIGTERM)


def _restore(handler: Any) -> None:
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
