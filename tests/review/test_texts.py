"""Texts of the corpus go to one file, whole, for its owner alone."""

import stat

import pytest

from audit.errors import ConfigurationError
from audit.review.texts import SampleRow, shuffled, text_digests, write_privately


def test_only_the_owner_reads_what_is_written(tmp_path):
    path = tmp_path / "sample.csv"
    write_privately(path, b"text")
    write_privately(path, b"another")
    assert path.read_bytes() == b"another"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["sample.csv"]


def test_a_folder_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_privately(tmp_path / "none" / "sample.csv", b"text")


def test_everybody_gets_another_order_and_the_same_at_every_call():
    (digest,) = text_digests(["text"])
    rows = [SampleRow(f"d{number}", "text", digest) for number in range(50)]
    orders = [[row.doc_id for row in shuffled(rows, "run", who)] for who in ("", "1/2", "2/2", "1/2")]
    assert orders[1] == orders[3]
    assert len({tuple(order) for order in orders}) == 3
    assert all(set(order) == {row.doc_id for row in rows} for order in orders)
    assert [row.doc_id for row in shuffled(reversed(rows), "run")] == orders[0]
