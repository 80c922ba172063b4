"""Disturbances: as often as asked, and never something out of nothing."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.batch import UtteranceBatch
from erc_live.models.training.augment import Disturbance, disturb, transcribed

NOTHING = Disturbance(0.0, 0.0, 0.0, 0.0, 0.0)


def talk(n: int, present: tuple[bool, bool, bool]) -> UtteranceBatch:
    return UtteranceBatch(
        torch.zeros(n, 4), torch.zeros(n, 8), torch.zeros(n, 0), torch.arange(n) % 3, torch.tensor([present] * n)
    )


def test_bare_transcripts_keep_words_and_apostrophes() -> None:
    said = "Oh my God, he\u2019s lost it. He's \u2014 WOW!!!"
    assert transcribed(said, Disturbance(unpunctuated=1.0)) == "oh my god he\u2019s lost it he's wow"
    assert transcribed(said, NOTHING) == said


@given(seed=st.integers(0, 999), p=st.floats(0, 1), audio=st.booleans())
def test_never_everything_is_hidden_and_nothing_appears(seed: int, p: float, audio: bool) -> None:
    torch.manual_seed(seed)
    before = talk(40, (True, audio, False))
    after = disturb(before, Disturbance(p, p, p, p))
    assert after.present.any(1).all()
    assert not (after.present & ~before.present).any()
    assert after.speakers.max() <= 2


def test_shares_are_as_asked() -> None:
    torch.manual_seed(0)
    before = talk(9000, (True, True, False))
    after = disturb(before, Disturbance(missing_text=0.1, missing_audio=0.2, wrong_speaker=0.3))
    assert abs((~after.present[:, 0]).float().mean() - 0.1) < 0.02
    assert abs((~after.present[:, 1]).float().mean() - 0.2) < 0.02
    assert abs((after.speakers != before.speakers).float().mean() - 0.3 * 2 / 3) < 0.02


def test_gain_moves_the_level_of_a_dialogue_alone() -> None:
    torch.manual_seed(0)
    moved = torch.stack([disturb(talk(2, (True, True, False)), Disturbance(gain_db=6.0)).audio for _ in range(500)])
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert 5.0 < moved[:, 0, 1].std() < 7.0
    assert not moved[:, :, [0, 2, 3, 4, 5, 6, 7]].any()


def test_no_disturbance_changes_nothing() -> None:
    before = talk(9, (True, True, False))
    after = disturb(before, NOTHING)
    assert torch.equal(after.present, before.present)
    assert torch.equal(after.speakers, before.speakers)
    assert torch.equal(after.audio, before.audio)
