"""A run against the sketches of an earlier one: matches, counts, and what is computed again."""

import shutil

import pytest

from audit.errors import ConfigurationError


def screens(*references, **parameters):
    return {"screens": {"near_duplicates": {"references": [str(r) for r in references], **parameters}}}


def parts(run, family):
    return {path.name for path in (run.store.folder / family).glob("*.parquet")}


def test_a_run_finds_what_an_earlier_one_held(corpus, run_audit, tmp_path):
    earlier = run_audit(corpus, "earlier", **screens()).run
    pages = tmp_path / "pages"
    pages.mkdir()
    shutil.copy(corpus / "comments.parquet", pages)
    lines = (corpus / "pages.jsonl").read_text().splitlines()
    (pages / "more.jsonl").write_text(
        "\n".join([*lines[:5], '{"id": "new", "text": "nothing like it"}']) + "\n"
    )
    plain = run_audit(pages, "later", **screens()).run
    sketches, clusters = parts(plain, "near_duplicates"), parts(plain, "duplicates")
    with plain.connect() as db:
        assert db.execute("SELECT count(*) FROM reference_matches").fetchone() == (0,)

    later = run_audit(pages, "later", **screens(earlier.folder)).run
    assert parts(later, "near_duplicates") == sketches
    assert parts(later, "duplicates") == clusters
    with later.connect() as db:
        rows = db.execute("SELECT reference, jaccard, exact FROM reference_matches").fetchall()
        lost = db.execute(
            "SELECT doc_id FROM documents ANTI JOIN reference_matches USING (doc_id)"
        ).fetchall()
    assert rows == [(str(earlier.folder), 1.0, True)] * 35
    assert lost == [("new",)]
    [search] = later.scorecard()["duplicates"]["searches"]
    assert search["statistics"]["matched_texts"] == 35
    assert search["statistics"]["documents"] == 36


def test_another_threshold_does_not_sketch_again(corpus, run_audit):
    before = run_audit(corpus, **screens()).run
    sketches, clusters = parts(before, "near_duplicates"), parts(before, "duplicates")
    after = run_audit(corpus, **screens(threshold=0.9)).run
    assert parts(after, "near_duplicates") == sketches
    assert parts(after, "duplicates") != clusters


def test_a_reference_of_other_parameters_stops_the_run(corpus, run_audit):
    earlier = run_audit(corpus, "earlier", **screens(seed=2)).run
    with pytest.raises(ConfigurationError, match="seed is 2 there and 1 here"):
        run_audit(corpus, "later", **screens(earlier.folder))


def test_workers_do_not_change_what_is_found(corpus, run_audit):
    earlier = run_audit(corpus, "earlier", **screens()).run
    cut = {"run": {"shard_bytes": 4096}, **screens(earlier.folder)}
    one, two = (run_audit(corpus, f"w{workers}", workers=workers, **cut).run for workers in (1, 2))
    for family in ("near_duplicates", "duplicates", "reference_matches"):
        files = {path.name: path.read_bytes() for path in (one.store.folder / family).glob("*.parquet")}
        assert files
        assert files == {p.name: p.read_bytes() for p in (two.store.folder / family).glob("*.parquet")}
    accounting = two.scorecard()["accounting"]
    assert accounting["documents_in"] == accounting["screened"] + accounting["rejected"] == 72
