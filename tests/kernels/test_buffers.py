"""Reading Arrow columns as arrays."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from audit.kernels.buffers import fixed_size_binary, fixed_size_rows, longest, string_buffers


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("cut", [(0, 5), (1, 3), (4, 1), (2, 0)])
def test_values_are_found_again(kind, cut):
    array = pa.array(["one", None, "", "vier", "été"], pa.string()).cast(kind).slice(*cut)
    data, offsets = string_buffers(array)
    found = [data[a:b].tobytes() for a, b in pairwise(offsets)]
    assert found == [v or b"" for v in array.cast(pa.binary()).to_pylist()]
    assert longest(offsets) == max(map(len, found), default=0)


def test_an_array_that_was_never_filled():
    data, offsets = string_buffers(pa.array([], pa.string()))
    assert (len(data), offsets.tolist()) == (0, [0])


def test_fixed_size_values_go_both_ways():
    rows = np.arange(12, dtype=np.uint16).reshape(4, 3)
    array = fixed_size_binary(rows, np.array([True, False, True, True]))
    assert array.type == pa.binary(6)
    assert array.is_null().to_pylist() == [False, True, False, False]
    assert (fixed_size_rows(array.slice(2), np.uint16) == rows[2:]).all()
    assert fixed_size_rows(array.slice(4), np.uint16).shape == (0, 3)
