"""Sound as people have it on disk: any rate, width and number of channels comes out in time, one channel at will."""

import wave
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from erc_live.streams.errors import MediaError
from erc_live.streams.media import audio_chunks, probe
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ

FORMS = {  # codec: (format of the samples, their type, full scale)
    "pcm_s16le": ("s16", np.int16, 32767),
    "pcm_s24le": ("s32", np.int32, 2**31 - 1),
    "pcm_f32le": ("flt", np.float32, 1.0),
    "pcm_f64le": ("dbl", np.float64, 1.0),
}
START_S, TONE_S = 0.5, 0.1


def write(path: Path, samples: np.ndarray, rate_hz: int, codec: str = "pcm_s16le") -> Path:
    """Samples (n, channels) in [-1, 1] as a WAV file."""
    form, kind, scale = FORMS[codec]
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        packed = (samples.astype(np.float64) * scale).astype(kind).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format=form, layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def tones(rate_hz: int, levels: tuple[float, ...]) -> np.ndarray:
    """One second with a tone at `START_S` in each channel, at its level. Shapes: (n, channels)."""
    samples = np.zeros((rate_hz, len(levels)))
    inside = slice(int(START_S * rate_hz), int((START_S + TONE_S) * rate_hz))
    t = np.arange(inside.stop - inside.start) / rate_hz
    samples[inside] = np.sin(2 * np.pi * 440 * t)[:, None] * np.array(levels)
    return samples


def read(path: Path, channel: int | None = None) -> np.ndarray:
    chunks = list(audio_chunks(path, "mic", 0, channel))
    assert all(a.t_end_ns == b.t_ns for a, b in pairwise(chunks))
    assert {len(chunk.pcm) for chunk in chunks[:-1]} <= {CHUNK_SAMPLES}
    return np.concatenate([chunk.pcm for chunk in chunks]).astype(int)


@pytest.mark.parametrize("codec", FORMS)
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("levels", [(0.6,), (0.6, 0.2), (0.6, 0.0)])
def test_any_form_comes_out_at_its_time_and_each_channel_alone(tmp_path, codec, rate_hz, levels):
    path = write(tmp_path / "a.wav", tones(rate_hz, levels), rate_hz, codec)
    info = probe(path)
    assert (info.channels, info.rate_hz) == (len(levels), rate_hz)
    for channel, level in [(None, sum(levels) / len(levels)), *enumerate(levels, 1)]:
        pcm = read(path, channel)
        assert abs(len(pcm) - SAMPLE_RATE_HZ) <= 1
        assert np.abs(pcm).max() == pytest.approx(32767 * level, rel=0.02, abs=2)
        if level:
            loud = np.nonzero(np.abs(pcm) > 0.1 * 32767 * level)[0]
            assert loud[0] / SAMPLE_RATE_HZ == pytest.approx(START_S, abs=1e-3)
            assert loud[-1] / SAMPLE_RATE_HZ == pytest.approx(START_S + TONE_S, abs=1e-3)


@pytest.mark.parametrize("codec", ["flac", "aac"])
def test_channels_of_compressed_sound(tmp_path, codec):
    """FLAC stores channels by turns, AAC apart."""
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="stereo")
        samples = tones(48_000, (0.6, 0.2)).astype(np.float32)
        for first in range(0, len(samples), 1024):
            part = np.ascontiguousarray(samples[first : first + 1024].T)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48_000, first
            resampler = av.AudioResampler(format=stream.format, layout="stereo", rate=48_000)
            container.mux([packet for f in resampler.resample(frame) for packet in stream.encode(f)])
        container.mux(stream.encode(None))
    for channel, level in [(None, 0.4), (1, 0.6), (2, 0.2)]:
        assert np.abs(read(path, channel)).max() == pytest.approx(32767 * level, rel=0.1)


@pytest.mark.parametrize("channels", [6, 9, 32])
def test_many_microphones_in_one_file(tmp_path, channels):
    pcm = np.zeros((SAMPLE_RATE_HZ, channels), np.int16)
    for channel in range(channels):
        pcm[channel * 100 : (channel + 1) * 100, channel] = 20_000
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(channels), file.setsampwidth(2), file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(pcm.tobytes())
    assert np.array_equal(read(tmp_path / "a.wav", channels), pcm[:, -1])
    assert np.abs(read(tmp_path / "a.wav")).max() > 0


def test_a_channel_that_is_not_there_is_one_line(tmp_path):
    path = write(tmp_path / "a.wav", tones(8_000, (0.5, 0.5)), 8_000)
    with pytest.raises(MediaError, match="no channel 3 in its sound, which has 2") as error:
        read(path, 3)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("samples", [1, 20, 100, 600])
def test_very_short_files(tmp_path, rate_hz, samples):
    path = write(tmp_path / "a.wav", np.full((samples, 1), 0.5), rate_hz)
    found = sum(len(chunk.pcm) for chunk in audio_chunks(path, "mic", 0))
    assert found == 0 or abs(found - samples * SAMPLE_RATE_HZ / rate_hz) <= 1


def test_sound_that_is_louder_than_can_be_is_cut_and_never_wraps(tmp_path):
    path = write(tmp_path / "a.wav", 5.0 * tones(48_000, (1.0,)), 48_000, "pcm_f32le")
    pcm = read(path)
    assert (pcm.min(), pcm.max()) == (-32768, 32767)
    assert np.abs(np.diff(pcm)).max() < 30_000, "from rail to rail lies a sample or two"
