"""Krippendorff's alpha is the package's, and absent where it means nothing."""

import duckdb
import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from audit import agreement
from audit.agreement import MIN_PAIRED, accuracy, alpha, coincidences, measure
from audit.wordings.agreement_wording import tables

LABELS = ("none", "low", "medium", "high")


def counts(documents):
    table = np.zeros((len(documents), len(LABELS)))
    for row, said in enumerate(documents):
        np.add.at(table[row], said, 1)
    return table


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=5), min_size=2, max_size=30),
    st.sampled_from(["nominal", "ordinal"]),
)
@settings(max_examples=150, deadline=None)
def test_alpha_is_that_of_the_package(documents, level):
    table = counts(documents)
    assume(np.count_nonzero(table.sum(axis=0)) > 1)
    ours = alpha(coincidences(table).sum(axis=0), level)
    assert ours == pytest.approx(
        krippendorff.alpha(value_counts=table, value_domain=list(range(4)), level_of_measurement=level)
    )


def said(*pairs):
    return [list(pair) for pair in pairs]


def test_agreement_beyond_chance_has_an_interval_that_is_the_same_at_every_call():
    labels = said(*[("yes", "yes")] * 20, *[("no", "no")] * 30, *[("yes", "no")] * 5)
    found = measure("toxicity", labels, ("yes", "no"), "nominal")
    assert found.low < found.value < found.high <= 1
    assert found.value == pytest.approx(0.815, abs=0.01)
    assert found == measure("toxicity", labels, ("yes", "no"), "nominal")
    assert (found.documents, found.answers, found.reason) == (55, 110, "")


def test_ordinal_punishes_distance():
    near = said(*[("none", "none"), ("high", "high")] * 10, *[("none", "low")] * 5)
    far = said(*[("none", "none"), ("high", "high")] * 10, *[("none", "high")] * 5)
    values = [measure("harm", labels, LABELS, "ordinal").value for labels in (near, far)]
    assert values[0] > values[1]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (
            said(*[("yes", "no")] * (MIN_PAIRED - 1)),
            "9 documents have two decided answers or more; 10 are needed",
        ),
        (said(*[("no", "no")] * 50), "only one category occurs"),
        (said(*[("no",)] * 50), "0 documents"),
    ],
)
def test_alpha_is_absent_and_says_why(labels, reason):
    found = measure("toxicity", labels, ("yes", "no"), "nominal")
    assert (found.value, found.low, found.high) == (None, None, None)
    assert reason in found.reason


def test_a_label_that_occurs_once_has_no_interval():
    found = measure("toxicity", said(*[("no", "no")] * 40, ("yes", "no")), ("yes", "no"), "nominal")
    assert found.value is not None
    assert found.low is found.high is None
    assert "rare" in found.reason


@given(st.integers(0, 40), st.integers(0, 40))
def test_accuracy_has_the_interval_of_clopper_and_pearson(right, wrong):
    found = accuracy(right, right + wrong)
    if right + wrong == 0:
        assert found == {"value": None, "low": None, "high": None}
        return
    exact = binomtest(right, right + wrong).proportion_ci(0.95, "exact")
    assert (found["low"], found["high"]) == pytest.approx((exact.low, exact.high))


def test_nothing_is_said_where_nobody_judged():
    db = duckdb.connect()
    db.execute("CREATE TABLE judgements (doc_id VARCHAR)")
    assert agreement.report(db, [], {}) == {}
    assert tables({}) == []
