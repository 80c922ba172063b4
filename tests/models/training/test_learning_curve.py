"""When a run is said to have ended too early, or too late: not for what weights do by chance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.training.learning_curve import NOISE, FoldCurves, fell_since, still_rising

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


def test_a_run_that_was_better_in_its_middle_has_fallen_since() -> None:
    assert fell_since([0.42, 0.57, 0.59, 0.598, 0.592, 0.588]) == 4
    assert fell_since([0.42, 0.57, 0.59, 0.598, 0.597, 0.595]) is None
    assert fell_since([]) is None


@given(scores)
def test_nobody_is_told_to_train_both_longer_and_shorter(curve: list[float]) -> None:
    assert not (still_rising(curve) and fell_since(curve) is not None)


def test_the_epoch_of_a_fold_is_chosen_by_the_others() -> None:
    curves = FoldCurves([[0.1, 0.9], [0.5, 0.4, 0.6, 0.5], [0.5, 0.4, 0.55, 0.5]])
    assert curves.best(without=0) == 3
    assert curves.mean(without=0)[2] == pytest.approx(0.575)
    assert curves.mean(without=1) == pytest.approx([0.3, 0.65, 0.725, 0.7])  # the one that ended stays as it was


@given(st.lists(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9), min_size=2, max_size=5), st.data())
def test_no_score_of_a_fold_moves_its_own_epoch(curves: list[list[float]], data: st.DataObject) -> None:
    fold = data.draw(st.integers(0, len(curves) - 1))
    other = data.draw(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9))
    changed = [other if place == fold else curve for place, curve in enumerate(curves)]
    assert FoldCurves(curves).best(without=fold) == FoldCurves(changed).best(without=fold)
