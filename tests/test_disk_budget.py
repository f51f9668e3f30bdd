"""What a run takes on disk, held against its budget."""

import shutil

from audit import disk_budget


def section(rows, sketches, documents):
    families = [
        {"family": "documents", "parts": 3, "bytes": rows, "sketches": False},
        {"family": "near_duplicates", "parts": 3, "bytes": sketches, "sketches": True},
    ]
    return disk_budget.section(families, documents)


def test_a_run_within_its_budget_says_so():
    told = section(100 * 1_000_000, 200 * 1_000_000, 1_000_000)
    assert told["bytes"] == 300_000_000
    assert told["rows"]["bytes_per_document"] == 100.0
    assert told["rows"]["over_budget"] is told["sketches"]["over_budget"] is False
    assert disk_budget.sentence(told) == (
        "Parts on disk: 300.0 MB; rows 100 bytes a document of 150, sketches 200 bytes a document of 256."
    )


def test_a_run_over_its_budget_says_so():
    told = section(200 * 1_000_000, 0, 1_000_000)
    assert told["rows"]["over_budget"] is True
    assert "rows 200 bytes a document of 150 (over budget)" in disk_budget.sentence(told)


def test_few_documents_are_not_judged():
    assert section(9_000, 9_000, 3)["rows"]["over_budget"] is None
    assert section(0, 0, 0)["rows"]["bytes_per_document"] is None
    assert "no document" in disk_budget.sentence(section(0, 0, 0))


def test_a_disk_that_is_likely_to_fill_is_told_of_beforehand(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    warning = disk_budget.shortage(tmp_path / "not" / "there", 100 * free)
    assert warning is not None
    assert "GB are free" in warning
    assert disk_budget.shortage(tmp_path, 1_000_000) is None
