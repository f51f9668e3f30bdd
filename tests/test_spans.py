from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from audit.pii.spans import Span, resolve_overlaps, without_contained

spans = st.lists(
    st.builds(
        lambda start, length, kind, score: Span(start, start + length, kind, score),
        st.integers(0, 30),
        st.integers(1, 12),
        st.sampled_from("ab"),
        st.sampled_from([0.4, 0.5, 1.0]),
    ),
    max_size=20,
)


def test_the_higher_score_then_the_longer_then_the_smaller_rank_wins() -> None:
    low, high, long = Span(0, 9, "b", 0.4), Span(4, 8, "a", 1.0), Span(20, 30, "b", 0.5)
    short, same = Span(22, 28, "a", 0.5), Span(20, 30, "a", 0.5)
    assert resolve_overlaps([low, high, long, short, same], "ab".index) == [high, same]


def test_neighbours_do_not_overlap() -> None:
    assert len(resolve_overlaps([Span(0, 4, "a", 0.5), Span(4, 8, "a", 0.5)], "a".index)) == 2


@given(spans)
def test_what_is_kept_is_disjoint_and_what_is_dropped_overlaps_a_winner(given_spans: list[Span]) -> None:
    kept = resolve_overlaps(given_spans, "ab".index)
    assert kept == sorted(kept)
    assert all(one.end <= other.start for one, other in itertools.pairwise(kept))
    for span in set(given_spans) - set(kept):
        assert any(span.start < k.end and k.start < span.end and k.score >= span.score for k in kept)


@given(spans)
def test_containment_is_presidios(given_spans: list[Span]) -> None:
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    stock = EntityRecognizer.remove_duplicates(
        [RecognizerResult(s.kind, s.start, s.end, s.score) for s in given_spans]
    )
    assert set(without_contained(given_spans)) == {
        Span(r.start, r.end, r.entity_type, r.score) for r in stock
    }
