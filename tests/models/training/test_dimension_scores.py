"""What valence and arousal are worth: concordance after Lin, and only of what raters placed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.losses import concordance, disagreement
from erc_live.models.training.dimension_scores import dimension_scores, estimated, learnt_scores
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


def answers(*labels, dimensions=None):
    logits = torch.full((len(labels), len(LABELS)), -50.0)
    for row, label in zip(logits, labels, strict=True):
        row[LABELS.index(label)] = 50.0
    none = torch.zeros(len(labels)).long()
    return Answers(logits, none, none, (1,) * len(labels), dimensions)


def ratings(*rows):
    return torch.tensor([[math.nan if rating is None else rating for rating in row] for row in rows])


def test_only_what_was_rated_counts():
    found = dimension_scores(
        ratings((0.76, None), (None, None), (-0.31, None)), answers("joy", "joy", "anger"), LABELS, {}
    )
    assert found.keys() == {"valence"}
    assert found["valence"].utterances == 2
    assert math.isclose(found["valence"].mae, 0.1, abs_tol=1e-7)  # anger is at -0.51
    assert not found["valence"].learnt


def test_a_corpus_without_ratings_and_labels_without_places_have_no_score():
    assert dimension_scores(ratings((None, None)), answers("joy"), LABELS, {}) == {}
    assert dimension_scores(ratings((0.5, 0.5)), answers("joy"), ("neutral", "smug", "x"), {}) == {}


def test_what_was_learnt_goes_before_the_places_of_the_labels():
    said = torch.tensor([[0.1, math.nan], [-0.2, math.nan]])
    one = answers("joy", "anger", dimensions=said)
    (first, second) = estimated(one, LABELS, {})
    assert first == (pytest.approx(0.1), pytest.approx(0.48))  # the place of joy on arousal
    assert second == (pytest.approx(-0.2), pytest.approx(0.59))
    assert estimated(one, ("neutral", "smug", "x"), {})[0] == (pytest.approx(0.1), None)
    rated = ratings((0.1, 0.5), (-0.2, 0.5))
    found = dimension_scores(rated, one, LABELS, {})
    assert found["valence"].learnt
    assert found["valence"].ccc == pytest.approx(1)
    assert not found["arousal"].learnt
    card = learnt_scores(rated, one, LABELS)
    assert card.keys() == {"valence"}
    places = dimension_scores(rated, answers("joy", "anger"), LABELS, {})
    assert card["valence"]["ccc_of_labels"] == places["valence"].ccc < 1


def test_the_interval_is_of_resampled_dialogues_and_holds_the_score():
    random = np.random.default_rng(1)
    rated = torch.from_numpy(random.uniform(-1, 1, (60, 2)))
    said = (rated + torch.from_numpy(random.normal(0, 0.4, (60, 2)))).clamp(-1, 1)
    found = dimension_scores(rated, answers(*["joy"] * 60, dimensions=said), LABELS, {})["arousal"]
    low, high = found.interval
    assert -1 <= low < found.ccc < high <= 1
    assert high - low < 0.5


def test_a_loss_of_ratings_asks_for_two_of_them():
    rated = ratings((0.3, None), (None, None), (-0.6, 0.2))
    said = torch.tensor([[0.3, 0.0], [0.9, 0.0], [-0.6, 0.0]], requires_grad=True)
    loss = disagreement(said, rated)
    assert loss.item() == pytest.approx(0, abs=1e-6)  # valence agrees, and one rating of arousal says nothing
    assert disagreement(said, ratings(*[(None, 1.0)] * 3)).item() == 1.0  # what does not vary cannot agree
    loss.backward()
    assert said.grad is not None
    assert said.grad.isfinite().all()
    assert not said.grad[1].any()
