"""Near duplicates: recall, precision and clusters on families with exact truth."""

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
from duplicate_families import exact_pairs, families, jaccard, shingles
from memory_sketches import MemorySketches, measure, resolve

from audit.duplicates.lsh import candidate_probability, s_curve
from audit.errors import ConfigurationError, FatalError
from audit.model import DUPLICATE_SCHEMA
from audit.screens.near_duplicates import NearDuplicates

SCREEN = NearDuplicates()
#: Every family keeps all pairs, for comparisons pair by pair.
ALL_PAIRS = NearDuplicates(window=200)


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    """All families in one seeded order, so that neighbours are strangers."""
    texts = [text for seed in (1, 2) for family in families(seed) for text in family.texts]
    return [texts[i] for i in np.random.default_rng(7).permutation(len(texts))]


@pytest.fixture(scope="module")
def truth(corpus) -> dict[tuple[int, int], float]:
    return exact_pairs(corpus)


@pytest.fixture(scope="module")
def rows(corpus, tmp_path_factory) -> list[dict]:
    return resolve(SCREEN, {"0": corpus}, tmp_path_factory.mktemp("rows"))


def accepted_pairs(screen, texts, folder) -> set[tuple[int, int]]:
    groups, clusters = screen.find(MemorySketches(screen, {"0": texts}), folder)
    nodes = defaultdict(list)
    for document, node in zip(groups.positions.tolist(), groups.group.tolist(), strict=True):
        nodes[node].append(document)
    linked = {(int(p) >> 32, int(p) & 0xFFFFFFFF) for p in clusters.pairs}
    across = {(i, j) for u, v in linked for i in nodes[u] for j in nodes[v]}
    within = {pair for members in nodes.values() for pair in combinations(members, 2)}
    return {(min(p), max(p)) for p in across | within}


def test_accepted_pairs_are_those_of_exact_similarity(corpus, truth, tmp_path):
    accepted = accepted_pairs(ALL_PAIRS, corpus, tmp_path)
    precision = np.mean([truth.get(pair, 0) >= 0.8 for pair in accepted])
    assert precision >= 0.99
    for low, high, recall in ((0.85, 1.01, 0.99), (0.8, 0.85, 0.95)):
        wanted = [pair for pair, value in truth.items() if low <= value < high]
        assert len(wanted) > 100
        assert np.mean([pair in accepted for pair in wanted]) >= recall


def test_no_cluster_holds_two_unlike_documents(corpus, rows):
    sets = [shingles(text) for text in corpus]
    clusters = defaultdict(list)
    for row in rows:
        clusters[row["cluster_id"]].append(row)
    assert len(clusters) > 20
    for members in clusters.values():
        positions = [row["position"] for row in members]
        assert len(positions) > 1
        assert {row["representative_position"] for row in members} == {min(positions)}
        for row in members:
            exact = jaccard(sets[row["position"]], sets[row["representative_position"]])
            assert row["jaccard"] == pytest.approx(exact, abs=0.12)
        assert min(jaccard(sets[i], sets[j]) for i, j in combinations(positions, 2)) >= 0.4


def test_a_dense_family_is_one_cluster_at_bounded_cost(tmp_path):
    family = families(3)[0].texts
    rows = resolve(NearDuplicates(window=4), {"0": family}, tmp_path)
    assert len(rows) == len(family)
    assert len({row["cluster_id"] for row in rows}) == 1


def test_comparisons_in_a_crowded_bucket_grow_linearly(tmp_path):
    screen = NearDuplicates(window=4)
    counts = []
    for size in (200, 400):
        page = " ".join(f"w{i}" for i in range(300))
        texts = [f"{page} field{n} {page[::-1]}" for n in range(size)]
        (tmp_path / str(size)).mkdir()
        _, clusters = screen.find(MemorySketches(screen, {"0": texts}), tmp_path / str(size))
        counts.append(clusters.counts["candidates"])
    assert counts[0] > 200
    assert counts[1] < 2.2 * counts[0]


def test_the_same_whatever_the_shards(corpus, tmp_path):
    texts = corpus[:200]
    found = []
    for size in (200, 64, 7):
        shards = {f"{n:04d}": texts[n : n + size] for n in range(0, len(texts), size)}
        (tmp_path / str(size)).mkdir()
        rows = resolve(SCREEN, shards, tmp_path / str(size))
        place = {(s, p): int(s) + p for s in shards for p in range(len(shards[s]))}
        own = [place[r["shard"], r["position"]] for r in rows]
        representatives = [place[r["representative_shard"], r["representative_position"]] for r in rows]
        found.append(list(zip(own, representatives, [r["jaccard"] for r in rows], strict=True)))
    assert found[0] == found[1] == found[2]
    assert [document for document, _, _ in found[0]] == sorted(document for document, _, _ in found[0])


def test_exact_copies_share_their_representative(tmp_path):
    page = " ".join(f"w{i}" for i in range(100))
    texts = [page + " end", page.upper(), f"  {page}\n", "unrelated words only here and nowhere else"]
    rows = resolve(SCREEN, {"a": texts}, tmp_path)
    assert [(r["position"], r["representative_position"], r["exact"]) for r in rows] == [
        (0, 0, True), (1, 0, False), (2, 0, False),
    ]  # fmt: skip
    statistics = SCREEN.statistics()
    assert (statistics["documents"], statistics["distinct"], statistics["duplicates"]) == (4, 3, 2)


