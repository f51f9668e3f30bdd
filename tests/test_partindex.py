"""The index of parts: sorted, canonical, and never signing a changed part again."""

import pyarrow as pa

from audit import partindex
from audit.store import Part, Store, digest_file


def written(store, family, shard, value=1):
    part = Part(family, shard, f"{value:064x}")
    store.write(part, pa.table({"value": [value]}), {"documents": value})
    return part


def test_the_index_lists_parts_by_path_with_digest_and_counts(tmp_path):
    store = Store(tmp_path / "parts")
    parts = [written(store, "pii", "b"), written(store, "documents", "a", 3)]
    partindex.write(store, parts)
    entries = list(partindex.read(store))
    assert [entry.part for entry in entries] == [parts[1], parts[0]]
    assert entries[0].metadata["documents"] == 3
    for entry in entries:
        assert entry.sha256 == digest_file(store.path(entry.part))
        assert entry.size == store.path(entry.part).stat().st_size


def test_there_is_nothing_to_read_before_the_first_index(tmp_path):
    assert list(partindex.read(Store(tmp_path))) == []


def test_a_part_keeps_the_digest_that_it_was_listed_with(tmp_path):
    store = Store(tmp_path / "parts")
    part = written(store, "pii", "a")
    partindex.write(store, [part])
    before = next(partindex.read(store))
    path = store.path(part)
    path.write_bytes(path.read_bytes() + b"tampered")
    partindex.write(store, [part, written(store, "pii", "b")])
    assert next(partindex.read(store)) == before


def test_the_order_of_the_parts_does_not_matter(tmp_path):
    store = Store(tmp_path / "parts")
    parts = [written(store, "pii", shard) for shard in "abc"]
    partindex.write(store, parts)
    first = (store.folder / partindex.FILE).read_bytes()
    (store.folder / partindex.FILE).unlink()
    partindex.write(store, parts[::-1])
    assert (store.folder / partindex.FILE).read_bytes() == first
