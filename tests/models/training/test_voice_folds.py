"""Everybody is heard by a network that did not learn from them, and what is told of it is told of the right clips."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_voice import TINY, tiny_listener, tiny_network

from erc_live.models.encoders.voice import RATE_HZ, VOICE_LABELS, VoiceEncoder
from erc_live.models.encoders.voice_network import VoiceNetwork
from erc_live.models.errors import CorpusError
from erc_live.models.training import voice_folds
from erc_live.models.training.voice_dataset import CONDITIONS, DescribedVoices, Hearing, VoiceClip
from erc_live.models.training.voice_folds import UNHEARD, folds_of, stored_answers, train_voice_folds, uar_interval
from erc_live.models.training.voice_head import Unheard
from erc_live.models.training.voice_training import VoiceTraining

SMALL = VoiceTraining(copies=1, network=TINY)
PEOPLE = ("Ann", "Ben", "Cem", "Dia")


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> DescribedVoices:
    """Two labels of each person, one person after the other and again."""
    generator = np.random.default_rng(0)
    clips = [
        VoiceClip(f"{person} {label}", generator.integers(-9_000, 9_000, RATE_HZ // 2).astype(np.int16), label, person)
        for label in VOICE_LABELS[:2]
        for person in PEOPLE
    ]
    return Hearing(tiny_listener(), SMALL.copies, 0, tmp_path_factory.mktemp("cache")).describe(clips)


def test_nobody_is_heard_by_a_network_that_learnt_from_them(
    voices: DescribedVoices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[set[str]] = []
    heard: list[set[str]] = []

    def fit(some: DescribedVoices, _: VoiceTraining) -> VoiceNetwork:
        learnt.append({clip.person for clip in some.clips})
        return tiny_network()

    def answers_of(_: VoiceNetwork, some: DescribedVoices) -> Unheard:
        """Always right, so that a clip with the answer of another is told."""
        heard.append({clip.person for clip in some.clips})
        logits = 5.0 * torch.nn.functional.one_hot(some.labels, 7).float()
        return Unheard(
            some.labels, logits.expand(len(CONDITIONS), -1, -1), torch.ones(len(CONDITIONS), len(some.clips))
        )

    monkeypatch.setattr(voice_folds, "fit_voice", fit)
    monkeypatch.setattr(voice_folds, "answers_of", answers_of)
    train_voice_folds(voices, 2, tmp_path, SMALL, {})
    assert learnt[2] == set(PEOPLE)
    assert all(not taught & others for taught, others in zip(learnt, heard, strict=False))
    assert set.union(*heard) == set(PEOPLE)
    scores = json.loads((tmp_path / "card.json").read_text())["scores"]
    assert scores["folds"]["uar"] == scores["folds, room"]["uar"] == 1.0
    assert scores["folds"]["interval"] == [1.0, 1.0]
    assert scores["folds"]["by_fold"] == [1.0, 1.0]
    assert scores["folds"]["worst"] in PEOPLE
    assert set(scores["folds"]["people"]) == set(PEOPLE)


def test_the_answers_of_the_folds_are_kept_beside_what_learnt_from_all(voices: DescribedVoices, tmp_path: Path) -> None:
    train_voice_folds(voices, 2, tmp_path, SMALL, {"licence": "none"})
    answers = load_file(tmp_path / UNHEARD)
    assert set(answers) == {"clean", "telephone", "noise", "room"}
    torch.testing.assert_close(answers["clean"].exp().sum(1), torch.ones(len(voices.clips)))
    assert torch.equal(stored_answers(tmp_path)[voices.clips[3].name], answers["clean"][3])
    assert stored_answers(tmp_path / "elsewhere") == {}
    training = json.loads((tmp_path / "card.json").read_text())["training"]
    assert (training["folds"], training["people"], training["licence"]) == (2, 4, "none")
    assert VoiceEncoder.load(tmp_path).encode([voices.clips[0].pcm]).shape == (1, 7)


def test_too_few_people_are_told(voices: DescribedVoices) -> None:
    with pytest.raises(CorpusError, match="--folds 5: 4 groups cannot be parted into 5 folds"):
        folds_of(voices.clips, 5)


def test_the_interval_is_over_people() -> None:
    right, wrong = torch.zeros(7, 7).long(), torch.zeros(7, 7).long()
    right[0, 0] = right[1, 1] = 10
    wrong[0, 1] = wrong[1, 0] = 10
    assert uar_interval(torch.stack([right] * 5)) == (1.0, 1.0)
    low, high = uar_interval(torch.stack([right, right, wrong, wrong]))
    assert (low, high) == (0.0, 1.0)  # all of four draws are of one kind in a sixteenth of the cases
    low, high = uar_interval(torch.stack([right, wrong] * 50))
    assert 0.39 < low < 0.43 < 0.57 < high < 0.61
