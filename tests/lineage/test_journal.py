"""The journal finds every change, and survives a crash in the middle of a line."""

import hashlib
import json
import multiprocessing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import FatalError
from audit.lineage.journal import GENESIS, Journal

AT = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
ENTRIES = 5


def write(folder: Path) -> Journal:
    journal = Journal(folder / "journal.jsonl")
    for number in range(ENTRIES):
        journal.append("step", {"number": number, "names": ["ä", "\ud800"], 7: 0.5}, AT)
    return journal


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write(tmp_path_factory.mktemp("journal")).path.read_bytes()


def check(content: bytes, expected_head: str | None = None):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(content)
        return Journal(path).verify(expected_head)


def test_appends_chained_canonical_lines(tmp_path):
    journal = write(tmp_path)
    entries = list(journal.read())
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.previous for entry in entries] == [GENESIS, *(entry.digest for entry in entries[:-1])]
    assert entries[0].at == "2026-01-31T12:00:00Z"
    assert entries[0].data == {"number": 0, "names": ["ä", "\ud800"], "7": 0.5}
    assert journal.head == entries[-1].digest
    assert journal.verify() == []


def test_the_digest_is_of_the_line_without_it(tmp_path):
    line = json.loads(write(tmp_path).path.read_bytes().splitlines()[1])
    digest = line.pop("digest")
    canonical = json.dumps(line, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == digest


def test_time_is_utc_whatever_the_zone_and_may_jump_back(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("later", {}, AT.astimezone(timezone(timedelta(hours=9))))
    journal.append("earlier", {}, AT - timedelta(days=400))
    assert [entry.at for entry in journal.read()] == ["2026-01-31T12:00:00Z", "2024-12-27T12:00:00Z"]
    assert journal.verify() == []


@pytest.mark.parametrize("data", [{"share": float("nan")}, {"what": {1, 2}}])
def test_refuses_what_is_not_json_and_writes_nothing(tmp_path, data):
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises((ValueError, TypeError)):
        journal.append("step", data)
    assert not journal.path.exists()


def test_refuses_a_time_without_zone(tmp_path):
    with pytest.raises(ValueError, match="zone"):
        Journal(tmp_path / "journal.jsonl").append("step", {}, datetime(2026, 1, 1))


def test_reading_never_writes(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    assert (journal.head, list(journal.read())) == (GENESIS, [])
    assert [problem.what for problem in journal.verify()] == ["the journal is missing or empty"]
    assert list(tmp_path.iterdir()) == []


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_is_found(original, data):
    at = data.draw(st.integers(0, len(original) - 1))
    change = data.draw(st.integers(1, 255))
    changed = bytearray(original)
    changed[at] ^= change
    assert check(bytes(changed))


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_removed_repeated_or_reordered_line_is_found(original, data):
    lines = original.splitlines(keepends=True)
    picks = data.draw(st.lists(st.integers(0, ENTRIES - 1), max_size=ENTRIES + 1))
    if picks == list(range(ENTRIES)):
        return
    head = json.loads(lines[-1])["digest"]
    assert check(b"".join(lines[pick] for pick in picks), head)
    if picks != list(range(len(picks))):  # a mere cut leaves a valid chain: only the head tells
        assert check(b"".join(lines[pick] for pick in picks))


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_any_cut_is_found_by_the_expected_head(original, data):
    head = json.loads(original.splitlines()[-1])["digest"]
    assert check(original, head) == []
    assert check(original[: data.draw(st.integers(0, len(original) - 1))], head)


def test_the_expected_head_may_have_been_followed_by_more(tmp_path):
    journal = write(tmp_path)
    head = journal.head
    journal.append("later", {})
    assert journal.verify(head) == []
    assert journal.verify("0" * 64) != []


def test_names_the_damaged_line_and_refuses_to_go_on(tmp_path):
    journal = write(tmp_path)
    journal.path.write_bytes(journal.path.read_bytes().replace(b'"number":4', b'"number":9'))
    assert [problem.what for problem in journal.verify()] == ["line 5 does not match its digest"]
    with pytest.raises(FatalError, match="last line"):
        journal.append("step", {})
    with pytest.raises(FatalError, match="line 5"):
        list(journal.read())


@given(cut=st.integers(1, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_torn_line_is_moved_aside_and_journaled(original, cut):
    cut = cut % len(original)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(original[:cut])
        journal = Journal(path)
        whole = list(journal.read())
        torn = original[:cut].rpartition(b"\n")[2]
        journal.append("after", {}, AT)
        events = [entry.event for entry in journal.read()][len(whole) :]
        assert events == (["recovered", "after"] if torn else ["after"])
        assert journal.verify() == []
        if torn:
            recovered = list(journal.read())[len(whole)].data
            assert (Path(folder) / recovered["file"]).read_bytes() == torn
            assert recovered["digest"] == hashlib.sha256(torn).hexdigest()


def test_reports_a_torn_line_until_the_next_append(tmp_path):
    journal = write(tmp_path)
    with journal.path.open("ab") as handle:
        handle.write(b'{"at":"20')
    assert [problem.what for problem in journal.verify()] == [
        "the last line is incomplete, as a crash leaves it"
    ]
    journal.append("step", {})
    assert journal.verify() == []


def test_a_last_line_longer_than_a_block_is_found(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("long", {"names": ["x" * 200_000]})
    journal.append("long", {"names": ["y" * 200_000]})
    journal.append("short", {})
    assert [entry.seq for entry in journal.read()] == [1, 2, 3]
    assert journal.verify() == []


def _append(path: Path, count: int) -> None:
    for number in range(count):
        Journal(path).append("step", {"number": number})


def test_processes_may_append_at_once(tmp_path):
    path = tmp_path / "journal.jsonl"
    processes = [multiprocessing.Process(target=_append, args=(path, 10)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert Journal(path).verify() == []
    assert len(list(Journal(path).read())) == 20
