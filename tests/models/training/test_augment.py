"""Disturbances: as often as asked, the same from the same generator, and never something out of nothing."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.batch import UtteranceBatch
from erc_live.models.encoders.turns import bare
from erc_live.models.training.augment import Disturbance, disturb

NOTHING = Disturbance(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def talk(n: int, present: tuple[bool, bool, bool]) -> UtteranceBatch:
    return UtteranceBatch(
        torch.zeros(n, 4), torch.zeros(n, 15), torch.zeros(n, 8), torch.arange(n) % 3, torch.tensor([present] * n)
    )


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_bare_transcripts_keep_words_and_apostrophes() -> None:
    said = "Oh my God, he\u2019s lost it. He's \u2014 WOW!!!"
    assert bare(said) == "oh my god he\u2019s lost it he's wow"


@given(seed=st.integers(0, 999), p=st.floats(0, 1), shown=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_never_everything_is_hidden_and_nothing_appears(seed: int, p: float, shown: tuple[bool, bool, bool]) -> None:
    before = talk(40, shown)
    after = disturb(before, Disturbance(p, p, p, p, p), source(seed))
    assert torch.equal(after.present.any(1), before.present.any(1))
    assert not (after.present & ~before.present).any()
    assert after.speakers.max() <= 2


def test_shares_are_as_asked() -> None:
    before = talk(9000, (True, True, True))
    how = Disturbance(missing_text=0.1, missing_audio=0.2, missing_visual=0.3, wrong_speaker=0.3)
    after = disturb(before, how, source())
    for m, share in enumerate((0.1, 0.2, 0.3)):
        assert abs((~after.present[:, m]).float().mean() - share) < 0.02
    assert abs((after.speakers != before.speakers).float().mean() - 0.3 * 2 / 3) < 0.02


def test_gain_moves_the_level_of_a_dialogue_alone() -> None:
    generator = source()
    moved = torch.stack([disturb(talk(2, (True, True, False)), Disturbance(), generator).audio for _ in range(500)])
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert 5.0 < moved[:, 0, 1].std() < 7.0
    assert not moved[:, :, [0, *range(2, 15)]].any()


def test_no_disturbance_changes_nothing_and_a_generator_repeats_itself() -> None:
    before = talk(9, (True, True, False))
    after = disturb(before, NOTHING, source())
    for name, value in vars(before).items():
        assert torch.equal(getattr(after, name), value)
    first, second = (disturb(before, Disturbance(), source(7)) for _ in range(2))
    for name, value in vars(first).items():
        assert torch.equal(getattr(second, name), value)
