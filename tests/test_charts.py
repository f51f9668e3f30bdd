from hypothesis import given
from hypothesis import strategies as st

from audit.wordings.charts import Scale, scale_for

SHARES = st.floats(0, 1)


@given(st.lists(SHARES, min_size=1), SHARES, SHARES)
def test_a_scale_keeps_order_and_stays_inside(values, one, other):
    scale = scale_for(values)
    assert scale.top >= max(values) or max(values) == 0
    low, high = sorted((one, other))
    assert 0 <= scale.at(low) <= scale.at(high) <= 1


def test_a_scale_spreads_small_values_and_starts_at_zero():
    scale = Scale(knee=1e-4, top=1.0)
    assert scale.at(0.0) == 0
    assert scale.at(1.0) == 1
    assert scale.at(2.0) == 1
    assert scale.at(0.01) > 0.4
    assert scale.ticks()[0] == 0


def test_a_scale_without_a_positive_value_still_works():
    assert scale_for([None, 0.0]).ticks()[0] == 0
