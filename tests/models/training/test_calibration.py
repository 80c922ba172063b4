"""Calibration against examples worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.training import calibration
from erc_live.models.training.calibration import Abstention, CalibrationScore

PROBS = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 0, 0])  # sure 0.6, right half the time; sure 0.9, always right


def test_calibration_error_by_hand() -> None:
    assert calibration.calibration_error(PROBS, LABELS, bins=2) == pytest.approx((0.1 + 0.1) / 2)
    assert [part.mass for part in calibration.reliability(PROBS, LABELS)] == [0.25] * 4  # no more bins than answers


def test_brier_and_likelihood_by_hand() -> None:
    found = CalibrationScore.of(PROBS.log(), LABELS)
    assert found.brier == pytest.approx((2 * 0.4**2 + 2 * 0.6**2 + 2 * 2 * 0.1**2) / 4)
    assert found.nll == pytest.approx(-(math.log(0.6) + math.log(0.4) + 2 * math.log(0.9)) / 4)


def test_risk_and_coverage_by_hand() -> None:
    found = calibration.risk_coverage(PROBS, LABELS)  # in order of confidence: right, right, right, wrong
    assert found.area == pytest.approx((0 + 0 + 0 + 1 / 4) / 4)
    assert len(found.risk) == len(calibration.COVERAGES)
    assert found.risk[-1] == pytest.approx(1 / 4)
    assert found.risk[0] == 0.0


def test_abstention_by_hand() -> None:
    for kept in (Abstention(0.0, 1.0, 0.75), Abstention(0.7, 0.5, 1.0), Abstention(0.95, 0.0, None)):
        threshold = torch.full((4,), kept.threshold, dtype=torch.float64)
        assert calibration.abstention(PROBS, LABELS, threshold) == kept
    apart = torch.tensor([0.7, 0.5, 0.95, 0.85], dtype=torch.float64)  # the second and the last are answered
    assert calibration.abstention(PROBS, LABELS, apart) == Abstention(pytest.approx(0.75), 0.5, 0.5)


def test_temperature_undoes_overconfidence() -> None:
    torch.manual_seed(0)
    honest = torch.randn(4000, 4)
    labels = torch.distributions.Categorical(logits=honest).sample()
    assert calibration.temperature(honest * 2.5, labels) == pytest.approx(2.5, rel=0.1)
    assert calibration.temperature(honest / 2, labels) == pytest.approx(0.5, rel=0.1)
    assert calibration.temperature(honest, torch.full((4000,), -100)) == 1.0


@given(classes=st.integers(1, 9), answers=st.integers(1, 60), seed=st.integers(0, 999))
def test_every_number_stays_in_its_range(classes: int, answers: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(answers, classes, generator=draw) * 3
    labels = torch.randint(classes, (answers,), generator=draw)
    found = CalibrationScore.of(logits, labels)
    assert 0 <= found.error <= 1
    assert 0 <= found.brier <= 2
    assert found.nll >= 0
    curve = calibration.risk_coverage(logits.softmax(-1), labels)
    assert all(0 <= risk <= 1 for risk in (curve.area, *curve.risk))
    mass = sum(part.mass for part in calibration.reliability(logits.softmax(-1), labels))
    assert mass == pytest.approx(1)
