"""What is no speech gives no utterance: an hour of silence none, an hour of hum, fan, typing or music at most one.

By the detector and the segmenter alone, as they are by default, before any recogniser; and the recogniser, past them,
invents no words of it. A few minutes of each are heard in every run of the tests, the hours with `-m slow`.
"""

import numpy as np
import pytest

from erc_live.live import config
from erc_live.live.asr.transcribers import Speech, open_transcriber
from erc_live.live.perception.vad import SileroVad
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ
from erc_live.streams.segmenter import Segmenter, SegmenterConfig

MINUTE = 60 * SAMPLE_RATE_HZ // CHUNK_SAMPLES * CHUNK_SAMPLES
T = np.arange(MINUTE) / SAMPLE_RATE_HZ


def at(samples, dbfs):
    return samples / np.sqrt(np.mean(np.square(samples))) * 32_768 * 10 ** (dbfs / 20)


def coloured(draw, slope):
    """Noise whose amplitude falls with the frequency to the power of `slope`: 0 white, 0.5 pink, 1 brown."""
    spectrum = np.fft.rfft(draw.standard_normal(MINUTE))
    return np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** slope, MINUTE)


def hum(draw, mains_hz):
    tones = [np.sin(2 * np.pi * mains_hz * k * T + draw.uniform(0, 7)) / k for k in range(1, 8)]
    return sum(tones) + 0.001 * draw.standard_normal(MINUTE)


def fan(draw):
    blades = 1 + 0.3 * np.sin(2 * np.pi * draw.uniform(5, 40) * T)
    return coloured(draw, draw.choice([0.5, 1.0])) * blades


def typing(draw):
    """Keys go down and up: bursts of a few milliseconds, in words, with a rest now and then."""
    room = 2 * draw.standard_normal(MINUTE)
    length, place = SAMPLE_RATE_HZ // 10, 0
    decay = np.arange(length) / SAMPLE_RATE_HZ
    while place < MINUTE - 3 * length:
        loud = 32_768 * 10 ** (draw.uniform(-30, -12) / 20)
        burst = np.exp(-decay / draw.uniform(0.003, 0.012))
        key = burst * (draw.standard_normal(length) + np.sin(2 * np.pi * draw.uniform(1_500, 5_000) * decay))
        room[place : place + length] += loud * key
        up = place + int(draw.uniform(0.06, 0.1) * SAMPLE_RATE_HZ)
        room[up : up + length] += 0.4 * loud * key
        rest = draw.exponential(3.0) if draw.random() < 0.03 else draw.exponential(0.18)
        place += length // 2 + int(rest * SAMPLE_RATE_HZ)
    return room


def tone(midi, length_s, draw):
    """A note: six partials, a soft attack, a decay, and a slow vibrato."""
    t = np.arange(int(length_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    phase = 440 * 2 ** ((midi - 69) / 12) * (t + 0.0006 * draw.random() * np.sin(2 * np.pi * 5 * t))
    partials = [np.sin(2 * np.pi * k * phase) / k**1.3 for k in range(1, 7)]
    return sum(partials) * np.minimum(1, t / 0.01) * np.exp(-t / (0.6 * length_s))


def music(draw):
    """Chords of four beats, and a melody over them."""
    score = np.zeros(MINUTE)
    beat_s = 60 / draw.uniform(70, 130)
    for half in range(int(60 / (beat_s / 2))):
        chord = (0, 5, 7, 9)[half // 8 % 4]
        notes = [(60 + 12 * draw.integers(2) + draw.choice([0, 2, 4, 5, 7, 9, 11]), beat_s * draw.choice([0.5, 1.0]))]
        notes += [(48 + chord + step, 4 * beat_s) for step in (0, 4, 7)] if half % 8 == 0 else []
        first = int(half * beat_s / 2 * SAMPLE_RATE_HZ)
        for midi, length_s in notes:
            note = tone(midi, length_s, draw)[: MINUTE - first]
            score[first : first + len(note)] += note
    return score


SILENCES = {
    "digital zero": lambda draw: np.zeros(MINUTE),
    "dither": lambda draw: draw.integers(-1, 2, MINUTE),
}
NOISES = {
    "hum of 50 Hz": lambda draw: at(hum(draw, 50), draw.uniform(-50, -20)),
    "hum of 60 Hz": lambda draw: at(hum(draw, 60), draw.uniform(-50, -20)),
    "hiss": lambda draw: at(coloured(draw, 0), draw.uniform(-60, -20)),
    "fan": lambda draw: at(fan(draw), draw.uniform(-60, -20)),
    "typing": typing,
    "music": lambda draw: at(music(draw), draw.uniform(-45, -15)),
}


def utterances(sound, minutes, seed=0):
    draw = np.random.default_rng(seed)
    detector, segmenter = SileroVad(), Segmenter(SegmenterConfig())
    found = 0
    for _ in range(minutes):
        pcm = np.clip(np.round(sound(draw)), -32_768, 32_767).astype(np.int16)
        found += sum(segmenter.feed(detector(window)) is not None for window in pcm.reshape(-1, CHUNK_SAMPLES))
    return found + (segmenter.flush() is not None)


@pytest.mark.parametrize("name", SILENCES | NOISES)
def test_a_minute_of_no_speech_is_no_utterance(name):
    assert utterances((SILENCES | NOISES)[name], minutes=1) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SILENCES)
def test_an_hour_of_silence_is_no_utterance(name):
    assert utterances(SILENCES[name], minutes=60) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NOISES)
def test_an_hour_of_noise_is_at_most_one_utterance(name):
    assert utterances(NOISES[name], minutes=60) <= 1


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SILENCES | NOISES)
def test_where_the_detector_would_be_wrong_the_recogniser_invents_nothing(name, tiny_en):
    choice = config.TranscriberSection(engine="faster-whisper", model=str(tiny_en), device="cpu")
    engine, draw = open_transcriber(choice, tiny_en), np.random.default_rng(0)
    for _ in range(2):
        pcm = np.clip(np.round((SILENCES | NOISES)[name](draw)), -32_768, 32_767).astype(np.int16)
        for piece in np.split(pcm[: MINUTE // 10 * 10], 10):
            assert engine.transcribe(Speech(piece, "mic-0", 0.0, len(piece) / SAMPLE_RATE_HZ)).text == ""


@pytest.mark.parametrize("sound", [np.full(MINUTE, 32_767), np.where(np.arange(MINUTE) // 80 % 2, 32_767, -32_768)])
def test_a_stuck_or_clipped_microphone_is_no_utterance(sound):
    assert utterances(lambda draw: sound, minutes=1) == 0
