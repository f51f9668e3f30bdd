"""A model run over texts in batches: long ones first, smaller batches where memory ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Scores: TypeAlias = npt.NDArray[np.float32]

#: How the allocators of PyTorch say that memory is used up where they raise a plain ``RuntimeError``.
_EXHAUSTED = ("out of memory", "not enough memory", "can't allocate memory")


@dataclass(frozen=True)
class BatchedScores:
    """What a model said of n texts.

    Attributes:
        scores: Shape (n, labels); NaN in the rows of ``failures``.
        failures: Row -> reason.
        batch_size: At the end; smaller than asked for where memory ended.
    """

    scores: Scores
    failures: dict[int, str] = field(default_factory=dict)
    batch_size: int = 0


def score_in_batches(
    lengths: Sequence[int], labels: int, batch_size: int, run: Callable[[list[int]], Scores]
) -> BatchedScores:
    """Run a model over all rows, sorted by length, so that little of a batch is padding.

    The longest come first: memory ends in the first batch or in none. A batch that does not fit is halved,
    down to one text, which then failed; the batches after it keep the smaller size.

    Args:
        lengths: Of each of n texts, in any unit, shape (n,).
        labels: Columns of the result.
        batch_size: Texts in a batch, at most.
        run: From row numbers to scores, shape (rows, labels).

    Raises:
        RuntimeError: Whatever ``run`` raises, but for exhausted memory.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    found = np.full((len(lengths), labels), np.nan, np.float32)
    failures: dict[int, str] = {}
    at, size = 0, batch_size
    while at < len(order):
        rows = order[at : at + size]
        scores = _attempt(rows, run)
        if scores is not None:
            found[rows] = scores
            at += len(rows)
            continue
        _release()
        if len(rows) > 1:
            size = len(rows) // 2
        else:
            failures[rows[0]] = "failed: out of memory with a single text"
            at += 1
    return BatchedScores(found, failures, size)


def _attempt(rows: list[int], run: Callable[[list[int]], Scores]) -> Scores | None:
    """Scores of a batch; None where memory ended."""
    try:
        return run(rows)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether an error says that the memory of the machine or of its accelerator is used up."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(words in str(error) for words in _EXHAUSTED)


def _release() -> None:
    """Give the accelerator's memory of the batch that failed back for smaller ones."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
