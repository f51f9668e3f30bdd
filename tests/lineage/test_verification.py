"""Verification finds any changed, missing, added or truncated byte, and names file and remedy."""

import hashlib
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import ConfigurationError
from audit.lineage.journal import Journal
from audit.lineage.verification import file_digests, verify

PARTS = {"parts/pii/a.parquet": b"first part", "parts/pii/b.parquet": b"second part"}
SMALL = {
    "manifest.json": b"{}\n",
    "scorecard.json": b'{"verdict":"GO"}',
    "scorecard.html": b"<p>GO</p>",
    "audit.duckdb": b"tables",
    "sample/draws.jsonl": b"{}\n",
}
JUDGED = {"judgements/000001-aa.jsonl": b'{"label":"no"}\n'}
IGNORED = ("cache/texts", ".lock", "parts/.tmp/x", "parts/.retired/pii/c.parquet")
SEALED = sorted([*PARTS, *SMALL, *JUDGED, "parts/index.jsonl", "journal.jsonl", "journal.incomplete-000001"])


def make(folder: Path) -> Path:
    for name, content in {**PARTS, **SMALL, **JUDGED, **dict.fromkeys(IGNORED, b"x")}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    lines = [
        {"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(PARTS.items())
    ]
    index = "".join(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n" for line in lines)
    (folder / "parts/index.jsonl").write_text(index)
    journal = Journal(folder / "journal.jsonl")
    journal.path.write_bytes(b'{"at":"20')
    journal.append("completed", {"files": {"scorecard.json": "0" * 64, "gone.json": "1" * 64}})
    journal.append("judged", {"files": dict.fromkeys(JUDGED, "0" * 64)})
    journal.append("judged", {"files": file_digests(folder, JUDGED)})
    journal.append("completed", {"files": file_digests(folder, [*SMALL, "parts/index.jsonl"])})
    aside = next(folder.glob("journal.incomplete-*"))
    assert aside.name.startswith(SEALED[SEALED.index("journal.incomplete-000001")])
    return folder


def sealed(folder: Path, name: str) -> Path:
    return next(folder.glob(f"{name}*"))


@pytest.fixture
def run(tmp_path):
    return make(tmp_path / "run")


def test_an_untouched_run_is_intact_wherever_it_lies(run, tmp_path):
    moved = shutil.copytree(run, tmp_path / "elsewhere" / "run")
    report = verify(moved)
    assert (report.problems, report.intact) == ((), True)
    assert report.files == len(SEALED)
    assert report.bytes == sum(sealed(run, name).stat().st_size for name in SEALED)
    assert report.head == Journal(run / "journal.jsonl").head
    assert verify(moved, report.head).intact


@given(name=st.sampled_from(SEALED), at=st.integers(0, 10_000), change=st.integers(1, 255))
@settings(max_examples=120, deadline=None)
def test_any_changed_byte_in_any_accounted_file_is_found(name, at, change):
    with TemporaryDirectory() as folder:
        path = sealed(make(Path(folder)), name)
        content = bytearray(path.read_bytes())
        content[at % len(content)] ^= change
        path.write_bytes(content)
        found = verify(Path(folder)).problems
        assert path.name in {Path(problem.file).name for problem in found}
        assert all(problem.remedy for problem in found)


@pytest.mark.parametrize("name", [name for name in SEALED if name != "journal.jsonl"])
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "changed|truncated"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\n"), "changed|grown"),
    ],
    ids=["missing", "truncated", "grown"],
)
def test_damage_is_told_by_name(run, name, damage, what):
    path = sealed(run, name)
    damage(path)
    told = {problem.file: problem.what for problem in verify(run).problems}
    assert any(told[path.relative_to(run).as_posix()].startswith(word) for word in what.split("|"))


@pytest.mark.parametrize(
    "name", ["notes.txt", "parts/pii/c.parquet", "judgements/000002-bb.jsonl", "sample/.x", "new/cache/x"]
)
def test_a_file_that_nothing_accounts_for_is_told(run, name):
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_bytes(b"")
    assert [(problem.file, problem.what.split(":")[0]) for problem in verify(run).problems] == [
        (name, "unaccounted")
    ]


def test_a_link_to_a_folder_is_told(run, tmp_path):
    (run / "parts/more").symlink_to(tmp_path)
    assert [problem.file for problem in verify(run).problems] == ["parts/more"]


def test_half_written_files_of_a_killed_process_are_no_evidence(run):
    (run / f".scorecard.json.{'0' * 32}").write_bytes(b"half")
    assert verify(run).intact


def test_only_the_expected_head_finds_a_journal_written_anew(run):
    head = verify(run).head
    path = run / "journal.jsonl"
    path.unlink()
    next(run.glob("journal.incomplete-*")).unlink()
    (run / "scorecard.json").write_bytes(b'{"verdict":"NO-GO"}')
    journal = Journal(path)
    journal.append("judged", {"files": file_digests(run, JUDGED)})
    journal.append("completed", {"files": file_digests(run, [*SMALL, "parts/index.jsonl"])})
    assert verify(run).intact
    assert [problem.what for problem in verify(run, head).problems] == [
        "the expected head is not in the chain: cut back or rewritten"
    ]


def test_a_run_that_never_completed_is_not_intact(tmp_path):
    Journal(tmp_path / "journal.jsonl").append("started", {})
    assert [problem.what for problem in verify(tmp_path).problems] == ["no completed audit is journaled"]


def test_an_empty_folder_is_not_intact(tmp_path):
    assert not verify(tmp_path).intact


def test_a_completed_audit_without_index_is_not_intact(run):
    Journal(run / "journal.jsonl").append("completed", {"files": file_digests(run, SMALL)})
    assert any("does not account for parts/index.jsonl" in p.what for p in verify(run).problems)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", ""])
def test_paths_out_of_the_run_are_not_followed(run, name):
    Journal(run / "journal.jsonl").append("judged", {"files": {name: "0" * 64}})
    assert [problem.what for problem in verify(run).problems] == [
        "a journaled file has no usable path or digest"
    ]


def test_no_such_folder_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no such run folder"):
        verify(tmp_path / "none")
