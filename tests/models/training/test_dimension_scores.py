"""What valence and arousal are worth: concordance after Lin, and only of what raters placed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.training.dimension_scores import concordance, dimension_scores
from erc_live.models.training.metrics import Answers

LABELS = ("neutral", "joy", "anger")
numbers = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=20)


@given(numbers, numbers)
def test_concordance_is_bounded_and_symmetric(one, other):
    size = min(len(one), len(other))
    x, y = torch.tensor(one[:size]).double(), torch.tensor(other[:size]).double()
    assert -1 - 1e-9 <= concordance(x, y) <= 1 + 1e-9
    assert concordance(x, y) == concordance(y, x)


def test_concordance_asks_for_equal_values_and_not_for_proportional_ones():
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.standard_normal(200))
    assert concordance(x, x) == pytest.approx(1)
    for scale, shift in ((0.5, 0.0), (1.0, 1.0)):  # closed form, for correlation 1
        s2 = float(x.var(correction=0))
        moved = shift + (scale - 1) * float(x.mean())
        expected = 2 * scale * s2 / (s2 + scale**2 * s2 + moved**2)
        assert concordance(x, scale * x + shift) == pytest.approx(expected)
    assert concordance(torch.zeros(3), torch.zeros(3)) == 0


def answers(*labels):
    logits = torch.full((len(labels), len(LABELS)), -50.0)
    for row, label in zip(logits, labels, strict=True):
        row[LABELS.index(label)] = 50.0
    return Answers(logits, torch.zeros(len(labels)).long(), torch.zeros(len(labels)).long(), (len(labels),))


def split(*ratings):
    said = tuple(Utterance("A", "", None, valence=v, arousal=a) for v, a in ratings)
    return Split("c", "dev", LABELS, (Dialogue("d", said),))


def test_only_what_was_rated_counts():
    found = dimension_scores(
        split((0.76, None), (None, None), (-0.31, None)), answers("joy", "joy", "anger"), LABELS, {}
    )
    assert found.keys() == {"valence"}
    assert found["valence"].utterances == 2
    assert math.isclose(found["valence"].mae, 0.1, abs_tol=1e-9)  # anger is at -0.51


def test_a_corpus_without_ratings_and_labels_without_places_have_no_score():
    assert dimension_scores(split((None, None)), answers("joy"), LABELS, {}) == {}
    assert dimension_scores(split((0.5, 0.5)), answers("joy"), ("neutral", "smug", "x"), {}) == {}
