"""Bad sound, bad pictures and odd names through the command itself: an answer, perhaps a poorer one, and what is wrong.

Everything is made here from the demo, in a format that every machine has.
"""

import json
import wave
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from sounds import read_pcm
from test_cli import a_fresh_user, run  # noqa: F401 - fixtures
from tiny_world import options

from erc_live.live.demo import make

DEMO = Path(make.__file__).parent
RATE_HZ = 16_000
PICTURES = 12


@pytest.fixture(scope="module")
def voices():
    """Two people who speak at once, for 6 s: int16 (n,) each."""
    ada, ben = (read_pcm(DEMO / name) for name in ("ada.flac", "ben.flac"))
    return [pcm[np.abs(pcm) > 0][: 6 * RATE_HZ] for pcm in (ada, ben)]


def keep_sound(path, samples, rate_hz=RATE_HZ):
    """Samples (n,) or (n, channels), as far as 16 bits go."""
    samples = np.clip(np.rint(samples), -32_768, 32_767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())


def at_rate(pcm, rate_hz):
    """Linear interpolation will do: this is about what is accepted, not how well it sounds."""
    return np.interp(np.arange(0, len(pcm), RATE_HZ / rate_hz), np.arange(len(pcm)), pcm)


def noise(samples):
    return np.random.default_rng(0).normal(0, 10, samples)


SOUNDS = {
    "clipped": (lambda a, b: (12.0 * a, RATE_HZ), "clipping"),
    "8 kHz": (lambda a, b: (at_rate(a, 8_000), 8_000), "telephone"),
    "44.1 kHz stereo": (lambda a, b: (np.stack([at_rate(a, 44_100)] * 2, 1), 44_100), ""),
    "offset": (lambda a, b: (0.5 * a + 9_000 + noise(len(a)), RATE_HZ), "offset"),
    "overlapping": (lambda a, b: (0.5 * a[: len(b)] + 0.5 * b[: len(a)], RATE_HZ), ""),
    "out of phase": (lambda a, b: (np.stack([a, -a], 1), RATE_HZ), "cancel each other"),
    "no pause": (lambda a, b: (np.tile(a, 4), RATE_HZ), ""),
}


def events(text):
    return [json.loads(line) for line in text.splitlines() if '"EmotionEvent"' in line]


def assert_sound(said):
    for event in said:
        assert event["t_start_ns"] < event["t_end_ns"] <= event["t_closed_ns"]
        assert sum(event["probs"].values()) == pytest.approx(1.0, abs=1e-6)
        assert "audio" in event["modalities"]
    assert [event["seq"] for event in said] == [*range(len(said))]


@pytest.mark.parametrize("kind", SOUNDS)
def test_bad_sound_is_answered_and_told(kind, run, tmp_path, voices, tiny_world):  # noqa: F811
    spoil, says = SOUNDS[kind]
    samples, rate_hz = spoil(*(voice.astype(float) for voice in voices))
    keep_sound(tmp_path / "bad.wav", samples, rate_hz)
    arguments = ["--speed", "max", "--set", "transcriber.engine=none", *options(tiny_world)]
    code, out, err = run("replay", "bad.wav", *arguments)
    assert code == 0, err
    assert events(out)
    assert_sound(events(out))
    assert max(e["t_end_ns"] - e["t_start_ns"] for e in events(out)) <= 15e9
    assert says in err


def test_all_zero_is_no_utterance_and_is_told(run, tmp_path, tiny_world):  # noqa: F811
    keep_sound(tmp_path / "zero.wav", np.zeros(11 * RATE_HZ))
    code, out, err = run("replay", "zero.wav", "--speed", "max", *options(tiny_world | {"transcriber.engine": "none"}))
    assert code == 0
    assert not events(out)
    assert "all zero" in err


@pytest.mark.parametrize("name", ["a b=c@2.wav", "ünï cödé=Ann.wav", "x@1=Bob.wav", "--mic.wav"])
def test_a_file_may_have_any_name(name, run, tmp_path, voices, tiny_world):  # noqa: F811
    keep_sound(tmp_path / name, voices[0])
    world = options(tiny_world | {"transcriber.engine": "none"})
    code, out, err = run("replay", "--mic", f"{name}=Zoë", "--speed", "max", *world)
    assert code == 0, err
    assert {event["speaker_name"] for event in events(out)} == {"Zoë"}


