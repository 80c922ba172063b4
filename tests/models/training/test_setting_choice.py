"""Which setting is chosen: the first stands until a later one is better beyond luck."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from erc_live.models.training.metrics import Answers
from erc_live.models.training.pooled import Figure, PooledScores, weighted_figure
from erc_live.models.training.setting_choice import Setting, select

DIALOGUES, LENGTH = 60, 10


def setting(number: int, mean: float, noise: float = 0.0) -> Setting:
    """One whose draws lie around the mean, at random places of its own."""
    drawn = mean + noise * torch.randn(500, generator=Generator().manual_seed(number)).double()
    return Setting(number, Figure((mean,), drawn))


def answers(right: float, seed: int) -> Answers:
    """Of two classes, so many of them right; the same labels whatever the seed."""
    labels = torch.arange(DIALOGUES * LENGTH) % 2
    wrong = torch.rand(len(labels), generator=Generator().manual_seed(seed)) >= right
    logits = torch.nn.functional.one_hot(torch.where(wrong, 1 - labels, labels), 2).float()
    return Answers(logits, labels, torch.zeros_like(labels), (LENGTH,) * DIALOGUES)


def test_what_luck_explains_is_none() -> None:
    assert select([setting(0, 0.60, 0.02), setting(1, 0.61, 0.02), setting(2, 0.59, 0.02)]).number == 0


def test_what_luck_does_not_explain_takes_its_place() -> None:
    tried = [setting(0, 0.60, 0.002), setting(1, 0.65, 0.002), setting(2, 0.651, 0.002), setting(3, 0.70, 0.002)]
    assert select(tried).number == 3
    assert select(tried[:3]).number == 1  # the third is no better than the second


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8), st.floats(0.0, 0.1))
def test_the_chosen_one_is_never_below_the_first_and_the_worse_change_nothing(means: list[float], noise: float) -> None:
    tried = [setting(number, mean, noise) for number, mean in enumerate(means)]
    chosen = select(tried)
    assert chosen is tried[0] or chosen.score.drawn.mean() > tried[0].score.drawn.mean()
    assert select([*tried, setting(99, chosen.score.mean - 1.0)]) is chosen


def test_answers_are_compared_on_the_same_draws() -> None:
    """Two recipes whose answers nearly agree differ by little, however wide the interval of each is."""
    first, second = weighted_figure([answers(0.7, 1)]), weighted_figure([answers(0.9, 1)])
    assert select([Setting(0, first), Setting(1, second)]).number == 1
    gain = second.against(first)
    assert gain.high - gain.low < sum(high - low for low, high in (first.interval, second.interval))
    whole = PooledScores.of([answers(0.7, 1)], ("a", "b"), ["x"] * DIALOGUES * LENGTH)
    assert whole.overall["weighted_f1"].by_seed == first.by_seed
    assert torch.equal(whole.overall["weighted_f1"].drawn, first.drawn)


def test_answers_of_other_dialogues_are_refused() -> None:
    one = answers(0.7, 1)
    with pytest.raises(ValueError, match="same dialogues"):
        weighted_figure([one, Answers(one.logits, 1 - one.labels, one.speakers, one.lengths)])
