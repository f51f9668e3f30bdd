"""Runs a screen on a batch so that one odd document can neither stop the pass nor vanish from it."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numba.core.errors import NumbaError

from audit.errors import AuditError, FatalError
from audit.facts import constant
from audit.model import DOCUMENT_SCHEMA, FINDING_SCHEMA, FINDING_STRUCT, ScreenResult
from audit.screens import Screen, ScreenContext
from audit.workers import meter

EVALUATED = "evaluated"
#: A kernel that does not compile, a library that is not there: the installation is at fault, no document.
NOT_INSTALLED = (NumbaError, ImportError)
_COMPILER = ("numba", "llvmlite")
_PLAIN = "This is a plain sentence, and here is another one of the same kind."
_FINDINGS_TYPE = pa.list_(FINDING_STRUCT)


class Detector(Protocol):
    """What screens and probes share; see ``audit.screens.Screen``."""

    @property
    def name(self) -> str:
        """Prefix of its columns."""
        ...

    @property
    def measures(self) -> Mapping[str, pa.DataType]:
        """Measure -> Arrow type."""
        ...

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Measure one batch."""
        ...


@dataclass(frozen=True)
class Measured:
    """A batch's rows in a screen's part schema, and how many documents ended in which state."""

    rows: pa.RecordBatch
    states: Counter[str]


def part_schema(screen: Detector) -> pa.Schema:
    """Columns of a screen's part: identity, measures, state (null = evaluated), findings."""
    return pa.schema(
        [
            pa.field("shard", pa.dictionary(pa.int32(), pa.string())),
            pa.field("position", pa.int64()),
            *(pa.field(f"{screen.name}_{name}", kind) for name, kind in screen.measures.items()),
            pa.field("state", pa.string()),
            pa.field("findings", _FINDINGS_TYPE),
        ]
    )


def measure(screen: Detector, batch: pa.RecordBatch, context: ScreenContext, shard: str) -> Measured:
    """Measure a batch (``DOCUMENT_SCHEMA``); where the screen raises, find the documents at fault.

    Raises:
        AuditError: The screen itself cannot work (a missing model, ``NOT_INSTALLED``): no document is to
            blame.
        MemoryError: The batch does not fit; the worker is to blame, not a document.
    """
    rows = [_to_rows(screen, part, result, shard) for part, result in _isolate(screen, batch, context)]
    table = pa.Table.from_batches(rows).combine_chunks()
    merged = table.to_batches()[0]
    states = merged.column(merged.schema.get_field_index("state"))
    counts = Counter({k or EVALUATED: v for k, v in _value_counts(states)})
    return Measured(merged, counts)


def rehearse(screens: Sequence[Screen], hmac_key: bytes) -> None:
    """Let each screen measure a plain document, before any document can be blamed for what is none's fault.

    Only errors of the compiler and of the loader of libraries count here; what else a screen raises it may
    raise on documents of the corpus, too, and there it is counted, document by document.

    Raises:
        FatalError: A screen's code cannot be loaded or compiled.
        AuditError: As a screen raises it.
    """
    row = {"position": 0, "doc_id": "rehearsal", "text": _PLAIN}
    batch = pa.RecordBatch.from_pylist([row], DOCUMENT_SCHEMA)
    upstream: dict[str, pa.Array] = {}
    for screen in screens:
        needed = tuple(f"{name}_" for name in screen.needs)
        given = {name: column for name, column in upstream.items() if name.startswith(needed)}
        meter.beat()
        try:
            result = screen.measure(batch, ScreenContext(given, hmac_key if screen.uses_key else None))
        except (AuditError, MemoryError):
            raise
        except Exception as error:
            if _is_of_the_installation(error):
                raise _cannot_work(screen, error) from error
            result = _no_result(screen, 1, f"failed: {type(error).__name__}")
        rows = _to_rows(screen, batch, result, "rehearsal")
        upstream |= {name: rows.column(name) for name in rows.schema.names}


def _is_of_the_installation(error: Exception) -> bool:
    """Whether compiling or loading failed, whatever class the compiler and the loader chose for it."""
    if isinstance(error, NOT_INSTALLED):
        return True
    # What ``dlopen`` refuses is an OSError without a number.
    if isinstance(error, OSError) and error.errno is None:
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__")).split(".")[0] in _COMPILER


