"""Ways to a GO that is not deserved, and why each comes to nothing."""

import json
import os
import shutil

import pytest

from audit import commands
from tests.conftest import page

GATES = {"gates": [{"name": "g", "metric": "duplicates.documents", "limit": 0.9}]}
QUICK = {"screens": {"exact_duplicates": {}}, "policy": GATES}


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def pages(count, **more):
    return [{"id": f"p{n}", "text": page(n), **more} for n in range(count)]


@pytest.fixture
def passing(tmp_path, run_audit):
    write(tmp_path / "in" / "a.jsonl", pages(8))
    result = run_audit(tmp_path / "in", **QUICK)
    assert result.verdict.verdict == "GO"
    return result.run


def test_another_file_of_the_same_name_size_and_time_is_read(tmp_path, run_audit):
    write(tmp_path / "one" / "a.jsonl", pages(4))
    first = run_audit(tmp_path / "one", **QUICK).run.scorecard()["run_id"]
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    other = tmp_path / "two" / "a.jsonl"
    other.write_text(other.read_text().replace("number", "NUMBER"), encoding="utf-8")
    stamp = (tmp_path / "one" / "a.jsonl").stat()
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert run_audit(tmp_path / "two", **QUICK).run.scorecard()["run_id"] != first


def test_files_that_cannot_be_read_stand_in_the_way_even_without_a_size(tmp_path, run_audit, passing):
    for name in ("b", "c"):
        (tmp_path / "in" / f"{name}.jsonl").symlink_to(tmp_path / "nowhere")
    verdict = run_audit(tmp_path / "in", **QUICK).verdict
    assert verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert "could not be read" in verdict.reason


def test_files_of_unknown_format_stand_in_the_way_until_they_are_acknowledged(tmp_path, run_audit, passing):
    (tmp_path / "in" / "b.jsonl.bz2").write_bytes(b"x" * 10_000)
    result = run_audit(tmp_path / "in", **QUICK)
    assert result.verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert result.run.scorecard()["accounting"]["left_out"] == {
        "files": 1,
        "bytes": 10_000,
        "suffixes": {".jsonl.bz2": 1},
    }
    ignoring = {"corpus": {"name": "test", "ignore": ["*.bz2"]}}
    assert run_audit(tmp_path / "in", **QUICK, **ignoring).verdict.verdict == "GO"


@pytest.mark.parametrize("name", ["scorecard.json", "manifest.json", "parts/index.jsonl"])
def test_a_changed_file_is_no_ground_for_a_verdict(passing, name):
    assert commands.gate(passing.folder, strict=False)["verdict"] == "GO"
    path = passing.folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert commands.gate(passing.folder, strict=False)["verdict"] == "INSUFFICIENT EVIDENCE"


def test_judgements_that_nobody_journaled_are_no_ground_for_a_verdict(passing):
    passing.judgements.mkdir(exist_ok=True)
    (passing.judgements / "000001-0123456789abcdef.jsonl").write_bytes(b"")
    assert commands.gate(passing.folder, strict=False)["verdict"] == "INSUFFICIENT EVIDENCE"


def test_a_retired_part_that_was_changed_is_computed_again(tmp_path, run_audit, passing):
    other = {**QUICK, "screens": {"exact_duplicates": {}, "language": {}}}
    before = {path.name: path.read_bytes() for path in passing.store.folder.glob("cells/*.parquet")}
    run_audit(tmp_path / "in", **other)
    (retired,) = passing.store.folder.glob(".retired/cells/*.parquet")
    retired.write_bytes(retired.read_bytes()[:-4] + b"XXXX")
    run_audit(tmp_path / "in", **QUICK)
    assert {path.name: path.read_bytes() for path in passing.store.folder.glob("cells/*.parquet")} == before


def test_names_in_the_data_are_no_conditions_of_a_slice(tmp_path, run_audit):
    write(tmp_path / "in" / "a.jsonl", pages(3, source="Barnes & Noble") + pages(3, source="web&language=en"))
    run = run_audit(tmp_path / "in", **QUICK).run
    with run.connect() as db:
        slices = {row[0] for row in db.execute("SELECT DISTINCT slice FROM estimates").fetchall()}
    assert {"source=Barnes %26 Noble", "source=web%26language%3Den"} <= slices


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path, run_audit):
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(victim)
    write(tmp_path / "in" / "a.jsonl", pages(2))
    with pytest.raises(Exception, match="cannot be written"):
        run_audit(tmp_path / "in", **QUICK)
    assert victim.read_text() == "precious"


def test_strict_takes_warnings_for_bars(tmp_path, run_audit):
    write(tmp_path / "in" / "a.jsonl", [*pages(4), {"id": "x", "text": page(0)}])
    gates = [
        *GATES["gates"],
        {"name": "w", "metric": "duplicates.documents", "limit": 0.01, "severity": "warn"},
    ]
    run = run_audit(tmp_path / "in", screens=QUICK["screens"], policy={"gates": gates}).run
    assert commands.gate(run.folder, strict=False)["verdict"] == "GO"
    assert commands.gate(run.folder, strict=True)["verdict"] == "NO-GO"
