"""The small files of a run on a store: what a crash, a lagging list and somebody else's writing leave."""

import json

import pytest

from audit.errors import FatalError, RetryableError
from audit.mirror import HINTS, JOURNAL, Mirror
from audit.objects.object_stores import ObjectInfo
from tests.fake_objects import FakeObjects


@pytest.fixture
def objects():
    return FakeObjects()


@pytest.fixture
def folder(tmp_path):
    put(tmp_path, JOURNAL, line({}))
    put(tmp_path, "manifest.json", b"{}")
    put(tmp_path, "sample/draws.parquet", b"draws")
    put(tmp_path, "sample/probe/probes.json", b"{}")
    put(tmp_path, "parts/index.jsonl", b"index")
    for private in (".lock", "parts/documents/a.parquet", "parts/.tmp/half", "cache/figures.json"):
        put(tmp_path, private, b"stays here")
    return tmp_path


def put(folder, name, data):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def line(files):
    return json.dumps({"event": "completed", "data": {"files": files}}).encode() + b"\n"


def pushed(folder, objects):
    mirror = Mirror(folder, objects)
    mirror.pull() if objects.objects else None
    mirror.push()
    return mirror


def small(folder):
    return {name: (folder / name).read_bytes() for name in Mirror(folder, FakeObjects())._local_files()}


def test_small_files_travel_and_nothing_else(folder, objects, tmp_path_factory):
    pushed(folder, objects)
    assert set(objects.objects) == {
        JOURNAL,
        "manifest.json",
        "parts/index.jsonl",
        "sample/draws.parquet",
        "sample/probe/probes.json",
    }
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    Mirror(elsewhere, objects).pull()
    assert small(elsewhere) == small(folder)


def test_only_what_changed_is_written_and_the_journal_last(folder, objects):
    mirror = pushed(folder, objects)
    assert objects.writes[-1] == JOURNAL
    objects.writes.clear()
    mirror.push()
    assert objects.writes == []
    put(folder, "manifest.json", b"{...}")
    put(folder, JOURNAL, line({}) * 2)
    (folder / "sample/probe/probes.json").unlink()
    mirror.push()
    assert objects.writes == ["manifest.json", "sample/probe/probes.json", JOURNAL]
    assert "sample/probe/probes.json" not in objects.objects


def test_an_unchanged_file_is_not_fetched_again(folder, objects):
    pushed(folder, objects)
    fetched = []
    objects.before = lambda operation, key: fetched.append(key) if operation == "get" else None
    Mirror(folder, objects).pull()
    assert set(fetched) == {JOURNAL}  # read for the names of files, not written


def test_the_store_is_the_truth(folder, objects):
    pushed(folder, objects)
    put(folder, JOURNAL, line({}) * 5)  # never pushed: the process was killed
    put(folder, "scorecard.json", b"of that process")
    Mirror(folder, objects).pull()
    assert (folder / JOURNAL).read_bytes() == line({})
    assert not (folder / "scorecard.json").exists()
    assert (folder / "parts/documents/a.parquet").exists()


@pytest.mark.parametrize("name", [JOURNAL, "manifest.json"])
def test_what_somebody_else_wrote_is_not_overwritten(folder, objects, name):
    mirror = pushed(folder, objects)
    objects.objects[name] = b"theirs"
    put(folder, name, b"ours")
    with pytest.raises(FatalError, match="changed by somebody else"):
        mirror.push()
    assert objects.objects[name] == b"theirs"


def test_a_crash_before_the_journal_leaves_the_old_one(folder, objects):
    mirror = pushed(folder, objects)

    def crash(operation, key):
        if operation == "put" and key == JOURNAL:
            raise RetryableError("busy")

    objects.before = crash
    put(folder, "manifest.json", b"{new}")
    put(folder, JOURNAL, line({}) * 2)
    with pytest.raises(RetryableError):
        mirror.push()
    assert objects.objects["manifest.json"] == b"{new}"
    assert objects.objects[JOURNAL] == line({})


def test_a_list_that_lags_hides_nothing_that_the_journal_speaks_of(folder, objects, tmp_path_factory):
    put(folder, "judgements/000001-ab.jsonl", b"{}")
    put(folder, JOURNAL, line({"judgements/000001-ab.jsonl": "ab"}))
    pushed(folder, objects)
    listed = objects.children
    objects.children = lambda prefix="": ([i for i in listed(prefix)[0] if i.key != JOURNAL], [])
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    Mirror(elsewhere, objects).pull()
    assert {JOURNAL, "judgements/000001-ab.jsonl"} <= set(small(elsewhere))


def test_a_key_that_leads_out_of_the_folder_is_refused(folder, objects):
    objects.children = lambda prefix="": ([], ["sample/"])
    objects.list = lambda prefix="": iter([ObjectInfo("sample/../../out", 3, "x", 0)])
    with pytest.raises(FatalError, match="leads out of the run"):
        Mirror(folder, objects).pull()


def test_hints_of_both_sides_are_kept(folder, objects):
    put(folder, HINTS, b"[1]\n[2]\n")
    pushed(folder, objects)
    assert HINTS not in objects.objects
    objects.objects[HINTS] = b"[2]\n[3]\n"
    mirror = Mirror(folder, objects)
    mirror.pull()
    assert (folder / HINTS).read_bytes() == b"[2]\n[3]\n[1]\n"
    mirror.push_hints()
    assert objects.objects[HINTS] == b"[2]\n[3]\n[1]\n"
    objects.writes.clear()
    put(folder, HINTS, b"[2]\n[3]\n[1]\n[4]\n")
    mirror.push_hints(growth=2.0)
    assert objects.writes == []
    mirror.push_hints()
    assert objects.writes == [HINTS]
