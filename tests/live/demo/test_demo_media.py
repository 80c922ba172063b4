"""The conversation that ships: decodable, small, in sync, and cut by the default segmenter at its utterances."""

import io
import shutil
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import erc_live.live.demo.make as demo
from erc_live.live.asr.transcript_file import Cue, read_cues
from erc_live.live.demo.script import ADA, BEN, CONVERSATION
from erc_live.live.errors import EngineError
from erc_live.live.perception.vad import SileroVad
from erc_live.live.vision.yunet import Yunet
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, UtteranceSpan
from erc_live.streams.segmenter import Segmenter, SegmenterConfig
from erc_live.streams.segments import decode_flac

FOLDER = Path(demo.__file__).parent
NAMES = ("ada.flac", "ben.flac", "faces.mp4", "transcript.vtt")
WINDOW_S = CHUNK_SAMPLES / SAMPLE_RATE_HZ


@pytest.fixture(scope="module")
def tracks() -> dict[str, np.ndarray]:
    files = {s.name: FOLDER / f"{s.name.lower()}.flac" for s in (ADA, BEN)}
    return {name: np.concatenate([*decode_flac(io.BytesIO(file.read_bytes()))]) for name, file in files.items()}


@pytest.fixture(scope="module")
def cues() -> tuple[Cue, ...]:
    return read_cues(FOLDER / "transcript.vtt")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    with av.open(str(FOLDER / "faces.mp4")) as film:
        assert film.streams.video[0].codec_context.name == "h264"
        assert film.streams.video[0].average_rate == demo.RATE_HZ
        return [frame.to_ndarray(format="bgr24") for frame in film.decode(video=0)]


def cut(cue: Cue, samples: np.ndarray) -> np.ndarray:
    return samples[round(cue.start_s * SAMPLE_RATE_HZ) : round(cue.end_s * SAMPLE_RATE_HZ)]


def test_the_files_are_small() -> None:
    assert sum((FOLDER / name).stat().st_size for name in NAMES) < 1_000_000


def test_tracks_and_film_are_equally_long(tracks: dict[str, np.ndarray], pictures: list[np.ndarray]) -> None:
    (length,) = {len(samples) for samples in tracks.values()}
    assert 40 <= length / SAMPLE_RATE_HZ <= 60
    assert length * demo.RATE_HZ == len(pictures) * SAMPLE_RATE_HZ
    assert pictures[0].shape == (240, 320, 3)


def test_the_transcript_is_the_script_and_leaves_room_between(cues: tuple[Cue, ...]) -> None:
    assert [(cue.speaker, cue.text) for cue in cues] == [(line.speaker.name, line.text) for line in CONVERSATION]
    for before, after in pairwise(cues):
        assert after.start_s - before.end_s >= 0.9


def test_each_cue_sounds_in_its_own_track_and_all_else_is_silent(
    tracks: dict[str, np.ndarray], cues: tuple[Cue, ...]
) -> None:
    rest = {name: samples.copy() for name, samples in tracks.items()}
    for cue in cues:
        sound = cut(cue, tracks[cue.speaker]).astype(np.float64)
        assert 20 * np.log10(np.sqrt(np.mean(np.square(sound))) / 32_768) > -40
        assert abs(sound).max() < 32_767, "clipped"
        cut(cue, rest[cue.speaker])[:] = 0
    assert not any(samples.any() for samples in rest.values())


def test_the_segmenter_finds_each_utterance_once(tracks: dict[str, np.ndarray], cues: tuple[Cue, ...]) -> None:
    for name, samples in tracks.items():
        detect, segmenter = SileroVad(), Segmenter(SegmenterConfig())
        windows = samples[: len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES].reshape(-1, CHUNK_SAMPLES)
        spans: list[UtteranceSpan | None] = [segmenter.feed(detect(window)) for window in windows]
        found = [span for span in (*spans, segmenter.flush()) if span is not None]
        own = [cue for cue in cues if cue.speaker == name]
        assert len(found) == len(own)
        for span, cue in zip(found, own, strict=True):
            assert span.start / SAMPLE_RATE_HZ == pytest.approx(cue.start_s, abs=0.3)  # pre-roll, and a soft onset
            assert span.end / SAMPLE_RATE_HZ == pytest.approx(cue.end_s, abs=0.3)


def test_a_face_is_found_in_nearly_every_picture(pictures: list[np.ndarray], shared_data: Path) -> None:
    network = Yunet(shared_data / "weights" / "face_detection_yunet.onnx")
    assert np.mean([len(network(picture)) == 1 for picture in pictures[::7]]) >= 0.98


def test_the_fallback_face_finder_finds_it_too(pictures: list[np.ndarray]) -> None:
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in pictures[::7]]
    assert np.mean([len(cascade.detectMultiScale(g, 1.1, 5, minSize=(48, 48))) == 1 for g in grey]) >= 0.95


def test_the_mouth_moves_with_the_words(pictures: list[np.ndarray], cues: tuple[Cue, ...]) -> None:
    mouths = np.array([picture[140:190, 130:190].astype(np.float64) for picture in pictures])
    change = np.abs(np.diff(mouths, axis=0)).mean(axis=(1, 2, 3))
    times = (np.arange(len(change)) + 1) / demo.RATE_HZ
    words = np.any([(times > cue.start_s) & (times < cue.end_s) for cue in cues], axis=0)
    after = np.any(
        [(times > cue.end_s + 0.1) & (times < cue.end_s + demo.BETWEEN_S - demo.ONSET_S) for cue in cues], axis=0
    )
    assert change[words].mean() > 2 * change[after].mean()


def test_pauses_are_shortened_and_edges_cut() -> None:
    tone = 1_000 * np.sin(np.arange(8_000) * 0.3)
    short, long = np.zeros(1_600), np.zeros(16_000)  # 0.1 s and 1 s
    kept = demo._without_pauses(np.concatenate([long, tone, short, tone, long, tone, long]))
    assert len(kept) == pytest.approx(3 * 8_000 + 1_600 + demo.PAUSE_S * SAMPLE_RATE_HZ, abs=4 * demo.STEP)


def test_without_flite_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(EngineError, match="flite"):
        demo.make(tmp_path)
    monkeypatch.setattr("sys.argv", ["make", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        demo.main()
    assert stop.value.code == 5
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("flite") is None, reason="needs flite")
def test_the_command_makes_the_same_files_each_time(tmp_path: Path) -> None:
    for name in ("first", "second"):
        demo.make(tmp_path / name)
    for name in NAMES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
