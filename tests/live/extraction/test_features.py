"""Measuring media that the test makes: as live would, once, in parallel, and never stopped by a broken file."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from sounds import read_pcm

from erc_live.live.config import CaptureSection
from erc_live.live.extraction.features import Extracted, Instruments, measure
from erc_live.live.vision.expression import Appearance
from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import VideoFrame

RATE = 16_000


class Loudness:
    """Stands for a voice encoder: the level of what it hears, seven times."""

    fingerprint = "loudness/1"

    def __call__(self, pcm: np.ndarray) -> np.ndarray:
        return np.full(7, np.sqrt(np.mean(pcm.astype(np.float32) ** 2)), np.float32)


class Counting:
    """Stands for a face reader: two faces; the one that speaks tells how many pictures and samples there are."""

    fingerprint = "counting/1"

    def describe(
        self, frames: Sequence[VideoFrame], pcm: np.ndarray, t_start_ns: int
    ) -> tuple[tuple[Appearance, ...], float]:
        told = np.array([len(frames), len(pcm) / RATE, frames[0].t_ns - t_start_ns, 0, 0, 0, 0, 0], np.float32)
        speaks = Appearance("camera", told, (0.7, 0.5), 0.1, 0.10, None, 1.0)
        listens = Appearance("camera", -told, (0.2, 0.5), 0.2, 0.02, None, 1.0)
        return (listens, speaks), 1.0


def instruments() -> Instruments:
    return Instruments(
        prosody=ProsodyEncoder(), voice=Loudness(), faces=Counting(), capture=CaptureSection(), max_frames=4
    )


def refused() -> Instruments:
    raise AssertionError("instruments opened")


def tone(seconds: float, level: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (level * 20_000 * np.sin(2 * np.pi * 150 * time) * (1 + 0.5 * np.sin(2 * np.pi * 3 * time))).astype(np.int16)


def write_video(path: Path, pcm: np.ndarray, pictures: int) -> None:
    """Ten pictures per second, and sound."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("flac", rate=RATE, layout="mono", format="s16")
        video = container.add_stream("mjpeg", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        for number in range(pictures):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number % 250, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for packet in [*video.encode(None), *sound.encode(frame), *sound.encode(None)]:
            container.mux(packet)


@pytest.fixture
def corpus(tmp_path: Path) -> Split:
    """Two clips with pictures, one of them missing; a recording of three utterances; a torn file; a text."""
    write_video(tmp_path / "clip.mkv", tone(1.0, 0.5), 10)
    talk = np.concatenate([tone(1.0, 0.1), np.zeros(RATE // 2, np.int16), tone(1.0, 0.4), tone(1.0, 0.8)])
    (tmp_path / "talk.flac").write_bytes(encode_flac(talk))
    (tmp_path / "torn.flac").write_bytes(encode_flac(tone(1.0, 0.5))[:40])
    clip, talk_file = tmp_path / "clip.mkv", tmp_path / "talk.flac"
    given = (1.0,) * 8
    clips = (
        Utterance("A", "Hi", "x", audio=clip, video=clip),
        Utterance("B", "Hm", "x", audio=tmp_path / "gone.wav", prosody=given),
        Utterance("A", "No", "x", audio=tmp_path / "torn.flac"),
    )
    spoken = tuple(
        Utterance("AB"[n % 2], "So", "x", start_s=start, end_s=end, audio=talk_file)
        for n, (start, end) in enumerate([(0.0, 1.0), (1.5, 2.5), (2.25, 3.5)])
    )
    written = (Utterance("A", "only words", "x"),)
    return Split("c", "dev", ("x",), tuple(Dialogue(*d) for d in (("a", clips), ("b", spoken), ("c", written))))


def found(split: Split, cache: Path, processes: int = 1) -> Extracted:
    return measure(split, instruments, cache, processes)


def test_a_clip_is_measured_as_live_would(corpus: Split, tmp_path: Path) -> None:
    row = found(corpus, tmp_path / "cache").measured["a", 0]
    pcm = read_pcm(tmp_path / "clip.mkv")
    np.testing.assert_array_equal(row.prosody, ProsodyEncoder()(pcm))
    np.testing.assert_array_equal(row.voice, Loudness()(pcm))
    assert row.face is not None
    assert row.face.tolist() == [3, 1, 0, 0, 0, 0, 0, 0]  # of ten pictures in a second, every fourth is looked at


def test_utterances_are_cut_out_of_a_recording_to_the_sample(corpus: Split, tmp_path: Path) -> None:
    measured, pcm = found(corpus, tmp_path / "cache").measured, read_pcm(tmp_path / "talk.flac")
    for place, (start, end) in enumerate([(0.0, 1.0), (1.5, 2.5), (2.25, 3.5)]):  # the last two overlap
        expected = ProsodyEncoder()(pcm[round(start * RATE) : round(end * RATE)])
        np.testing.assert_array_equal(measured["b", place].prosody, expected)


def test_missing_and_torn_files_are_named_and_missing(corpus: Split, tmp_path: Path) -> None:
    result = found(corpus, tmp_path / "cache")
    assert result.measured["a", 1].voice is result.measured["a", 2].voice is None
    assert ("c", 0) not in result.measured
    complaint = result.complaint()
    assert complaint is not None
    assert complaint.startswith("2 media files cannot be used: ")
    assert "gone.wav: no such file" in complaint
    assert "torn.flac" in complaint
    assert found(corpus, tmp_path / "cache").complaint() == complaint  # also when it comes from the cache


def test_what_was_measured_is_read_again_until_the_media_change(
    corpus: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = found(corpus, cache)
    files = sorted(cache.iterdir())
    assert len(files) == 2
    with monkeypatch.context() as patched:
        patched.setattr(Loudness, "__call__", lambda *_: pytest.fail("measured again"))
        again = found(corpus, cache)
    for key, row in first.measured.items():
        for name, value in vars(row).items():
            other = getattr(again.measured[key], name)
            assert (value is None) == (other is None)
            if value is not None:
                torch.testing.assert_close(other, value, equal_nan=True, rtol=0, atol=0)
    (tmp_path / "gone.wav").write_bytes(encode_flac(tone(0.5, 0.2)))
    files[0].write_bytes(b"torn")
    assert found(corpus, cache).measured["a", 1].voice is not None


def test_the_prosody_of_the_corpus_is_not_measured_anew(corpus: Split, tmp_path: Path) -> None:
    (tmp_path / "gone.wav").write_bytes(encode_flac(tone(0.5, 0.2)))
    row = found(corpus, tmp_path / "cache").measured["a", 1]
    assert row.prosody is None
    assert row.voice is not None


@pytest.mark.slow  # two more processes load torch
def test_several_processes_find_the_same(corpus: Split, tmp_path: Path) -> None:
    alone, together = found(corpus, tmp_path / "one"), found(corpus, tmp_path / "two", processes=2)
    assert alone.broken == together.broken
    assert alone.measured.keys() == together.measured.keys()
    assert {p.name for p in (tmp_path / "one").iterdir()} == {p.name for p in (tmp_path / "two").iterdir()}


def test_a_corpus_without_media_needs_no_instruments(corpus: Split, tmp_path: Path) -> None:
    words = replace(corpus, dialogues=corpus.dialogues[2:])
    assert measure(words, refused, tmp_path / "cache").measured == {}
    assert not (tmp_path / "cache").exists()
