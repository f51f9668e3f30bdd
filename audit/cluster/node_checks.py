"""Whether a node of a cluster reaches the inputs and the run folder that the driver reaches."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audit.errors import AuditError, ConfigurationError
from audit.identifiers import mask_identifier
from audit.model import Shard
from audit.objects.object_addresses import is_object_address
from audit.objects.object_stores import ObjectFolder
from audit.storage.store import Store

#: Inputs that every node is asked for.
_INPUTS = 5
#: Network file systems show a new file to others after a while.
_WAIT_SECONDS = 15.0
_DRIVER = "driver"


@dataclass(frozen=True)
class Meeting:
    """What the driver laid down for every node to find.

    Attributes:
        store: Where; on its object store, where it has one.
        name: Of a folder there, with a small file for the driver and for each node.
        content: What stands in these.
        inputs: Addresses of some inputs, with their sizes (0: unknown).
    """

    store: Store
    name: str
    content: str
    inputs: tuple[tuple[str, int], ...]


@contextmanager
def meeting(store: Store, shards: Sequence[Shard]) -> Iterator[Meeting]:
    """Lay down what nodes are to find, and take it away again."""
    chosen = shards[:: max(1, len(shards) // _INPUTS)]
    inputs = {shard.uri: shard.file_size for shard in chosen if _is_plain(shard.uri)}
    met = Meeting(store, f"meeting-{uuid.uuid4().hex}", uuid.uuid4().hex, tuple(inputs.items()))
    _write(met, _DRIVER)
    try:
        yield met
    finally:
        _clear(met)


def attend(met: Meeting) -> str | None:
    """On a node of Ray: look for what the driver laid down, and answer beside it; returns what is wrong."""
    import ray

    try:
        for address, size in met.inputs:
            if trouble := _trouble(address, size):
                return trouble
        if not _reads(met, _DRIVER):
            return "it does not see the run folder"
        _write(met, ray.get_runtime_context().get_node_id())
    except AuditError as error:
        return str(error)
    except OSError as error:
        return f"it cannot write into the run folder ({error.strerror})"
    return None


def await_answer(met: Meeting, node: str) -> None:
    """In the driver: find what a node wrote.

    Raises:
        ConfigurationError: It wrote elsewhere.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while not _reads(met, node):
        if time.monotonic() > deadline:
            raise unseen(node[:8], "what it writes into the run folder does not appear here")
        time.sleep(0.1)


def unseen(node: str, what: str) -> ConfigurationError:
    """An error about a node that does not share the storage."""
    return ConfigurationError(
        f"node {node}: {what}",
        key="--out",
        remedy="Every node must reach inputs and run folder under the same addresses: put both on a file "
        "system that all nodes mount, or on an object store, with credentials in every node's environment",
    )


def _is_plain(address: str) -> bool:
    return "://" not in address or is_object_address(address)


def _trouble(address: str, size: int) -> str | None:
    name = mask_identifier(Path(address).name)
    if is_object_address(address):
        found = ObjectFolder(address).head("")
        there = None if found is None else found.size
    else:
        there = Path(address).stat().st_size if Path(address).is_file() else None
    if there is None:
        return f"it does not see the input {name}"
    return f"the input {name} has another size there" if size and there != size else None


def _write(met: Meeting, who: str) -> None:
    content = met.content.encode()
    if met.store.remote is not None:
        met.store.remote.put(_key(met, who), content)
        return
    _folder(met).mkdir(parents=True, exist_ok=True)
    (_folder(met) / who).write_bytes(content)


def _reads(met: Meeting, who: str) -> bool:
    if met.store.remote is not None:
        key = _key(met, who)
        return met.store.remote.head(key) is not None and met.store.remote.get(key) == met.content.encode()
    # Listing a folder of a network file system asks the server; looking a name up may not.
    names = [path.name for path in _folder(met).iterdir()] if _folder(met).is_dir() else []
    return who in names and (_folder(met) / who).read_bytes() == met.content.encode()


def _clear(met: Meeting) -> None:
    if met.store.remote is None:
        shutil.rmtree(_folder(met), ignore_errors=True)
        return
    for found in list(met.store.remote.list(_key(met, ""))):
        met.store.remote.delete(found.key)


def _folder(met: Meeting) -> Path:
    return met.store.scratch / met.name


def _key(met: Meeting, who: str) -> str:
    return f".tmp/{met.name}/{who}".rstrip("/")
