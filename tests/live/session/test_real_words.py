"""The recogniser that people use, with its published weights, on the voices that are shipped."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sounds import read_pcm
from tiny_world import options
from typer.testing import CliRunner

from erc_live.live import cli, config
from erc_live.live.asr.transcribers import Speech, Transcriber, open_transcriber
from erc_live.live.asr.transcript_file import Cue, read_cues
from erc_live.live.demo.recognition import RecognitionScore, word_errors, words
from erc_live.live.session.launch import demo_sources
from erc_live.streams import codec
from erc_live.streams.messages import SAMPLE_RATE_HZ, EmotionEvent

pytestmark = pytest.mark.real

SOURCES, SAID = demo_sources()
MOST_WRONG = 0.05


@pytest.fixture(scope="module")
def recogniser(tiny_en: Path) -> Transcriber:
    return open_transcriber(config.TranscriberSection(device="cpu", model=str(tiny_en)), tiny_en.parent)


def spoken(cue: Cue) -> Speech:
    """A cue as it sounds in the track of its speaker, with a little silence around."""
    (track,) = [Path(source.target) for source in SOURCES if source.speaker == cue.speaker]
    start_s, end_s = cue.start_s - 0.2, cue.end_s + 0.2
    pcm = read_pcm(track)[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]
    return Speech(pcm, "mic", start_s, end_s)


def test_words_are_plain_and_lie_in_order_within_their_utterance(recogniser: Transcriber) -> None:
    utterance = spoken(read_cues(SAID)[1])
    heard = recogniser.transcribe(utterance)
    assert word_errors(words("Yes, and it is wonderful news! They gave me the job!"), words(heard.text)) == 0
    assert " ".join(word.text for word in heard.words) == heard.text
    times = [time for word in heard.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0.0 <= times[0] < times[-1] <= utterance.end_s - utterance.start_s
    for word in heard.words:
        assert {type(value) for value in (word.start_s, word.end_s, word.confidence)} == {float}
        assert 0.0 < (word.confidence or 0.0) <= 1.0


def test_the_same_sound_gives_the_same_words_whatever_came_before(recogniser: Transcriber) -> None:
    first, other = map(spoken, read_cues(SAID)[:2])
    before = recogniser.transcribe(first)
    recogniser.transcribe(other)
    assert recogniser.transcribe(first) == before
    assert replace(before, words=()) == recogniser.transcribe(replace(first, partial=True))


@pytest.mark.xdist_group("sessions")
@pytest.mark.skipif(sys.platform == "win32", reason="its endpoints are of a POSIX kind")
def test_the_demo_is_heard_live_and_again_from_its_bundle_with_equal_words_and_labels(
    tiny_en: Path, smart_turn: Path, tiny_world: dict[str, str], tmp_path: Path
) -> None:
    """Through all processes, the turn detector with its real weights among them; the other weights are tiny and random
    and have no part in it.
    """
    world = tiny_world | {"models.folder": str(tiny_en.parent), "events.endpoint": f"ipc://{tmp_path}/e"}
    world |= {"perception.turn_detector": "smart-turn"}
    assert smart_turn.is_relative_to(tiny_en.parent)
    kept = tmp_path / "kept"
    live, told = run("demo", "--speed", "4", "--record", kept, *options(world | {"transcriber.model": "tiny.en"}))
    hearing = RecognitionScore(read_cues(SAID))
    for event in live:
        hearing.observe(event)
    wrong, said = hearing.errors()
    assert wrong <= MOST_WRONG * said
    assert told.splitlines()[-1] == hearing.summary()
    for event in live:
        assert event.engine.name.startswith("faster-whisper tiny.en")
        assert " ".join(word.text for word in event.words) == event.text
        assert all(event.t_start_ns <= word.t_start_ns <= word.t_end_ns <= event.t_end_ns for word in event.words)

    anew = {"transcriber.engine": "faster-whisper", "transcriber.model": "tiny.en"}
    for keys in (world, world | anew):  # with the words that it keeps, and recognised once more
        again = replay(kept, *options(keys))
        assert [essence(event) for event in again] == [essence(event) for event in live]


def essence(event: EmotionEvent) -> tuple[object, ...]:
    """What is the same live and in replay: who said what, when it began and when it was decided to be over."""
    return event.utterance, event.speaker_name, event.text, event.label, event.t_closed_ns - event.t_start_ns


def run(*arguments: object) -> tuple[list[EmotionEvent], str]:
    """The final events of an `erc-live` in processes of its own, and what it told on standard error."""
    command = [sys.executable, "-m", "erc_live.live.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return finals(done.stdout), done.stderr


def replay(kept: Path, *arguments: str) -> list[EmotionEvent]:
    """The final events of a replay, which has no processes, in this one."""
    done = CliRunner().invoke(cli.app, ["replay", str(kept), "--speed", "max", *arguments])
    assert done.exit_code == 0, done.output
    return finals(done.stdout)


def finals(text: str) -> list[EmotionEvent]:
    messages = [codec.from_json(line.encode()) for line in text.splitlines()]
    return [message for message in messages if isinstance(message, EmotionEvent) and message.final]
