"""Packs: the same parts under the same work keys in fewer files, whatever happens while they are written."""

import dataclasses
import itertools
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import compaction, partindex
from audit.engines import Outcome
from audit.errors import FatalError
from audit.lineage import verification
from audit.storage import packs
from audit.storage.store import Part, Store, digest_file
from tests.conftest import page
from tests.test_pipeline import tables

TARGET = 1 << 20


class InProcess:
    """An engine of one process."""

    def map(self, function, tasks, advance):
        for task in tasks:
            yield Outcome(task, function(task))


def rows(number, count):
    shard = pa.array([f"{number:016x}"] * count, pa.string()).dictionary_encode()
    return pa.table(
        {
            "shard": shard,
            "position": pa.array(range(count), pa.int64()),
            "word": pa.array(["w"] * count, pa.string()),
        }
    )


def part(number, family="pii", key=0):
    return Part(family, f"{number:016x}", f"{number * 1000 + key:064x}"[::-1])


def filled(folder, counts, key=0):
    """A store with a part of so many rows a shard."""
    store, parts = Store(folder / "parts"), []
    for number, count in enumerate(counts):
        parts.append(part(number, key=key))
        store.write(parts[-1], rows(number, count), {"documents": count})
    return store, parts


def pack(store, parts, target=TARGET):
    """What a pass does with its parts at its end."""
    listed = {file.path.removeprefix("parts/"): file.sha256 for file in partindex.files(store)}
    compaction.recover(store)
    store.retire(parts, listed)
    compaction.compact(store, parts, ["pii"], InProcess(), target, listed)


def content(store):
    """Every file but those of other settings, by digest."""
    return {
        path.relative_to(store.folder).as_posix(): digest_file(path)
        for path in store.folder.rglob("*")
        if path.is_file() and not any(each.startswith(".") for each in path.relative_to(store.folder).parts)
    }


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(compaction, "LEAST_FILES", 3)


@settings(max_examples=6, deadline=None)
@given(counts=st.lists(st.integers(0, 20_000), min_size=3, max_size=6), group=st.sampled_from([1, 8192]))
def test_a_packed_part_is_what_it_was(tmp_path_factory, counts, group):
    store, parts = filled(tmp_path_factory.mktemp("run"), counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "_GROUP_ROWS", group)
        pack(store, parts)
    assert list(store.current()) == []
    for number, (each, count) in enumerate(zip(parts, counts, strict=True)):
        assert store.has(each)
        assert store.read(each).cast(rows(0, 1).schema).to_pylist() == rows(number, count).to_pylist()
        assert store.read(each, ["word", "position"]).column_names == ["word", "position"]
        assert store.metadata(each) == {"documents": count, "work_key": each.key}
    assert not store.has(dataclasses.replace(parts[0], key="f" * 64))


def test_the_index_lists_packs_and_reads_their_members(tmp_path):
    store, parts = filled(tmp_path, [2, 3, 4])
    pack(store, parts)
    files = partindex.files(store)
    assert sorted(file.family for file in files) == ["packs", "pii"]
    assert all(digest_file(tmp_path / file.path) == file.sha256 for file in files)
    entries = list(partindex.read(store))
    assert [entry.part for entry in entries] == parts
    assert [entry.metadata["documents"] for entry in entries] == [2, 3, 4]
    assert list(partindex.read(store, lambda family: family == "documents")) == []


def test_few_parts_and_large_ones_stay_as_they_are(tmp_path):
    store, parts = filled(tmp_path, [2, 3])
    pack(store, parts)
    assert len(list(store.current())) == 2
    large, parts = filled(tmp_path / "large", [9] * 4)
    pack(large, parts, target=1)
    assert len(list(large.current())) == 4
    pack(large, parts, target=0)
    assert len(list(large.current())) == 4


