"""One owner at a time, whatever dies, hangs or loses an answer."""

import json
import threading
import time

import pytest

from audit import lease as leases
from audit.errors import ConfigurationError, FatalError, RetryableError
from audit.lease import KEY, Lease
from tests.fake_objects import FakeObjects

SECONDS = 0.4


@pytest.fixture
def objects():
    return FakeObjects()


def owner(objects):
    return json.loads(objects.objects[KEY])["owner"]


def held(objects, **more):
    lease = Lease(objects, SECONDS, **more)
    lease.acquire()
    return lease


def work(objects, happen):
    """Hold the lease for long, and let something happen meanwhile."""
    with held(objects).kept():
        happen(objects)
        time.sleep(5 * SECONDS)
        raise AssertionError("nobody interrupted it")


def test_a_second_run_is_refused_while_the_first_is_alive(objects):
    with held(objects).kept():
        began = time.monotonic()
        with pytest.raises(FatalError, match="another run works in s3://bucket/run"):
            held(objects)
        assert time.monotonic() - began < SECONDS


def test_a_lease_that_was_given_back_is_free_at_once(objects):
    with held(objects).kept():
        assert owner(objects) is not None
    assert owner(objects) is None
    began = time.monotonic()
    held(objects)
    assert time.monotonic() - began < SECONDS / 2


def test_it_outlives_its_length_while_it_is_renewed(objects):
    lease = held(objects)
    with lease.kept():
        time.sleep(2 * SECONDS)
        lease.confirm()
    assert not lease.lost


def test_of_a_killed_owner_it_is_taken_over_after_its_length(objects):
    dead = held(objects)  # never renewed
    notes = []
    began = time.monotonic()
    Lease(objects, SECONDS).acquire(notes.append)
    assert SECONDS <= time.monotonic() - began < 2 * SECONDS
    assert len(notes) == 1
    with pytest.raises(FatalError, match="was lost"):  # it was not killed after all, only suspended
        dead.confirm()


def test_a_clock_that_jumps_changes_nothing(objects, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 4e9)
    with held(objects).kept():
        monkeypatch.setattr(time, "time", lambda: 0.0)
        with pytest.raises(FatalError, match="another run works"):
            held(objects)


def test_an_owner_whose_lease_is_taken_writes_nothing_more(objects):
    def take(objects):
        objects.objects[KEY] = json.dumps({"owner": "other", "seconds": 9, "count": 1}).encode()

    with pytest.raises(FatalError, match="was lost"):
        work(objects, take)
    assert owner(objects) == "other"


def test_a_store_that_is_down_for_the_whole_length_ends_the_run(objects):
    def down(operation, key):
        raise RetryableError("busy")

    with pytest.raises(FatalError, match="was lost"):
        work(objects, lambda objects: setattr(objects, "before", down))


def test_a_store_that_is_down_for_a_moment_does_not(objects):
    lease = held(objects)
    down = iter([True])

    def once(operation, key):
        if next(down, False):
            raise RetryableError("busy")

    with lease.kept():
        objects.before = once
        time.sleep(SECONDS)
        lease.confirm()


def test_a_renewal_whose_answer_was_lost_is_one(objects):
    lease = held(objects)
    put = objects.put

    def lose(key, data, *, create=False, etag=None):
        put(key, data, create=create, etag=etag)
        return put(key, data, create=create, etag=etag)  # the retry, after an answer that never came

    objects.put = lose
    with lease.kept():
        time.sleep(SECONDS)
        lease.confirm()
    assert not lease.lost


def test_of_many_that_wait_one_gets_it(objects):
    held(objects)
    outcomes = []

    def wait():
        try:
            lease = held(objects)
        except FatalError:
            outcomes.append("refused")
        else:
            outcomes.append("held")
            with lease.kept():
                time.sleep(SECONDS)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held", "refused", "refused", "refused"]


def test_its_object_names_nobody(objects):
    held(objects)
    content = json.loads(objects.objects[KEY])
    assert set(content) == {"owner", "seconds", "count"}
    assert len(bytes.fromhex(content["owner"])) == 16


def test_a_store_without_entity_tags_is_refused(objects):
    objects._info = lambda key: leases._Held(None, None, 0)
    with pytest.raises(ConfigurationError, match="entity tags"):
        held(objects)


@pytest.mark.parametrize("given", ["0", "-1", "soon", "inf", "nan"])
def test_its_length_is_a_number(monkeypatch, given):
    monkeypatch.setenv(leases.ENVIRONMENT_VARIABLE, given)
    with pytest.raises(ConfigurationError, match="number of seconds"):
        leases.length()
