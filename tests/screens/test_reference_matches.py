"""Matches across corpora: from the sketches of another run, without its texts."""

import json
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from duplicate_families import jaccard, mutations, shingles
from memory_sketches import MemorySketches, sketch

from audit.errors import ConfigurationError
from audit.model import REFERENCE_MATCH_SCHEMA
from audit.screens.near_duplicates import NearDuplicates

PARAMETERS = {"permutations": 105, "shingle_size": 5, "second_bits": 512, "seed": 1}


def reference(folder, texts, **parameters):
    """A run folder as far as references are read."""
    screen = NearDuplicates(**parameters)
    (folder / "parts" / "near_duplicates").mkdir(parents=True)
    used = {**PARAMETERS, **parameters}
    unicode = {f"near_duplicates.{key}": value for key, value in screen.resources().items()}
    manifest = {"configuration": {"screens": {"near_duplicates": used}}, "models": unicode}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    half = len(texts) // 2
    for shard, stretch in (("0a", texts[:half]), ("0b", texts[half:])):
        pq.write_table(
            sketch(screen, stretch), folder / "parts" / "near_duplicates" / f"{shard}.{'0' * 16}.parquet"
        )
    return str(folder)


def pickled(function, tasks):
    """Workers that share nothing but files."""
    for task in tasks:
        again, work = pickle.loads(pickle.dumps((function, task)))  # noqa: S301
        yield pickle.loads(pickle.dumps(again(work)))  # noqa: S301


def matches(screen, texts, workspace, run=None):
    sketches = MemorySketches(screen, {"0": texts})
    sketches.texts = None  # never asked for
    sketches.run = run or sketches.run
    workspace.mkdir()
    tables = list(screen.match(sketches, workspace))
    assert all(table.schema.equals(REFERENCE_MATCH_SCHEMA) for table in tables)
    return pa.concat_tables(tables).to_pylist() if tables else []


@pytest.fixture(scope="module")
def families():
    """Texts and, in the same order, texts of the reference that are like them at every degree."""
    random = np.random.default_rng(11)
    found = [mutations(random, 12).texts for _ in range(40)]
    return [text for family in found for text in family[::2]], [t for family in found for t in family[1::2]]


def test_each_document_finds_its_most_similar_one(families, tmp_path):
    own, theirs = families
    screen = NearDuplicates(references=(reference(tmp_path / "reference", theirs),))
    rows = matches(screen, own, tmp_path / "work")
    sets, others = [shingles(t) for t in own], [shingles(t) for t in theirs]
    families_of_six = [others[6 * (n // 6) : 6 * (n // 6) + 6] for n in range(len(sets))]
    best = [
        max(jaccard(mine, other) for other in near) for mine, near in zip(sets, families_of_six, strict=True)
    ]
    matched = {row["position"]: row for row in rows}
    place = {"0a": 0, "0b": len(theirs) // 2}
    errors = []
    for position, row in matched.items():
        partner = place[row["reference_shard"]] + row["reference_position"]
        exact = jaccard(sets[position], others[partner])
        errors.append(row["jaccard"] - exact)
        assert exact >= 0.7
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.03
    clear = [position for position, value in enumerate(best) if value >= 0.86]
    assert len(clear) > 50
    assert np.mean([position in matched for position in clear]) > 0.98
    assert not any(position in matched for position, value in enumerate(best) if value < 0.7)
    counts = screen.match_statistics()
    assert counts["matched_texts"] == len(rows)
    assert counts["settled_by_second_sketch"] > 0
    assert counts["references"] == 1


def test_workers_find_the_same(families, tmp_path, monkeypatch):
    own, theirs = families
    screen = NearDuplicates(references=(reference(tmp_path / "reference", theirs),))
    here = matches(screen, own, tmp_path / "here")
    monkeypatch.setattr("audit.screens.near_duplicates._FEW", 0)
    monkeypatch.setattr("audit.duplicates.clusters.stretch_of", lambda records: 64)
    assert matches(screen, own, tmp_path / "there", pickled) == here
    assert len(here) > 50


def test_the_same_text_is_exact_whatever_else_is_alike(tmp_path):
    page = " ".join(f"w{n}" for n in range(200))
    theirs = [f"{page} field{n}" for n in range(100)] + [page]
    screen = NearDuplicates(window=4, references=(reference(tmp_path / "r", theirs),))
    rows = matches(
        screen, [page.upper(), page, f"{page} else", "unlike all of them in every word"], tmp_path / "w"
    )
    assert [(row["position"], row["exact"]) for row in rows] == [(0, True), (1, True), (2, False)]
    assert rows[0]["jaccard"] == 1
    assert (rows[0]["reference_shard"], rows[0]["reference_position"]) == ("0b", 50)
    assert rows[2]["jaccard"] > 0.9


def test_references_are_told_apart(tmp_path):
    page = " ".join(f"w{n}" for n in range(100))
    names = tuple(reference(tmp_path / name, [page, f"other {name} page"]) for name in ("one", "two"))
    rows = matches(NearDuplicates(references=names), [page], tmp_path / "w")
    assert [row["reference"] for row in rows] == list(names)
    assert matches(NearDuplicates(), [page], tmp_path / "none") == []


@pytest.mark.parametrize(
    ("parameter", "value"), [("permutations", 128), ("shingle_size", 4), ("seed", 2), ("second_bits", 256)]
)
def test_another_parameter_is_named(parameter, value, tmp_path):
    name = reference(tmp_path / "r", ["a page of words"], **{parameter: value})
    with pytest.raises(ConfigurationError, match=rf"{parameter} is {value} there"):
        NearDuplicates(references=(name,)).reference_keys()


def test_folders_without_sketches_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="not the folder of a completed run"):
        NearDuplicates(references=(str(tmp_path),)).reference_keys()
    name = reference(tmp_path / "r", ["a page of words"])
    shutil.rmtree(tmp_path / "r" / "parts")
    with pytest.raises(ConfigurationError, match="holds no sketches"):
        NearDuplicates(references=(name,)).reference_keys()


def test_sketches_of_another_version_are_refused(tmp_path):
    name = reference(tmp_path / "r", ["a page", "of words"])
    path = next((tmp_path / "r" / "parts" / "near_duplicates").iterdir())
    pq.write_table(pq.read_table(path).drop_columns(["near_duplicates_second"]), path)
    with pytest.raises(ConfigurationError, match="another version"):
        NearDuplicates(references=(name,)).reference_keys()


def test_the_keys_change_with_the_parts(tmp_path):
    name = reference(tmp_path / "r", ["a page", "of words"])
    screen = NearDuplicates(references=(name,))
    before = screen.reference_keys()
    path = next((tmp_path / "r" / "parts" / "near_duplicates").iterdir())
    path.rename(path.with_name(f"0a.{'1' * 16}.parquet"))
    assert screen.reference_keys() != before
