"""Everybody is heard by a network that did not learn from them, and what is told of it is told of the right clips."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from worlds import Epochs, Interrupted

from erc_live.models.encoders.voice import RATE_HZ, VOICE_LABELS, VoiceEncoder
from erc_live.models.encoders.voice_network import VoiceConfig, VoiceNetwork
from erc_live.models.errors import CorpusError
from erc_live.models.training import voice_folds
from erc_live.models.training.trainer import RESUME
from erc_live.models.training.voice_dataset import VoiceClip, classes_of
from erc_live.models.training.voice_folds import UNHEARD, train_voice_folds, uar_interval
from erc_live.models.training.voice_task import VoiceTraining
from erc_live.models.training.voice_unheard import CONDITIONS, Unheard

SMALL = VoiceTraining(
    epochs=2, batch=4, anew=99, network=VoiceConfig(bands=16, widths=(2, 2, 4), width=8)
)  # to spoil clips is most of the work
PEOPLE = ("Ann", "Ben", "Cem", "Dia")


@pytest.fixture(scope="module")
def clips() -> list[VoiceClip]:
    """Two labels of each person, one person after the other and again."""
    generator = np.random.default_rng(0)
    return [
        VoiceClip(f"{person} {label}", generator.integers(-9_000, 9_000, RATE_HZ // 2).astype(np.int16), label, person)
        for label in VOICE_LABELS[:2]
        for person in PEOPLE
    ]


def test_nobody_is_heard_by_a_network_that_learnt_from_them(
    clips: list[VoiceClip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[set[str]] = []
    heard: list[set[str]] = []

    def fit(some: Sequence[VoiceClip], dev: Sequence[VoiceClip], *_: object) -> tuple[VoiceNetwork, int]:
        assert not dev  # nothing is chosen
        learnt.append({clip.person for clip in some})
        return VoiceNetwork(SMALL.network).eval(), 0

    def answers_of(_: VoiceNetwork, some: Sequence[VoiceClip]) -> Unheard:
        """Always right, so that a clip with the answer of another is told."""
        heard.append({clip.person for clip in some})
        logits = 5.0 * torch.nn.functional.one_hot(classes_of(some), 7).float()
        return Unheard(classes_of(some), logits.expand(len(CONDITIONS), -1, -1), torch.ones(len(CONDITIONS), len(some)))

    monkeypatch.setattr(voice_folds, "fit_voice", fit)
    monkeypatch.setattr(voice_folds, "answers_of", answers_of)
    train_voice_folds(clips, 2, tmp_path, SMALL, {})
    assert learnt[2] == set(PEOPLE)
    assert all(not taught & others for taught, others in zip(learnt, heard, strict=False))
    assert set.union(*heard) == set(PEOPLE)
    scores = json.loads((tmp_path / "card.json").read_text())["scores"]
    assert scores["folds"]["uar"] == scores["folds, room"]["uar"] == 1.0
    assert scores["folds"]["interval"] == [1.0, 1.0]
    assert set(scores["folds"]["people"]) == set(PEOPLE)


def test_an_interrupted_run_goes_on_and_keeps_the_answers_of_the_folds(clips: list[VoiceClip], tmp_path: Path) -> None:
    train_voice_folds(clips, 2, tmp_path / "whole", SMALL, {"licence": "none"})
    with pytest.raises(Interrupted):
        train_voice_folds(clips, 2, tmp_path / "cut", SMALL, {"licence": "none"}, _Fourth())
    assert not (tmp_path / "cut" / UNHEARD).exists()
    watch = Epochs()
    train_voice_folds(clips, 2, tmp_path / "cut", SMALL, {"licence": "none"}, watch)
    assert [epoch.epoch for epoch in watch] == [0, 1]  # those of the last network alone
    for name in ("model.safetensors", UNHEARD):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.glob(f"*/*{RESUME}"))
    answers = load_file(tmp_path / "whole" / UNHEARD)
    assert set(answers) == {"clean", "telephone", "noise", "room"}
    torch.testing.assert_close(answers["clean"].exp().sum(1), torch.ones(len(clips)))
    training = json.loads((tmp_path / "whole" / "card.json").read_text())["training"]
    assert (training["folds"], training["people"], training["licence"]) == (2, 4, "none")
    assert VoiceEncoder.load(tmp_path / "whole").encode([clips[0].pcm]).shape == (1, 7)


class _Fourth(Epochs):
    """Ends a run after its fourth epoch, the last of its second fold."""

    def __call__(self, report: object) -> None:
        super().__call__(report)
        if len(self) == 4:
            raise Interrupted


def test_too_few_people_are_told(clips: list[VoiceClip], tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="--folds 5: 4 groups cannot be parted into 5 folds"):
        train_voice_folds(clips, 5, tmp_path, replace(SMALL, epochs=1), {})


def test_the_interval_is_over_people() -> None:
    right, wrong = torch.zeros(7, 7).long(), torch.zeros(7, 7).long()
    right[0, 0] = right[1, 1] = 10
    wrong[0, 1] = wrong[1, 0] = 10
    assert uar_interval(torch.stack([right] * 5)) == (1.0, 1.0)
    low, high = uar_interval(torch.stack([right, right, wrong, wrong]))
    assert (low, high) == (0.0, 1.0)  # all of four draws are of one kind in a sixteenth of the cases
    low, high = uar_interval(torch.stack([right, wrong] * 50))
    assert 0.39 < low < 0.43 < 0.57 < high < 0.61