def test_added_parts_join_the_small_pack_and_leave_full_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "_SMALL", 1)
    store, parts = filled(tmp_path, [50] * 7)
    size = store.size(parts[0])
    pack(store, parts, target=3 * size)
    first = {each.path: each.path.stat().st_mtime_ns for each in packs.standing(store.folder)}
    assert len(first) == 3
    more = [part(number) for number in range(7, 10)]
    for number, each in enumerate(more, 7):
        store.write(each, rows(number, 50), {})
    pack(store, parts + more, target=3 * size)
    second = {each.path: each.path.stat().st_mtime_ns for each in packs.standing(store.folder)}
    assert sum(second.get(path) == stamp for path, stamp in first.items()) == 2
    assert all(store.has(each) for each in parts + more)


def test_stale_parts_leave_their_pack_and_nothing_else_is_lost(tmp_path):
    store, parts = filled(tmp_path, [5] * 5)
    pack(store, parts)
    pack(store, parts[1:])
    assert [entry.part for entry in partindex.read(store)] == parts[1:]
    assert not store.has(parts[0])
    assert len(packs.standing(store.folder)) == 1


def test_a_pack_of_another_setting_comes_back_by_a_rename(tmp_path):
    store, parts = filled(tmp_path, [5] * 4)
    pack(store, parts)
    before = content(store)
    _, others = filled(tmp_path, [5] * 4, key=7)
    pack(store, others)
    assert not any(name in content(store) for name in before if name.startswith("pii/"))
    assert all(store.has(each) for each in parts)
    pack(store, parts)
    assert content(store) == before


def test_a_retired_pack_that_was_changed_does_not_come_back(tmp_path):
    store, parts = filled(tmp_path, [5] * 4)
    pack(store, parts)
    digest = store.retire(
        [], {file.path.removeprefix("parts/"): file.sha256 for file in partindex.files(store)}
    )
    (rows_of,) = (store.folder / ".retired" / "pii").glob("*.parquet")
    rows_of.write_bytes(rows_of.read_bytes()[:-1] + b"x")
    assert store.drop_untrusted(digest) == 1
    assert not store.has(parts[0])


def test_a_part_that_was_changed_is_not_signed_anew(tmp_path):
    store, parts = filled(tmp_path, [5] * 4)
    partindex.write(store, parts)
    path = store.path(parts[2])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    pack(store, parts)
    assert list(store.current()) == [parts[2].relative]
    listed = {file.path: file.sha256 for file in partindex.files(store)}
    assert listed[f"parts/{parts[2].relative}"] != digest_file(path)


def packed_and_changed(folder, which):
    """A store with one small pack, of which a byte has changed since it was listed."""
    store, parts = filled(folder, [5] * 4)
    pack(store, parts)
    (held,) = packs.standing(store.folder)
    path = getattr(held, which)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x" if which == "path" else content.replace(b'": 5', b'": 6', 1))
    assert path.read_bytes() != content
    packs.forget()
    return store, parts, held


@pytest.mark.parametrize("which", ["path", "list_path"])
def test_a_pack_that_was_changed_is_not_written_anew(tmp_path, which):
    store, parts, held = packed_and_changed(tmp_path, which)
    _, more = filled(tmp_path, [5] * 9)
    for each in more[:4]:
        store.path(each).unlink()
    changed = digest_file(getattr(held, which))
    pack(store, parts + more[4:])
    assert len(packs.standing(store.folder)) == 2
    assert digest_file(getattr(held, which)) == changed
    listed = {file.path: file.sha256 for file in partindex.files(store)}
    relative = {"path": held.relative, "list_path": held.relative_list}[which]
    assert listed[f"parts/{relative}"] != changed  # `audit verify` finds it


def test_a_pack_that_was_changed_and_has_to_be_written_anew_stops_the_run(tmp_path):
    store, parts, held = packed_and_changed(tmp_path, "path")
    before = content(store)
    with pytest.raises(FatalError, match=f"{held.relative} is not what the index of parts says"):
        pack(store, parts[1:])
    assert content(store) == before


def test_an_index_of_half_a_pack_is_refused(tmp_path):
    store, parts = filled(tmp_path, [5] * 4)
    pack(store, parts)
    with pytest.raises(FatalError, match="not of this run"):
        partindex.write(store, parts[:2])


