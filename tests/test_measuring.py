import ctypes
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pytest
from numba import njit

from audit.errors import ConfigurationError, FatalError
from audit.measuring import measure, part_schema, rehearse
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


@njit
def kernel(text):
    return text.nothing_that_there_is


def compiler():
    kernel(3)


def absent_module():
    importlib.import_module("a_native_library_that_is_absent")


def absent_library():
    ctypes.CDLL("liba_native_library_that_is_absent.so")


def compiler_bug():
    njit(None)(1)


def number():
    raise ValueError("as on every document")


@dataclass(frozen=True)
class Doing(Length):
    """Does something before it measures."""

    what: Callable[[], None] = number

    def measure(self, batch, context):
        self.what()
        return super().measure(batch, context)


@pytest.mark.parametrize(
    ("what", "told"), [(compiler, "TypingError"), (absent_module, r": a_native_library_that_is_absent\)")]
)
def test_code_that_cannot_be_loaded_or_compiled_blames_no_document(what, told):
    for attempt in (
        lambda: measure(Doing(what=what), batch("a", "b"), ScreenContext({}), "s"),
        lambda: rehearse([Doing(what=what)], b""),
    ):
        with pytest.raises(FatalError, match=f"screen length cannot work.*{told}.*audit doctor"):
            attempt()


@pytest.mark.parametrize("what", [absent_library, compiler_bug])
def test_other_classes_of_the_loader_and_the_compiler_are_known_on_a_plain_document(what):
    """On a document of the corpus an error of that class may be the document's."""
    with pytest.raises(FatalError, match="screen length cannot work"):
        rehearse([Length(), Doing(what=what)], b"")
    assert measure(Doing(what=what), batch("a"), ScreenContext({}), "s").states["evaluated"] == 0


def test_a_screen_that_stumbles_over_every_document_fails_each_of_them_and_the_run_goes_on():
    rehearse([Doing(), Length()], b"")
    measured = measure(Doing(), batch("a", "b", "c"), ScreenContext({}), "s")
    assert measured.states == {"failed: ValueError": 3}


def test_a_rehearsal_hands_on_what_screens_need():
    @dataclass(frozen=True)
    class Heir(Length):
        """Reads what the first one measured."""

        name: ClassVar[str] = "heir"
        needs: ClassVar[tuple[str, ...]] = ("length",)

        def measure(self, batch, context):
            seen.append(context.upstream["length_characters"].to_pylist())
            return ScreenResult({"characters": context.upstream["length_characters"]})

    seen: list[list[int | None]] = []
    rehearse([Length(), Heir()], b"")
    rehearse([Doing(), Heir()], b"")
    assert seen[0][0] > 0
    assert seen[1] == [None]


def test_a_screen_that_fills_other_measures_than_it_declares_is_refused():
    @dataclass(frozen=True)
    class Wrong(Length):
        """Declares one measure and fills another."""

        measures: ClassVar[Mapping[str, pa.DataType]] = {"other": pa.int32()}

    with pytest.raises(FatalError, match="measures"):
        measure(Wrong(), batch("a"), ScreenContext({}), "s")
