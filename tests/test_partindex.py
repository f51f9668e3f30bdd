"""The index of parts: sorted, canonical, and never signing a changed part again."""

import json
import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from audit import compaction, partindex
from audit.partindex import Catalogue, Entry, File
from audit.storage import packs
from audit.storage.store import Part, Store, digest_file


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


FAMILIES = ["a", "documents", "pii", "pii.resolved", "pii-x", "piix", "toxicity"]


@given(
    st.lists(st.tuples(st.sampled_from(FAMILIES), st.integers(0, 40)), unique=True, max_size=60),
    st.sets(st.sampled_from(FAMILIES)),
    st.text(max_size=40),
)
def test_families_that_nobody_asks_for_are_passed_over_and_the_others_read_whole(places, wanted, reason):
    parts = [Part(family, f"{shard:016x}", f"{shard:064x}") for family, shard in places]
    told = {"status": reason, "path": '"path":"parts/x","sha256":"0"'}
    entries = [Entry(part, 7, "ab" * 32, told) for part in parts]
    lines = sorted((entry.line() for entry in entries), key=lambda line: json.loads(line)["path"])
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        (store.folder / partindex.FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        found = list(partindex.read(store, wanted.__contains__))
        files = partindex.files(store)
        recorded = {family: list(Catalogue.recorded(store).family(family)) for family in FAMILIES}
    in_order = sorted(entries, key=lambda entry: f"parts/{entry.part.relative}")
    assert found == [entry for entry in in_order if entry.part.family in wanted]
    assert files == [File(f"parts/{e.part.relative}", e.part.family, 7, "ab" * 32) for e in in_order]
    assert recorded == {f: [e.part for e in in_order if e.part.family == f] for f in FAMILIES}


def test_parts_in_packs_are_listed_like_those_that_lie_by_themselves(tmp_path):
    store = Store(tmp_path / "parts")
    parts = [written(store, "pii", f"{shard:016x}", shard + 1) for shard in range(9)]
    alone = written(store, "totals", "cells")
    partindex.write(store, [*parts, alone])
    before = {entry.part: entry.metadata for entry in partindex.read(store)}
    packed(store, parts[:7])
    partindex.write(store, [*parts, alone])
    assert {entry.part: entry.metadata for entry in partindex.read(store)} == before
    assert set(Catalogue.recorded(store).family("pii")) == set(parts)
    assert Catalogue.recorded(store).family("totals") == [alone]
    assert store.standing([*parts, alone, Part("pii", "0" * 16, "f" * 64)]) == {*parts, alone}
    assert [told["documents"] for told in store.told(parts[::-1])] == list(range(9, 0, -1))


def packed(store, parts):
    """Put parts into a pack in place of their files."""
    task = compaction._task(store, parts[0].family, [compaction._Source(part, 9, None) for part in parts])
    compaction.write_pack(task)
    compaction._name_lists(store, {"lists": [task.pack.relative_list]})
    for part in parts:
        store.path(part).unlink()
    return task.pack


def test_parts_are_found_in_packs_by_their_whole_key(tmp_path):
    store = Store(tmp_path / "parts")
    leading = "0123456789abcdef"
    parts = [Part("pii", f"{n:016x}", leading + f"{n:048x}") for n in range(6)]
    for part in parts:
        store.write(part, pa.table({"value": [1]}), {})
    first, second = packed(store, parts[:3]), packed(store, parts[3:])
    names = [(part.shard, part.key) for part in (*parts, Part("pii", "0" * 16, leading + "f" * 48))]
    assert packs.locate(store.folder, "pii", names).packs() == [first] * 3 + [second] * 3 + [None]
    left = packs.locate(store.folder, "pii", names, replaced=[first]).packs()
    assert left == [None] * 3 + [second] * 3 + [None]
    assert packs.locate(store.folder, "other", names).packs() == [None] * 7
