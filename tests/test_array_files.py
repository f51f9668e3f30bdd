"""Scratch arrays come back as they were written, and a full disk is never silent."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.duplicates import array_files
from audit.duplicates.array_files import new_mapped, new_zeros, read_array, write_array
from audit.duplicates.exchange import mapped
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


@given(data=st.data(), count=st.integers(1, 60), width=st.sampled_from([None, 1, 3]))
def test_rows_are_looked_up_in_any_order_and_pieces(tmp_path_factory, data, count, width):
    shape = (count,) if width is None else (count, width)
    values = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)
    path = tmp_path_factory.mktemp("arrays") / "rows"
    write_array(path, values)
    rows = data.draw(st.lists(st.integers(0, count - 1), max_size=80))
    limits = {
        "_LOOK_UPS": data.draw(st.integers(1, 9)),
        "_SPAN": data.draw(st.sampled_from([1, 16, 1 << 20])),
    }
    with mock.patch.multiple(array_files, **limits):
        for kind in (np.int64, np.uint32):
            asked = np.array(rows, kind)
            found = array_files.look_up(mapped(path, np.uint32, shape), asked)
            assert np.array_equal(found, values[asked])


def test_looking_up_rows_all_over_a_large_file_keeps_few_of_its_pages(tmp_path):
    path = tmp_path / "large"
    count = 1 << 24
    write_array(path, np.arange(count, dtype=np.uint64))
    values = mapped(path, np.uint64)
    rows = np.random.default_rng(1).integers(0, count, 1 << 14)
    before = _mapped_bytes()
    assert np.array_equal(values[rows], rows)
    assert _mapped_bytes() - before > 100_000_000  # nearly all of it
    array_files.release(values)
    assert np.array_equal(array_files.look_up(values, rows), rows)
    assert _mapped_bytes() - before < 20_000_000


def _mapped_bytes():
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))
