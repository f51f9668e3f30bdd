"""Counts by slice equal a count in plain Python, and merge by addition."""

from collections import Counter

import pyarrow.compute as pc

from audit.dimensions import REPORTED


def rows(run, sql):
    with run.connect() as db:
        return db.sql(sql).to_arrow_table().to_pylist()


def brute_force(run, screen):
    """(dimension, value) -> documents, tokens, evaluated, flagged, and the tokens of the last two."""
    counts = {}
    for row in rows(run, "SELECT * FROM documents"):
        evaluated = row[f"{screen}_flagged"] is not None
        flagged, tokens = bool(row[f"{screen}_flagged"]), row["n_tokens"]
        for dimension in ("all", *REPORTED):
            value = "all" if dimension == "all" else row[dimension]
            total = counts.setdefault((dimension, value), [0] * 6)
            added = (1, tokens, evaluated, flagged, evaluated * tokens, flagged * tokens)
            counts[dimension, value] = [a + b for a, b in zip(total, added, strict=True)]
    return counts


def test_counts_by_slice_equal_a_count_in_plain_python(standing):
    names = "documents, tokens, evaluated, flagged, evaluated_tokens, flagged_tokens"
    for screen in ("pii", "toxicity"):
        found = {
            (row["dimension"], row["value"]): [row[name] for name in names.split(", ")]
            for row in rows(standing, f"SELECT * FROM slice_counts WHERE screen = '{screen}'")
        }
        assert found == brute_force(standing, screen)


def test_dimensions_follow_from_the_documents(standing):
    documents = rows(standing, "SELECT doc_id, source, period, timestamp, domain_class FROM documents")
    by_id = {row["doc_id"]: row for row in documents}
    assert by_id["c3"]["period"] == "2013"
    assert by_id["c3"]["source"] == "comments"
    assert by_id["p3"]["period"] == "undated"
    assert by_id["p3"]["domain_class"] != by_id["c3"]["domain_class"]


def test_copies_are_counted_without_their_representatives(standing):
    counts = rows(standing, "SELECT * FROM slice_counts WHERE screen = 'duplicates' AND dimension = 'source'")
    assert {row["value"]: row["flagged"] for row in counts} == {"pages": 1, "comments": 0}


def test_bands_are_half_open_and_every_document_has_one(standing):
    cuts = standing.config().sampling.bands
    edges = [0.0, *cuts, 1.0]
    for row in rows(
        standing, "SELECT toxicity_score, toxicity_band FROM documents JOIN slices USING (shard, position)"
    ):
        if row["toxicity_score"] is None:
            assert row["toxicity_band"] == "none"
            continue
        low, high = map(float, row["toxicity_band"].split("-"))
        assert low in edges
        assert low <= row["toxicity_score"] < high or row["toxicity_score"] == high == 1.0


def test_finding_counts_equal_the_findings(standing):
    found = Counter()
    for row in rows(standing, "SELECT screen, kind, severity FROM findings"):
        found[row["screen"], row["kind"], row["severity"]] += 1
    stored = rows(standing, "SELECT * FROM finding_counts WHERE dimension = 'all'")
    assert found
    assert found == Counter({(r["screen"], r["kind"], r["severity"]): r["findings"] for r in stored})


def test_cells_merge_by_addition(standing):
    with standing.connect() as db:
        cells = db.sql("SELECT * FROM cells").to_arrow_table()
        longest = db.sql("SELECT max(n_tokens) FROM documents").fetchall()[0][0]
        total = db.sql("SELECT count(*), sum(n_tokens) FROM documents").fetchall()[0]
    assert (pc.sum(cells.column("documents")).as_py(), pc.sum(cells.column("tokens")).as_py()) == total
    assert pc.max(cells.column("max_tokens")).as_py() == longest
