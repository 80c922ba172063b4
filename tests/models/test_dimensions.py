"""Valence and arousal: means of places, inside the scale, and nothing where a label has no place."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.corpora.dialogue import SEVEN
from erc_live.models.corpora.iemocap import SIX
from erc_live.models.dimensions import COORDINATES, expected

places = st.tuples(st.floats(-1, 1), st.floats(-1, 1))
weights = st.lists(st.floats(0.001, 1), min_size=len(SEVEN), max_size=len(SEVEN))


def test_every_label_of_the_corpora_has_a_place_on_both_scales():
    assert COORDINATES.keys() >= {*SEVEN, *SIX.values()}
    assert all(-1 <= value <= 1 for place in COORDINATES.values() for value in place)


@given(weights, st.dictionaries(st.sampled_from(SEVEN), places))
def test_it_is_the_mean_of_the_places_and_lies_among_them(parts, own):
    probs = {label: part / sum(parts) for label, part in zip(SEVEN, parts, strict=True)}
    found = expected(probs, own)
    assert found is not None
    for number, value in enumerate(found):
        among = [(own.get(label) or COORDINATES[label])[number] for label in SEVEN]
        assert min(among) - 1e-9 <= value <= max(among) + 1e-9
        mean = sum(p * place for p, place in zip(probs.values(), among, strict=True))
        assert math.isclose(value, mean, abs_tol=1e-12)


@given(st.sampled_from(SEVEN), places)
def test_a_certain_label_lies_where_it_lies(label, place):
    certain = {name: float(name == label) for name in SEVEN}
    assert expected(certain, {}) == COORDINATES[label]
    assert expected(certain, {label: place}) == place


def test_nobody_guesses_where_a_label_of_somebody_s_own_lies():
    probs = {"neutral": 0.9, "smug": 0.1}
    assert expected(probs, {}) is None
    assert expected(probs, {"smug": (0.5, -0.5)}) == pytest.approx((0.05, -0.05))
