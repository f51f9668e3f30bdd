"""Adjudication: what is looked at again, with which probability, and what it makes of the estimate."""

import random
from collections import Counter
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.adjudication import (
    Reviewed,
    adjudicate,
    consensus,
    counts_by_stratum,
    labels_for_limits,
    number,
    prevalence,
)

SEED = bytes(range(16))
label = st.sampled_from(["yes", "no", "no", "no", "unsure", "skipped"])


def document(n, labels, stratum="s", adjudicated=()):
    return Reviewed(f"d{n}", f"{n:032x}", stratum, n + 1, 0.5, tuple(labels), tuple(adjudicated))


reviews = st.lists(st.tuples(st.lists(label, min_size=1, max_size=3), st.sampled_from("ab")), max_size=80)


@given(reviews, st.floats(0.01, 1))
def test_all_but_agreed_negatives_are_selected_and_of_these_the_stated_part(said, share):
    documents = [document(n, labels, stratum) for n, (labels, stratum) in enumerate(said)]
    second = adjudicate(documents, share, SEED)
    assert [d.reviewed for d in second] == documents
    for d in second:
        if set(d.reviewed.labels) != {"no"}:
            assert d.selected
            assert d.probability == d.weight == 1
            assert d.label == "unsure"  # it waits
        elif not d.selected:
            assert (d.label, d.weight) == ("no", 0)
    for stratum in "ab":
        mine = [d for d in second if d.reviewed.stratum == stratum and d.reviewed.is_negative]
        selected = [d for d in mine if d.selected]
        if mine:
            assert selected
            assert sum(d.weight for d in mine) == pytest.approx(len(mine))
            assert {d.probability for d in mine} == {len(selected) / len(mine)}


@given(reviews, reviews, st.floats(0.01, 1))
def test_a_larger_review_keeps_what_was_selected_by_number(said, more, share):
    first = [document(n, labels, stratum) for n, (labels, stratum) in enumerate(said)]
    later = [document(n + len(said), labels, stratum) for n, (labels, stratum) in enumerate(more)]
    kept = {d.reviewed.doc_id for d in adjudicate(first + later, share, SEED) if d.selected}
    for d in adjudicate(first, share, SEED):
        if d.selected and number(SEED, d.reviewed.doc_id, d.reviewed.text_digest) < share:
            assert d.reviewed.doc_id in kept


def test_the_adjudicated_label_is_the_final_one_and_disagreement_stays_unsure():
    documents = [
        document(0, ["yes"], adjudicated=["no"]),
        document(1, ["yes", "no"], adjudicated=["yes", "yes"]),
        document(2, ["unsure"], adjudicated=["yes", "no"]),
        document(3, ["no"], adjudicated=["yes"]),
    ]
    assert [d.label for d in adjudicate(documents, 1.0, SEED)] == ["no", "yes", "unsure", "yes"]


def test_what_everybody_says():
    assert consensus([]) is None
    assert consensus(["no", "no"]) == "no"
    assert consensus(["no", "yes", "no"]) == "unsure"


def test_an_overturned_negative_puts_its_stratum_in_doubt_and_no_other():
    documents = [document(n, ["no"], "ab"[n % 2]) for n in range(60)]
    chosen = {d.reviewed.doc_id: d for d in adjudicate(documents, 0.2, SEED) if d.selected}
    overturned = next(d for d in chosen.values() if d.reviewed.stratum == "a")
    again = [
        Reviewed(**{**vars(d), "adjudicated": ("yes",) if d == overturned.reviewed else ("no",)})
        for d in documents
    ]
    found = Counter(
        (d.reviewed.stratum, d.label, d.selected) for d in labels_for_limits(adjudicate(again, 0.2, SEED))
    )
    assert found["a", "no", False] == 0
    assert found["a", "unsure", False] > 0
    assert found["b", "unsure", False] == 0


@pytest.mark.parametrize("start", [1, 2])
def test_the_estimate_is_unbiased_though_reviewers_err(start):
    """Reviewers miss every third and raise false alarms in a fifth; the mean over draws is the truth."""
    noise = random.Random(start)
    truth = {n: noise.random() < 0.2 for n in range(400)}
    seen = {n: noise.random() < (0.67 if truth[n] else 0.2) for n in truth}
    stratum = {n: "ab"[n % 4 == 0] for n in truth}
    documents = [
        document(n, ["yes" if seen[n] else "no"], stratum[n], ["yes" if truth[n] else "no"]) for n in truth
    ]
    sizes = {name: sum(each == name for each in stratum.values()) for name in "ab"}
    estimates = [prevalence(adjudicate(documents, 0.25, k.to_bytes(16)), sizes) for k in range(200)]
    spread = (mean((e - mean(estimates)) ** 2 for e in estimates) / len(estimates)) ** 0.5
    assert mean(estimates) == pytest.approx(mean(truth.values()), abs=4.5 * spread + 1e-9)
    assert abs(mean(seen.values()) - mean(truth.values())) > 10 * spread  # what reviewers say alone is not


@given(reviews, st.floats(0.1, 1), st.lists(st.sampled_from(["yes", "no", "unsure", None]), min_size=80))
def test_counts_by_stratum_nest_and_account_for_every_document(said, share, again):
    documents = [
        document(n, labels, stratum, [again[n]] if again[n] else [])
        for n, (labels, stratum) in enumerate(said)
    ]
    second = adjudicate(documents, share, SEED)
    counts = counts_by_stratum(second, ["a", "b"])
    for at in (0, 1):
        of = {name: numbers[at] for name, numbers in counts.items()}
        assert of["upheld"] + of["positives_undecided"] <= of["positives"]
        assert of["overturned"] + of["again_undecided"] <= of["again"] <= of["negatives"]
        assert bool(of["again"]) == bool(of["negatives"])
    assert sum(counts["positives"]) + sum(counts["negatives"]) == len(documents)
    sizes = dict.fromkeys("ab", 10)
    value = prevalence(second, sizes)
    undecided = sum(counts["positives_undecided"]) + sum(counts["again_undecided"])
    assert (value is None) == (not documents or undecided > 0)
    if value is not None:
        shares = []
        for at in (0, 1):
            of = {name: numbers[at] for name, numbers in counts.items()}
            if of["positives"] + of["negatives"]:
                yes = of["upheld"] + of["overturned"] * of["negatives"] / max(of["again"], 1)
                shares.append(yes / (of["positives"] + of["negatives"]))
        assert value == pytest.approx(mean(shares))


def test_there_is_no_estimate_while_something_waits():
    assert prevalence([], {}) is None
    assert prevalence(adjudicate([document(0, ["yes"])], 0.5, SEED), {"s": 10}) is None
    done = adjudicate([document(0, ["yes"], adjudicated=["yes"])], 0.5, SEED)
    assert prevalence(done, {"s": 10}) == 1.0
