"""Media as people have them: stamps that are missing or begin anew, lengths that nobody knew, forms that nothing here
decodes, several tracks, and channels that are more than two or cancel each other.
"""

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from erc_live.streams.errors import MediaError
from erc_live.streams.media import Resampler, audio_chunks, probe, video_frames
from erc_live.streams.messages import SAMPLE_RATE_HZ, AudioChunk, VideoFrame
from erc_live.streams.mixing import Mixer
from erc_live.streams.replay import FrameSettings, MediaSource, source_messages
from erc_live.streams.timeline import Timeline

RATE_HZ = 48_000
PICTURES_HZ = 25


def noise(seconds: float, rate_hz: int = RATE_HZ, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, level, round(seconds * rate_hz)).clip(-1, 1).astype(np.float32)


def write(
    path: Path, form: str, sound: str | None, picture: str | None, seconds: float = 2.0, offset_s: float = 0.0
) -> Path:
    """Noise and growing light, `offset_s` on the clock of the file; the muxer of libav interleaves them."""
    with av.open(path, "w", format=form) as media:
        streams = []
        if sound is not None:
            stream = media.add_stream(sound, rate=RATE_HZ, layout="mono")
            stream.bit_rate = 128_000
            samples, block = noise(seconds), stream.codec_context.frame_size or 1024
            resampler = av.AudioResampler(format=stream.format, layout="mono", rate=RATE_HZ)
            frames = []
            for start in range(0, len(samples), block):
                frame = av.AudioFrame.from_ndarray(samples[None, start : start + block], format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
                frame.pts = start + round(offset_s * RATE_HZ)
                frames += resampler.resample(frame)
            streams.append((stream, frames))
        if picture is not None:
            stream = media.add_stream(picture, rate=PICTURES_HZ)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            frames = []
            for number in range(round(seconds * PICTURES_HZ)):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * number % 250, np.uint8), format="rgb24")
                frame.pts, frame.time_base = number + round(offset_s * PICTURES_HZ), Fraction(1, PICTURES_HZ)
                frames.append(frame.reformat(format="yuv420p"))
            streams.append((stream, frames))
        packets = [p for stream, frames in streams for frame in [*frames, None] for p in stream.encode(frame)]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            media.mux(packet)
    return path


def heard(path: Path, mixer: Mixer | None = None) -> list[AudioChunk]:
    return list(audio_chunks(path, "mic", 0, mixer=mixer))


def seen(path: Path) -> list[VideoFrame]:
    return list(video_frames(path, "camera", 0, 10, 64, 50))


def holes(chunks: list[AudioChunk]) -> list[tuple[float, float]]:
    return [(a.t_end_ns / 1e9, b.t_ns / 1e9) for a, b in pairwise(chunks) if a.t_end_ns != b.t_ns]


@pytest.mark.parametrize("picture", [None, "wmv2"])
def test_a_frame_without_a_stamp_begins_where_the_one_before_it_ends(tmp_path, picture):
    """The last sound of every WMA and WMV: its decoder keeps a frame back, and gives it no time."""
    path = write(tmp_path / "a.wma", "asf", "wmav2", picture)
    chunks = heard(path)
    assert holes(chunks) == []
    assert chunks[-1].t_end_ns / 1e9 == pytest.approx(2.0, abs=0.15)
    if picture:
        assert seen(path)[-1].t_ns / 1e9 == pytest.approx(1.96, abs=0.15)


@pytest.mark.parametrize(("form", "codec"), [("adts", "aac"), ("mp3", "libmp3lame"), ("wv", "wavpack"), ("ac3", "ac3")])
def test_raw_sound_counts_its_own_samples(tmp_path, form, codec):
    if codec == "libmp3lame" and codec not in av.codecs_available:
        pytest.skip("this PyAV encodes no MP3")
    chunks = heard(write(tmp_path / "a", form, codec, None))
    assert holes(chunks) == []
    assert chunks[-1].t_end_ns / 1e9 == pytest.approx(2.0, abs=0.15)


