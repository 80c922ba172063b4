"""What a line, a room and noise do to a voice: just that; always the same in measuring, never in training."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.models.encoders.voice import RATE_HZ
from erc_live.models.training.sounds import DEGRADATIONS, degrade, level, spoil, trimmed


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return (8_000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)).astype(np.int16)


def power(pcm: np.ndarray) -> float:
    """Mean square of the middle half, where no edge is heard."""
    middle = pcm[len(pcm) // 4 : 3 * len(pcm) // 4].astype(np.float64)
    return float(np.mean(middle**2))


def bursts() -> np.ndarray:
    """Half a second of tone, half a second of nothing, and again."""
    return np.concatenate([tone(500, 0.5), np.zeros(8_000, np.int16), tone(500, 0.5), np.zeros(16_000, np.int16)])


@pytest.mark.parametrize(("hertz", "passes"), [(100, False), (500, True), (1_000, True), (3_000, True), (6_000, False)])
def test_the_telephone_passes_its_band_only(hertz: float, passes: bool) -> None:
    left_db = 10 * np.log10(power(degrade(tone(hertz), ["telephone"])) / power(tone(hertz)) + 1e-12)
    assert left_db > -1 if passes else left_db < -25


def test_noise_is_ten_decibels_below_the_speech() -> None:
    pcm = bursts()
    noise = degrade(pcm, ["noise"]).astype(np.float64) - pcm
    ratio_db = 10 * np.log10(power(tone(500)) / np.mean(noise**2))
    assert ratio_db == pytest.approx(10, abs=1.0)


def test_a_room_rings_on_after_the_sound_and_fades() -> None:
    pcm = bursts()
    heard = degrade(pcm, ["room"]).astype(np.float64)
    after = np.mean(heard[24_160:25_600] ** 2)
    assert after > 1e-3 * power(tone(500))
    assert np.mean(heard[-1_600:] ** 2) < 0.05 * after


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_measuring_always_hears_the_same(name: str) -> None:
    pcm = bursts()
    torch.manual_seed(1)
    first = degrade(pcm, [name])
    torch.manual_seed(2)
    assert np.array_equal(first, degrade(pcm.copy(), [name]))
    assert not np.array_equal(first, pcm)
    assert first.dtype == np.int16
    assert first.shape == pcm.shape


def test_degradations_are_done_one_after_the_other() -> None:
    pcm = bursts()
    assert np.array_equal(degrade(pcm, []), pcm)
    both = degrade(pcm, ["noise", "telephone"])
    spectrum = np.abs(np.fft.rfft(both.astype(np.float64)))
    assert spectrum[-len(spectrum) // 4 :].mean() < 0.05 * spectrum.mean()  # the noise went through the line as well


@given(st.integers(0, 400), st.sampled_from([0, 32_767, -32_768]), st.sampled_from(sorted(DEGRADATIONS)))
@settings(max_examples=20, deadline=None)
def test_any_samples_can_be_degraded(length: int, value: int, name: str) -> None:
    pcm = np.full(length, value, np.int16)
    assert degrade(pcm, [name]).shape == pcm.shape


def test_what_would_be_clipped_is_made_quieter() -> None:
    loud = degrade((tone(400).astype(np.int32) * 4).clip(-32_768, 32_767).astype(np.int16), ["room"])
    assert np.mean(np.abs(loud.astype(np.int32)) >= 32_766) < 0.01


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_training_draws_all_from_its_generator(seed: int) -> None:
    wave = torch.from_numpy(bursts().astype(np.float32)) / 32_768
    others = [wave.flip(0), wave * 0.5]
    first = spoil(wave, others, torch.Generator().manual_seed(seed))
    assert torch.equal(first, spoil(wave, others, torch.Generator().manual_seed(seed)))
    assert torch.isfinite(first).all()
    assert 0.8 * len(wave) < len(first) < 1.25 * len(wave)


def test_training_hears_each_clip_in_many_ways() -> None:
    wave = torch.from_numpy(bursts().astype(np.float32)) / 32_768
    generator = torch.Generator().manual_seed(0)
    heard = [spoil(wave, [wave], generator) for _ in range(10)]
    assert len({len(each) for each in heard}) > 4


def test_silence_around_the_speech_is_taken_off() -> None:
    wave = torch.cat([torch.zeros(16_000), torch.from_numpy(tone(300).astype(np.float32)) / 32_768, torch.zeros(9_600)])
    assert len(trimmed(wave)) == pytest.approx(16_000 + 2 * 0.2 * RATE_HZ, abs=400)
    assert torch.equal(trimmed(wave[:1_000]), wave[:1_000])  # nothing but silence


def test_the_level_is_that_of_the_speech() -> None:
    wave = torch.from_numpy(bursts().astype(np.float32)) / 32_768
    assert level(wave) == pytest.approx(0.5 * (8_000 / 32_768) ** 2, rel=0.02)
    assert level(torch.zeros(1_000)) == 0.0
    assert level(torch.zeros(10)) == 0.0
