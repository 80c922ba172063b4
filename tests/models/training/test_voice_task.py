"""The voice network learns, a run can be interrupted, and what is shipped is what its card says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from worlds import Epochs, Interrupted

from erc_live.models.encoders.voice import RATE_HZ, VOICE_LABELS, VoiceEncoder
from erc_live.models.encoders.voice_network import VoiceConfig
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.training.encoder_evaluation import VoiceScores, evaluate_voice, voice_vectors
from erc_live.models.training.trainer import RESUME
from erc_live.models.training.voice_dataset import VoiceClip
from erc_live.models.training.voice_task import VoiceTraining, train_voice

SMALL = VoiceTraining(
    epochs=3,
    score_every=1,
    batch=7,
    anew=99,  # to spoil clips is most of the work
    network=VoiceConfig(bands=24, widths=(4, 8, 8), width=16),
)


def recordings(count: int, seed: int) -> list[VoiceClip]:
    """Warbling tones: each label has its own pitch and its own speed of the warble."""
    generator = np.random.default_rng(seed)
    found = []
    for row in range(count):
        label = row % len(VOICE_LABELS)
        time = np.arange(round(generator.uniform(0.4, 0.5) * RATE_HZ)) / RATE_HZ
        pitch = 200 * 1.6**label * generator.uniform(0.97, 1.03)
        wave = np.sin(2 * np.pi * pitch * time) * (1 + np.sin(2 * np.pi * (2 + label) * time))
        wave += generator.normal(0, 0.02, len(time))
        found.append(
            VoiceClip(f"clip {row}", (6_000 * wave).astype(np.int16), VOICE_LABELS[label], f"person {row // 7 % 3}")
        )
    return found


@pytest.fixture(scope="module")
def clips() -> list[VoiceClip]:
    return recordings(14, seed=1)


def test_it_learns_what_tells_the_labels_apart(tmp_path: Path, clips: list[VoiceClip]) -> None:
    watch = Epochs()
    config = replace(SMALL, epochs=30, learning_rate=0.01, smoothing=0.0, dropout=0.0, mixup=0.0, ema=0.5)
    encoder = train_voice(clips, clips, tmp_path, config, {"corpus": "tones"}, watch)
    assert evaluate_voice(encoder, clips).uar > 0.6  # a seventh is chance
    assert watch[-1].loss < 0.75 * watch[0].loss
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["training"]["corpus"] == "tones"
    assert card["scores"]["dev"]["uar"] == pytest.approx(evaluate_voice(VoiceEncoder.load(tmp_path), clips).uar)
    assert set(card["scores"]) == {"dev", "dev, telephone", "dev, noise", "dev, room"}
    assert not (tmp_path / RESUME).exists()


def test_a_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path, clips: list[VoiceClip]) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_voice(clips, clips[:7], tmp_path / name, replace(SMALL, epochs=1, seed=seed), {})
    first, second, other = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_resumed_run_equals_one_that_was_not_interrupted(tmp_path: Path, clips: list[VoiceClip]) -> None:
    config = replace(SMALL, anew=2)
    train_voice(clips, clips[:7], tmp_path / "whole", config, {})

    with pytest.raises(Interrupted):
        train_voice(clips, clips[:7], tmp_path / "cut", config, {}, Epochs(last=1))
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    watch = Epochs()
    train_voice(clips, clips[:7], tmp_path / "cut", config, {}, watch)
    assert [epoch.epoch for epoch in watch] == [2]
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_with_other_settings_is_not_mixed_up(tmp_path: Path, clips: list[VoiceClip]) -> None:
    with pytest.raises(Interrupted):
        train_voice(clips, clips[:7], tmp_path, SMALL, {}, Epochs(last=0))
    with pytest.raises(WeightsError, match="other data or options"):
        train_voice(clips, clips[:7], tmp_path, replace(SMALL, batch=8), {})
    (tmp_path / RESUME).write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="damaged"):
        train_voice(clips, clips[:7], tmp_path, SMALL, {})


def test_it_stops_when_dev_does_not_get_better(tmp_path: Path, clips: list[VoiceClip]) -> None:
    watch = Epochs()
    config = replace(SMALL, epochs=5, patience=1, learning_rate=1e-9)
    train_voice(clips, [clips[0]], tmp_path, config, {}, watch)
    scores = [epoch.scores["UAR, degraded too"] for epoch in watch]
    assert len(watch) < 5 or scores == sorted(scores)


def test_a_label_that_is_missing_and_clips_that_say_nothing_do_no_harm(tmp_path: Path, clips: list[VoiceClip]) -> None:
    some = [clip for clip in clips if clip.label != "fear"]
    silent = VoiceClip("silent", np.zeros(RATE_HZ, np.int16), "joy", "")
    encoder = train_voice([*some, silent], [*some[:6], silent], tmp_path, replace(SMALL, epochs=1), {})
    assert voice_vectors(encoder, some).isfinite().all()
    with pytest.raises(CorpusError, match="1 clips to learn from and 0"):
        train_voice([some[0], silent], [silent], tmp_path, SMALL, {})


def test_a_clip_without_an_answer_counts_as_wrong() -> None:
    answers = torch.full((3, 7), -9.0)
    answers[0, 0] = answers[1, 4] = 0.0
    answers[2] = torch.nan
    scores = VoiceScores.of(answers, torch.tensor([0, 4, 0]))
    assert scores.unusable == 1
    assert scores.recall == {"neutral": 0.5, "joy": 1.0}
    assert scores.uar == pytest.approx(0.75)
    assert scores.accuracy == pytest.approx(2 / 3)
    assert sum(map(sum, scores.confusion)) == 3
