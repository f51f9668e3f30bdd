"""A probe that costs nothing: it looks for a word, and misbehaves where a text tells it to."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from audit import probes
from audit.errors import ConfigurationError
from audit.masking import mask, value_hash
from audit.model import FINDING_SCHEMA, ScreenResult
from audit.screens import ScreenContext


@dataclass(frozen=True)
class FakeProbe:
    """Finds a word.

    Attributes:
        word: That flags a document.
        model: ``absent`` is not installed.
        pause: Seconds for each batch.
    """

    word: str = "harbour"
    model: str = "present"
    pause: float = 0.0

    name: ClassVar[str] = "fake"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {"score": pa.float32(), "flagged": pa.bool_()}
    uses_key: ClassVar[bool] = True

    def resources(self) -> Mapping[str, str]:
        if self.model == "absent":
            raise ConfigurationError("the model 'absent' is not installed", remedy="Install it")
        return {self.model: "0" * 64}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        time.sleep(self.pause)
        assert context.hmac_key is not None
        texts: list[str] = batch.column("text").to_pylist()
        if any("POISON" in text for text in texts):
            raise ValueError(next(text for text in texts if "POISON" in text))
        if any("CRASH" in text for text in texts):
            os._exit(9)
        if any("SLEEP" in text for text in texts):
            time.sleep(60)
        skipped = {row: "skipped: too short" for row, text in enumerate(texts) if len(text) < 5}
        flags = [None if row in skipped else self.word in text for row, text in enumerate(texts)]
        found: list[dict[str, Any]] = [
            {
                "row": row,
                "kind": "WORD",
                "start": text.index(self.word),
                "end": text.index(self.word) + len(self.word),
                "score": 1.0,
                "severity": "low",
                "preview": mask(self.word, "WORD"),
                "value_hash": value_hash(context.hmac_key, "WORD", self.word),
            }
            for row, text in enumerate(texts)
            if flags[row]
        ]
        measured = {
            "score": pa.array([None if flag is None else float(flag) for flag in flags], pa.float32()),
            "flagged": pa.array(flags, pa.bool_()),
        }
        return ScreenResult(measured, pa.Table.from_pylist(found, FINDING_SCHEMA), skipped)


def register() -> None:
    """Make it the only probe there is, in this process."""
    probes.available = lambda: {FakeProbe.name: FakeProbe}
