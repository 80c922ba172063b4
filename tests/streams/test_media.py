"""Media in and out: exactness of what is stored, times of what is read, and what is said of broken files."""

import io
import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from erc_live.streams.errors import MediaError
from erc_live.streams.media import (
    MediaInfo,
    Resampler,
    audio_chunks,
    encode_flac,
    encode_mkv,
    probe,
    video_frames,
)
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, VideoFrame
from erc_live.streams.segments import decode_flac, decode_mkv

RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000)


def tone(rate_hz: int, seconds: float, channels: int = 1, hz: float = 440.0) -> np.ndarray:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.repeat((0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)[:, None], channels, axis=1)


def write_sound(path: Path, rate_hz: int = 44_100, seconds: float = 2.0, skip: tuple[float, float] = (0, 0)) -> Path:
    """Stereo sound in Matroska; `skip` is a stretch of time (s, s) for which nothing is stored."""
    block = rate_hz // 50
    with av.open(path, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=rate_hz, layout="stereo")
        samples = (tone(rate_hz, seconds, 2) * 32767).astype(np.int16)
        for start in range(0, len(samples), block):
            if skip[0] <= start / rate_hz < skip[1]:
                continue
            part = np.ascontiguousarray(samples[start : start + block]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_pictures(
    path: Path, rate_hz: int = 30, seconds: float = 2.0, start_s: float = 0.0, noise: bool = False
) -> Path:
    """320 x 240 pictures, the left half bright or noise, the right one dark and brightening."""
    rng = np.random.default_rng(0)
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, "yuv420p", 2_000_000
        for i in range(round(rate_hz * seconds)):
            pixels = np.full((240, 320, 3), i, np.uint8)
            pixels[:, :160] = rng.integers(0, 255, (240, 160, 3)) if noise else 200
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = i + round(start_s * rate_hz), Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn(path: Path, quarters: int) -> Path:
    """Write into an MP4 file that its pictures are to be shown turned clockwise: the matrix in the track header."""
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    fixed = (cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", *fixed)
    path.write_bytes(data)
    return path


def pixels(jpeg: bytes) -> np.ndarray:
    with av.open(io.BytesIO(jpeg), format="mjpeg") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@settings(max_examples=30)
@given(st.sampled_from(RATES), st.integers(1, 3), st.booleans(), st.data())
def test_the_resampler_does_not_care_how_the_input_is_cut(rate_hz, channels, as_int, data):
    samples = np.random.default_rng(rate_hz).uniform(-1, 1, (data.draw(st.integers(0, 6_000)), channels))
    samples = (samples * 32767).astype(np.int16) if as_int else samples.astype(np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=20)))
    whole, parts = Resampler(rate_hz, channels), Resampler(rate_hz, channels)
    expected = np.concatenate([whole.feed(samples), whole.flush()])
    found = np.concatenate([*(parts.feed(part) for part in np.split(samples, cuts)), parts.flush()])
    assert found.dtype == np.int16
    assert np.array_equal(found, expected)
    if len(samples) > 0.004 * rate_hz:  # longer than the filter, which is longest for 8 kHz: 30 samples
        assert abs(len(found) - len(samples) * SAMPLE_RATE_HZ / rate_hz) <= 1
    again = np.concatenate([parts.feed(samples), parts.flush()])  # a flush leaves nothing behind
    assert np.array_equal(again, expected)


@given(hnp.arrays(np.int16, st.integers(1, 3_000)))
@settings(max_examples=20)
def test_speech_samples_pass_the_resampler_unchanged(pcm):
    resampler = Resampler(SAMPLE_RATE_HZ, 1)
    assert np.array_equal(np.concatenate([resampler.feed(pcm[:, None]), resampler.flush()]), pcm)


@pytest.mark.parametrize("rate_hz", RATES)
def test_resampling_keeps_a_tone_and_its_time(rate_hz):
    resampler = Resampler(rate_hz, 2)
    found = np.concatenate([resampler.feed(tone(rate_hz, 1.0, 2)), resampler.flush()]) / 32768
    expected = tone(SAMPLE_RATE_HZ, 1.0)[:, 0]
    inner = slice(100, -100)  # the filter rings at the ends
    assert np.abs(found[inner] - expected[inner]).max() < 1e-3


@pytest.mark.parametrize("samples", [np.zeros(4, np.int16), np.zeros((4, 1), np.int16), np.zeros((4, 2), np.float64)])
def test_the_resampler_refuses_what_it_was_not_made_for(samples):
    with pytest.raises(ValueError, match="samples must be"):
        Resampler(48_000, 2).feed(samples)


