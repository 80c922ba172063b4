"""What a voice sounds like depends on the samples of its utterance and on nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import read_pcm

from erc_live.models.card import PRETRAINED
from erc_live.models.encoders.speaker import LEVEL
from erc_live.models.encoders.voice import RATE_HZ, VOICE_LABELS, SpeechCut, VoiceEncoder
from erc_live.models.errors import WeightsError

SHIPPED = PRETRAINED / "voice"
SPEECH = read_pcm(Path(__file__).parents[2] / "live" / "demo" / "ada.flac")[round(27.1 * RATE_HZ) :][: 4 * RATE_HZ]


@pytest.fixture(scope="module")
def encoder() -> VoiceEncoder:
    return VoiceEncoder.load(SHIPPED)


def test_an_utterance_gives_calibrated_log_probabilities(encoder: VoiceEncoder) -> None:
    row = encoder(SPEECH[: 3 * RATE_HZ])
    assert row.shape == (len(VOICE_LABELS),)
    assert row.dtype == np.float32
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(seconds=st.floats(0.3, 3.0), start=st.floats(0.0, 0.9), gain=st.sampled_from([0.01, 0.1, 0.5]))
def test_loudness_does_not_matter(seconds: float, start: float, gain: float) -> None:
    wave = (
        torch.from_numpy(SPEECH[round(start * RATE_HZ) :][: round(seconds * RATE_HZ) + 1].astype(np.float32)) / 32_768
    )
    speech, quiet = SpeechCut()(wave), SpeechCut()(wave * gain)
    assert speech is not None
    assert quiet is not None
    assert float(speech.square().mean().sqrt()) == pytest.approx(LEVEL, rel=1e-4)
    assert torch.allclose(speech, quiet, atol=1e-5)


def test_a_quieter_recording_sounds_the_same(encoder: VoiceEncoder) -> None:
    wave = SPEECH[: 3 * RATE_HZ]
    quieter = np.round(wave * 0.25).astype(np.int16)
    assert np.abs(np.exp(encoder(wave)) - np.exp(encoder(quieter))).max() < 0.03  # the rounding to 16 bit


def test_silence_around_the_speech_does_not_matter(encoder: VoiceEncoder) -> None:
    wave = SPEECH[: 3 * RATE_HZ]
    rest = np.random.default_rng(0).integers(-1, 2, RATE_HZ, np.int16)
    within = np.concatenate([rest, wave, rest])
    assert np.abs(np.exp(encoder(wave)) - np.exp(encoder(within))).max() < 0.1


def test_a_row_depends_on_its_own_samples_only(encoder: VoiceEncoder) -> None:
    waves = [SPEECH[: 2 * RATE_HZ], SPEECH[:10], SPEECH[RATE_HZ:], np.zeros(RATE_HZ, np.int16)]
    together = encoder.encode(waves)
    alone = np.stack([encoder(wave) for wave in waves])
    assert np.array_equal(together, alone, equal_nan=True)
    assert np.array_equal(encoder.encode(waves[::-1])[::-1], together, equal_nan=True)
    assert encoder.encode([]).shape == (0, len(VOICE_LABELS))


@pytest.mark.parametrize(
    "pcm",
    [
        np.empty(0, np.int16),
        SPEECH[: round(0.3 * RATE_HZ) - 1],
        np.zeros(2 * RATE_HZ, np.int16),
        np.full(2 * RATE_HZ, 1_000, np.int16),
    ],
    ids=["nothing", "too short", "digital silence", "a constant"],
)
def test_where_nothing_is_usable_there_is_no_answer(encoder: VoiceEncoder, pcm: np.ndarray) -> None:
    assert np.isnan(encoder(pcm)).all()


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99),
    seconds=st.floats(0.3, 4.0),
    kind=st.sampled_from(["noise", "clipped", "one click", "tone", "one step"]),
)
def test_any_sound_has_a_finite_answer(encoder: VoiceEncoder, seed: int, seconds: float, kind: str) -> None:
    generator = np.random.default_rng(seed)
    pcm = np.zeros(round(seconds * RATE_HZ) + 1, np.int16)
    if kind == "noise":
        pcm = generator.normal(0, 3_000, len(pcm)).astype(np.int16)
    elif kind == "clipped":
        pcm = np.where(generator.random(len(pcm)) < 0.5, -32_768, 32_767).astype(np.int16)
    elif kind == "one click":
        pcm[len(pcm) // 2] = 32_767
    elif kind == "tone":
        pcm = (9_000 * np.sin(np.arange(len(pcm)) * generator.uniform(0.05, 2))).astype(np.int16)
    else:
        pcm = generator.integers(-2, 3, len(pcm)).astype(np.int16)
    assert np.isfinite(encoder(pcm)).all()


def test_utterances_of_every_length_are_heard(encoder: VoiceEncoder) -> None:
    long = np.tile(SPEECH, 4)[: 15 * RATE_HZ]
    for seconds in (0.3, 0.5, 1.0, 3.0, 15.0):
        assert np.isfinite(encoder(long[: round(seconds * RATE_HZ)])).all()


def test_the_shipped_weights_are_small() -> None:
    assert (SHIPPED / "model.safetensors").stat().st_size < 10.5e6


def test_the_fingerprint_names_the_weights(encoder: VoiceEncoder) -> None:
    assert encoder.fingerprint == VoiceEncoder.load(SHIPPED).fingerprint
    assert json.loads((SHIPPED / "card.json").read_text())["sha256"].startswith(encoder.fingerprint.split("@")[1])


@pytest.mark.parametrize(
    "harm", ["no card", "no weights", "other weights", "cut card", "other network", "other labels"]
)
def test_weights_that_are_not_whole_are_refused_in_one_line(tmp_path: Path, harm: str) -> None:
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "voice"))
    card, weights = folder / "card.json", folder / "model.safetensors"
    content = json.loads(card.read_text())
    if harm == "no card":
        card.unlink()
    elif harm == "no weights":
        weights.unlink()
    elif harm == "other weights":
        weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    elif harm == "cut card":
        card.write_text(card.read_text()[:40])
    elif harm == "other network":
        card.write_text(json.dumps({**content, "network": {**content["network"], "blocks": 1}}))
    else:
        card.write_text(json.dumps({**content, "labels": content["labels"][::-1]}))
    with pytest.raises(WeightsError) as error:
        VoiceEncoder.load(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
