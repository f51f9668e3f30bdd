"""Tasks as bytes for workers on other machines: what all tasks share is packed once, not once a task."""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Callable, Sequence
from typing import Any

#: Values that pickle to less are not worth a reference.
_SMALL_BYTES = 200


class Packer:
    """Packs the tasks of one ``Engine.map``.

    A field that holds the same object (not an equal one) in the first and the last task is taken to be
    shared, such as the screens, the canaries and the key of a run. Tasks refer to it by number.
    """

    def __init__(self, function: Callable[..., Any], tasks: Sequence[Any]) -> None:
        self._shared = _shared(tasks)
        self._numbers = {id(value): number for number, value in enumerate(self._shared)}
        #: The function and the shared values, for ``Unpacker``.
        self.common = pickle.dumps((function, self._shared))

    def pack(self, task: object) -> bytes:
        """One task, for ``Unpacker.unpack``."""
        target = io.BytesIO()
        _Referring(target, self._numbers).dump(task)
        return target.getvalue()


class Unpacker:
    """The other side of a ``Packer``.

    Attributes:
        function: What is to be called with each task.
    """

    def __init__(self, common: bytes) -> None:
        # From the driver of the same run, over the cluster's own connections.
        self.function, self._shared = pickle.loads(common)  # noqa: S301

    def unpack(self, packed: bytes) -> Any:
        """One task."""
        return _Resolving(io.BytesIO(packed), self._shared).load()


class _Referring(pickle.Pickler):
    def __init__(self, target: io.BytesIO, numbers: dict[int, int]) -> None:
        super().__init__(target)
        self._numbers = numbers

    def persistent_id(self, value: object) -> int | None:
        return self._numbers.get(id(value))


class _Resolving(pickle.Unpickler):
    def __init__(self, source: io.BytesIO, shared: Sequence[object]) -> None:
        super().__init__(source)
        self._shared = shared

    def persistent_load(self, number: int) -> object:
        return self._shared[number]


def _shared(tasks: Sequence[Any]) -> tuple[object, ...]:
    if len(tasks) < 2 or not dataclasses.is_dataclass(tasks[0]) or type(tasks[0]) is not type(tasks[-1]):
        return ()
    names = [field.name for field in dataclasses.fields(tasks[0])]
    pairs = [(getattr(tasks[0], name), getattr(tasks[-1], name)) for name in names]
    return tuple(a for a, b in pairs if a is b and len(pickle.dumps(a)) > _SMALL_BYTES)