def test_only_raw_pictures_without_any_times_are_refused(tmp_path):
    codec = "libx264" if "libx264" in av.codecs_available else "h264"
    path = write(tmp_path / "a.h264", "h264", None, codec)
    with pytest.raises(MediaError, match="carries no times: put it into a container"):
        seen(path)


JOINED = {  # parts by their offset on the clock of the file, in s: what a recorder of television leaves
    "begins anew": (0.0, 0.0),
    "many": (0.0,) * 6,
    "earlier": (1000.0, 0.0),
    "hours later": (0.0, 50_000.0),
    "over the end of the counter": (95_442.0, 0.0),
    "mixed": (50_000.0, 0.0, 1_000.0, 2.0),
}
TRANSPORT = ("mpegts", "aac", "mpeg2video")
PROGRAM = ("vob", "mp2", "mpeg2video")


@pytest.mark.parametrize(
    ("form", "parts"), [*((TRANSPORT, parts) for parts in JOINED), (PROGRAM, "begins anew"), (PROGRAM, "many")]
)
def test_parts_that_were_joined_follow_each_other_and_stay_together(tmp_path, form, parts):
    offsets = JOINED[parts]
    files = [write(tmp_path / f"{n}", *form, offset_s=offset) for n, offset in enumerate(offsets)]
    joined = tmp_path / "joined"
    joined.write_bytes(b"".join(file.read_bytes() for file in files))
    sound, pictures = heard(joined), seen(joined)
    assert all(end - start < 0.1 for start, end in holes(sound)), "a joint is heard at most as a breath"
    assert sound[-1].t_end_ns / 1e9 == pytest.approx(2.0 * len(offsets), abs=0.1 * len(offsets))
    assert sum(len(chunk.pcm) for chunk in sound) / SAMPLE_RATE_HZ == pytest.approx(2 * len(offsets), rel=0.05)
    assert len(pictures) == pytest.approx(20 * len(offsets), rel=0.1)
    assert all(a.t_ns < b.t_ns < a.t_ns + 250_000_000 for a, b in pairwise(pictures))
    assert abs(pictures[-1].t_ns - sound[-1].t_end_ns) < 200_000_000


def test_a_counter_that_runs_over_is_no_new_part(tmp_path):
    path = write(tmp_path / "a.ts", *TRANSPORT, seconds=4.0, offset_s=2**33 / 90_000 - 2.0)
    sound, pictures = heard(path), seen(path)
    assert holes(sound) == []
    assert len(pictures) == 40
    assert pictures[-1].t_ns / 1e9 == pytest.approx(3.9, abs=0.1)


def test_a_long_hole_remains_a_hole_for_sound_and_pictures(tmp_path):
    parts = [write(tmp_path / f"{offset}", *TRANSPORT, offset_s=offset).read_bytes() for offset in (0.0, 62.0)]
    (tmp_path / "hole.ts").write_bytes(b"".join(parts))
    sound, pictures = heard(tmp_path / "hole.ts"), seen(tmp_path / "hole.ts")
    assert holes(sound) == [(pytest.approx(2.0, abs=0.1), pytest.approx(62.0, abs=0.1))]
    assert sum(a.t_ns + 50 * 10**9 < b.t_ns for a, b in pairwise(pictures)) == 1
    assert abs(pictures[-1].t_ns - sound[-1].t_end_ns) < 200_000_000


class Stream:
    def __init__(self, index):
        self.index = index


class Packet:
    """As much of a packet as a timeline looks at."""

    time_base = Fraction(1, 1000)

    def __init__(self, index, at_ms, duration_ms=40):
        self.stream, self.dts, self.pts, self.duration = Stream(index), at_ms, at_ms + 80, duration_ms


