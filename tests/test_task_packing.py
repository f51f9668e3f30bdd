from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from audit.cluster.task_packing import Packer, Unpacker


@dataclass(frozen=True)
class Setting:
    key: bytes = field(repr=False)
    words: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    setting: Setting
    number: int
    other: Setting | None = None


def function(job: Job) -> int:
    return job.number


SETTING = Setting(b"k" * 32, tuple(f"word {n}" for n in range(500)))


@given(st.lists(st.integers(), max_size=20))
def test_tasks_come_out_as_they_went_in(numbers):
    jobs = [Job(SETTING, number) for number in numbers]
    packer = Packer(function, jobs)
    unpacker = Unpacker(packer.common)
    assert unpacker.function is function
    assert [unpacker.unpack(packer.pack(job)) for job in jobs] == jobs


def test_what_tasks_share_is_packed_once_and_the_key_with_it():
    jobs = [Job(SETTING, number) for number in range(3)]
    packer = Packer(function, jobs)
    packed = [packer.pack(job) for job in jobs]
    assert SETTING.key in packer.common
    assert all(SETTING.key not in each and len(each) < 200 for each in packed)
    unpacker = Unpacker(packer.common)
    assert len({id(unpacker.unpack(each).setting) for each in packed}) == 1


def test_a_task_with_a_setting_of_its_own_keeps_it():
    mine = Setting(b"m" * 32, ("mine",) * 300)
    jobs = [Job(SETTING, 1), Job(mine, 2, other=SETTING), Job(SETTING, 3)]
    packer = Packer(function, jobs)
    unpacker = Unpacker(packer.common)
    assert [unpacker.unpack(packer.pack(job)) for job in jobs] == jobs


def test_a_single_task_shares_nothing():
    packer = Packer(function, [Job(SETTING, 1)])
    assert SETTING.key not in packer.common
    assert Unpacker(packer.common).unpack(packer.pack(Job(SETTING, 1))) == Job(SETTING, 1)
