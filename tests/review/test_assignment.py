"""Samples are shared out evenly, by rank alone, and stay shared out as they were."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from audit.review.assignment import Draw, Sharing, assignments, slot_name, was_given

sharings = st.builds(Sharing, st.integers(1, 9), st.floats(0, 1), st.integers(2, 4))


def draws(count, strata=("a", "b")):
    return [Draw(f"{stratum}{rank}", stratum, rank) for stratum in strata for rank in range(1, count + 1)]


@given(sharing=sharings, count=st.integers(1, 200))
def test_shares_are_even_and_the_overlap_is_as_stated(sharing, count):
    given_out = assignments(draws(count), sharing)
    shared = sum(len(who) > 1 for who in given_out.values())
    wanted = sharing.overlap * count if sharing.reviewers > 1 else 0
    assert abs(shared - 2 * wanted) <= 2
    for who in given_out.values():
        assert len(set(who)) == len(who) <= sharing.several
        assert set(who) <= set(range(1, sharing.reviewers + 1))
        assert len(who) in (1, min(sharing.several, sharing.reviewers))
    firsts = Counter(who[0] for who in given_out.values())
    assert max(firsts.values()) - min(firsts.get(n + 1, 0) for n in range(sharing.reviewers)) <= 4


@given(sharing=sharings, count=st.integers(1, 100))
def test_an_extended_sample_keeps_what_was_given_out(sharing, count):
    small, large = assignments(draws(count), sharing), assignments(draws(2 * count), sharing)
    assert {doc: large[doc] for doc in small} == small


def test_all_pairs_of_reviewers_meet():
    given_out = assignments(draws(400), Sharing(4, 0.5))
    pairs = Counter(frozenset(who) for who in given_out.values() if len(who) > 1)
    assert len(pairs) == 6
    assert max(pairs.values()) <= 2 * min(pairs.values())
    loads = Counter(n for who in given_out.values() for n in who)
    assert max(loads.values()) - min(loads.values()) <= 12


@given(sharing=sharings, rank=st.integers(1, 500))
def test_files_are_recognised_by_their_assignment(sharing, rank):
    draw = Draw("d", "s", rank)
    for who in range(1, sharing.reviewers + 1):
        name = slot_name(who, sharing.reviewers)
        mine = who in sharing.given(draw) or sharing.reviewers == 1
        assert was_given(name, draw, sharing.overlap, sharing.several) == mine
    for wrong in ("0/2", "3/2", "x", "1/2/3", "1", "01/2"):
        assert not was_given(wrong, draw, sharing.overlap, sharing.several)
