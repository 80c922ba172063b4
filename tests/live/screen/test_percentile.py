"""A percentile is a value that was measured, the same on the screen and in every bench."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.screen.percentile import percentile

values = st.lists(st.integers(-1000, 1000), min_size=1, max_size=200)


@given(values, st.floats(0.1, 100))
def test_it_is_the_least_value_that_so_many_do_not_exceed(measured: list[int], percent: float) -> None:
    found = percentile(measured, percent)
    assert found in measured
    assert sum(value <= found for value in measured) >= len(measured) * percent / 100
    lower = [value for value in measured if value < found]
    assert len(lower) < len(measured) * percent / 100


def test_of_few_values_the_95th_is_the_largest() -> None:
    assert percentile([3.0, 1.0, 2.0], 95) == 3.0
    assert percentile(range(1, 21), 95) == 19
    assert percentile(range(1, 101), 50) == 50


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
