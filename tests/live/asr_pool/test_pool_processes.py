"""A pool of real recognisers in processes: the same words as without it, also where one is killed; and a session whose
pool hangs says so, and goes on.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sounds import read_pcm
from tiny_world import options
from typer.testing import CliRunner

from erc_live.live import cli
from erc_live.live.asr.pooled_words import decode_words
from erc_live.live.asr.transcribers import open_transcriber
from erc_live.live.asr.transcript_file import read_cues
from erc_live.live.asr_pool.pool_scale import PoolScale
from erc_live.live.asr_pool.recogniser_pool import PoolNews, RecogniserPool
from erc_live.live.asr_pool.recogniser_process import RecogniserProcess
from erc_live.live.config import ModelsSection, TranscriberSection
from erc_live.live.errors import exit_code
from erc_live.live.requests import Speech
from erc_live.live.session.launch import demo_sources
from erc_live.streams.messages import SAMPLE_RATE_HZ
from erc_live.streams.recognition_channel import AskedRecognition, RecognitionRequest

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("processes"),
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX"),
]
SOURCES, SAID = demo_sources()
MICS = [f"{source.target}={source.speaker}" for source in SOURCES if source.kind == "mic"]
DEMO = ["replay", *(part for mic in MICS for part in ("--mic", mic))]


@pytest.fixture
def folder():
    """The path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="erc-") as place:
        yield Path(place)


@pytest.fixture
def start(folder):
    """Start `erc-live ...`; what still runs at the end is killed."""
    started = []

    def call(*arguments):
        environment = dict(os.environ, XDG_STATE_HOME=str(folder / "state"), XDG_CONFIG_HOME=str(folder / "config"))
        command = [sys.executable, "-m", "erc_live.live.cli", *map(str, arguments)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, env=environment, **pipes))
        return started[-1]

    yield call
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def read_until(stream, text):
    """Its lines up to one with that text."""
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(lines)


def utterances():
    """What the two people of the demo say first."""
    for cue in read_cues(SAID)[:4]:
        (track,) = [Path(source.target) for source in SOURCES if source.speaker == cue.speaker]
        yield read_pcm(track)[round(cue.start_s * SAMPLE_RATE_HZ) : round(cue.end_s * SAMPLE_RATE_HZ)]


@pytest.mark.timeout(900)
def test_a_recogniser_that_is_killed_at_work_loses_nothing(tiny_en):
    choice = TranscriberSection(engine="faster-whisper", model=str(tiny_en), device="cpu", threads=1)
    awake, killed, lost = queue.SimpleQueue(), [], []

    def start() -> RecogniserProcess:
        return RecogniserProcess(choice, ModelsSection(), lambda: awake.put(None))

    news = PoolNews(lambda number, loaded: killed.append(loaded.process), lambda *why: lost.append(why), print)
    with closing(RecogniserPool(start, PoolScale(2, 2), news)) as pool:
        sounds = list(utterances())
        for number, pcm in enumerate(sounds):
            request = RecognitionRequest(ask="words", number=number)
            assert pool.take(AskedRecognition(b"me", request, pcm.tobytes()), time.monotonic()) is None
        answers = pool.advance(time.monotonic())
        while not pool.load(time.monotonic()).busy:
            awake.get()
            answers += pool.advance(time.monotonic())
        os.kill(killed[0], signal.SIGKILL)
        while pool.pending:
            awake.get()
            answers += pool.advance(time.monotonic())
    alone = open_transcriber(choice, tiny_en.parent)
    assert lost == [(0, "SIGKILL: perhaps it took too much memory")] or lost[0][0] == 1
    assert {answer.reply.verdict for answer in answers} == {"done"}
    words = {answer.reply.number: decode_words(answer.words) for answer in answers}
    for number, pcm in enumerate(sounds):
        assert words[number] == alone.transcribe(Speech(np.asarray(pcm), "mic", 0.0, len(pcm) / SAMPLE_RATE_HZ))


@pytest.fixture
def world(folder, tiny_en, tiny_world):
    """The keys of a session that takes its words from a pool, and of one that recognises them itself."""
    world = tiny_world | {"models.folder": str(tiny_en.parent), "events.endpoint": f"ipc://{folder}/e"}
    pool = {"transcriber.engine": "pool", "transcriber.pool": f"ipc://{folder}/r"}
    return options(world | pool), options(world | {"transcriber.model": "tiny.en"})


@pytest.mark.timeout(1800)
def test_the_events_with_a_pool_are_those_without_it(start, folder, world):
    asking, alone = world
    missing = replayed("--speed", "max", *asking)
    assert exit_code(missing.exception) == 5
    assert "start them with erc-live recognise" in str(missing.exception)
    pool = start("recognise", "--workers", "2", "--endpoint", f"ipc://{folder}/r", *alone)
    read_until(pool.stderr, "recogniser 1 in process")
    events = [finals(replayed("--speed", "max", *keys).stdout) for keys in (asking, alone)]
    assert len(events[0]) > 5
    assert events[0] == events[1]
    pool.terminate()
    assert "0 failed" in pool.communicate()[1]
    assert pool.returncode == 0


@pytest.mark.timeout(1800)
def test_a_recording_waits_for_a_pool_that_hangs_and_loses_nothing(start, folder, world):
    events, lines = hung(start, folder, world, "--speed", "1000", begins="the recording waits at")
    (back,) = [line for line in lines if "words come again from faster-whisper tiny.en" in line]
    assert "none were lost" in back
    assert not any(event["skipped"] for event in events)


@pytest.mark.slow  # where a machine is too busy, words are given up before a pool that is back is asked for them
@pytest.mark.timeout(1800)
def test_a_live_session_goes_on_without_words_and_says_so(start, folder, world):
    events, lines = hung(start, folder, world, "--as-live", "--speed", "1", begins="no words of what is said at")
    assert [line for line in lines if "words come again from faster-whisper tiny.en" in line]
    skipped = [event for event in events if event["skipped"]]
    assert skipped
    assert not any(event["text"] for event in skipped)


def hung(start, folder, world, *arguments, begins):
    """The final events of a session whose pool hangs after the first until a line that begins so, and its lines."""
    asking, alone = world
    pool = start("recognise", "--endpoint", f"ipc://{folder}/r", *alone)
    read_until(pool.stderr, "recogniser 0 in process")
    session = start(*DEMO, *arguments, "--jsonl", *asking)
    said = read_until(session.stdout, '"final":true')
    pool.send_signal(signal.SIGSTOP)
    lines = read_until(session.stderr, begins)
    pool.send_signal(signal.SIGCONT)
    lines += session.stderr.readlines()
    assert session.wait() == 0, lines
    return finals("".join(said) + session.stdout.read()), lines


def replayed(*arguments):
    return CliRunner().invoke(cli.app, [*DEMO, "--jsonl", *arguments])


def finals(text):
    """The final events, without the name of the session, which is the time of day."""
    events = [json.loads(line) for line in text.splitlines()]
    return [event | {"session": ""} for event in events if event["type"] == "EmotionEvent" and event["final"]]
