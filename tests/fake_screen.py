"""A screen that costs nothing, and misbehaves in native ways where a text tells it to."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from audit.model import ScreenResult
from audit.screens import ScreenContext

#: Set while documents may do harm: nothing else tells a disturbed run from an undisturbed one.
ARMED = "FAKE_SCREEN_ARMED"
_CHUNK = 32 << 20


@dataclass(frozen=True)
class FakeScreen:
    """Counts characters."""

    name: ClassVar[str] = "fake"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {"length": pa.int64()}
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = False

    def resources(self) -> Mapping[str, str]:
        return {}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        texts: list[str] = batch.column("text").to_pylist()
        if os.environ.get(ARMED):
            for text in texts:
                self._misbehave(text)
        return ScreenResult({"length": pa.array([len(text) for text in texts], pa.int64())})

    def _misbehave(self, text: str) -> None:
        if "LEAVES" in text:
            os._exit(9)
        if "EXITS" in text:
            sys.exit(0)
        if "FAULTS" in text:
            ctypes.string_at(0)
        if "HANGS" in text:
            time.sleep(60)
        if "ASKS" in text:
            bytearray(1 << 55)
        if "EATS" in text:
            _eat(Path(os.environ[ARMED]))
        if "ONCE" in text:
            _kill_once(Path(os.environ[ARMED]))


def _eat(diary: Path) -> None:
    """Take memory, telling how much, until somebody stops it."""
    eaten = []
    for _ in range(128):
        eaten.append(b"x" * _CHUNK)
        diary.with_suffix(".new").write_text(str(len(eaten) * _CHUNK))
        diary.with_suffix(".new").replace(diary.with_suffix(".bytes"))  # whole, whenever it is killed
    raise RuntimeError("nobody stopped it")


def _kill_once(mark: Path) -> None:
    """End this process as an operator, or the kernel, would: the first time only."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)


@dataclass(frozen=True)
class OtherScreen(FakeScreen):
    """Looks at what the first one measured."""

    name: ClassVar[str] = "other"
    needs: ClassVar[tuple[str, ...]] = ("fake",)

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        return ScreenResult({"length": context.upstream["fake_length"].cast(pa.int64())})


@dataclass(frozen=True)
class PlainScreen(FakeScreen):
    """Has nothing to do with the others."""

    name: ClassVar[str] = "plain"

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        return ScreenResult({"length": batch.column("position")})
