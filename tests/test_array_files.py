"""Scratch arrays come back as they were written, and a full disk is never silent."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.duplicates.array_files import new_mapped, new_zeros, read_array, write_array
from audit.errors import FatalError

RECORD = np.dtype([("high", "<u8"), ("number", "<u4")])


@given(lengths=st.lists(st.integers(0, 40), max_size=5), step=st.sampled_from([1, 3]))
def test_what_is_appended_is_read_in_any_pieces(tmp_path_factory, lengths, step):
    path = tmp_path_factory.mktemp("arrays") / "records"
    pieces = [np.arange(length * step, dtype=np.uint64)[::step] for length in lengths]
    records = [np.rec.fromarrays([piece, piece.astype(np.uint32)], dtype=RECORD) for piece in pieces]
    with path.open("wb") as file:
        for piece in records:
            write_array(file, piece)
    whole = np.concatenate([np.empty(0, RECORD), *records])
    assert np.array_equal(read_array(path, RECORD), whole)
    with path.open("rb") as file:
        for piece in records:
            assert np.array_equal(read_array(file, RECORD, len(piece)), piece)
    assert np.array_equal(read_array(path, RECORD, len(whole) // 2), whole[: len(whole) // 2])


def test_rows_and_empty_arrays_are_written_flat(tmp_path):
    write_array(tmp_path / "rows", np.arange(12, dtype=np.uint8).reshape(3, 4)[:, ::2])
    assert (tmp_path / "rows").read_bytes() == bytes([0, 2, 4, 6, 8, 10])
    write_array(tmp_path / "none", np.empty(0, RECORD))
    assert len(read_array(tmp_path / "none", RECORD, 0)) == 0


def test_a_file_that_is_too_short_is_an_error(tmp_path):
    write_array(tmp_path / "short", np.arange(4, dtype=np.uint64))
    with pytest.raises(FatalError, match="shorter than it was written"):
        read_array(tmp_path / "short", np.uint64, 4, 8)


def test_mapped_zeros_have_their_blocks(tmp_path):
    mapped = new_mapped(tmp_path / "zeros", np.int64, (64, 128))
    assert not mapped.any()
    assert (tmp_path / "zeros").stat().st_blocks * 512 >= 8 * 64 * 128
    mapped[3, 4] = 7
    mapped.flush()
    assert read_array(tmp_path / "zeros", np.int64)[3 * 128 + 4] == 7
    new_zeros(tmp_path / "none", 0)
    assert (tmp_path / "none").stat().st_size == 0


@pytest.mark.parametrize(
    "writing",
    [
        "array_files.write_array(path, np.zeros(900))",
        "f = path.open('wb'); [array_files.write_array(f, r) for r in np.zeros((9, 100))]; f.close()",
        "array_files.new_mapped(path, np.float64, (900,))",
    ],
)
def test_a_full_disk_is_an_error_though_only_the_last_block_does_not_fit(tmp_path, writing):
    program = (
        "import pathlib, numpy as np; from audit.duplicates import array_files; "
        f"path = pathlib.Path('it'); {writing}"
    )
    limit = (7_000, 7_000)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "OSError: [Errno 27]" in done.stderr