@settings(max_examples=60, deadline=None)
@given(
    starts_ms=st.lists(st.integers(0, 90_000_000), min_size=1, max_size=5),
    length=st.integers(30, 60),
    lag=st.integers(0, 8),
)
@example(starts_ms=[0, 0, 1860], length=30, lag=0)  # the third goes on half a second before the first has ended
def test_whatever_the_clocks_of_the_parts_say_times_go_on_and_streams_keep_their_distance(starts_ms, length, lag):
    """Packets of the second stream lie `lag` packets behind in the file, as its muxer or parser left them."""
    steps_ms = [after - (before + 40 * (length - 1)) for before, after in pairwise(starts_ms)]
    assume(not any(-100 <= step <= 0 for step in steps_ms))  # by so little stamps jitter: nobody could tell
    first = [(start + 40 * n) for start in starts_ms for n in range(length)]
    packets = []
    for n in range(len(first) + lag):
        packets += [Packet(0, first[n])] if n < len(first) else []
        packets += [Packet(1, first[n - lag])] if n >= lag else []
    timeline, times = Timeline("mpegts"), {0: [], 1: []}
    for packet in packets:
        timeline.mend(packet)
        times[packet.stream.index].append(packet.dts)
        assert packet.pts - packet.dts == 80
    for found in times.values():
        assert all(b - a >= -100 for a, b in pairwise(found)), "a step back of 0.1 s is jitter, and does no harm"
    assert max(abs(a - b) for a, b in zip(times[0], times[1], strict=True)) <= 40 * lag


def test_one_wrong_stamp_moves_nothing_else():
    stamps = [40 * n for n in range(100)]
    stamps[50] = 80_000_000
    timeline, found = Timeline("mpegts"), []
    for stamp in stamps:
        packet = Packet(0, stamp)
        timeline.mend(packet)
        found.append(packet.dts)
    assert found[:50] + found[51:] == stamps[:50] + stamps[51:]


PCM = (noise(3.0, SAMPLE_RATE_HZ) * 32767).astype("<i2").tobytes()


def wav(length: int, data: bytes = PCM, tag: int = 1, riff: bytes = b"RIFF") -> bytes:
    form = struct.pack("<IHHIIHH", 16, tag, 1, SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ, 2, 16)
    return (
        riff
        + struct.pack("<I", min(length + 36, 2**32 - 1))
        + b"WAVEfmt "
        + form
        + b"data"
        + struct.pack("<I", length)
        + data
    )


@pytest.mark.parametrize("length", [0, 2**32 - 1, 2**32 - 37, 2**31 - 1, 2**31, 0x7FFFF000, len(PCM), len(PCM) + 44])
def test_a_wav_whose_length_nobody_knew_is_whole(tmp_path, length):
    (tmp_path / "a.wav").write_bytes(wav(length))
    assert heard(tmp_path / "a.wav")[-1].t_end_ns == 3 * 10**9