def _cannot_work(screen: Detector, error: Exception) -> FatalError:
    """The message may quote values, so it is not told; the name of a missing module is."""
    name = error.name if isinstance(error, ImportError) else None
    return FatalError(
        f"screen {screen.name} cannot work on this machine: its code could not be loaded or compiled "
        f"({type(error).__name__}{f': {name}' if name else ''}). No document is to blame: install the "
        f"package again (`audit doctor` tells what is missing), or leave {screen.name} out under `screens`"
    )


def unevaluated(screen: Detector, batch: pa.RecordBatch, shard: str, reason: str) -> Measured:
    """Rows of documents that a screen does not get to see, and why."""
    result = _no_result(screen, len(batch), reason)
    return Measured(_to_rows(screen, batch, result, shard), Counter({reason: len(batch)}))


def _value_counts(states: pa.Array) -> list[tuple[str | None, int]]:
    return [(item["values"], item["counts"]) for item in states.value_counts().to_pylist()]


def _isolate(
    screen: Detector, batch: pa.RecordBatch, context: ScreenContext
) -> list[tuple[pa.RecordBatch, ScreenResult]]:
    try:
        return [(batch, screen.measure(batch, context))]
    except (AuditError, MemoryError):
        raise
    except NOT_INSTALLED as error:
        raise _cannot_work(screen, error) from error
    except Exception as error:  # noqa: BLE001 - a screen may fail in any way; it is counted, below
        if len(batch) > 1:
            middle = len(batch) // 2
            return _isolate(screen, batch.slice(0, middle), slice_context(context, 0, middle)) + _isolate(
                screen, batch.slice(middle), slice_context(context, middle, len(batch) - middle)
            )
        # The message may quote the document: only the type is kept.
        return [(batch, _no_result(screen, 1, f"failed: {type(error).__name__}"))]


def _no_result(screen: Detector, rows: int, reason: str) -> ScreenResult:
    nulls = {name: pa.nulls(rows, kind) for name, kind in screen.measures.items()}
    return ScreenResult(nulls, None, dict.fromkeys(range(rows), reason))


def slice_context(context: ScreenContext, start: int, length: int) -> ScreenContext:
    """What a screen may use beside some rows of a batch."""
    upstream = {name: column.slice(start, length) for name, column in context.upstream.items()}
    return ScreenContext(upstream, context.hmac_key)


def _to_rows(screen: Detector, batch: pa.RecordBatch, result: ScreenResult, shard: str) -> pa.RecordBatch:
    schema = part_schema(screen)
    if set(result.measurements) != set(screen.measures):
        raise FatalError(f"screen {screen.name!r} did not fill the measures that it declares")
    columns = [result.measurements[name].cast(kind) for name, kind in screen.measures.items()]
    if any(len(column) != len(batch) for column in columns):
        raise FatalError(f"screen {screen.name!r} returned columns that do not match its batch")
    states = [result.not_evaluated.get(row) for row in range(len(batch))] if result.not_evaluated else None
    state = pa.array(states, pa.string()) if states else pa.nulls(len(batch), pa.string())
    findings = _to_lists(result.findings, len(batch))
    identity = [constant(shard, len(batch)), batch.column("position")]
    return pa.RecordBatch.from_arrays([*identity, *columns, state, findings], schema=schema)


def _to_lists(findings: pa.Table | None, rows: int) -> pa.Array:
    """The long table as one list per document, ordered by row, start, end and kind."""
    if findings is None:
        findings = FINDING_SCHEMA.empty_table()
    order = [("row", "ascending"), ("start", "ascending"), ("end", "ascending"), ("kind", "ascending")]
    table = findings.select(FINDING_SCHEMA.names).cast(FINDING_SCHEMA).sort_by(order).combine_chunks()
    counts = np.bincount(table.column("row").to_numpy(), minlength=rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    fields = [_chunk(table.column(field.name), field.type) for field in FINDING_STRUCT]
    values = pa.StructArray.from_arrays(fields, fields=list(FINDING_STRUCT))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=_FINDINGS_TYPE)


def _chunk(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], kind)
