"""Names of slices, as gates and estimates use them."""

import pytest

from audit.dimensions import conditions


def test_slices_are_named_by_dimension_and_value():
    assert conditions("all") == {}
    assert conditions("source=a=b&language=en") == {"source": "a=b", "language": "en"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is not 'all'"),
        ("nonsense", "is not 'all'"),
        ("source=a&", "is not 'all'"),
        ("source=a&source=b", "is not 'all'"),
        ("colour=red", "unknown dimension 'colour'.*language"),
        ("toxicity_band=0-0.01", "unknown dimension"),
    ],
)
def test_what_names_no_slice_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        conditions(name)