def test_who_leaves_early_holds_nobody_up(run, tmp_path, voices, tiny_world):  # noqa: F811
    keep_sound(tmp_path / "short.wav", voices[0][: 2 * RATE_HZ])
    keep_sound(tmp_path / "long.wav", np.concatenate([np.zeros(3 * RATE_HZ), voices[1]]))
    world = options(tiny_world | {"transcriber.engine": "none"})
    code, out, err = run("replay", "--mic", "short.wav=A", "--mic", "long.wav=B", "--speed", "max", *world)
    assert code == 0, err
    names = [event["speaker_name"] for event in events(out)]
    assert (names[0], names[-1]) == ("A", "B")
    assert_sound(events(out))


def test_words_of_other_languages_and_of_after_the_end_do_no_harm(run, tmp_path, voices, tiny_world):  # noqa: F811
    keep_sound(tmp_path / "talk.wav", voices[0])
    (tmp_path / "words.vtt").write_text(
        "WEBVTT\n\n00:00.000 --> 00:06.500\n<v Bj\u00f6rn>\u65e5\u672c\u8a9e \u0447\u0442\u043e &amp; \u00e7a\n\n"
        "10:00.000 --> 10:02.000\nlong after the end\n",
        encoding="utf-8",
    )
    code, out, err = run("replay", "talk.wav", "--transcript", "words.vtt", "--speed", "max", *options(tiny_world))
    assert code == 0, err
    texts = [event["text"] for event in events(out)]
    assert "\u65e5\u672c\u8a9e \u0447\u0442\u043e & \u00e7a" in texts
    assert "long after the end" not in texts
    assert "Bj\u00f6rn" in {event["speaker_name"] for event in events(out)}


def large(picture):
    rows, columns = (np.arange(size) * old // size for size, old in zip((2160, 3840), picture.shape, strict=False))
    return picture[rows][:, columns]


VIDEOS = {
    "mirrored": (lambda picture: picture[:, ::-1], 10),
    "on its side": (lambda picture: np.rot90(picture), 10),
    "upside down": (lambda picture: picture[::-1, ::-1], 10),
    "dark": (lambda picture: picture // 16, 10),
    "black": (lambda picture: picture * 0, 10),
    "1 fps": (lambda picture: picture, 1),
    "4K": (large, 2),
}


@pytest.fixture(scope="module")
def pictures():
    with av.open(str(DEMO / "faces.mp4")) as media:
        return [frame.to_ndarray(format="rgb24") for frame in islice(media.decode(video=0), PICTURES)]


def keep_video(path, pictures, rate):
    with av.open(str(path), "w") as media:
        stream = media.add_stream("mjpeg", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            media.mux(stream.encode(frame))
        media.mux(stream.encode(None))


@pytest.mark.parametrize("kind", VIDEOS)
def test_bad_pictures_change_what_is_seen_and_nothing_else(kind, run, tmp_path, voices, pictures, tiny_world):  # noqa: F811
    change, rate = VIDEOS[kind]
    keep_sound(tmp_path / "talk.wav", voices[0])
    shown = pictures[: PICTURES if rate > 2 else 4]
    keep_video(tmp_path / "bad.mkv", [change(picture) for picture in shown], rate)
    arguments = ["--speed", "max", *options(tiny_world | {"transcriber.engine": "none"})]
    code, plain, err = run("replay", "--mic", "talk.wav", *arguments)
    assert code == 0, err
    code, out, err = run("replay", "--mic", "talk.wav", "--camera", "bad.mkv", *arguments)
    assert code == 0, err
    assert_sound(events(out))
    keys = ("utterance", "t_start_ns", "t_end_ns", "text", "speaker_name")
    assert [[e[k] for k in keys] for e in events(out)] == [[e[k] for k in keys] for e in events(plain)]
    assert events(out)[0]["face_coverage"] is not None
    if kind == "black":
        assert all("visual" not in event["modalities"] for event in events(out))
