import errno
import itertools
import os

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import FatalError
from audit.storage.store import ROW_GROUP_ROWS, Part, Store, disk_errors, read_metadata

PART = Part("facts", "0" * 16, "ab" * 32)


def table(rows: int) -> pa.Table:
    return pa.table(
        {"position": pa.array(range(rows), pa.int64()), "name": [f"n{i % 7}" for i in range(rows)]}
    )


def test_a_part_holds_rows_and_metadata(tmp_path):
    store = Store(tmp_path)
    store.write(PART, table(3), {"status": "complete"})
    assert store.read(PART).equals(table(3))
    assert store.metadata(PART) == {"status": "complete", "work_key": PART.key}


@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, ROW_GROUP_ROWS + 100), max_size=6).map(sorted))
def test_bytes_depend_on_rows_not_on_how_they_came(tmp_path_factory, cuts):
    folder = tmp_path_factory.mktemp("parts")
    rows = table(ROW_GROUP_ROWS + 100)
    whole, pieces = Store(folder / "whole"), Store(folder / "pieces")
    whole.write(PART, rows, {})
    edges = [0, *cuts, len(rows)]
    with pieces.writer(PART.family, rows.schema) as writer:
        for start, stop in itertools.pairwise(edges):
            writer.add(rows.slice(start, stop - start))
        writer.commit(PART, {})
    assert whole.path(PART).read_bytes() == pieces.path(PART).read_bytes()


def test_nothing_appears_before_commit(tmp_path):
    store = Store(tmp_path)
    with store.writer(PART.family, table(1).schema) as writer:
        writer.add(table(1))
    assert not store.has(PART)
    assert list(store.current()) == []
    assert list(store.scratch.iterdir()) == []


def test_a_retired_part_leaves_the_folder_and_comes_back_unchanged(tmp_path):
    store = Store(tmp_path)
    store.write(PART, table(3), {})
    before = store.path(PART).read_bytes()
    digest = store.retire([], {})
    assert list(store.current()) == []
    assert store.drop_untrusted(digest) == 0
    assert store.has(PART)
    assert store.path(PART).read_bytes() == before


def test_retiring_keeps_what_is_current(tmp_path):
    store = Store(tmp_path)
    other = Part("facts", "1" * 16, "cd" * 32)
    store.write(PART, table(3), {})
    store.write(other, table(3), {})
    assert store.retire([PART], {}) is not None
    assert store.retire([PART], {}) is None
    assert list(store.current()) == [PART.relative]


def test_a_retired_part_that_was_changed_does_not_come_back(tmp_path):
    store = Store(tmp_path)
    store.write(PART, table(3), {})
    digest = store.retire([], {})
    path = tmp_path / ".retired" / PART.relative
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert store.drop_untrusted(digest) == 1
    assert not store.has(PART)


def test_retired_parts_without_a_journaled_index_do_not_come_back(tmp_path):
    store = Store(tmp_path)
    store.write(PART, table(3), {})
    store.retire([], {})
    assert store.drop_untrusted(None) == 1
    assert not store.has(PART)


def test_a_full_disk_says_what_to_do():
    with pytest.raises(FatalError, match="no space left"), disk_errors():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_other_errors_pass_through():
    with pytest.raises(FileNotFoundError), disk_errors():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def test_metadata_is_read_from_the_footer_alone(tmp_path):
    store = Store(tmp_path)
    store.write(PART, table(10), {"documents": 10})
    assert read_metadata(store.path(PART))["documents"] == 10
