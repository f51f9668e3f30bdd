"""Documents that kill a worker: found, spared and counted, while all else is as it was."""

import dataclasses
import json
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import isolating, sources, trails
from audit.model import ScreenResult
from audit.objects.object_stores import ObjectFolder
from audit.sources import ColumnMapping, ReadLimits
from audit.storage.store import Part, Store
from audit.tasks import Screening, ShardTask
from audit.trails import CANARIES, CRASHED, GIVEN_UP, READING, Step, Trail, left_behind
from tests.conftest import sentence
from tests.engine_here import DEATHS, EngineHere
from tests.fake_objects import FakeObjects

DOCUMENTS = 23


@dataclass(frozen=True)
class Fragile:
    """Dies of the rows that it is told to, whatever stands beside them."""

    poisoned: tuple[int, ...] = ()

    name: ClassVar[str] = "fragile"
    version: ClassVar[str] = "1"
    measures: ClassVar[dict[str, pa.DataType]] = {"length": pa.int64()}
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = False

    def resources(self):
        return {}

    def measure(self, batch, context):
        rows = set(batch.column("position").to_pylist()) & set(self.poisoned)
        if rows:
            raise DEATHS[min(rows) % 2]
        return ScreenResult(
            {"length": pa.array([len(t) for t in batch.column("text").to_pylist()], pa.int64())}
        )


@dataclass(frozen=True)
class Heir(Fragile):
    """Reads what the first one measured."""

    name: ClassVar[str] = "heir"
    needs: ClassVar[tuple[str, ...]] = ("fragile",)

    def measure(self, batch, context):
        super().measure(batch, context)
        return ScreenResult({"length": context.upstream["fragile_length"]})


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    path = tmp_path_factory.mktemp("isolating") / "a.jsonl"
    path.write_text(
        "".join(json.dumps({"id": f"d{n}", "text": sentence(n)}) + "\n" for n in range(DOCUMENTS))
    )
    return sources.plan([str(path)])[0]


class EngineElsewhere(EngineHere):
    """Every try runs on a machine of its own, which keeps nothing."""

    elsewhere = True

    def __init__(self, folder):
        super().__init__()
        self._folders = (folder / f"machine{number}" for number in count())

    def _outcome(self, function, task):
        def there(each):
            store = dataclasses.replace(each.screening.store, folder=next(self._folders), keep=False)
            screening = dataclasses.replace(each.screening, store=store)
            return function(dataclasses.replace(each, screening=screening))

        return super()._outcome(there, task)


def screened(shard, folder, first=(), second=(), batch_rows=5, remote=None):
    screens = (Fragile(tuple(first)), Heir(tuple(second)))
    limits, store = ReadLimits(batch_rows=batch_rows), Store(folder / "run", remote)
    screening = Screening(store, screens, ColumnMapping(), limits, "key", b"secret")
    engine, notes = EngineHere() if remote is None else EngineElsewhere(folder), []
    (report,) = isolating.screen_shards(
        engine, [ShardTask(screening, shard)], lambda d, s: None, notes.append
    )
    return report, engine, notes, screening.store


def column(store, report, family, name):
    return store.read(Part(family, report.shard.shard, report.keys[family])).column(name).to_pylist()


rows = st.sets(st.integers(0, DOCUMENTS - 1), max_size=3)


@settings(max_examples=10, deadline=None)
@given(first=rows, second=rows, batch_rows=st.sampled_from([1, 4, 64]))
def test_the_poisoned_documents_are_spared_and_no_other(tmp_path_factory, shard, first, second, batch_rows):
    folder = tmp_path_factory.mktemp("parts")
    report, engine, notes, store = screened(shard, folder, first, second, batch_rows)
    assert (report.status, report.documents) == ("complete", DOCUMENTS)
    for family, poisoned in (("fragile", first), ("heir", second)):
        states = [CRASHED if row in poisoned else None for row in range(DOCUMENTS)]
        assert column(store, report, family, "state") == states
        counted = store.metadata(Part(family, shard.shard, report.keys[family]))["evaluations"]
        assert counted.get("evaluated", 0) + counted.get(CRASHED, 0) == DOCUMENTS
        assert counted.get(CRASHED, 0) == len(poisoned)
    lengths = [None if row in first else len(sentence(row)) for row in range(DOCUMENTS)]
    assert column(store, report, "fragile", "fragile_length") == lengths
    inherited = [None if row in first | second else len(sentence(row)) for row in range(DOCUMENTS)]
    assert column(store, report, "heir", "heir_length") == inherited
    found = len(first) + len(second)
    assert engine.deaths <= 2 * found
    assert len(notes) == found
    assert left_behind(store, shard.shard) is None


def test_the_bytes_do_not_tell_how_the_documents_were_found(shard, tmp_path):
    """One batch or many, so different tries: the same parts."""
    parts = []
    for batch_rows in (2, 64):
        folder = tmp_path / str(batch_rows)
        screened(shard, folder, (3, 4, 17), (4,), batch_rows)
        parts.append(bytes_of(folder / "run"))
    assert len(parts[0]) == 4
    assert parts[0] == parts[1]


