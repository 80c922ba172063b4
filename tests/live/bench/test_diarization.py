"""The bench hears what a session would, and scores it as the definition of the error rate says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from erc_live.live import config
from erc_live.live.bench import diarization as bench
from erc_live.live.bench.diarization import NOTHING, AssignedTurn, Score, bench_speakers, plain, plot, render, score
from erc_live.live.bench.recordings import MicrophoneTrack, SpeakerSegment, find
from erc_live.live.speakers.embedding import VoiceReader, open_voice_reader
from erc_live.streams.messages import SAMPLE_RATE_HZ

pytest.importorskip("pyannote.metrics", reason="needs the extra bench")

DEMO = Path(__file__).parents[3] / "live" / "demo"
DEMO_FILES = [DEMO / "ada.flac", DEMO / "ben.flac"]


@pytest.fixture(scope="module")
def reader() -> VoiceReader:
    opened = open_voice_reader(config.SpeakersSection())
    assert opened is not None
    return opened


def track(*segments: tuple[float, float, str], length_s: float = 100.0) -> MicrophoneTrack:
    pcm = np.zeros(round(length_s * SAMPLE_RATE_HZ), np.int16)
    return MicrophoneTrack("made up", pcm, tuple(SpeakerSegment(*segment) for segment in segments))


def test_every_part_of_the_error_is_counted_in_seconds() -> None:
    reference = track((0, 10, "Ann"), (10, 20, "Ben"), (18, 22, "Ann"))
    said = [(0.0, 12.0, "#1"), (12.0, 19.0, "#2"), (30.0, 31.0, "#1")]
    found = score(reference, said)
    assert found == Score(speech_s=24, right_s=17, missed_s=pytest.approx(5), confused_s=2, false_s=1)
    assert found.der == pytest.approx(8 / 24)


def test_voices_keep_their_person_where_only_a_part_is_counted() -> None:
    reference = track((0, 20, "Ann"), (20, 50, "Ben"), (50, 60, "Ann"))
    said = [(0.0, 20.0, "#1"), (20.0, 50.0, "#2"), (50.0, 60.0, "#2")]
    assert score(reference, said, from_s=50.0) == Score(10, 0, 0, 10, 0)


def test_nothing_said_is_all_missed() -> None:
    assert score(track((0, 10, "Ann")), []) == Score(10, 0, 10, 0, 0)
    assert score(track((0, 10, "Ann")), [], from_s=200.0) == NOTHING


def test_two_voices_of_the_demo_are_told_apart(reader: VoiceReader) -> None:
    (found,) = bench_speakers(find(DEMO_FILES), config.Config(), reader, lambda name: None)
    assert (found.people, found.voices) == (2, 2)
    assert found.at_once.share(found.at_once.right_s) > 0.95
    report = plain([found])
    assert report["der"] == pytest.approx(found.at_once.der)
    assert report["recordings"][0]["name"] == found.name


def test_who_says_nothing_but_yeah_is_none_of_the_people() -> None:
    brief = track((0, 10, "Ann"), (11, 12, "Ben"), (20, 20.9, "Ben"), (30, 33, "Cem"))
    assert bench._people(brief.segments) == 2


def test_the_interval_holds_the_rate_of_all_recordings() -> None:
    scores = [Score(10, right, 10 - right, 0, 0) for right in (9, 8, 5, 10, 7)]
    low, high = bench.interval(scores)
    assert 0 < low < sum(scores, NOTHING).der < high < 0.5
    assert bench.interval(scores[:1]) == pytest.approx((0.1, 0.1))
    assert np.isnan(bench.interval([NOTHING])).all()


def test_a_call_on_one_microphone(shared_data: Path, reader: VoiceReader) -> None:
    """The target: of the speech after the first 30 s, 90 % is given to the right person."""
    (found,) = bench_speakers(find([shared_data / "recordings" / "call"]), config.Config(), reader, lambda name: None)
    assert found.settled.share(found.settled.right_s) > 0.9


def test_each_voice_is_drawn_in_the_colours_of_who_spoke(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra bench")
    reference = track((0, 10, "Ann"), (10, 20, "Ben")).segments
    said = (
        AssignedTurn(0.0, 9.0, "mic-0#1", "mic-0#1"),
        AssignedTurn(11.0, 20.0, "mic-0#1", "mic-0#2"),
        AssignedTurn(50, 51, "mic-0#2", ""),
    )
    row = bench.RecordingScore("a room", 2, 2, NOTHING, NOTHING, NOTHING, reference, said)
    lanes = bench._lanes(row)
    assert list(lanes) == ["Ann", "Ben", "mic-0#1", "mic-0#2"]
    assert [colour for *_, colour in lanes["mic-0#1"]] == [lanes["Ann"][0][2], lanes["Ben"][0][2]]
    assert lanes["mic-0#2"] == [(50, 51, bench.NOBODY)]
    plot(tmp_path / "voices.svg", [row, replace(row, name="nobody", segments=(), hypothesis=())])
    assert (tmp_path / "voices.svg").read_text().startswith("<?xml")


def test_the_table_fits_a_terminal() -> None:
    at_once = Score(1234.5, 1000.0, 100.0, 134.5, 50.0)
    row = bench.RecordingScore("meeting-in-1998", 12, 12, at_once, at_once, NOTHING)
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(render([row, replace(row, name="b", at_once=NOTHING)]))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("meeting-in-1998" in line and "8.1" in line for line in lines)
    assert any(line.startswith("together") for line in lines)
