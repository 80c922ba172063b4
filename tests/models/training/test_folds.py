"""Folds keep people together, are of one size, and depend on the people alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.training.folds import grouped_folds


@given(st.lists(st.integers(0, 9), min_size=2), st.integers(2, 5))
def test_no_group_is_split_and_the_order_does_not_matter(groups: list[int], folds: int) -> None:
    if len(set(groups)) < folds:
        with pytest.raises(ValueError, match="cannot be parted"):
            grouped_folds(groups, folds)
        return
    parts = dict(zip(groups, grouped_folds(groups, folds), strict=True))
    assert grouped_folds(groups, folds) == [parts[group] for group in groups]
    assert set(parts.values()) == set(range(folds))
    assert dict(zip(reversed(groups), grouped_folds(groups[::-1], folds), strict=True)) == parts


def test_folds_of_equal_groups_are_of_equal_size() -> None:
    actors = [actor for actor in range(1, 21) for _ in range(60)]
    assert set(Counter(grouped_folds(actors, 5)).values()) == {240}


def test_one_large_group_is_balanced_by_many_small_ones() -> None:
    assert Counter(grouped_folds("aaaa" + "bcde", 2)) == {0: 4, 1: 4}


def test_fewer_than_two_folds_are_none() -> None:
    with pytest.raises(ValueError, match="into 1 folds"):
        grouped_folds([1, 2, 3], 1)
