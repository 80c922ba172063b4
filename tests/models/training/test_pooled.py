"""Seeds together: the figures are those of each seed, and the intervals those of the dialogues."""

from dataclasses import replace

import pytest
import torch

from erc_live.models.training import pooled
from erc_live.models.training.metrics import Answers, Scores, macro_f1
from erc_live.models.training.pooled import OTHERS, PooledScores

LABELS = ("a", "b", "c")
DIALOGUES, LENGTH = 40, 6
SPEAKERS = [("Ann", "Ben", "Ann", "guest 1", "Ann", "Ben")[place % LENGTH] for place in range(DIALOGUES * LENGTH)]


def answers(seed: int, knowledge: float) -> Answers:
    """Of three classes; the labels are the same for all seeds, and one in six is missing."""
    draw = torch.Generator().manual_seed(99)
    labels = torch.randint(3, (DIALOGUES * LENGTH,), generator=draw)
    noise = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(seed))
    logits = noise + knowledge * torch.nn.functional.one_hot(labels, 3)
    labels[5::6] = -100
    return Answers(logits, labels, torch.zeros_like(labels), (LENGTH,) * DIALOGUES)


SEEDS = [answers(seed, 2.0) for seed in range(3)]


@pytest.fixture(scope="module")
def good() -> PooledScores:
    return PooledScores.of(SEEDS, LABELS, SPEAKERS)


def test_each_seed_has_the_scores_that_it_has_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled, "PER_BIN", 1)  # as many bins as of many utterances
    good = PooledScores.of(SEEDS, LABELS, SPEAKERS)
    alone = [Scores.of(one, LABELS) for one in SEEDS]
    assert good.overall["weighted_f1"].by_seed == pytest.approx([one.weighted_f1 for one in alone])
    assert good.overall["macro_f1"].by_seed == pytest.approx([one.macro_f1 for one in alone])
    assert good.overall["calibration_error"].by_seed == pytest.approx([one.calibration.error for one in alone])
    for label, figure in good.classes.items():
        assert figure.by_seed == pytest.approx([one.classes[label].f1 for one in alone])
    assert good.utterances == alone[0].utterances == 200
    assert alone[0].macro_f1 == pytest.approx(macro_f1(torch.tensor(alone[0].confusion)))


def test_the_interval_is_that_of_whole_dialogues() -> None:
    """Half of the dialogues all right, half all wrong: a draw of them has any share of right ones."""
    labels = torch.zeros(DIALOGUES * LENGTH, dtype=torch.int64)
    said = labels.clone()
    said[: len(said) // 2] = 1
    one = Answers(torch.nn.functional.one_hot(said, 3) * 9.0, labels, labels, (LENGTH,) * DIALOGUES)
    figure = PooledScores.of([one], LABELS, SPEAKERS).classes["a"]
    low, high = figure.interval
    shares = torch.distributions.Binomial(DIALOGUES, torch.tensor(0.5)).sample((20_000,)) / DIALOGUES
    expected = (2 * shares / (1 + shares)).quantile(torch.tensor([0.025, 0.975])).tolist()
    assert [low, high] == pytest.approx(expected, abs=0.03)
    assert figure.sd is None


def test_the_calibration_error_of_a_speaker_is_of_what_that_person_said(
    good: PooledScores, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dict(good.counts) == {"Ann": 120, OTHERS: 80}  # Ben has 40 labelled utterances: too few
    monkeypatch.setattr(pooled, "PER_BIN", 1000)  # a single bin
    one = SEEDS[0]
    said = torch.tensor([name == "Ann" for name in SPEAKERS]) & (one.labels >= 0)
    confidence, predicted = one.logits[said].softmax(-1).max(-1)
    gap = confidence.mean() - (predicted == one.labels[said]).float().mean()
    found = PooledScores.of([one], LABELS, SPEAKERS).speakers["Ann"]
    assert found.mean == pytest.approx(float(gap.abs()), abs=1e-6)


def test_a_difference_that_chance_explains_is_none(good: PooledScores) -> None:
    alike = PooledScores.of([answers(seed, 2.0) for seed in range(10, 13)], LABELS, SPEAKERS)
    worse = PooledScores.of([answers(seed, 0.5) for seed in range(10, 13)], LABELS, SPEAKERS)
    name = "weighted_f1"
    assert good.overall[name].against(alike.overall[name]).none
    gain = good.overall[name].against(worse.overall[name])
    assert not gain.none
    assert 0 < gain.low < gain.difference < gain.high
    assert gain.difference == pytest.approx(good.overall[name].mean - worse.overall[name].mean)
    same = good.overall[name].against(good.overall[name])
    assert (same.difference, same.low, same.high, same.none) == (0.0, 0.0, 0.0, True)


def test_other_dialogues_are_not_pooled() -> None:
    with pytest.raises(ValueError, match="same dialogues"):
        PooledScores.of([SEEDS[0], replace(SEEDS[1], lengths=(2 * LENGTH,) * (DIALOGUES // 2))], LABELS, SPEAKERS)
