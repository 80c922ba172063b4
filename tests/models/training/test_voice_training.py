"""What hears a voice learns, and what is written is what its card says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_voice import TINY, tiny_listener

from erc_live.models.encoders.voice import RATE_HZ, VOICE_LABELS
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.training.encoder_evaluation import VoiceScores, evaluate_voice, voice_vectors
from erc_live.models.training.voice_dataset import DescribedVoices, Hearing, VoiceClip
from erc_live.models.training.voice_training import VoiceTraining, begun, train_voice
from erc_live.models.weights import weight

SMALL = VoiceTraining(copies=1, pull=0.01, network=TINY)


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
def voices(tmp_path_factory: pytest.TempPathFactory) -> DescribedVoices:
    return Hearing(tiny_listener(), SMALL.copies, 0, tmp_path_factory.mktemp("cache")).describe(recordings(21, seed=1))


def test_it_learns_what_tells_the_labels_apart(tmp_path: Path, voices: DescribedVoices) -> None:
    learnt, dev = voices.of({"person 0", "person 1"}), voices.of({"person 2"})
    encoder = train_voice(learnt, dev, tmp_path, SMALL, {"corpus": "tones"})
    scores = evaluate_voice(encoder, dev.clips)
    assert scores.uar > 0.6  # a seventh is chance
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["training"]["corpus"] == "tones"
    assert card["scores"]["dev"]["uar"] == pytest.approx(scores.uar)
    assert set(card["scores"]) == {"dev", "dev, telephone", "dev, noise", "dev, room"}


def test_the_same_voices_give_the_same_weights_and_another_pull_others(tmp_path: Path, voices: DescribedVoices) -> None:
    for name, pull in (("a", 0.01), ("b", 0.01), ("c", 0.1)):
        train_voice(voices, voices.of({"person 2"}), tmp_path / name, replace(SMALL, pull=pull), {})
    first, second, other = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert torch.equal(first["listener.whisper.conv1.weight"], other["listener.whisper.conv1.weight"])


def test_a_label_that_is_missing_does_no_harm(tmp_path: Path, voices: DescribedVoices) -> None:
    rows = [row for row, clip in enumerate(voices.clips) if clip.label != "fear"]
    kept = tuple(voices.clips[row] for row in rows)
    some = DescribedVoices(voices.listener, kept, voices.conditions[:, rows], voices.copies[:, rows])
    encoder = train_voice(some, some, tmp_path, SMALL, {})
    assert voice_vectors(encoder, kept).isfinite().all()
    with pytest.raises(CorpusError, match="18 clips to learn from and 0"):
        train_voice(some, some.of(()), tmp_path, SMALL, {})


def test_a_recogniser_that_is_not_there_or_damaged_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speakers = None  # not reached
    with pytest.raises(WeightsError, match=r"erc-live models fetch tiny\.en"):
        begun(TINY, tmp_path, speakers)  # type: ignore[arg-type]
    for file in weight("tiny.en").files:
        path = tmp_path / "tiny.en" / file.path
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as stream:
            stream.truncate(file.size)  # of nothing but zeros, which take no room
    with pytest.raises(WeightsError, match=r"model\.bin is damaged .*erc-live models fetch tiny\.en"):
        begun(TINY, tmp_path, speakers)  # type: ignore[arg-type]


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
