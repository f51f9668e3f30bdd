"""Parts on an object store: put once, read where they lie, known by their digest."""

import copy
import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.errors import FatalError
from audit.objects.object_stores import ObjectFolder
from audit.storage import part_files, staging, store
from audit.storage.part_files import StagedFiles
from audit.storage.store import Part, Store, read_metadata
from tests.fake_objects import FakeObjects

PART = Part("facts", "0" * 16, "ab" * 32)


@pytest.fixture
def objects():
    return FakeObjects()


@pytest.fixture
def parts(tmp_path, objects):
    return Store(tmp_path / "parts", objects)


def table(rows=3):
    return pa.table({"position": range(rows), "name": [f"n{i}" for i in range(rows)]})


def test_a_part_is_stored_and_kept(parts, objects):
    receipt = parts.write(PART, table(), {"status": "complete"})
    content = objects.objects[PART.relative]
    assert parts.path(PART).read_bytes() == content
    assert (receipt.size, receipt.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert receipt.metadata == parts.metadata(PART) == read_metadata(parts.path(PART))
    assert list(parts.scratch.iterdir()) == []


def test_on_another_machine_nothing_is_kept(parts, objects, tmp_path):
    elsewhere = Store(tmp_path / "node", objects, keep=False)
    elsewhere.write(PART, table(), {"status": "complete"})
    assert [path for path in (tmp_path / "node").rglob("*") if path.is_file()] == []
    assert elsewhere.read(PART).equals(table())
    assert elsewhere.metadata(PART)["status"] == "complete"
    assert parts.has(PART)


@pytest.mark.parametrize("whole", [0, 1 << 30])
def test_columns_are_read_where_the_part_lies(parts, objects, monkeypatch, whole):
    monkeypatch.setattr(part_files, "WHOLE_BYTES", whole)
    parts.write(PART, table(5000), {})
    parts.path(PART).unlink()
    assert parts.read(PART, ["name"]).equals(table(5000).select(["name"]))
    assert parts.read(PART).equals(table(5000))
    assert not parts.path(PART).exists()
    assert pq.read_table(parts.local(PART)).equals(table(5000))


@pytest.mark.parametrize("large", [0, 1 << 30])
def test_of_two_workers_the_first_wins(tmp_path, objects, monkeypatch, large):
    monkeypatch.setattr(part_files, "MANY_REQUESTS_BYTES", large)
    one, two = Store(tmp_path / "one", objects), Store(tmp_path / "two", objects)
    one.write(PART, table(), {})
    content = objects.objects[PART.relative]
    two.write(PART, table(), {})
    assert objects.objects[PART.relative] == content == two.path(PART).read_bytes()


def test_a_part_that_differs_is_not_kept_beside_the_one_that_stands(tmp_path, objects):
    one, two = Store(tmp_path / "one", objects), Store(tmp_path / "two", objects)
    one.write(PART, table(), {})
    assert two.write(PART, table(9), {}) is None
    assert not two.path(PART).exists()
    assert two.read(PART).equals(table())


def test_what_is_missing_is_told(parts):
    with pytest.raises(FatalError, match="is missing in s3://bucket/run"):
        parts.read(PART)


def test_retired_parts_come_back_as_they_were(parts, objects):
    parts.write(PART, table(), {})
    digest = parts.retire([], {})
    assert not parts.path(PART).exists()
    assert list(parts.current()) == []
    assert parts.shards("facts") == {PART.shard}
    assert parts.drop_untrusted(digest) == 0
    assert parts.has(PART)
    assert parts.read(PART).equals(table())
    assert f".retired/{PART.relative}" not in objects.objects


@pytest.mark.parametrize("journaled", [True, False])
def test_a_retired_part_that_was_changed_is_computed_again(parts, objects, journaled):
    parts.write(PART, table(), {})
    digest = parts.retire([], {})
    objects.objects[f".retired/{PART.relative}"] = b"changed"
    assert parts.drop_untrusted(digest if journaled else None) == (0 if journaled else 1)
    assert not parts.has(PART)
    assert f".retired/{PART.relative}" not in objects.objects


def test_what_is_too_large_to_be_copied_is_not_retired(parts, objects, monkeypatch):
    monkeypatch.setattr(part_files, "COPY_BYTES", 0)
    parts.write(PART, table(), {})
    parts.retire([], {})
    assert not parts.has(PART)
    assert set(objects.objects) == {".retired/index.json"}


@pytest.mark.parametrize("count", [3, 30])
def test_many_parts_are_looked_up_by_one_list(parts, objects, count):
    wanted = [Part("facts", f"{n:016}", "ab" * 32) for n in range(count)]
    for part in wanted[::2]:
        parts.write(part, table(), {})
    asked = []
    objects.before = lambda operation, key: asked.append(operation)
    assert parts.standing(wanted) == set(wanted[::2])
    assert asked.count("head") == (4 if count == 3 else 0)  # three, and the missing one's retired name


def test_a_store_travels_to_the_machine_where_it_arrives(tmp_path, monkeypatch):
    # Copied as it is pickled.
    here = Store(tmp_path / "run" / "parts", ObjectFolder("s3://bucket/run/parts"))
    here.folder.mkdir(parents=True)
    assert copy.copy(here) == here
    here.folder.rmdir()
    here.folder.parent.rmdir()  # as on another machine
    monkeypatch.setenv(staging.ENVIRONMENT_VARIABLE, str(tmp_path / "scratch"))
    there = copy.copy(here)
    assert (there.remote, there.keep) == (here.remote, False)
    assert there.folder.is_relative_to(tmp_path / "scratch")
    assert store.Store(tmp_path).keep


def test_ranges_are_of_one_version(tmp_path, objects, monkeypatch):
    monkeypatch.setattr(part_files, "RANGE_BYTES", 10)
    files = StagedFiles(tmp_path, objects, keep=True)
    objects.objects["facts/a.parquet"] = bytes(range(64))
    assert files.inspect("facts/a.parquet") == (64, hashlib.sha256(bytes(range(64))).hexdigest())
    assert files.local("facts/a.parquet").read_bytes() == bytes(range(64))