def bytes_of(store):
    """Parts by name."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.glob("[a-z]*/*.parquet")}


def test_machines_that_share_an_object_store_alone_find_the_same_documents(shard, tmp_path, bucket):
    """The trail of a shard that was lost goes through the store, and is gone when the shard is done."""
    poisoned = ((3, 4, 17), (4,))
    screened(shard, tmp_path / "local", *poisoned)
    remote = ObjectFolder(f"{bucket}/parts")
    report, engine, notes, _ = screened(shard, tmp_path / "far", *poisoned, remote=remote)
    assert report.status == "complete"
    assert {info.key: remote.get(info.key) for info in remote.list()} == bytes_of(tmp_path / "local" / "run")
    assert engine.deaths == 2 + 2 * 4  # before the trail is told, and for each document
    assert len(notes) == 1 + 4
    assert notes[0].endswith("it is tried again")


def test_a_shard_that_nothing_befalls_costs_no_request_for_its_trail(shard, tmp_path):
    remote, asked = FakeObjects(), []
    remote.before = lambda operation, key: asked.append(key)
    report, *_ = screened(shard, tmp_path, remote=remote)
    assert report.status == "complete"
    assert len(asked) > 4
    assert not [key for key in asked if "trails" in key]


def test_what_is_lost_elsewhere_says_where_and_leaves_no_trail(shard, tmp_path, monkeypatch):
    def die(*_):
        raise MemoryError

    monkeypatch.setattr(sources, "read", die)
    remote = FakeObjects()
    report, engine, _, _ = screened(shard, tmp_path, remote=remote)
    assert report.reason == f"lost: its worker died twice (of a test), last at {READING}"
    assert engine.deaths == 4
    assert remote.objects == {}


def test_trails_of_a_driver_that_was_killed_go_with_the_next_run(tmp_path):
    store = Store(tmp_path, FakeObjects())
    name = trails.named(store, "shard")
    with pytest.raises(MemoryError):
        die_at_pii(store, MemoryError, name)
    assert left_behind(store, "shard", name) == Step("pii", 8, 4)
    assert left_behind(store, "shard", trails.named(store, "shard")) is None
    store.clear_scratch()
    assert store.remote.objects == {}


def test_a_screen_that_dies_of_everything_is_given_up_and_the_others_stand(shard, tmp_path):
    report, engine, notes, store = screened(shard, tmp_path, (), range(DOCUMENTS))
    assert report.status == "complete"
    assert column(store, report, "heir", "state") == [GIVEN_UP] * DOCUMENTS
    assert column(store, report, "fragile", "state") == [None] * DOCUMENTS
    assert engine.deaths == 2 * isolating.MOST_DOCUMENTS
    assert notes[-1].endswith("screen heir is given up there, the others go on")


def test_a_reader_that_dies_costs_its_shard_and_says_where(shard, tmp_path, monkeypatch):
    def die(*_):
        raise MemoryError

    monkeypatch.setattr(sources, "read", die)
    report, engine, notes, _ = screened(shard, tmp_path)
    assert (report.status, report.keys, notes) == ("failed", {}, [])
    assert report.reason == f"lost: its worker died twice (of a test), last at {READING}"
    assert engine.deaths == 2


def test_what_dies_now_here_now_there_is_lost_after_a_few_tries(shard, tmp_path, monkeypatch):
    """Somebody outside kills the worker: no document is blamed."""
    tries = iter(range(100))
    before = Fragile.measure

    def measure(self, batch, context):
        if len(batch) > 1 and next(tries) % 3 == 2:
            raise SystemExit
        return before(self, batch, context)

    monkeypatch.setattr(Fragile, "measure", measure)
    report, _, notes, store = screened(shard, tmp_path, batch_rows=5)
    assert report.status == "failed"
    assert report.reason.startswith("lost: ")
    assert len(notes) == isolating.MOST_TRIES
    assert all(note.endswith("it is tried again") for note in notes)
    assert not list(store.folder.glob("[a-z]*/*.parquet"))


def die_at_pii(store, death, name=None):
    with Trail(store, "shard", name) as trail:
        trail.step(CANARIES)
        trail.step("pii", 8, 4)
        raise death


def test_a_trail_outlives_a_death_and_nothing_else(tmp_path):
    store = Store(tmp_path)
    for death, left in [
        (MemoryError, Step("pii", 8, 4)),
        (KeyboardInterrupt, Step("pii", 8, 4)),
        (ValueError, None),
    ]:
        with pytest.raises(death):
            die_at_pii(store, death)
        assert left_behind(store, "shard") == left
    with Trail(store, "shard") as trail:
        trail.step(READING)
    assert left_behind(store, "shard") is None
    (tmp_path / ".tmp" / "trails" / "torn").write_bytes(b"")
    assert left_behind(store, "torn") is None