class Killed(BaseException):
    """As ``kill -9`` would: nothing that waits for an error cleans up."""


def killed_after(patch, steps):
    """Let so many changes of the file system happen, and no more."""
    left = itertools.count(steps, -1)

    def counting(name):
        real = getattr(Path, name)

        def change(path, *given, **named):
            if next(left) <= 0:
                raise Killed
            return real(path, *given, **named)

        patch.setattr(Path, name, change)

    counting("replace")
    counting("unlink")


def prepared(folder):
    """A store with a pack, of which a part is stale by now, and parts that lie by themselves."""
    store, parts = filled(folder, [5] * 4)
    pack(store, parts)
    _, later = filled(folder, [5] * 9)
    for each in later[:4]:
        store.path(each).unlink()
    return store, later[1:]


def test_a_kill_at_any_step_loses_nothing_and_leaves_the_same_bytes(tmp_path):
    store, parts = prepared(tmp_path / "whole")
    pack(store, parts)
    whole = content(store)
    for steps in itertools.count():
        store, parts = prepared(tmp_path / str(steps))
        try:
            with pytest.MonkeyPatch.context() as patch:
                killed_after(patch, steps)
                pack(store, parts)
        except Killed:
            packs.forget()
            assert all(store.has(each) and store.read(each).num_rows == 5 for each in parts), steps
            for file in partindex.files(store):
                assert (store.folder.parent / file.path).exists(), steps
            store.clear_scratch()
            pack(store, parts)
        else:
            break
        assert content(store) == whole, steps
    assert steps > 10


def test_what_stands_before_the_plan_is_undone_and_after_it_carried_out(tmp_path):
    store, parts = filled(tmp_path, [5] * 4)
    task = compaction._task(store, "pii", [compaction._Source(each, 9, None) for each in parts])
    compaction.write_pack(task)
    assert task.pack.path.exists()
    assert store.packed(parts[0]) is None
    compaction.recover(store)
    assert not task.pack.path.exists()
    compaction.write_pack(task)
    plan = {"lists": [task.pack.relative_list], "replaced": [each.relative for each in parts]}
    (store.folder / "packs" / "plan.json").write_text(json.dumps(plan))
    compaction.recover(store)
    assert list(store.current()) == []
    assert all(store.packed(each) is not None for each in parts)


@pytest.fixture
def pages(tmp_path):
    """A corpus of ten shards of three pages."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for shard in range(10):
        lines = [json.dumps({"id": f"{shard}-{n}", "text": page(3 * shard + n)}) for n in range(3)]
        (folder / f"{shard}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "copy.jsonl").write_bytes((folder / "3.jsonl").read_bytes())
    return folder


def test_a_packed_run_says_the_same_and_is_brought_up_to_date(pages, run_audit, tmp_path):
    screens = {"pii": {}, "exact_duplicates": {}, "near_duplicates": {}}
    loose = run_audit(pages, "loose", screens=screens, run={"compact_mib": 0}).run
    one = run_audit(pages, "one", screens=screens).run
    assert len(packs.standing(one.store.folder)) == 9
    assert tables(one) == tables(loose)
    assert one.scorecard()["estimates"] == loose.scorecard()["estimates"]
    assert verification.verify(one.folder).problems == ()
    before = content(one.store)
    again = run_audit(pages, "one", workers=2, screens=screens).run
    assert content(again.store) == before
    (pages / "more.jsonl").write_text(json.dumps({"id": "new", "text": "A page about the harbour."}) + "\n")
    (pages / "4.jsonl").unlink()
    later = run_audit(pages, "one", screens=screens).run
    whole = run_audit(pages, "whole", screens=screens, run={"compact_mib": 0}).run
    assert tables(later) == tables(whole)
    assert verification.verify(later.folder).problems == ()
    pack = packs.standing(later.store.folder)[0]
    pack.path.write_bytes(pack.path.read_bytes()[:-1] + b"x")
    assert [problem.file for problem in verification.verify(later.folder).problems] == [
        f"parts/{pack.relative}"
    ]
