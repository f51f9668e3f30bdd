"""Batches: sorted by length, results in the caller's order, smaller where memory ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.toxicity.batched_scores import is_out_of_memory, score_in_batches


@settings(deadline=None)  # the first call compiles or imports
@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 9), st.integers(1, 60))
def test_every_row_gets_its_own_scores_whatever_fits(lengths: list[int], size: int, room: int) -> None:
    seen: list[list[int]] = []

    def run(rows: list[int]) -> np.ndarray:
        if len(rows) * max(lengths[row] for row in rows) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(rows)
        return np.array([[row, lengths[row]] for row in rows], np.float32)

    found = score_in_batches(lengths, 2, size, run)
    for row, length in enumerate(lengths):
        if length > room:
            assert found.failures[row].startswith("failed: out of memory")
            assert np.isnan(found.scores[row]).all()
        else:
            assert found.scores[row].tolist() == [row, length]
    assert set(found.failures) == {row for row, length in enumerate(lengths) if length > room}
    done = [lengths[row] for rows in seen for row in rows]
    assert done == sorted(done, reverse=True)
    assert all(len(rows) <= size for rows in seen)


def test_the_batch_is_halved_down_to_one_and_stays_small() -> None:
    tried: list[int] = []

    def run(rows: list[int]) -> np.ndarray:
        tried.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError
        return np.zeros((len(rows), 1), np.float32)

    found = score_in_batches([5] * 11, 1, 8, run)
    assert tried == [8, 4, 2, 2, 2, 2, 2, 1]
    assert found.batch_size == 2
    assert not found.failures


def test_what_counts_as_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_other_errors_are_not_hidden() -> None:
    def run(rows: list[int]) -> np.ndarray:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        score_in_batches([1], 1, 8, run)
