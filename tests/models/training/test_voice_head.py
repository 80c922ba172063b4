"""A voice unlike all that were learnt from gets a flatter answer, and others the answer that they had."""

import pytest
import torch
from tiny_voice import tiny_network
from torch import Generator, Tensor

from erc_live.models.encoders.voice import VOICE_LABELS
from erc_live.models.encoders.voice_network import DIRECTIONS, Familiarity, Standard, VoiceNetwork
from erc_live.models.training.voice_dataset import CONDITIONS, DescribedVoices, VoiceClip
from erc_live.models.training.voice_head import answers_of, calibrate, fit_head, usual_distance

NO_SOUND = torch.zeros(0, dtype=torch.int16).numpy()


def voices(network: VoiceNetwork, count: int, seed: int = 0, copies: int = 1) -> DescribedVoices:
    """Clips whose descriptions have their label in every seventh number and chance in all."""
    generator = Generator().manual_seed(seed)
    clips = tuple(VoiceClip(str(row), NO_SOUND, VOICE_LABELS[row % 7], "somebody") for row in range(count))
    heard = torch.randn(len(CONDITIONS) + copies, count, network.config.width, generator=generator)
    for row in range(count):
        heard[:, row, row % 7 :: 7] += 2
    return DescribedVoices(network.listener, clips, heard[: len(CONDITIONS)], heard[len(CONDITIONS) :])


@pytest.fixture
def network() -> VoiceNetwork:
    return tiny_network()


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


def test_a_few_voices_in_many_dimensions_are_known_too() -> None:
    learnt = torch.randn(5, 300, generator=Generator().manual_seed(0))
    known = Familiarity(300)
    known.fit(learnt)
    assert known.distance(learnt).isfinite().all()
    assert known.distance(10 * learnt).min() > known.distance(learnt).max()


def test_the_temperature_grows_from_the_usual_distance_on() -> None:
    known = Familiarity(40)
    assert known.temperature(torch.tensor([0.0, 9.0])).tolist() == [1.0, 1.0]  # before anything is known
    known.usual.fill_(1.5)
    known.slope.fill_(2.0)
    assert known.temperature(torch.tensor([0.0, 1.5, 2.5])).tolist() == [1.0, 1.0, 3.0]


def test_what_is_far_away_is_answered_by_about_the_same_for_all_labels(network: VoiceNetwork) -> None:
    wave = 0.1 * torch.randn(8_000)
    with torch.no_grad():
        logits, _ = network.answers(network.listener(wave)[None])
        torch.testing.assert_close(network(wave), logits.log_softmax(1)[0])
        network.familiarity.slope.fill_(1e6)
        torch.testing.assert_close(network(wave).exp(), torch.full((7,), 1 / 7), atol=1e-4, rtol=0)


def test_descriptions_are_measured_by_those_that_were_learnt_from() -> None:
    standard = Standard(3)
    standard.fit(torch.tensor([[1.0, 5.0, 7.0], [3.0, 9.0, 7.0]]))
    seen: Tensor = standard(torch.tensor([[2.0, 7.0, 8.0]]))
    torch.testing.assert_close(seen, torch.tensor([[0.0, 0.0, 1.0]]))


def test_it_learns_what_tells_the_labels_apart_and_more_pull_makes_it_less_sure(network: VoiceNetwork) -> None:
    learnt, others = voices(network, 70), voices(network, 70, seed=1)
    sure = []
    for pull in (0.01, 1.0):
        fit_head(network, learnt, pull)
        unheard = answers_of(network, others)
        assert (unheard.logits.argmax(-1) == unheard.labels).all()
        sure.append(float(unheard.logits.softmax(-1).amax(-1).mean()))
    assert sure[0] > sure[1]


def test_people_who_taught_nothing_set_temperature_and_usual_distance(network: VoiceNetwork) -> None:
    fit_head(network, voices(network, 14), 0.1)
    others = voices(network, 14, seed=1)
    unheard = answers_of(network, others)
    assert unheard.logits.shape == (len(CONDITIONS), 14, 7)
    known = calibrate(network, unheard)
    assert known["usual_distance"] == pytest.approx(usual_distance(unheard))
    assert float(network.familiarity.usual) == pytest.approx(known["usual_distance"])
    again = answers_of(network, others)  # the temperature is in the weights now, the distance in none of them
    torch.testing.assert_close(again.logits, unheard.logits / known["temperature"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again.distances, unheard.distances)


def test_a_clip_of_nothing_is_no_part_of_it(network: VoiceNetwork) -> None:
    learnt = voices(network, 14)
    learnt.conditions[1:, 3] = torch.nan  # spoilt so that nothing is usable
    fit_head(network, learnt, 0.1)
    assert all(values.isfinite().all() for values in network.state_dict().values())
    unheard = answers_of(network, learnt)
    assert unheard.distances.isnan().nonzero().tolist() == [[1, 3], [2, 3], [3, 3]]
    assert usual_distance(unheard) > 0
