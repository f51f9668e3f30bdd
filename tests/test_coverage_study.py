"""The simulation study, small: its cells, its corpora, and that the limits hold in some of them."""

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import rankdata

from audit.adjudication import Reviewed, adjudicate, labels_for_limits
from audit.statistics.estimation import LABELS
from benchmarks import coverage, widths
from benchmarks.covering import LEVELS, Cell, covering_cells, uncovered_pairs
from benchmarks.simulated_audits import Review, Surprises, evidence, reviewed, setting
from benchmarks.simulated_corpora import apportioned, banded, sliced
from benchmarks.statistics_report import render
from benchmarks.study_plots import coverage_plot

SMALL = 60_000


def cell(**changes: object) -> Cell:
    plain = {
        "prevalence": 0.01,
        "n": 300,
        "strata": 3,
        "auc": 0.95,
        "design": "score bands",
        "looks": "fixed",
        "reviewers": "exact",
    }
    return Cell(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [40, 100])
def test_every_pair_of_levels_stands_in_a_cell(count: int) -> None:
    cells = covering_cells(count)
    assert len(set(cells)) == count
    assert not uncovered_pairs(cells)
    assert uncovered_pairs(cells[:10])
    assert covering_cells(count + 5)[:count] == cells


def test_too_few_cells_are_refused() -> None:
    most = max(len(a) * len(b) for a, b in itertools.combinations(LEVELS, 2))
    with pytest.raises(ValueError, match="uncovered"):
        covering_cells(most - 1)


@pytest.mark.parametrize("make", [sliced, banded])
@pytest.mark.parametrize("auc", [0.5, 0.8, 0.99])
def test_corpora_are_as_ordered(make, auc: float) -> None:
    corpus = make(SMALL, 0.05, 10, auc, np.random.default_rng(2))
    assert corpus.truth == 0.05
    assert corpus.sizes.sum() == SMALL
    assert corpus.expected.sum() == pytest.approx(0.05 * SMALL, rel=0.1)  # the detector is calibrated
    ranks = rankdata(corpus.scores)[corpus.harmful]
    measured = (ranks.mean() - (len(ranks) + 1) / 2) / (SMALL - len(ranks))
    assert measured == pytest.approx(auc, abs=0.01)


def test_apportioned_numbers_are_whole_and_sum_up() -> None:
    assert apportioned(np.array([1.0, 1.0, 1.0]), 10).tolist() == [4, 3, 3]


@pytest.mark.parametrize(
    ("looks", "reviewers"), [("fixed", "exact"), ("sequential", "exact"), ("fixed", "erring")]
)
def test_shortcuts_are_the_package(looks: str, reviewers: str) -> None:
    """Counts for all strata at once give the p-values of the package's own evidence."""
    rng = np.random.default_rng(8)
    shared = setting(cell(looks=looks, reviewers=reviewers, prevalence=0.1), rng, SMALL)
    surprises = Surprises(shared)
    for _ in range(5):
        review = reviewed(shared, rng)
        at_look = surprises.at if reviewers == "exact" else surprises.after_adjudication
        by_look = [at_look(look, review) for look in shared.peeks()]
        for at, look in enumerate(shared.peeks()):
            found = evidence(shared, review, shared.looks[look])
            least, most = (min(p[side] for p in by_look[max(at - 2, 0) : at + 1]) for side in (0, 1))
            assert found.p_value_at_least(shared.corpus.truth) == pytest.approx(least, rel=1e-6)
            assert found.p_value_at_most(shared.corpus.truth) == pytest.approx(most, rel=1e-6)


def test_labels_after_adjudication_are_those_of_the_package() -> None:
    rng = np.random.default_rng(5)
    truth, wrong = rng.random(80) < 0.2, rng.random(80) < 0.1
    documents = [
        Reviewed(f"d{i}", "digest", "s", i + 1, 0.1, ("yes" if t ^ w else "no",), ("yes" if t else "no",))
        for i, (t, w) in enumerate(zip(truth, wrong, strict=True))
    ]
    chosen = adjudicate(documents, 0.3, bytes(16))
    again = np.array([d.selected for d in chosen])
    expected = [LABELS[d.label] for d in labels_for_limits(chosen)]
    review = Review(np.array([0, 80]), truth, truth ^ wrong, again)
    assert review.labels(0, 80).tolist() == expected


def test_looking_all_the_time_is_no_second_chance() -> None:
    """Nobody who looks at every look declares GO too often; nor are limits right only at the end."""
    found = coverage.study([cell(looks="sequential", prevalence=0.1, n=800)], 250, seed=3)
    (row,) = found["results"]
    assert row["peeks"] == [13, 25, 50, 100, 200, 400, 800]
    assert not found["bad"], row


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prevalence": 1e-3, "n": 3000},
        {"design": "neyman", "strata": 10},
        {"reviewers": "erring", "prevalence": 0.1},
    ],
    ids=["bands", "rare", "neyman", "erring reviewers"],
)
def test_limits_cover(changes: dict[str, object]) -> None:
    found = coverage.study([cell(**changes)], 250, seed=11)
    assert not found["bad"], found["bad"]
    assert found["results"][0]["upper"] <= 1.0


def test_what_is_tolerated_is_binomial() -> None:
    assert coverage.least_tolerated(2000, 1) > coverage.least_tolerated(2000, 150) > 0.93


def test_a_good_detector_narrows_the_limits_and_a_naive_interval_fails() -> None:
    good, naive = widths.simulate(0.01, 3000, 0.95, 40, 1), widths.simulate(1e-3, 300, 0.95, 150, 1)
    assert good["ratio"] < 0.65 == good["goal"]
    assert naive["naive_covered"] < 0.85
    assert naive["covered"] > 0.88
    none = widths.simulate(0.0, 300, 0.95, 20, 1)
    assert none["ratio"] <= none["goal"] == 2.0


RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def test_the_page_is_what_the_results_say() -> None:
    found = [
        json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
        for name in ("coverage", "widths", "real_labels")
    ]
    page = Path(__file__).parents[1] / "docs" / "statistics_study.md"
    assert page.read_text("utf-8") == render(*found)
    assert found[0]["pairs_not_covered"] == 0
    assert found[0]["cells"] <= 150
    assert found[0]["replicates"] >= 2000


def test_the_plot_shows_every_cell() -> None:
    found = coverage.study([cell(), cell(looks="sequential", reviewers="erring")], 20, seed=1)
    root = ElementTree.fromstring(coverage_plot(found))
    marks = [mark for mark in root.iter() if mark.tag.endswith(("circle", "polygon"))]
    assert len([mark for mark in marks if len(mark)]) == 2 * 3  # a title each; the legend has none
