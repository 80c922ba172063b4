"""When a run is said to have ended too early: when it still got better, and not for what weights do by chance."""

from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.training.learning_curve import NOISE, still_rising

scores = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=40)


@given(scores)
def test_what_was_as_good_before_the_last_third_does_not_rise(curve: list[float]) -> None:
    early = curve[: len(curve) - len(curve) // 3]
    assert not still_rising([*curve[:-1], max(early)])
    assert still_rising([*curve[:-1], max(early) + 2 * NOISE])


@given(st.lists(st.floats(0.0, 1.0), max_size=2))
def test_of_two_epochs_nothing_is_told(curve: list[float]) -> None:
    assert not still_rising(curve)


def test_a_run_that_learns_to_its_end_rises_and_one_that_is_flat_does_not() -> None:
    assert still_rising([0.01 * epoch for epoch in range(30)])
    assert not still_rising([0.5 + 0.001 * (epoch % 2) for epoch in range(30)])
    assert not still_rising([0.5, 0.6, 0.58, 0.57, 0.56, 0.55])
