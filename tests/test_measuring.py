from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pytest

from audit.errors import ConfigurationError, FatalError
from audit.measuring import measure, part_schema
from audit.model import DOCUMENT_SCHEMA, FINDING_SCHEMA, ScreenResult
from audit.screens import ScreenContext


@dataclass(frozen=True)
class Length:
    """Measures the length, stumbles over the word poison, and locates the first character."""

    name: ClassVar[str] = "length"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {"characters": pa.int32()}
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = False
    missing_model: bool = False

    def resources(self):
        return {}

    def measure(self, batch, context):
        texts = batch.column("text").to_pylist()
        if self.missing_model:
            raise ConfigurationError("no model", remedy="install it")
        if any("poison" in text for text in texts):
            raise ValueError(f"cannot digest {texts}")
        rows = [
            {"row": i, "kind": "first", "start": 0, "end": 1, "severity": "low"}
            for i in reversed(range(len(texts)))
        ]
        findings = pa.Table.from_pylist(rows, FINDING_SCHEMA)
        return ScreenResult({"characters": pa.array([len(t) for t in texts], pa.int32())}, findings)


def batch(*texts: str) -> pa.RecordBatch:
    rows = [{"position": i, "doc_id": str(i), "text": text} for i, text in enumerate(texts)]
    return pa.RecordBatch.from_pylist(rows, DOCUMENT_SCHEMA)


def test_columns_and_findings_align_with_the_documents():
    measured = measure(Length(), batch("a", "bb", "ccc"), ScreenContext({}), "s")
    assert measured.rows.schema == part_schema(Length())
    assert measured.rows.column("length_characters").to_pylist() == [1, 2, 3]
    assert [len(hits) for hits in measured.rows.column("findings").to_pylist()] == [1, 1, 1]
    assert measured.states == {"evaluated": 3}


@pytest.mark.parametrize("at", range(5))
def test_a_document_that_breaks_the_screen_is_failed_and_costs_no_other(at):
    texts = ["plain"] * 5
    texts[at] = "poison 4111"
    measured = measure(Length(), batch(*texts), ScreenContext({}), "s")
    states = measured.rows.column("state").to_pylist()
    assert states[at] == "failed: ValueError"
    assert [s for i, s in enumerate(states) if i != at] == [None] * 4
    assert measured.rows.column("length_characters")[at].as_py() is None
    assert measured.states == {"evaluated": 4, "failed: ValueError": 1}
    assert "4111" not in str(measured)


def test_a_missing_model_stops_the_run_and_blames_no_document():
    with pytest.raises(ConfigurationError):
        measure(Length(missing_model=True), batch("a"), ScreenContext({}), "s")


def test_a_screen_that_fills_other_measures_than_it_declares_is_refused():
    @dataclass(frozen=True)
    class Wrong(Length):
        """Declares one measure and fills another."""

        measures: ClassVar[Mapping[str, pa.DataType]] = {"other": pa.int32()}

    with pytest.raises(FatalError, match="measures"):
        measure(Wrong(), batch("a"), ScreenContext({}), "s")