@settings(max_examples=30)
@given(hnp.arrays(np.int16, st.one_of(st.integers(1, 40), st.integers(4_600, 4_620), st.just(20_000))))
def test_flac_gives_back_the_samples(pcm):
    assert np.array_equal(np.concatenate([*decode_flac(io.BytesIO(encode_flac(pcm)))]), pcm)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 300_000_000), st.binary(max_size=200)), min_size=1, max_size=12))
def test_matroska_gives_back_the_very_bytes_of_the_pictures(items):
    t_ns, frames = 10**18, []
    for step_ns, extra in items:
        t_ns += step_ns
        frames.append(
            VideoFrame(source="c", t_ns=t_ns, width_px=64, height_px=48, jpeg=b"\xff\xd8" + extra + b"\xff\xd9")
        )
    assert [*decode_mkv(io.BytesIO(encode_mkv(frames)))] == [frame.jpeg for frame in frames]


@pytest.mark.parametrize("decode", [decode_flac, decode_mkv])
@pytest.mark.parametrize("data", [b"", b"junk" * 100])
def test_what_is_no_segment_is_refused(decode, data):
    with pytest.raises(MediaError, match="segment"):
        [*decode(io.BytesIO(data))]


def test_sound_is_cut_into_chunks_that_follow_each_other(tmp_path):
    chunks = list(audio_chunks(write_sound(tmp_path / "a.mkv"), "mic", 7_000))
    assert [len(chunk.pcm) for chunk in chunks] == [CHUNK_SAMPLES] * 62 + [256]
    assert chunks[0].t_ns == 7_000
    assert all(a.t_end_ns == b.t_ns for a, b in pairwise(chunks))
    found = np.concatenate([chunk.pcm for chunk in chunks]) / 32768
    assert np.abs(found[100:-100] - tone(SAMPLE_RATE_HZ, 2.0)[100:-100, 0]).max() < 1e-3


def test_a_hole_in_the_sound_is_a_hole_in_the_times(tmp_path):
    chunks = list(audio_chunks(write_sound(tmp_path / "a.mkv", skip=(0.5, 1.1)), "mic", 0))
    holes = [(a.t_end_ns / 1e9, b.t_ns / 1e9) for a, b in pairwise(chunks) if a.t_end_ns != b.t_ns]
    assert holes == [(pytest.approx(0.5, abs=1e-3), pytest.approx(1.1, abs=1e-3))]
    assert chunks[-1].t_end_ns / 1e9 == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize(("stored_hz", "rate_hz", "count"), [(30, 10, 20), (30, 60, 60), (25, 10, 20), (10, 10, 20)])
def test_pictures_come_at_most_at_the_rate(tmp_path, stored_hz, rate_hz, count):
    path = write_pictures(tmp_path / "v.mkv", stored_hz)  # Matroska rounds times to ms
    frames = list(video_frames(path, "camera", 5, rate_hz, 640, 85))
    assert len(frames) == count
    assert frames[0].t_ns == 5
    assert frames[-1].t_ns < 2e9 + 5
    assert all(b.t_ns - a.t_ns >= 0.7e9 / rate_hz for a, b in pairwise(frames))


