"""`corpus check` says of the clips of a corpus what training would find in them, and `corpus features` goes on without
those that cannot be used.
"""

from pathlib import Path

import av
import numpy as np
import pytest
from test_corpus import run
from typer.testing import CliRunner

from erc_live.live.commands import datasets
from erc_live.live.commands.corpus import corpus_app
from erc_live.live.commands.corpus_features import corpus_features
from erc_live.live.extraction import clips
from erc_live.models.corpora import read
from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.streams.media import encode_flac

RATE = 16_000
HEAD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"


def clip(path: Path, sound: np.ndarray | None, pictures: int) -> Path:
    """An MP4 file of the sound, float32 (n,), and so many pictures, 10 per second."""
    with av.open(path, "w", format="mp4") as media:
        packets = []
        if sound is not None:
            stream = media.add_stream("aac", rate=RATE, layout="mono")
        if pictures:
            video = media.add_stream("mpeg4", rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for number in range(pictures):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number % 250, np.uint8), format="rgb24")
                packets += video.encode(frame.reformat(format="yuv420p"))
            packets += video.encode(None)
        if sound is not None:
            for start in range(0, len(sound), 1024):
                frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts = RATE, start
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in packets:
            media.mux(packet)
    return path


@pytest.fixture
def meld(tmp_path: Path) -> Path:
    """Nine utterances of MELD: a right clip, and every kind of wrong one; the clock begins anew at the last."""
    folder = tmp_path / "meld"
    (folder / "clips").mkdir(parents=True)
    speech = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)

    def place(number: int) -> Path:
        return folder / "clips" / f"dia0_utt{number}.mp4"

    whole = clip(place(0), speech, 20).read_bytes()
    place(1).write_bytes(whole[: len(whole) // 2])  # cut before its index
    place(2).touch()
    clip(place(3), None, 20)
    clip(place(4), speech, 0)
    clip(place(5), np.zeros(2 * RATE, np.float32), 20)
    place(7).write_bytes(whole.replace(b"ftyp", b"free")[: len(whole) // 2])
    place(8).write_bytes(whole)
    (folder / "clips" / "final_videos_testdia9_utt0.mp4").write_bytes(whole)
    (folder / "clips" / "._dia0_utt0.mp4").write_bytes(whole)
    starts_s = [0, 1, 2, 3, 4, 5, 6, 7, 1]
    rows = (
        f'{n},"Oh my God, number {n}!",Sp{n % 2},joy,positive,0,{n},1,1,"00:00:0{s},000","00:00:0{s},900"\n'
        for n, s in enumerate(starts_s)
    )
    (folder / "dev.csv").write_text(HEAD + "".join(rows))
    return folder


def test_check_says_what_training_would_find(meld: Path) -> None:
    code, text = run("check", meld)
    assert (code, "9 problems" in text) == (4, True), text
    told = CliRunner().invoke(corpus_app, ["check", str(meld)]).stdout
    for says in (
        "utterance 9 begins at 1 s, and the one before it at 7 s",
        "no audio for utterance 7 of 9",
        "dia0_utt1.mp4: not a media file, or cut off",
        "dia0_utt2.mp4: not a media file",
        "dia0_utt3.mp4: holds no audio stream",
        "dia0_utt4.mp4: holds no video stream",
        "dia0_utt5.mp4: silent",
        "dia0_utt7.mp4: not a media file, or cut off",
    ):
        assert says in told
    assert "utt0.mp4" not in told
    assert "utt8.mp4" not in told


def test_features_of_the_right_clips_are_there_and_the_others_are_named(
    meld: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_: tmp_path / "cache")
    corpus_features(meld)
    printed = capsys.readouterr()
    assert "9 utterances in 1 dialogue," in printed.out
    for number in (1, 2, 3, 4, 5, 7):
        assert f"dia0_utt{number}.mp4" in printed.err.replace("\n", "")
    (example,) = datasets.measured(read(meld, "dev"), read(meld, "dev").labels)
    assert len(example) == 9


def test_a_piece_that_a_recording_does_not_hold_is_named(tmp_path: Path) -> None:
    loud = np.random.default_rng(0).normal(0, 3_000, 2 * RATE).astype(np.int16)
    (tmp_path / "talk.flac").write_bytes(encode_flac(np.concatenate([loud, np.zeros(2 * RATE, np.int16)])))
    said = tuple(
        Utterance("A", "So", None, start_s=start, end_s=end, audio=tmp_path / "talk.flac")
        for start, end in [(0.0, 2.0), (2.5, 3.5), (9.0, 10.0)]
    )
    assert list(clips.problems(Split("c", "dev", (), (Dialogue("a", said),)))) == [
        f"{tmp_path / 'talk.flac'}: silent from 2.5 to 3.5 s",
        f"{tmp_path / 'talk.flac'}: no sound from 9 to 10 s",
    ]


def test_a_clip_that_ends_before_its_time_is_named(tmp_path: Path) -> None:
    data = encode_flac(np.random.default_rng(0).normal(0, 3_000, 4 * RATE).astype(np.int16))
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    said = (Utterance("A", "So", None, audio=tmp_path / "cut.flac"),)
    (problem,) = clips.problems(Split("c", "dev", (), (Dialogue("a", said),)))
    assert "ends early, at" in problem