def test_a_wav_that_is_shorter_than_it_says_is_cut(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(len(PCM), PCM[:60_001]))
    with pytest.raises(MediaError, match=r"ends early, at 1\.9 s"):
        heard(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "data", [wav(len(PCM)) * 2, wav(len(PCM) // 2)], ids=["joined", "longer than its writer counted"]
)
def test_a_wav_that_goes_on_after_its_length_is_not_cut_in_silence(tmp_path, data):
    (tmp_path / "a.wav").write_bytes(data)
    found = []
    with pytest.raises(MediaError, match=r"its header says that its sound ends at [13]\.\d s, and more follows"):
        found.extend(audio_chunks(tmp_path / "a.wav", "mic", 0))
    assert found[-1].t_end_ns in (1_500_000_000, 3_000_000_000)


@pytest.mark.parametrize(
    "notes", [b"LIST" + struct.pack("<I", 40_000) + bytes(40_000), b"TAG" + bytes(125), bytes(9_000)]
)
def test_notes_behind_the_sound_are_no_sound(tmp_path, notes):
    (tmp_path / "a.wav").write_bytes(wav(len(PCM)) + notes)
    assert heard(tmp_path / "a.wav")[-1].t_end_ns == 3 * 10**9


class Pipe:
    """Where nobody can go back to."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += bytes(data)
        return len(data)


PIPED = {
    "wav": "pcm_s16le",
    "flac": "flac",
    "matroska": "flac",
    "mpegts": "aac",
    "caf": "pcm_s16be",
    "au": "pcm_s16be",
    "ogg": "flac",
}


@pytest.mark.parametrize("form", PIPED)
def test_what_was_written_through_a_pipe_is_whole(tmp_path, form):
    pipe = Pipe()
    with av.open(pipe, "w", format=form) as media:
        stream = media.add_stream(PIPED[form], rate=SAMPLE_RATE_HZ, layout="mono")
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=SAMPLE_RATE_HZ)
        samples = noise(3.07, SAMPLE_RATE_HZ)
        for start in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
            media.mux([packet for f in resampler.resample(frame) for packet in stream.encode(f)])
        media.mux(stream.encode(None))
    (tmp_path / "piped").write_bytes(pipe.data)
    chunks = heard(tmp_path / "piped")
    assert holes(chunks) == []
    assert chunks[-1].t_end_ns / 1e9 == pytest.approx(3.07, abs=0.15)


def test_a_matroska_file_that_does_not_begin_at_zero_is_not_cut(tmp_path):
    path = write(tmp_path / "a.mkv", "matroska", "flac", "mpeg4", offset_s=5.0)
    assert heard(path)[-1].t_end_ns / 1e9 == pytest.approx(2.0, abs=0.1)


def test_sound_in_a_form_that_nothing_decodes_is_one_line(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(len(PCM), tag=0x777))
    info = probe(tmp_path / "a.wav")
    assert (info.audio, info.undecodable) == (False, ("audio",))
    with pytest.raises(MediaError, match=r"a\.wav: its sound cannot be decoded") as caught:
        heard(tmp_path / "a.wav")
    assert "\n" not in str(caught.value)


def renamed(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [(b"V_MPEG4/ISO/ASP", b"V_MPEG9/XXX/XXX", "video"), (b"A_FLAC", b"A_XXXX", "audio")],
)
def test_what_can_be_decoded_is_heard_or_seen_though_the_rest_cannot(tmp_path, old, new, lost):
    path = renamed(write(tmp_path / "a.mkv", "matroska", "flac", "mpeg4"), old, new)
    info = probe(path)
    assert (info.audio, info.video, info.undecodable) == (lost != "audio", lost != "video", (lost,))
    good, bad = (heard, seen) if lost == "video" else (seen, heard)
    assert good(path)
    with pytest.raises(MediaError, match="cannot be decoded"):
        bad(path)


def test_pictures_of_which_none_can_be_decoded_end_at_once_and_say_why(tmp_path):
    path = write(tmp_path / "a.mkv", "matroska", "flac", "ffv1")
    data = bytearray(path.read_bytes())
    with av.open(path) as media:
        for packet in media.demux(video=0):
            if packet.size:
                at = data.index(bytes(packet))
                data[at : at + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    how = FrameSettings(10, 64, 50)
    *frames, end = source_messages(MediaSource(path, "camera-0", "video"), 0, how)
    assert frames == []
    assert end.damaged
    assert "pictures cannot be decoded" in end.reason
    assert len([*source_messages(MediaSource(path, "mic-0", "audio"), 0, how)]) > 50


def two_tracks(path: Path, default: int) -> Path:
    """Two sound tracks of 1 s, the first silent; `default` is flagged."""
    with av.open(path, "w", format="matroska") as media:
        streams = [media.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono") for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default.value if number == default else 0
        for number, stream in enumerate(streams):
            pcm = np.full((1, SAMPLE_RATE_HZ), 5_000 * number, np.int16)
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, 0
            media.mux([*stream.encode(frame), *stream.encode(None)])
    return path


@pytest.mark.parametrize("default", [0, 1])
def test_of_several_tracks_the_one_that_is_flagged_is_heard(tmp_path, default):
    chunks = heard(two_tracks(tmp_path / "a.mkv", default))
    assert {int(chunk.pcm.max()) for chunk in chunks} == {5_000 * default}


def surround(path: Path, layout: str, levels: dict[str, float]) -> np.ndarray:
    """What is heard of a tone that stands at these levels in these channels."""
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    samples = np.stack([levels.get(name, 0.0) * tone for name in names], axis=1).astype(np.float32)
    with av.open(path, "w", format="wav") as media:
        stream = media.add_stream("pcm_f32le", rate=SAMPLE_RATE_HZ, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, 0
        media.mux([*stream.encode(frame), *stream.encode(None)])
    return np.concatenate([chunk.pcm for chunk in heard(path)]).astype(int)


@pytest.mark.parametrize("layout", ["3.0", "5.1", "5.1(side)", "7.1"])
def test_speech_in_the_middle_loudspeaker_stays_as_loud_as_it_is(tmp_path, layout):
    assert np.abs(surround(tmp_path / "a.wav", layout, {"FC": 1.0})).max() == pytest.approx(16_384, rel=0.01)


@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_what_all_loudspeakers_say_is_turned_down_and_not_cut_off(tmp_path, layout):
    everywhere = dict.fromkeys(("FL", "FR", "FC", "BL", "BR", "SL", "SR", "LFE"), 2.0)
    pcm = surround(tmp_path / "a.wav", layout, everywhere)
    assert np.abs(pcm).max() > 30_000
    assert np.mean(np.abs(pcm) >= 32_767) < 0.02
    assert np.abs(pcm).mean() / np.abs(pcm).max() == pytest.approx(2 / np.pi, rel=0.05), "a sine, still"


def stereo(path: Path, left: np.ndarray, right: np.ndarray) -> Path:
    with av.open(path, "w", format="wav") as media:
        stream = media.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="stereo")
        packed = np.stack([left, right], 1).reshape(1, -1) * 32_767
        frame = av.AudioFrame.from_ndarray(packed.astype(np.int16), format="s16", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, 0
        media.mux([*stream.encode(frame), *stream.encode(None)])
    return path


@pytest.mark.parametrize("share", [1.0, 0.98, 0.9])
def test_channels_that_cancel_each_other_are_heard_and_it_is_known(tmp_path, share):
    left = noise(2.0, SAMPLE_RATE_HZ)
    mixer = Mixer()
    pcm = np.concatenate([chunk.pcm for chunk in heard(stereo(tmp_path / "a.wav", left, -share * left), mixer)])
    assert mixer.turned_over
    assert np.abs(pcm[4_096:] / 32_767 - left[4_096:] * (1 + share) / 2).max() < 1e-3


@pytest.mark.parametrize("right", [1.0, 0.3, 0.0, -0.3])
def test_ordinary_stereo_is_averaged(tmp_path, right):
    left = noise(2.0, SAMPLE_RATE_HZ)
    mixer = Mixer()
    pcm = np.concatenate([chunk.pcm for chunk in heard(stereo(tmp_path / "a.wav", left, right * left), mixer)])
    assert not mixer.turned_over
    assert np.abs(pcm / 32_767 - left * (1 + right) / 2).max() < 1e-3


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 20_000), max_size=12), st.integers(0, 20_000))
def test_where_channels_are_turned_over_does_not_depend_on_how_they_are_cut(cuts, from_here):
    left = noise(0.5)[:20_000]
    right = np.where(np.arange(20_000) < from_here, left, -left)
    both = np.stack([left, right], 1)
    whole, parts = Resampler(RATE_HZ, 2), Resampler(RATE_HZ, 2)
    expected = np.concatenate([whole.feed(both), whole.flush()])
    found = np.concatenate([*(parts.feed(part) for part in np.split(both, sorted(cuts))), parts.flush()])
    assert np.array_equal(found, expected)
