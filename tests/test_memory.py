import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.config import parse
from audit.errors import ConfigurationError
from audit.workers import memory
from audit.workers.memory import DRIVER_BYTES, GIB, MIB, WORKER_BYTES


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 * GIB),
        ("512 MiB", 512 * MIB),
        ("1.5GB", 1_500_000_000),
        ("2kB", 2_000),
        ("9B", 9),
        ("1TiB", GIB << 10),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert memory.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "4", "GiB", "-1GiB", "4 gigs", "1e3GiB", "4GiBs", "4 Gi"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="write it like 4GiB"):
        memory.parse_size(text)


@given(limit=st.integers(memory.LEAST_BYTES, 1 << 44), workers=st.integers(1, 4_096))
def test_shares_keep_the_limit_and_no_worker_starves_beside_another(limit, workers):
    divided = memory.divide(limit, workers)
    assert 1 <= divided.workers <= workers
    assert divided.share is not None
    assert DRIVER_BYTES + divided.workers * divided.share <= limit
    assert divided.workers == 1 or divided.share >= WORKER_BYTES
    assert divided.workers == workers or memory.wanted(divided.workers + 1) > limit
    assert divided.whole == divided.workers * divided.share


def test_without_a_limit_there_is_no_share():
    assert memory.divide(None, 7) == memory.Division(7)
    assert memory.divide(None, 7).whole is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_is_seen_to_grow_and_to_go():
    before = memory.resident(os.getpid())
    held = b"x" * (64 * MIB)
    assert memory.resident(os.getpid()) - before > 48 * MIB
    assert len(held) == 64 * MIB
    assert memory.resident(2**22 + 1) == 0
    assert memory.machine_bytes() > before


def test_the_configuration_takes_a_size_and_nothing_else():
    assert parse({"corpus": {"name": "x"}, "run": {"memory": "4GiB"}}).run.memory_bytes == 4 * GIB
    assert parse({"corpus": {"name": "x"}}).run.memory_bytes is None
    for wrong, told in [("plenty", "write it like 4GiB"), ("1MiB", "768 MiB at least")]:
        with pytest.raises(ConfigurationError, match=told) as caught:
            parse({"corpus": {"name": "x"}, "run": {"memory": wrong}})
        assert caught.value.key == "run.memory"


def test_a_limit_changes_no_digest():
    limited = parse({"corpus": {"name": "x"}, "run": {"memory": "4GiB", "stall_seconds": 60}})
    assert limited.digest() == parse({"corpus": {"name": "x"}}).digest()
