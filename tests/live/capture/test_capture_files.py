"""Files as microphones and cameras: each message when its time has come, on a clock that moves only when told."""

import wave
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np
import pytest
from sounds import read_pcm

from erc_live.live import cli
from erc_live.live.capture.source import bundle_sources, channels_hint, open_source, recorded_messages
from erc_live.live.capture.source_spec import parse_camera, parse_mic
from erc_live.live.config import CaptureSection
from erc_live.streams.clock import ManualClock
from erc_live.streams.errors import MediaError, SessionError
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import AudioChunk, VideoFrame
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest

START_NS = 7_000_000_000
SECONDS = 2
CONFIG = CaptureSection(camera_rate_hz=5.0, camera_width_px=64)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds, getting louder, at -6 dBFS (peak) in the end."""
    t = np.arange(16_000 * SECONDS) / 16_000
    path = tmp_path / "speech.flac"
    path.write_bytes(encode_flac((16384 * t / SECONDS * np.sin(2 * np.pi * 440 * t)).astype(np.int16)))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds of pictures without sound, 25 Hz."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuvj420p"
        for i in range(25 * SECONDS):
            image = np.full((96, 128, 3), 5 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_sound_arrives_when_it_has_been_spoken(speech: Path) -> None:
    source = open_source(parse_mic(f"{speech}=Ada", 0), CONFIG)
    clock = ManualClock(START_NS)
    source.start(clock, START_NS)
    chunks: list[AudioChunk] = []
    while not source.finished:
        got = source.read(0.02)
        assert all(chunk.t_end_ns <= clock.t_ns for chunk in got)
        chunks += got
    assert [chunk.source for chunk in chunks[:1]] == ["mic-0"]
    assert chunks[0].t_ns == START_NS
    assert sum(len(chunk.pcm) for chunk in chunks) == 16_000 * SECONDS
    assert source.level_db == pytest.approx(-9.03, abs=0.5)
    assert source.read(0.02) == []
    assert (source.note, source.dropped) == ("", 0)
    source.close()
    source.close()


def test_read_waits_for_the_next_message_and_no_longer_than_told(speech: Path) -> None:
    source = open_source(parse_mic(str(speech), 0), CONFIG)
    clock = ManualClock(START_NS)
    source.start(clock, START_NS)
    assert source.read(0.01) == []
    assert clock.t_ns == START_NS + 10_000_000
    assert len(source.read(10.0)) == 1
    assert clock.t_ns == START_NS + 32_000_000
    clock.t_ns += 320_000_000
    assert len(source.read(0)) == 10, "a late reader gets all that is due"


def test_pictures_keep_their_time_and_the_configured_rate(clip: Path) -> None:
    source = open_source(parse_camera(str(clip), 0), CONFIG)
    clock = ManualClock(START_NS)
    source.start(clock, START_NS)
    frames: list[VideoFrame] = []
    while not source.finished:
        got = source.read(0.05)
        assert all(frame.t_ns <= clock.t_ns for frame in got)
        frames += got
    assert len(frames) == 5 * SECONDS
    assert [frame.t_ns - START_NS for frame in frames[:3]] == [0, 200_000_000, 400_000_000]
    assert (frames[0].width_px, frames[0].height_px) == (64, 48)
    assert source.level_db is None


def test_without_a_clock_the_same_messages_come_at_once(speech: Path) -> None:
    spec = parse_mic(str(speech), 0)
    source = open_source(spec, CONFIG)
    clock = ManualClock(START_NS)
    source.start(clock, START_NS)
    clock.t_ns += 10 * SECONDS * 1_000_000_000
    paced, (*at_once, _) = source.read(0), recorded_messages(spec, CONFIG, START_NS)
    assert [chunk.t_ns for chunk in paced] == [chunk.t_ns for chunk in at_once]
    assert all(np.array_equal(a.pcm, b.pcm) for a, b in zip(paced, at_once, strict=True))


def test_a_recorded_session_is_played_source_by_source(tmp_path: Path) -> None:
    recorded_ns = 3_000_000_000
    sound = [
        AudioChunk(source="desk", t_ns=recorded_ns + n * 32_000_000, pcm=np.full(512, n, np.int16)) for n in range(50)
    ]
    picture = VideoFrame(source="door", t_ns=recorded_ns + 5_000_000, width_px=8, height_px=8, jpeg=tiny_jpeg())
    recorded = [RecordedSource(name="desk", kind="audio", speaker="Ada"), RecordedSource(name="door", kind="video")]
    with Recorder(tmp_path / "s", new_manifest("s", recorded_ns, 0, recorded, {})) as recorder:
        for message in (*sound, picture):
            recorder.write(message)
    desk, door = bundle_sources(tmp_path / "s")
    assert (desk.kind, desk.medium, desk.name, desk.speaker) == ("mic", "bundle", "desk", "Ada")
    assert (door.kind, door.medium, door.name, door.speaker) == ("camera", "bundle", "door", None)

    source = open_source(desk, CONFIG)
    clock = ManualClock(START_NS)
    source.start(clock, START_NS)
    clock.t_ns += 10_000_000_000
    played = source.read(0)
    assert [chunk.t_ns - START_NS for chunk in played] == [chunk.t_ns - recorded_ns for chunk in sound]
    assert all(np.array_equal(a.pcm, b.pcm) for a, b in zip(played, sound, strict=True))
    again, _ = recorded_messages(door, CONFIG, START_NS)
    assert (again.t_ns, again.jpeg) == (START_NS + 5_000_000, picture.jpeg)
    with pytest.raises(MediaError, match="no sound for cellar"):
        open_source(msgspec.structs.replace(desk, name="cellar"), CONFIG)
    with pytest.raises(SessionError, match="not a recorded session"):
        open_source(msgspec.structs.replace(desk, target=str(tmp_path)), CONFIG)


def tiny_jpeg() -> bytes:
    return cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


def test_what_a_file_does_not_hold_is_said_when_it_is_opened(speech: Path, clip: Path, tmp_path: Path) -> None:
    for spec in (parse_mic(str(clip), 0), parse_camera(str(speech), 0)):
        with pytest.raises(MediaError, match="holds no"):
            open_source(spec, CONFIG)
    junk = tmp_path / "junk.wav"
    junk.write_bytes(b"not a sound")
    with pytest.raises(MediaError, match="not a media file"):
        open_source(parse_mic(str(junk), 0), CONFIG)


def test_a_file_that_is_cut_off_ends_there_with_a_note(clip: Path) -> None:
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 3])
    source = open_source(parse_camera(str(clip), 0), CONFIG)
    clock = ManualClock(START_NS)
    source.start(clock, START_NS)
    clock.t_ns += 10_000_000_000
    assert source.read(0)
    assert source.finished
    assert "ends early" in source.note


DEMO = Path(cli.__file__).parent / "demo"


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    """The two voices of the demo as the channels of one file, and what each of them is."""
    voices = [read_pcm(DEMO / f"{name}.flac") for name in ("ada", "ben")]
    n = min(map(len, voices))
    path = tmp_path_factory.mktemp("call") / "call.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.stack([voice[:n] for voice in voices], axis=1).tobytes())
    return path, [voice[:n] for voice in voices]


def test_each_channel_of_a_file_is_a_source_of_its_own(call: tuple[Path, list[np.ndarray]]) -> None:
    path, voices = call
    for channel, voice in enumerate(voices, 1):
        spec = parse_mic(f"{path}@{channel}=Somebody", channel)
        *chunks, _ = recorded_messages(spec, CONFIG, START_NS)
        assert np.array_equal(np.concatenate([chunk.pcm for chunk in chunks]), voice)
        source, clock = open_source(spec, CONFIG), ManualClock(START_NS)
        source.start(clock, START_NS)
        clock.t_ns += 1000 * 1_000_000_000
        paced = source.read(0)
        assert all(np.array_equal(a.pcm, b.pcm) for a, b in zip(paced, chunks, strict=True))
    with pytest.raises(MediaError, match="no channel 3"):
        open_source(parse_mic(f"{path}@3", 0), CONFIG)


def test_two_voices_in_one_file_are_worth_a_hint(call: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    path, (one, _) = call
    assert f"--mic {path}@1=" in channels_hint(path)
    assert channels_hint(DEMO / "ada.flac") == ""
    for name, channels in (("same", (one, one)), ("one", (one, 0 * one)), ("softer", (one, one // 4))):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(np.stack(channels, axis=1).tobytes())
        assert channels_hint(tmp_path / f"{name}.wav") == ""


def test_bad_sound_is_told_while_it_is_played_and_the_same_at_any_speed(tmp_path: Path) -> None:
    path = tmp_path / "bad.flac"
    t = np.arange(16_000 * 10) / 16_000
    path.write_bytes(encode_flac((60_000 * np.sin(2 * np.pi * 200 * t) + 3000).clip(-32768, 32767).astype(np.int16)))
    source, clock = open_source(parse_mic(str(path), 0), CONFIG), ManualClock(START_NS)
    source.start(clock, START_NS)
    clock.t_ns += 9_000_000_000
    paced = source.read(0)
    assert "clipping" in source.note
    assert "offset" in source.note
    clock.t_ns += 9_000_000_000
    paced += source.read(0)
    assert (source.finished, source.note) == (True, ""), "at the end a note would mean damage"
    *at_once, _ = recorded_messages(parse_mic(str(path), 0), CONFIG, START_NS)
    assert all(np.array_equal(a.pcm, b.pcm) for a, b in zip(paced, at_once, strict=True))
    with Recorder(
        tmp_path / "s", new_manifest("s", START_NS, 0, [RecordedSource(name="mic-0", kind="audio")], {})
    ) as recorder:
        for chunk in paced:
            recorder.write(chunk)
    (kept,) = bundle_sources(tmp_path / "s")
    *again, _ = recorded_messages(kept, CONFIG, START_NS)
    assert all(np.array_equal(a.pcm, b.pcm) for a, b in zip(paced, again, strict=True)), "mended once only"