@pytest.mark.parametrize(("width_px", "size"), [(160, (160, 120)), (640, (320, 240)), (101, (100, 76))])
def test_pictures_are_scaled_down_and_never_up(tmp_path, width_px, size):
    frame = next(video_frames(write_pictures(tmp_path / "v.mp4"), "camera", 0, 10, width_px, 95))
    assert (frame.width_px, frame.height_px) == size
    picture = pixels(frame.jpeg)
    assert picture.shape == (size[1], size[0], 3)
    assert abs(picture[:, : size[0] // 2 - 8].mean() - 200) < 4  # full range: neither washed out nor too dark
    assert picture[:, size[0] // 2 + 8 :].mean() < 6


def test_a_better_quality_is_a_larger_picture(tmp_path):
    path = write_pictures(tmp_path / "v.mp4", noise=True)
    sizes = [len(next(video_frames(path, "camera", 0, 10, 640, quality)).jpeg) for quality in (1, 50, 85, 100)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_pictures_of_a_turned_telephone_are_upright(tmp_path, quarters):
    path = write_pictures(tmp_path / "v.mp4")
    plain = next(video_frames(path, "camera", 0, 10, 640, 95))
    frame = next(video_frames(turn(path, quarters), "camera", 0, 10, 640, 95))
    expected = np.rot90(pixels(plain.jpeg), -quarters)
    assert (frame.height_px, frame.width_px) == expected.shape[:2]
    assert np.abs(pixels(frame.jpeg).astype(int) - expected).mean() < 3


def test_sound_and_pictures_keep_their_distance(tmp_path):
    path = tmp_path / "late.mkv"
    write_sound(tmp_path / "a.mkv"), write_pictures(tmp_path / "v.mkv", start_s=0.5)
    with av.open(tmp_path / "a.mkv") as a, av.open(tmp_path / "v.mkv") as v, av.open(path, "w") as both:
        copies = [(c, both.add_stream_from_template(c.streams[0])) for c in (a, v)]
        for container, stream in copies:
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    both.mux(packet)
    assert next(audio_chunks(path, "mic", 0)).t_ns == 0
    assert next(video_frames(path, "camera", 0, 10, 640, 85)).t_ns == 500_000_000
    found = probe(path)
    assert found == MediaInfo(True, True, pytest.approx(2.5, abs=0.01), channels=2, rate_hz=44_100)


def test_missing_foreign_and_wrong_files_are_named_in_one_line(tmp_path):
    (tmp_path / "junk.wav").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "empty.wav").write_bytes(b"")
    sound, pictures = write_sound(tmp_path / "a.mkv"), write_pictures(tmp_path / "v.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(pictures.read_bytes()[:2_000])
    for path, words in [
        (tmp_path / "none.wav", "no such file"),
        (tmp_path / "junk.wav", "not a media file"),
        (tmp_path / "empty.wav", "not a media file"),
        (cut, "cut off before its index"),
        (tmp_path, "cannot be read"),
        (pictures, "holds no audio stream"),
    ]:
        with pytest.raises(MediaError, match=words) as caught:
            next(audio_chunks(path, "mic", 0))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="holds no video stream"):
        next(video_frames(sound, "camera", 0, 10, 640, 85))


def test_sound_of_no_length_is_empty(tmp_path):
    with av.open(tmp_path / "a.wav", "w") as container:
        container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        container.start_encoding()
    with pytest.raises(MediaError, match="empty"):
        next(audio_chunks(tmp_path / "a.wav", "mic", 0))


@pytest.mark.parametrize("form", ["flac", "wav", "matroska"])
def test_a_cut_file_gives_what_it_holds_and_then_an_error(tmp_path, form):
    path = tmp_path / "cut"
    pcm = np.random.default_rng(0).integers(-9_000, 9_000, 80_000).astype(np.int16)
    with av.open(path, "w", format=form) as container:
        stream = container.add_stream("pcm_s16le" if form == "wav" else "flac", rate=SAMPLE_RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    whole = np.concatenate([chunk.pcm for chunk in audio_chunks(path, "mic", 0)])
    assert np.array_equal(whole, pcm)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5 + 7])
    held = []
    with pytest.raises(MediaError, match=r"ends early, at \d\.\d s"):
        held.extend(chunk.pcm for chunk in audio_chunks(path, "mic", 0))
    found = np.concatenate(held)
    assert len(pcm) * 0.5 < len(found) < len(pcm) * 0.65
    assert np.array_equal(found[:40_000], pcm[:40_000])


def test_a_name_with_a_colon_is_a_file_and_not_a_protocol(tmp_path):
    path = write_sound(tmp_path / "http:a.mkv", seconds=0.1)
    assert probe(path).audio


@pytest.mark.parametrize("form", ["matroska", "wav"])
def test_tags_that_are_not_utf_8_are_no_reason_to_refuse_a_file(tmp_path, form):
    path = tmp_path / "tagged"
    with av.open(path, "w", format=form) as container:
        container.metadata["title"] = "Cafe!"
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_600), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    stored = path.read_bytes()
    assert stored.count(b"Cafe!") == 1
    path.write_bytes(stored.replace(b"Cafe!", b"Caf\xe9!"))  # Latin-1
    assert probe(path).audio
    assert sum(len(chunk.pcm) for chunk in audio_chunks(path, "mic", 0)) == 1_600


def test_real_recordings_are_read_whole(shared_data):
    speech = shared_data / "recordings" / "jfk.flac"
    assert sum(len(chunk.pcm) for chunk in audio_chunks(speech, "mic", 0)) == 11 * SAMPLE_RATE_HZ
    clip = shared_data / "recordings" / "faces" / "single_face.mp4"
    assert len(list(video_frames(clip, "camera", 0, 10, 320, 85))) == 24
