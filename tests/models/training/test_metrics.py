"""Metrics against an example worked out by hand."""

import pytest
import torch

from erc_live.models.training import metrics

# label -> answer: a->a 3, a->b 1, b->b 2, b->c 1, c->a 1
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
ANSWERS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 0])


def test_by_hand() -> None:
    counts = metrics.confusion(LABELS, ANSWERS, 3)
    assert counts.tolist() == [[3, 1, 0], [0, 2, 1], [1, 0, 0]]
    assert metrics.f1_per_class(counts).tolist() == pytest.approx([6 / 8, 4 / 6, 0.0])
    assert metrics.weighted_f1(counts) == pytest.approx((4 * 6 / 8 + 3 * 4 / 6) / 8)
    assert metrics.macro_f1(counts) == pytest.approx((6 / 8 + 4 / 6) / 3)
    assert metrics.accuracy(counts) == pytest.approx(5 / 8)


def test_a_class_that_never_occurs_scores_zero_and_weighs_nothing() -> None:
    counts = metrics.confusion(torch.tensor([0, 0]), torch.tensor([0, 0]), 2)
    assert metrics.weighted_f1(counts) == 1.0
    assert metrics.macro_f1(counts) == 0.5


def test_scores_leave_out_what_has_no_label() -> None:
    logits = torch.nn.functional.one_hot(torch.cat((ANSWERS, torch.tensor([1, 1]))), 3) * 4.0
    scores = metrics.Scores.of(logits, torch.cat((LABELS, torch.tensor([-100, -100]))), ("a", "b", "c"))
    assert scores.utterances == 8
    assert scores.confusion == ((3, 1, 0), (0, 2, 1), (1, 0, 0))
    assert scores.f1 == pytest.approx({"a": 6 / 8, "b": 4 / 6, "c": 0.0})


def test_calibration_error_by_hand() -> None:
    probs = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
    labels = torch.tensor([0, 1, 0, 0])  # sure 0.6, right half the time; sure 0.9, always right
    assert metrics.calibration_error(probs, labels, bins=2) == pytest.approx((0.1 + 0.1) / 2, abs=1e-6)


def test_temperature_undoes_overconfidence() -> None:
    torch.manual_seed(0)
    honest = torch.randn(4000, 4)
    labels = torch.distributions.Categorical(logits=honest).sample()
    assert metrics.temperature(honest * 2.5, labels) == pytest.approx(2.5, rel=0.1)
    assert metrics.temperature(honest / 2, labels) == pytest.approx(0.5, rel=0.1)