def test_texts_are_read_again_only_where_in_doubt(corpus, tmp_path):
    sketches = MemorySketches(SCREEN, {"0": corpus})
    list(SCREEN.resolve(sketches, tmp_path))
    assert 0 < len(sketches.read_again) == len(set(sketches.read_again)) < len(corpus)
    assert SCREEN.statistics()["settled_exactly"] > 0


def test_counts_add_up(corpus, rows, tmp_path):
    list(SCREEN.resolve(MemorySketches(SCREEN, {"0": corpus}), tmp_path))
    counts = SCREEN.statistics()
    assert counts["documents"] == len(corpus)
    assert counts["clusters"] == len({row["cluster_id"] for row in rows})
    assert counts["duplicates"] == len(rows) - counts["clusters"]
    assert counts["accepted"] + counts["rejected"] == counts["candidates"]
    assert counts["duplicates_low"] <= counts["removable"] <= counts["duplicates"] < counts["duplicates_high"]
    assert 0.2 < counts["max_diameter"] <= 0.75


def test_documents_without_words_are_skipped(tmp_path):
    result = measure(SCREEN, ["word", "", "… !", "👍"])
    assert result.not_evaluated == dict.fromkeys((1, 2, 3), "skipped: no words")
    for column in result.measurements.values():
        assert column.is_null().to_pylist() == [False, True, True, True]
    assert resolve(SCREEN, {"a": ["👍", "👍", ""], "b": []}, tmp_path) == []
    assert resolve(SCREEN, {}, tmp_path) == []


def test_each_cluster_has_its_diameter(corpus, rows):
    sets = [shingles(text) for text in corpus]
    clusters = defaultdict(list)
    for row in rows:
        clusters[row["cluster_id"]].append(row)
    for members in clusters.values():
        [diameter] = {row["diameter"] for row in members}
        if len(members) <= 40:
            positions = [row["position"] for row in members]
            exact = max(1 - jaccard(sets[i], sets[j]) for i, j in combinations(positions, 2))
            assert diameter == pytest.approx(exact, abs=0.2)


def test_the_setting_is_explained():
    [(title, table)] = NearDuplicates(bands=20, threshold=0.7).explain().items()
    assert "20 bands of 5" in title
    [row] = [row for row in table if row["Jaccard"] == 0.8]
    assert row["becomes a candidate"] == pytest.approx(1 - (1 - 0.8**5) ** 20)
    assert row["is missed"] == pytest.approx(1 - row["becomes a candidate"])


def test_sketches_do_not_depend_on_the_search():
    other = {"bands": 5, "rows": 4, "threshold": 0.9, "cohesion": 0.5, "margin": 0.2, "window": 3}
    other["references"] = ("elsewhere",)
    assert set(other) == set(SCREEN.resolve_parameters)
    texts = ["some words of text", "and some more of them here"]
    assert measure(SCREEN, texts) == measure(NearDuplicates(**other), texts)


def test_chinese_pages_are_compared_by_letters(tmp_path):
    letters = [chr(0x4E00 + 7 * n) for n in range(300)]
    changed = [*letters[:150], "変", *letters[151:]]
    other = [chr(0x4E01 + 7 * n) for n in range(300)]
    rows = resolve(SCREEN, {"a": ["".join(letters), "".join(changed), "".join(other)]}, tmp_path)
    assert [row["position"] for row in rows] == [0, 1]


def test_a_sketch_takes_no_more_than_its_share():
    measurements = measure(SCREEN, ["some words of text"] * 10).measurements
    data = sum(
        len(value) for name in ("digest", "signature", "second") for value in measurements[name].to_pylist()
    )
    assert data / 10 + 4 + 16 <= 256  # with the shingle count and the digest of exact duplicates


def test_the_default_banding_finds_what_it_must():
    curve = dict(SCREEN.s_curve())
    assert curve[0.8] > 0.99
    assert curve[0.3] < 0.1
    assert s_curve(20, 6, [0.8]) == [(0.8, pytest.approx(0.99771, abs=1e-5))]
    assert candidate_probability([0.0, 1.0], 4, 4).tolist() == [0, 1]


@pytest.mark.parametrize(
    "parameters",
    [
        {"bands": 22},
        {"threshold": 0.0},
        {"threshold": 1.2},
        {"cohesion": 0.9},
        {"window": 0},
        {"shingle_size": 0},
        {"second_bits": 100},
    ],
)
def test_parameters_out_of_range_are_errors(parameters):
    with pytest.raises(ConfigurationError, match="near_duplicates"):
        NearDuplicates(**parameters)


def test_a_text_that_is_gone_is_an_error(corpus, tmp_path):
    sketches = MemorySketches(SCREEN, {"0": corpus})
    sketches.texts = lambda wanted: iter(())
    with pytest.raises(FatalError, match="no longer"):
        list(SCREEN.resolve(sketches, tmp_path))


def test_tables_have_the_schema(corpus, tmp_path):
    tables = SCREEN.resolve(MemorySketches(SCREEN, {"a": corpus[:50], "b": corpus}), tmp_path)
    assert all(t.schema.equals(DUPLICATE_SCHEMA) for t in tables)
