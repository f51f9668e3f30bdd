"""Sketches of each group's first document, from the parts of all shards to one file a sketch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.duplicates.array_files import appearing, join_files, write_array
from audit.duplicates.digest_exchange import sketched
from audit.duplicates.duplicate_groups import DigestGroups
from audit.duplicates.exchange import Corpus, Matrix
from audit.kernels.buffers import fixed_size_rows


@dataclass(frozen=True)
class Column:
    """A sketch: its column, and so many bytes a document."""

    name: str
    width: int


def write_rows(
    corpora: Sequence[Corpus], groups: DigestGroups, digest: str, columns: Sequence[Column], folder: Path
) -> list[Matrix]:
    """Write sketches of each group's first document, a file a column, bytes (groups, width).

    Workers write a file a stretch of shards; these are put together here, so that no two machines write to
    one file.

    Args:
        corpora: As they were grouped.
        groups: Their documents.
        digest: Column of the digest: what has none has no sketch.
        columns: Binary or integer columns of fixed width.
        folder: For the files.
    """
    done = [files for corpus, tasks in _tasks(corpora, groups, digest, columns, folder)
            for files in corpus.run(_write, tasks)]  # fmt: skip
    matrices = []
    for number, column in enumerate(columns):
        path = folder / f"{column.name}.u8"
        join_files((files[number] for files in done), path)
        matrices.append(Matrix(path, len(groups.first), column.width, "u1"))
    return matrices


@dataclass(frozen=True)
class _Rows:
    """Sketches of some shards, to be written; ``bounds`` are their first documents, and the end."""

    corpus: Corpus
    digest: str
    columns: Sequence[Column]
    first: Matrix
    bounds: tuple[int, ...]
    outs: tuple[Path, ...]


def _tasks(
    corpora: Sequence[Corpus], groups: DigestGroups, digest: str, columns: Sequence[Column], folder: Path
) -> Iterator[tuple[Corpus, list[_Rows]]]:
    number = 0
    for corpus in corpora:
        tasks = []
        for piece in corpus.split():
            bounds = groups.shard_bounds[number : number + len(piece.shards) + 1]
            outs = tuple(folder / f"{column.name}.{number}" for column in columns)
            told = tuple(int(bound) for bound in bounds)
            tasks.append(_Rows(piece, digest, columns, groups.first_file, told, outs))
            number += len(piece.shards)
        yield corpus, tasks


def _write(task: _Rows) -> tuple[Path, ...]:
    first = task.first.map()[:, 0]
    with ExitStack() as stack:
        files = [stack.enter_context(appearing(path)) for path in task.outs]
        names = [column.name for column in task.columns]
        for number, (_, table) in enumerate(task.corpus.read([task.digest, *names])):
            start, stop = task.bounds[number : number + 2]
            low, high = np.searchsorted(first, (start, stop))
            chosen = sketched(table, task.digest).take(pa.array(first[low:high] - np.uint32(start)))
            for column, file in zip(task.columns, files, strict=True):
                write_array(file, _bytes(chosen[column.name].combine_chunks(), column.width))
            pa.default_memory_pool().release_unused()
    return task.outs


def _bytes(values: pa.Array, width: int) -> npt.NDArray[np.generic]:
    if pa.types.is_integer(values.type):
        return np.asarray(values)
    return fixed_size_rows(values.cast(pa.binary(width)), np.uint8)
