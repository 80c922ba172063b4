"""A voice unlike all that were learnt from gets a flatter answer, and others the answer that they had."""

import numpy as np
import pytest
import torch
from torch import Generator

from erc_live.models.encoders.voice import RATE_HZ, LogMel, samples
from erc_live.models.encoders.voice_network import DIRECTIONS, Familiarity, VoiceConfig, VoiceNetwork
from erc_live.models.training.voice_dataset import VoiceClip
from erc_live.models.training.voice_unheard import CONDITIONS, answers_of, calibrate, know_voices, usual_distance


def noises(count: int) -> list[VoiceClip]:
    generator = np.random.default_rng(0)
    lengths = generator.integers(RATE_HZ // 3, RATE_HZ // 2, count)
    waves = [generator.integers(-8_000, 8_000, length).astype(np.int16) for length in lengths]
    return [VoiceClip(str(row), wave, "joy" if row % 2 else "fear", "somebody") for row, wave in enumerate(waves)]


@pytest.fixture
def network() -> VoiceNetwork:
    torch.manual_seed(0)
    return VoiceNetwork(VoiceConfig(bands=16, widths=(2, 2, 4), width=8)).eval()


def test_a_distance_is_one_where_voices_usually_lie_and_counts_deviations_beyond() -> None:
    generator = Generator().manual_seed(0)
    spread = torch.cat((torch.linspace(5, 10, DIRECTIONS), torch.ones(48)))
    learnt = 7.0 + spread * torch.randn(4_000, len(spread), generator=generator)
    known = Familiarity(len(spread))
    known.fit(learnt)
    assert float(known.distance(learnt).mean()) == pytest.approx(1.0, abs=0.02)
    wide, narrow = (7.0 + 40 * spread[place] * torch.eye(len(spread))[place] for place in (0, -1))
    for far in (wide, narrow):  # forty deviations are as far in either direction
        assert known.distance(far[None]) == pytest.approx(40 / len(spread) ** 0.5, rel=0.05)


def test_the_temperature_grows_from_the_usual_distance_on() -> None:
    known = Familiarity(40)
    assert known.temperature(torch.tensor([0.0, 9.0])).tolist() == [1.0, 1.0]  # before anything is known
    known.usual.fill_(1.5)
    known.slope.fill_(2.0)
    assert known.temperature(torch.tensor([0.0, 1.5, 2.5])).tolist() == [1.0, 1.0, 3.0]


def test_what_is_far_away_is_answered_by_about_the_same_for_all_labels(network: VoiceNetwork) -> None:
    logmel = LogMel(16)(samples(noises(1)[0].pcm))
    assert logmel is not None
    with torch.no_grad():
        plain = network(logmel[None]).log_softmax(1)
        torch.testing.assert_close(network.log_probs(logmel[None]), plain)
        network.familiarity.slope.fill_(1e6)
        torch.testing.assert_close(network.log_probs(logmel[None]).exp(), torch.full((1, 7), 1 / 7), atol=1e-4, rtol=0)


def test_people_who_taught_nothing_set_the_usual_distance(network: VoiceNetwork) -> None:
    clips = noises(12)
    know_voices(network, clips[:6])
    unheard = answers_of(network, clips[6:])
    assert unheard.logits.shape == (len(CONDITIONS), 6, 7)
    known = calibrate(network, unheard)
    assert known["usual_distance"] == pytest.approx(usual_distance(unheard))
    assert float(network.familiarity.usual) == pytest.approx(known["usual_distance"])
    again = answers_of(network, clips[6:])  # the temperature is in the weights now, the distance in none of them
    torch.testing.assert_close(again.logits, unheard.logits / known["temperature"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again.distances, unheard.distances)


def test_a_clip_of_nothing_is_no_part_of_it(network: VoiceNetwork) -> None:
    clips = noises(4)
    know_voices(network, [*clips, VoiceClip("silent", np.zeros(RATE_HZ, np.int16), "joy", "")])
    assert network.familiarity.centre.isfinite().all()
    unheard = answers_of(network, [*clips, VoiceClip("silent", np.zeros(RATE_HZ, np.int16), "joy", "")])
    assert unheard.distances[0].isnan().tolist() == [False] * 4 + [True]
    assert usual_distance(unheard) > 0
